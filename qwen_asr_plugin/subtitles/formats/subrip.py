# SPDX-License-Identifier: Apache-2.0
"""SubRip (``.srt``)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from subtitle_hooks import Segment, render_srt

from .info import TranscriptInfo
from .safe_text import WORD_JOINER, clean_lines

__all__ = ["render_subrip"]

# SubRip has no way to escape. Players take <letter and </ for tags, {\ for ASS overrides, {y:...} for MicroDVD ones,
# some of them &name; for a character, and those built on ffmpeg \N, \n and \h for line breaks and spaces.
_MARKUP: Final = re.compile(r"<(?=[A-Za-z/])|\{(?=\\|[A-Za-z]:)|&(?=#?[A-Za-z0-9]{1,32};)|\\(?=[Nnh])")


def render_subrip(segments: Sequence[Segment], _: TranscriptInfo) -> str:
    """SubRip, see `subtitle_hooks.render_srt`; what looks like markup is shown as text."""
    return render_srt(
        replace(segment, text=_MARKUP.sub(rf"\g<0>{WORD_JOINER}", "\n".join(clean_lines(segment.text))))
        for segment in segments
    )
