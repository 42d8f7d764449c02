# SPDX-License-Identifier: Apache-2.0
"""Advanced SubStation Alpha (``.ass``)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from subtitle_hooks import Segment

from .clock import centiseconds
from .info import TranscriptInfo
from .safe_text import WORD_JOINER
from .shown import shown

__all__ = ["render_substation"]

# White 72-pixel letters on a 1080p picture, black outline and a soft shadow, centred at the bottom.
_HEADER: Final = """\
[Script Info]
ScriptType: v4.00+
PlayResX: 1920
PlayResY: 1080
WrapStyle: 0
ScaledBorderAndShadow: yes

[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, Italic, Underline, \
StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, Alignment, MarginL, MarginR, MarginV, Encoding
Style: Default,Arial,72,&H00FFFFFF,&H000000FF,&H00000000,&H80000000,0,0,0,0,100,100,0,0,1,3,1,2,60,60,54,1

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
"""
# Braces hold override tags, and how to escape them differs between players: full-width ones are the nearest that are
# safe in all. A backslash is shown as one when a word joiner follows.
_BRACES: Final = str.maketrans("{}", "\uff5b\uff5d")
_ESCAPE: Final = re.compile(r"\\(?=[A-Za-z])")


def render_substation(segments: Sequence[Segment], _: TranscriptInfo) -> str:
    """ASS, version 4+; times are rounded to its hundredths of a second."""
    events = []
    for cue in shown(segments, "ASS"):
        start, end = centiseconds(cue.start_ms, cue.end_ms)
        text = r"\N".join(_ESCAPE.sub(rf"\\{WORD_JOINER}", line.translate(_BRACES)) for line in cue.lines)
        events.append(f"Dialogue: 0,{_time(start)},{_time(end)},Default,,0,0,0,,{text}\n")
    return _HEADER + "".join(events)


def _time(hundredths: int) -> str:
    seconds, hundredths = divmod(hundredths, 100)
    return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}.{hundredths:02}"
