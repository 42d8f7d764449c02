# SPDX-License-Identifier: Apache-2.0
"""Advanced SubStation Alpha and its predecessor SSA, as libass and its relatives read them."""

from __future__ import annotations

import re
from typing import Final

from .document import CueList, OddityLog, SubtitleDocument, split_lines
from .markup import tidy
from .times import clock_ms

__all__ = ["read_substation"]

_SECTION: Final = re.compile(r"\[([^\]]{1,60})\]")
_TIME: Final = re.compile(r"(-?)(\d{1,6}):(\d{1,2}):(\d{1,2})(?:([.,:])(\d{1,9}))?", re.ASCII)
_NUMBER: Final = re.compile(r"[+-]?\d{1,9}", re.ASCII)
_COLOUR: Final = re.compile(r"&H[0-9A-Fa-f]{1,8}&?|-?\d{1,10}", re.ASCII)
_BLOCK: Final = re.compile(r"\{([^{}]*)\}")
_TAG_OUTSIDE: Final = re.compile(r"\\(?:pos|move|an\d|fad|clip|org)\b")
_DRAWING: Final = re.compile(r"\\p(\d{1,3})")
_NEGATIVE: Final = re.compile(r"\\(?:pos|move|org)\([^)]{0,100}?-\d")
_ALIGNMENT: Final = re.compile(r"\\an?(\d{1,9})")
_DEFAULT_FORMAT: Final = (
    "layer",
    "start",
    "end",
    "style",
    "name",
    "marginl",
    "marginr",
    "marginv",
    "effect",
    "text",
)
_MARGINS: Final = (5, 8)
_FRACTION_DIGITS: Final = 2


def read_substation(text: str, encoding: str, oddities: OddityLog) -> SubtitleDocument:
    """Read ASS or SSA text.

    Args:
        text: The file's text.
        encoding: What it was decoded with.
        oddities: Where to take down what is odd.
    """
    reader = _Reader(oddities)
    reader.read(split_lines(text.replace("\x00", "\ufffd")))
    return SubtitleDocument(
        format="ass", encoding=encoding, cues=reader.cues.finish(), oddities=oddities.finish(), resolution_ms=10
    )


