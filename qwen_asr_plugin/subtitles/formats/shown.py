# SPDX-License-Identifier: Apache-2.0
"""Segments ready to be written: lines cleaned, and nothing that a format would lose."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from qwen_asr_plugin.alignment import needs_space_between
from subtitle_hooks import OutputError, Segment

from .safe_text import clean_lines

__all__ = ["Shown", "one_line", "shown"]


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A cue with its clean lines, at least one."""

    start_ms: int
    end_ms: int
    lines: list[str]
    language: str | None


def shown(segments: Sequence[Segment], format_name: str) -> Iterator[Shown]:
    """Yield the cues of segments.

    Raises:
        OutputError: A segment has no visible text, no duration, a negative start, or starts before the one in front
            of it, the same that `subtitle_hooks.render_srt` refuses. Nothing is dropped or sorted.
    """
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
                f"cue {number} ({segment.start_ms} to {segment.end_ms} ms) {problem}; {format_name} would lose it.",
                hint="Correct the segments before rendering them.",
            )
        previous_start_ms = segment.start_ms
        yield Shown(start_ms=segment.start_ms, end_ms=segment.end_ms, lines=lines, language=segment.language)


def one_line(lines: list[str]) -> str:
    """Join the lines of a cue, with a space where their script has one between words."""
    text = lines[0]
    for line in lines[1:]:
        text += (" " if needs_space_between(text, line) else "") + line
    return text
