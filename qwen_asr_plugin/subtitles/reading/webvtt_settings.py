# SPDX-License-Identifier: Apache-2.0
"""Settings of WebVTT cues and regions, by sections 6.2 and 6.3 of the recommendation."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from typing import Final

from .document import OddityLog

__all__ = ["Regions", "cue_settings"]

_PERCENTAGE: Final = re.compile(r"(\d+(?:\.\d+)?)%", re.ASCII)
_NUMBER: Final = re.compile(r"-?\d+(?:\.\d+)?", re.ASCII)
_DIGITS: Final = re.compile(r"\d+", re.ASCII)
_SPACE: Final = re.compile(r"[ \t\f\n]+")
_LINE_ALIGN: Final = ("start", "center", "end")
_POSITION_ALIGN: Final = ("line-left", "center", "line-right")
_TEXT_ALIGN: Final = ("start", "center", "end", "left", "right")


def _shortest(number: float) -> str:
    return repr(int(number)) if number == int(number) and abs(number) < 1e15 else repr(number)


def _percentage(text: str) -> str | None:
    found = _PERCENTAGE.fullmatch(text)
    if not found or not 0 <= float(found[1]) <= 100:
        return None
    return f"{_shortest(float(found[1]))}%"


def _pairs(text: str) -> Iterator[tuple[str, str, str]]:
    """Yield name, value and the setting as written; the name is empty where it is no setting."""
    for setting in _SPACE.split(text):
        if setting:
            name, colon, value = setting.partition(":")
            yield (name, value, setting) if name and colon and value else ("", "", setting)


def _aligned(value: str, position: Callable[[str], str | None], allowed: tuple[str, ...]) -> str | None:
    number, comma, align = value.partition(",")
    if comma and align not in allowed:
        return None
    known = position(number)
    return None if known is None else f"{known},{align}" if comma else known


def _line(text: str) -> str | None:
    if text.endswith("%"):
        return _percentage(text)
    if not _NUMBER.fullmatch(text) or math.isinf(float(text)):
        return None
    return _shortest(float(text))


_CUE: Final[dict[str, Callable[[str], str | None]]] = {
    "vertical": lambda value: value if value in ("rl", "lr") else None,
    "line": lambda value: _aligned(value, _line, _LINE_ALIGN),
    "position": lambda value: _aligned(value, _percentage, _POSITION_ALIGN),
    "size": _percentage,
    "align": lambda value: value if value in _TEXT_ALIGN else None,
}


def cue_settings(text: str, regions: Regions, line: int, oddities: OddityLog) -> dict[str, str]:
    """Return the settings that have an effect, numbers in their shortest form.

    Args:
        text: What stands behind the times.
        regions: Regions defined so far.
        line: Where it stands, for the oddities.
        oddities: Where to take down settings that have no effect.
    """
    settings: dict[str, str] = {}
    for name, value, written in _pairs(text):
        if name == "region":
            known = value if value in regions.by_id else None
            settings.pop("region", None)  # the last one counts, also when there is no such region
        else:
            known = _CUE[name](value) if name in _CUE else None
        if known is None:
            oddities.add(line, "bad-setting", f"{written[:60]!r} is no cue setting; it has no effect.")
        else:
            settings[name] = known
    if "region" in settings and (
        "vertical" in settings or "line" in settings or settings.get("size", "100%") != "100%"
    ):
        oddities.add(line, "bad-setting", "A cue with vertical, line or size is in no region.")
        del settings["region"]
    return settings


class Regions:
    """The regions of a file; of those with the same identifier the last one counts."""

    def __init__(self, oddities: OddityLog) -> None:
        self.by_id: dict[str, dict[str, str]] = {}
        self._oddities = oddities

    def add(self, lines: list[str], first_line: int) -> None:
        """Take down a REGION block, given without its first line."""
        settings: dict[str, str] = {}
        for offset, text in enumerate(lines):
            for name, value, written in _pairs(text):
                known = _REGION[name](value) if name in _REGION else None
                if known is None:
                    self._oddities.add(first_line + offset, "bad-region", f"{written[:60]!r} has no effect.")
                else:
                    settings[name] = known
        identifier = settings.pop("id", "")
        if not identifier:
            self._oddities.add(first_line, "bad-region", "A region without an identifier cannot be used.")
            return
        if identifier in self.by_id:
            self._oddities.add(first_line, "duplicate-id", f"The region {identifier[:40]!r} is defined twice.")
        self.by_id[identifier] = settings


def _anchor(value: str) -> str | None:
    x, comma, y = value.partition(",")
    first, second = _percentage(x), _percentage(y)
    return f"{first},{second}" if comma and first and second else None


_REGION: Final[dict[str, Callable[[str], str | None]]] = {
    "id": lambda value: value,
    "width": _percentage,
    "lines": lambda value: _shortest(float(value)) if _DIGITS.fullmatch(value) and float(value) < math.inf else None,
    "regionanchor": _anchor,
    "viewportanchor": _anchor,
    "scroll": lambda value: value if value == "up" else None,
}