class _Reader:
    def __init__(self, oddities: OddityLog) -> None:
        self._oddities = oddities
        self.cues = CueList()
        self._section = ""
        self._event_format: tuple[str, ...] = ()
        self._style_format: tuple[str, ...] = ()
        self._info: dict[str, str] = {}

    def read(self, lines: list[str]) -> None:
        sections = set()
        for number, line in enumerate(lines, start=1):
            stripped = line.strip()
            section = _SECTION.fullmatch(stripped)
            if section:
                self._section = section[1].strip().lower()
                sections.add(self._section)
            elif stripped and not stripped.startswith((";", "!")):
                self._line(number, stripped, line)
        if "events" not in sections:
            self._oddities.add(None, "missing-section", "There is no [Events] section.")
        elif not {"playresx", "playresy"} & self._info.keys():
            self._oddities.add(None, "no-play-res")

    def _line(self, number: int, stripped: str, line: str) -> None:
        key, colon, value = stripped.partition(":")
        key = key.strip().lower()
        if key == "dialogue" and colon:
            self._event(number, line.split(":", 1)[1])
        elif self._section == "script info":
            self._info[key] = value.strip()
        elif key == "format" and self._section == "events":
            self._event_format = tuple(name.strip().lower() for name in value.split(","))
        elif key == "format":
            self._style_format = tuple(name.strip().lower() for name in value.split(","))
        elif key == "style":
            self._style(number, value)
        elif self._section == "events" and (
            not colon or key not in ("comment", "picture", "sound", "movie", "command")
        ):
            self._oddities.add(number, "unknown-line", f"{stripped[:60]!r} is no event.")

    def _style(self, number: int, value: str) -> None:
        values = [part.strip() for part in value.split(",")]
        if len(values) < len(self._style_format) or len(values) == 1:
            self._oddities.add(number, "missing-field", f"The style {values[0][:40]!r} says less than it should.")
        for name, part in zip(self._style_format, values, strict=False):
            if name.endswith("colour") and not _COLOUR.fullmatch(part):
                self._oddities.add(number, "bad-field", f"{part[:40]!r} is no colour.")
            elif name.endswith("colour") and re.fullmatch(r"&H(?:\w{1,5}|\w{7})&?", part):
                self._oddities.add(number, "odd-digits", f"The colour {part!r} has an unusual number of digits.")

    def _event(self, number: int, value: str) -> None:
        names = self._event_format
        if not names:
            self._oddities.add(number, "missing-format")
            names = self._guessed_format(value)
        parts = value.split(",", len(names) - 1)
        if len(parts) < len(names):
            self._oddities.add(number, "missing-field", "The event has fewer fields than its format says.")
        fields = dict(zip(names, parts, strict=False))
        if "text" not in fields or "start" not in fields or "end" not in fields:
            self._oddities.add(number, "unreadable-timing", "The event lacks a time or a text; players drop it.")
            return
        self._check_fields(number, fields)
        start_ms, end_ms = (self._time(number, fields[name].strip()) for name in ("start", "end"))
        if start_ms is None or end_ms is None:
            return
        raw = fields["text"].strip()
        self.cues.add(number, start_ms, end_ms, self._plain(number, raw), raw)

    @staticmethod
    def _guessed_format(value: str) -> tuple[str, ...]:
        parts = value.split(",")
        margins = parts[slice(*_MARGINS)]
        if len(parts) >= len(_DEFAULT_FORMAT) and all(_NUMBER.fullmatch(part.strip()) for part in margins):
            return _DEFAULT_FORMAT
        return (*_DEFAULT_FORMAT[: _MARGINS[0]], "text")

    def _check_fields(self, number: int, fields: dict[str, str]) -> None:
        layer = fields.get("layer", "0").strip()
        if not _NUMBER.fullmatch(layer.removeprefix("Marked=")) or layer.startswith("-"):
            self._oddities.add(number, "bad-field", f"{layer[:40]!r} is no layer.")
        if fields.get("style", "").strip().startswith("*"):
            self._oddities.add(number, "starred-style")

    def _time(self, number: int, text: str) -> int | None:
        found = _TIME.fullmatch(text)
        if not found:
            self._oddities.add(number, "unreadable-timing", f"{text[:40]!r} is no time; players drop the line.")
            return None
        sign, hours, minutes, seconds, separator, fraction = found.groups(default="")
        if sign:
            self._oddities.add(number, "negative-time")
        if separator != "." or len(fraction) != _FRACTION_DIGITS:
            self._oddities.add(number, "odd-fraction", f"{text!r} is not written as H:MM:SS.cc.")
        ms = clock_ms(hours, minutes, seconds, fraction)
        return -ms if sign else ms

    def _plain(self, number: int, raw: str) -> str:
        parts: list[str] = []
        at = 0
        drawing = False
        for block in _BLOCK.finditer(raw):
            if not drawing:
                parts.append(raw[at : block.start()])
            at = block.end()
            self._check_block(number, block[1])
            for found in _DRAWING.finditer(block[1]):
                drawing = found[1] != "0"
        if not drawing:
            parts.append(raw[at:])
        text = "".join(parts)
        if _TAG_OUTSIDE.search(text):
            self._oddities.add(number, "tag-without-braces")
        if "\\n" in text:
            self._oddities.add(number, "soft-break")
        soft = "\n" if self._info.get("wrapstyle") == "2" else " "
        text = text.replace("\\N", "\n").replace("\\n", soft).replace("\\h", "\u00a0")
        return tidy(text, number, self._oddities)

    def _check_block(self, number: int, tags: str) -> None:
        if _NEGATIVE.search(tags):
            self._oddities.add(number, "bad-tag", "A position outside the picture.")
        for found in _ALIGNMENT.finditer(tags):
            wanted = 9 if found[0].startswith("\\an") else 11
            if not 1 <= int(found[1]) <= wanted:
                self._oddities.add(number, "bad-tag", f"{found[0]!r} is no alignment.")
