# SPDX-License-Identifier: Apache-2.0
"""The files a transcript can be written to, as text."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import Final

from qwen_asr_plugin.alignment import Boundary, boundary_after, needs_space_between, split_words
from subtitle_hooks import RequestError, Segment, render_srt

__all__ = ["FORMATS", "TranscriptInfo", "render"]

_JSON_VERSION: Final = 1
# A silence this long begins a new paragraph of plain text.
_PARAGRAPH_PAUSE_MS: Final = 2000


@dataclass(frozen=True, kw_only=True)
class TranscriptInfo:
    """What is known about a finished transcript besides its segments.

    Attributes:
        backend: Name of the backend that made it.
        model: Name of the model, None where unknown.
        language: ISO code of the dominant language, None where unknown.
        duration_ms: Duration of the part worked on, None where unknown.
        statistics: Flat mapping of names to numbers or short texts.
    """

    backend: str
    model: str | None = None
    language: str | None = None
    duration_ms: int | None = None
    statistics: Mapping[str, float | str] = field(default_factory=lambda: MappingProxyType({}))


def _render_srt(segments: Sequence[Segment], _: TranscriptInfo) -> str:
    """SubRip, see `subtitle_hooks.render_srt`."""
    return render_srt(segments)


def _render_txt(segments: Sequence[Segment], _: TranscriptInfo) -> str:
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
        for line in segment.text.split("\n"):
            units = split_words(line.strip())
            for unit, following in zip(units, (*units[1:], None), strict=True):
                sentence += (" " if needs_space_between(sentence, unit) else "") + unit
                if boundary_after(unit, following, segment.language) is Boundary.SENTENCE:
                    yield sentence.rstrip()
                    sentence = ""
    if sentence:
        yield sentence.rstrip()


def _render_json(segments: Sequence[Segment], info: TranscriptInfo) -> str:
    """JSON (RFC 8259), version 1 of this project's schema.

    An object with ``version`` (1), ``backend``, ``model``, ``language``, ``duration_ms``, ``statistics`` (an object of
    numbers and texts) and ``segments``: a list of objects with ``start_ms`` and ``end_ms`` (integers on the media
    clock), ``text`` (lines separated by a line feed) and ``language``. What is unknown is null. A reader must ignore
    names it does not know; a change that breaks readers raises ``version``.
    """
    document = {
        "version": _JSON_VERSION,
        "backend": info.backend,
        "model": info.model,
        "language": info.language,
        "duration_ms": info.duration_ms,
        "statistics": dict(info.statistics),
        "segments": [asdict(segment) for segment in segments],
    }
    return json.dumps(document, ensure_ascii=False, indent=2) + "\n"


FORMATS: Final[Mapping[str, Callable[[Sequence[Segment], TranscriptInfo], str]]] = MappingProxyType(
    {"json": _render_json, "srt": _render_srt, "txt": _render_txt}
)
"""Every output format by its name, which is also its file name extension."""


def render(name: str, segments: Sequence[Segment], info: TranscriptInfo) -> str:
    """Write segments in one of the formats.

    Args:
        name: A key of `FORMATS`.
        segments: Segments in time order.
        info: What else is known; formats without a place for it ignore it.

    Returns:
        The file's text; lines end with a line feed.

    Raises:
        RequestError: There is no format of this name.
        OutputError: The format cannot hold one of the segments.
    """
    if name not in FORMATS:
        raise RequestError(f"There is no output format called {name!r}.", hint=f"Choose one of: {', '.join(FORMATS)}.")
    return FORMATS[name](segments, info)
