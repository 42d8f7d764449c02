# SPDX-License-Identifier: Apache-2.0
"""WebVTT by the parser rules of the W3C recommendation: what a browser drops is dropped here, and reported.

Source: WebVTT: The Web Video Text Tracks Format, https://www.w3.org/TR/webvtt1/, section 6 (Parsing).
"""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import Final

from .document import CueList, OddityLog, SubtitleDocument, split_lines
from .times import clock_ms
from .webvtt_settings import Regions, cue_settings
from .webvtt_text import plain_webvtt

__all__ = ["is_webvtt", "read_webvtt"]

_SIGNATURE: Final = re.compile(r"WEBVTT(?:[ \t\n\r]|\Z)")
_SPACE: Final = r"[ \t\f]*"
_TIME: Final = r"(?:(\d+):)?(\d{2}):(\d{2})\.(\d{3})(?!\d)"
_TIMING: Final = re.compile(rf"{_SPACE}{_TIME}{_SPACE}-->{_SPACE}{_TIME}(.*)", re.DOTALL | re.ASCII)
_HEADER_BLOCK: Final = re.compile(r"(STYLE|REGION)[ \t\f]*")
_MAX_HOUR_DIGITS: Final = 9


def is_webvtt(text: str) -> bool:
    """Whether the text begins with the signature."""
    return _SIGNATURE.match(text) is not None


def read_webvtt(text: str, encoding: str, oddities: OddityLog) -> SubtitleDocument:
    """Read WebVTT text; without the signature there are no cues, as in a browser.

    Args:
        text: The file's text without its byte order mark.
        encoding: What it was decoded with.
        oddities: Where to take down what is odd.
    """
    reader = _Reader(split_lines(text.replace("\x00", "\ufffd")), oddities)
    if is_webvtt(text):
        reader.read()
    else:
        oddities.add(1, "signature")
    return SubtitleDocument(
        format="vtt",
        encoding=encoding,
        cues=reader.cues.finish(),
        oddities=oddities.finish(),
        regions=MappingProxyType(reader.regions.by_id),
    )


class _Reader:
    def __init__(self, lines: list[str], oddities: OddityLog) -> None:
        self._lines = lines
        self._oddities = oddities
        self.cues = CueList()
        self.regions = Regions(oddities)
        self._seen_ids: set[str] = set()

    def read(self) -> None:
        at = self._header()
        while True:
            while at < len(self._lines) and not self._lines[at]:
                at += 1
            if at >= len(self._lines):
                return
            at = self._block(at)

    def _header(self) -> int:
        """Skip the header and return where the blocks begin (section 6.1, steps 5 to 11)."""
        if "-->" in self._lines[0]:
            self._oddities.add(1, "text-on-signature")
        if len(self._lines) < 2 or not self._lines[1]:
            return 1
        if "-->" in self._lines[1]:  # a cue may follow at once
            self._oddities.add(2, "missing-blank-line")
            return 1
        at = 1
        while at < len(self._lines) and self._lines[at] and "-->" not in self._lines[at]:
            line = self._lines[at]
            if line.startswith("X-TIMESTAMP-MAP"):
                self._oddities.add(at + 1, "timestamp-map")
            elif line.lower().startswith("region:"):
                self._oddities.add(at + 1, "old-region")
            else:
                self._oddities.add(at + 1, "header-line", f"{line[:40]!r} in the header means nothing.")
            at += 1
        return at

    def _block(self, first: int) -> int:
        """Collect one block (section 6.2) that begins at line `first`, from 0."""
        at = first
        arrow_at: int | None = None
        timing = None
        identifier = ""
        buffer: list[str] = []
        while at < len(self._lines) and self._lines[at]:
            line = self._lines[at]
            if "-->" not in line:
                buffer.append(line)
            elif arrow_at is None and at <= first + 1:
                arrow_at = at
                timing = self._timing(at)
                if timing:
                    identifier = "".join(buffer)
                    buffer = []
            else:
                self._oddities.add(at + 1, "missing-blank-line")
                break  # the next block begins here
            at += 1
        if arrow_at is None:
            self._no_cue(buffer, first)
        elif timing:
            self._cue(timing, arrow_at, identifier, buffer)
        return at

    def _timing(self, at: int) -> tuple[int, int, str] | None:
        line = self._lines[at]
        found = _TIMING.fullmatch(line)
        if found:
            start, end, rest = found.groups(default="")[:4], found.groups(default="")[4:8], found[9]
            if all(self._valid(part) for part in (start, end)):
                if not re.search(r"[ \t\f]-->[ \t\f]", line):
                    self._oddities.add(at + 1, "spaces-around-arrow")
                hours = [len(part[0]) for part in (start, end) if part[0]]
                if hours and min(hours) < 2:
                    self._oddities.add(at + 1, "odd-digits")
                elif hours and max(hours) > 2:
                    self._oddities.add(at + 1, "long-hours")
                return clock_ms(*start), clock_ms(*end), rest
        self._oddities.add(at + 1, "unreadable-timing", f"{line.strip()[:80]!r} cannot be read; players drop the cue.")
        return None

    @staticmethod
    def _valid(parts: tuple[str, ...]) -> bool:
        hours, minutes, seconds, _ = parts
        return len(hours) <= _MAX_HOUR_DIGITS and int(minutes) < 60 and int(seconds) < 60

    def _no_cue(self, buffer: list[str], first: int) -> None:
        if not buffer:
            return
        head = _HEADER_BLOCK.fullmatch(buffer[0])
        if head and not len(self.cues):
            if head[1] == "REGION":
                self._oddities.add(first + 1, "region")
                self.regions.add(buffer[1:], first + 2)
            else:
                self._oddities.add(first + 1, "style")
        elif not re.match(r"NOTE(?:[ \t]|\Z)", buffer[0]):
            self._oddities.add(first + 1, "stray-text", f"{buffer[0].strip()[:60]!r} belongs to no cue.")

    def _cue(self, timing: tuple[int, int, str], at: int, identifier: str, buffer: list[str]) -> None:
        start_ms, end_ms, rest = timing
        if identifier != identifier.strip():
            self._oddities.add(at, "id-space")
        if "\ufeff" in identifier:
            self._oddities.add(at, "inner-bom")
        if identifier and identifier in self._seen_ids:
            self._oddities.add(at, "duplicate-id", f"The identifier {identifier[:40]!r} is used twice.")
        self._seen_ids.add(identifier)
        settings = cue_settings(rest, self.regions, at + 1, self._oddities)
        raw = "\n".join(buffer)
        text = plain_webvtt(raw, at + 2, start_ms, end_ms, self._oddities)
        self.cues.add(at + 1, start_ms, end_ms, text, raw, identifier=identifier, settings=MappingProxyType(settings))
