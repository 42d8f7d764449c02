# SPDX-License-Identifier: Apache-2.0
"""SubRip text out of segments, without losing a cue.

Of the `srt` package only the cue formatter is used: its `compose` sorts the cues and drops those without text or
duration, and a subtitle that vanishes silently is worse than an error.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import timedelta

import srt

from ._errors import OutputError
from ._messages import Segment

__all__ = ["clean_lines", "in_time_order", "render_srt"]

_LINE_BREAK = re.compile(r"\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")
# C0 and C1 controls and DEL; U+FEFF, which parsers take for the start of a file.
_FORBIDDEN = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f\ufeff]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")


def clean_lines(text: str) -> list[str]:
    """Split a cue's text into the lines that SubRip can hold.

    A blank line would end the cue and ``-->`` would start another one, so blank lines go and the arrow becomes ``→``.
    Control characters go, tabs become spaces, and lone surrogates (which UTF-8 cannot encode) become U+FFFD.

    Returns:
        Lines without surrounding white space; none when nothing visible is left.
    """
    lines = []
    for line in _LINE_BREAK.split(text):
        line = _FORBIDDEN.sub("", line.replace("\t", " "))
        line = _SURROGATE.sub("\ufffd", line).replace("-->", "\u2192").strip()
        if line:
            lines.append(line)
    return lines


def in_time_order(segments: Iterable[Segment]) -> list[Segment]:
    """Put the two runs of a transcript with `SubtitleRequest.start_at_ms` together, as a subtitle file needs them.

    Args:
        segments: All segments of a transcript; read to the end.

    .. versionadded:: 0.2
    """
    return sorted(segments, key=lambda segment: segment.start_ms)


def render_srt(segments: Iterable[Segment]) -> str:
    r"""Write segments as SubRip text: ``\n`` line ends, cues numbered from 1, one blank line after each cue.

    Args:
        segments: In order of their start, see `in_time_order`. No segments give an empty text, which is a valid SubRip
            file.

    Raises:
        OutputError: A segment has no visible text, no duration, a negative start, or starts before the one in front
            of it. Nothing is dropped or sorted behind the caller's back.
    """
    blocks = []
    previous_start_ms = 0
    for number, segment in enumerate(segments, start=1):
        lines = clean_lines(segment.text)
        problem = ""
        if segment.start_ms < 0:
            problem = "starts before zero"
        elif segment.end_ms <= segment.start_ms:
            problem = "ends when or before it starts"
        elif segment.start_ms < previous_start_ms:
            problem = f"starts before the cue in front of it ({previous_start_ms} ms)"
        elif not lines:
            problem = "has no visible text"
        if problem:
            raise OutputError(
                f"cue {number} ({segment.start_ms} to {segment.end_ms} ms) {problem}; SubRip would lose it.",
                hint="Correct the segments before rendering them.",
            )
        previous_start_ms = segment.start_ms
        cue = srt.Subtitle(
            index=number,
            start=timedelta(milliseconds=segment.start_ms),
            end=timedelta(milliseconds=segment.end_ms),
            content="\n".join(lines),
        )
        blocks.append(str(cue.to_srt()))
    return "".join(blocks)
