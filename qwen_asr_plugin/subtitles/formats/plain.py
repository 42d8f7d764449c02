# SPDX-License-Identifier: Apache-2.0
"""Plain text (``.txt``)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from qwen_asr_plugin.alignment import Boundary, boundary_after, needs_space_between, split_words
from subtitle_hooks import Segment

from .info import TranscriptInfo
from .safe_text import clean_lines

__all__ = ["render_plain"]

# A silence this long begins a new paragraph.
_PARAGRAPH_PAUSE_MS: Final = 2000


def render_plain(segments: Sequence[Segment], _: TranscriptInfo) -> str:
    """Plain text: one sentence per line, an empty line where nobody spoke for two seconds."""
    return "".join(f"{line}\n" for line in _sentences(segments))


def _sentences(segments: Sequence[Segment]) -> Iterator[str]:
    sentence = ""
    previous: Segment | None = None
    for segment in segments:
        if previous is not None and segment.start_ms - previous.end_ms >= _PARAGRAPH_PAUSE_MS:
            if sentence:
                yield sentence
            sentence = ""
            yield ""
        previous = segment
        for line in clean_lines(segment.text):
            units = split_words(line)
            for unit, following in zip(units, (*units[1:], None), strict=True):
                sentence += (" " if needs_space_between(sentence, unit) else "") + unit
                if boundary_after(unit, following, segment.language) is Boundary.SENTENCE:
                    yield sentence.rstrip()
                    sentence = ""
    if sentence:
        yield sentence.rstrip()
