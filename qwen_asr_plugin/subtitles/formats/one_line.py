# SPDX-License-Identifier: Apache-2.0
"""Formats of one line per cue: lyrics (``.lrc``) and tab-separated values (``.tsv``)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from subtitle_hooks import Segment

from .clock import centiseconds
from .info import TranscriptInfo
from .safe_text import WORD_JOINER
from .shown import one_line, shown

__all__ = ["render_lrc", "render_tsv"]

# [digit is a time, and <digit the time of a word.
_LRC_TIME: Final = re.compile(r"[\[<](?=\d)")


def render_lrc(segments: Sequence[Segment], _: TranscriptInfo) -> str:
    """LRC; a time without text ends a cue that the next one does not follow at once."""
    lines: list[str] = []
    end = 0
    for cue in shown(segments, "LRC"):
        start, following_end = centiseconds(cue.start_ms, cue.end_ms)
        if lines and start > end:
            lines.append(f"[{_time(end)}]\n")
        end = following_end
        text = _LRC_TIME.sub(rf"\g<0>{WORD_JOINER}", one_line(cue.lines))
        lines.append(f"[{_time(start)}]{text}\n")
    if lines:
        lines.append(f"[{_time(end)}]\n")
    return "".join(lines)


def _time(hundredths: int) -> str:
    seconds, hundredths = divmod(hundredths, 100)
    return f"{seconds // 60:02}:{seconds % 60:02}.{hundredths:02}"


def render_tsv(segments: Sequence[Segment], _: TranscriptInfo) -> str:
    """Tab-separated values with a header: start and end in milliseconds, text."""
    rows = [f"{cue.start_ms}\t{cue.end_ms}\t{one_line(cue.lines)}\n" for cue in shown(segments, "TSV")]
    return "start\tend\ttext\n" + "".join(rows)
