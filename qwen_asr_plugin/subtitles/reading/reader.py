# SPDX-License-Identifier: Apache-2.0
"""Any subtitle file to cues: the format by its content first, then by its name."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final

from subtitle_hooks import MediaFormatError, MediaIsDirectoryError, MediaNotFoundError, MediaUnreadableError

from .document import OddityLog, SubtitleDocument
from .encoding import decode
from .simple import read_json, read_lrc, read_microdvd, read_tsv
from .subrip import read_subrip
from .substation import read_substation
from .ttml import looks_like_ttml, read_ttml
from .webvtt import is_webvtt, read_webvtt

__all__ = ["parse_subtitles", "read_subtitles"]

_MAX_BYTES: Final = 32 * 1024 * 1024
_Reader = Callable[[str, str, OddityLog], SubtitleDocument]
_READERS: Final[dict[str, _Reader]] = {
    "ass": read_substation,
    "json": read_json,
    "lrc": read_lrc,
    "microdvd": read_microdvd,
    "srt": read_subrip,
    "tsv": read_tsv,
    "ttml": read_ttml,
    "vtt": read_webvtt,
}
_SUFFIXES: Final = {
    ".ass": "ass",
    ".dfxp": "ttml",
    ".itt": "ttml",
    ".json": "json",
    ".lrc": "lrc",
    ".srt": "srt",
    ".ssa": "ass",
    ".sub": "microdvd",
    ".tsv": "tsv",
    ".ttml": "ttml",
    ".vtt": "vtt",
    ".xml": "ttml",
}
# How a line of each format looks, in the order they are tried; that of the file's name comes before all others.
_LOOKS: Final = {
    kind: re.compile(pattern, re.ASCII | re.MULTILINE | re.IGNORECASE)
    for kind, pattern in (
        ("srt", r"^[ \t]*-?\d{1,6}:[^\n]{0,30}-->|^[^\n]{0,40}-->[ \t]*-?\d{1,6}:\d"),
        ("ass", r"^(?:\[(?:script info|events|v4\+? styles)\]|dialogue:)"),
        ("lrc", r"^[ \t]*\[\d{1,6}:\d{1,2}(?:[.:]\d{1,9})?\]"),
        ("tsv", r"^(?:start\tend\ttext[ \t]*$|-?\d{1,12}\t-?\d{1,12}\t)"),
        ("microdvd", r"^\{\d{1,9}\}\{\d{0,9}\}"),
    )
}
_LOOKED_AT: Final = 65_536


def read_subtitles(path: str | os.PathLike[str]) -> SubtitleDocument:
    """Read a subtitle file of any format, without repairing anything.

    Args:
        path: SubRip, WebVTT, ASS or SSA, TTML (IMSC, DFXP), LRC, TSV, MicroDVD or this project's JSON.

    Returns:
        Its cues with the times it says, and what is odd about it. An empty file has no cues.

    Raises:
        MediaNotFoundError: There is no such file.
        MediaIsDirectoryError: It is a folder.
        MediaUnreadableError: The operating system refuses access.
        MediaFormatError: It is no subtitle file, or larger than 32 MiB.
    """
    path = Path(path)
    try:
        found = path.stat()
        if stat.S_ISDIR(found.st_mode):
            raise MediaIsDirectoryError("is a folder, not a subtitle file.", path=path, hint="Name the files in it.")
        if not stat.S_ISREG(found.st_mode):
            raise MediaFormatError("is not a regular file.", path=path, hint="Save the subtitles to a file first.")
        if found.st_size > _MAX_BYTES:
            raise _no_subtitles(path, f"is larger than any subtitle file ({found.st_size >> 20} MiB).")
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:
        raise MediaNotFoundError("no such file.", path=path, hint="Check the spelling of the path.") from error
    except OSError as error:
        raise MediaUnreadableError(
            f"cannot be read ({error.strerror or error}).", path=path, hint="Check its permissions."
        ) from error
    return parse_subtitles(data, path.name)


def parse_subtitles(data: bytes, name: str = "") -> SubtitleDocument:
    """Read the content of a subtitle file, see `read_subtitles`.

    Args:
        data: The content.
        name: File name, whose extension decides where the content does not.

    Raises:
        MediaFormatError: It is no subtitle file.
    """
    oddities = OddityLog()
    text, encoding = decode(data, oddities)
    by_name = _SUFFIXES.get(Path(name).suffix.lower(), "")
    by_content = _format_of(text, by_name)
    kind = by_content or by_name
    if not kind and text.strip():
        raise _no_subtitles(name or None, "is not a subtitle file of a known format.")
    if by_content and by_name and by_content != by_name:
        oddities.add(None, "suffix", f"The content is {by_content}, not {by_name} as the file name says.")
    _report_line_endings(text, oddities)
    return _READERS[kind or "srt"](text, encoding, oddities)


def _format_of(text: str, by_name: str) -> str:
    """Name the format a text looks like; empty where it looks like none."""
    if is_webvtt(text):
        return "vtt"
    if by_name == "vtt":  # a WebVTT file without its signature is a broken WebVTT file
        return by_name
    if looks_like_ttml(text):
        return "ttml"
    if text.lstrip()[:1] == "{" and '"segments"' in text:
        return "json"
    head = text[:_LOOKED_AT].replace("\r", "\n")
    for kind in sorted(_LOOKS, key=lambda kind: kind != by_name):
        if _LOOKS[kind].search(head):
            return kind
    return ""


def _report_line_endings(text: str, oddities: OddityLog) -> None:
    crlf = text.count("\r\n")
    lf, cr = text.count("\n") - crlf, text.count("\r") - crlf
    if (crlf > 0) + (lf > 0) + (cr > 0) > 1:
        oddities.add(None, "mixed-line-endings", f"{crlf} lines end with CR LF, {lf} with LF, {cr} with CR.")
    if cr and cr > crlf + lf:
        oddities.add(None, "cr-line-endings")


def _no_subtitles(path: str | os.PathLike[str] | None, what: str) -> MediaFormatError:
    return MediaFormatError(
        what, path=path, hint="Give a file of one of these formats: SRT, WebVTT, ASS, TTML, LRC, TSV, MicroDVD, JSON."
    )
