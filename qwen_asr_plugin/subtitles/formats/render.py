# SPDX-License-Identifier: Apache-2.0
"""The output formats by their names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from subtitle_hooks import RequestError, Segment

from .info import TranscriptInfo
from .one_line import render_lrc, render_tsv
from .plain import render_plain
from .subrip import render_subrip
from .substation import render_substation
from .transcript_json import render_json
from .ttml import render_ttml
from .webvtt import render_webvtt

__all__ = ["FORMATS", "render"]

FORMATS: Final[Mapping[str, Callable[[Sequence[Segment], TranscriptInfo], str]]] = MappingProxyType(
    {
        "ass": render_substation,
        "json": render_json,
        "lrc": render_lrc,
        "srt": render_subrip,
        "tsv": render_tsv,
        "ttml": render_ttml,
        "txt": render_plain,
        "vtt": render_webvtt,
    }
)
"""Every output format by its name, which is also its file name extension."""


def render(
    name: str, segments: Sequence[Segment], info: TranscriptInfo, *, bom: bool = False, crlf: bool = False
) -> str:
    """Write segments in one of the formats.

    Args:
        name: A key of `FORMATS`.
        segments: Segments in time order.
        info: What else is known; formats without a place for it ignore it.
        bom: Begin with a byte order mark, by which old players know UTF-8; never in JSON, whose readers refuse it.
        crlf: End lines with CR LF, as old players on Windows want it.

    Returns:
        The file's text, to be encoded as UTF-8; lines end with a line feed unless `crlf` is set.

    Raises:
        RequestError: There is no format of this name.
        OutputError: The format cannot hold one of the segments.
    """
    if name not in FORMATS:
        raise RequestError(f"There is no output format called {name!r}.", hint=f"Choose one of: {', '.join(FORMATS)}.")
    text = FORMATS[name](segments, info)
    if crlf:
        text = text.replace("\n", "\r\n")
    return f"\ufeff{text}" if bom and name != "json" else text
