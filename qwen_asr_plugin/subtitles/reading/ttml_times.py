# SPDX-License-Identifier: Apache-2.0
"""Time expressions and time containers of TTML.

Source: Timed Text Markup Language 1 (TTML1), https://www.w3.org/TR/ttml1/, sections 10.2 to 10.4; the semantics of
``par`` and ``seq`` containers come from SMIL.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from .document import OddityLog
from .xml_tree import Element

__all__ = ["Clock", "Interval", "own_interval"]

_CLOCK: Final = re.compile(r"(\d{2,9}):(\d{2}):(\d{2})(?:([.,])(\d{1,12})|:(\d{2,6})(?:\.(\d{1,4}))?)?", re.ASCII)
_OFFSET: Final = re.compile(r"(\d{1,15})(?:([.,])(\d{1,12}))?(h|ms|m|s|f|t)", re.ASCII)
_SECONDS: Final = {"h": Fraction(3600), "m": Fraction(60), "s": Fraction(1), "ms": Fraction(1, 1000)}
_DEFAULT_FRAME_RATE: Final = 30


@dataclass(frozen=True)
class Interval:
    """When something is shown, in seconds; `end` is None where nothing ends it."""

    begin: Fraction
    end: Fraction | None

    def within(self, other: Interval) -> Interval | None:
        """Return the common part, None where there is none."""
        begin = max(self.begin, other.begin)
        end = _earlier(self.end, other.end)
        if end is not None and end <= begin:
            return None
        return Interval(begin, end)


def _earlier(first: Fraction | None, second: Fraction | None) -> Fraction | None:
    if first is None or second is None:
        return second if first is None else first
    return min(first, second)


class Clock:
    """Reads time expressions with the frame and tick rates of a document."""

    def __init__(self, root: Element, oddities: OddityLog) -> None:
        self._oddities = oddities
        self.uses_frames = False
        self._read: dict[tuple[Element, str], Fraction | None] = {}
        rate = self._number(root, "frameRate", _DEFAULT_FRAME_RATE)
        self._sub_frames = self._number(root, "subFrameRate", 1)
        multiplier = re.fullmatch(
            r"\s*(\d{1,9})[\s:]+(\d{1,9})\s*", root.attributes.get("frameRateMultiplier", "1 1"), re.ASCII
        )
        if multiplier is None or not int(multiplier[1]) or not int(multiplier[2]):
            oddities.add(root.line, "bad-attribute", "frameRateMultiplier is not two numbers.")
            self._frames = Fraction(rate)
        else:
            self._frames = Fraction(rate * int(multiplier[1]), int(multiplier[2]))
        ticks = rate * self._sub_frames if "frameRate" in root.attributes else 1
        self._ticks = self._number(root, "tickRate", ticks)

    def _number(self, root: Element, name: str, default: int) -> int:
        text = root.attributes.get(name, str(default)).strip()
        if re.fullmatch(r"\d{1,12}", text, re.ASCII) and int(text):
            return int(text)
        self._oddities.add(root.line, "bad-attribute", f"{name} is {text[:40]!r}, which is no rate.")
        return default

    def seconds(self, element: Element, attribute: str) -> Fraction | None:
        """Return the seconds that an attribute says; None where it is not there or cannot be read."""
        text = element.attributes.get(attribute)
        if text is None:
            return None
        if (element, attribute) not in self._read:
            self._read[element, attribute] = self._parse(text.strip(), element, attribute)
        return self._read[element, attribute]

    def _parse(self, text: str, element: Element, attribute: str) -> Fraction | None:
        if found := _CLOCK.fullmatch(text):
            return self._clock_time(found, element)
        if found := _OFFSET.fullmatch(text):
            self._check_comma(found[2], element)
            amount = Fraction(f"{found[1]}.{found[3] or 0}")
            unit = found[4]
            if unit in _SECONDS:
                return amount * _SECONDS[unit]
            self.uses_frames = True
            return amount / (self._frames if unit == "f" else self._ticks)
        self._oddities.add(element.line, "unreadable-timing", f"{attribute}={text[:40]!r} is no time expression.")
        return None

    def _clock_time(self, found: re.Match[str], element: Element) -> Fraction:
        hours, minutes, seconds, separator, fraction, frames, sub_frames = found.groups()
        self._check_comma(separator, element)
        if int(minutes) > 59 or int(seconds) > 60:
            self._oddities.add(element.line, "odd-digits", f"{found[0]!r} has more than 59 minutes or seconds.")
        whole = Fraction(int(hours) * 3600 + int(minutes) * 60 + int(seconds))
        if frames is not None:
            self.uses_frames = True
            return whole + (int(frames) + Fraction(int(sub_frames or 0), self._sub_frames)) / self._frames
        return whole + (Fraction(int(fraction), 10 ** len(fraction)) if fraction else 0)

    def _check_comma(self, separator: str | None, element: Element) -> None:
        if separator == ",":
            self._oddities.add(element.line, "odd-fraction", "A comma before the fraction where TTML has a dot.")


def own_interval(
    element: Element, clock: Clock, reference: Fraction, implicit_end: Callable[[Fraction], Fraction | None]
) -> Interval:
    """Resolve ``begin``, ``dur`` and ``end`` of an element, without the limits of what it stands in.

    Args:
        element: A body, div, p, span or region.
        clock: Reads the expressions.
        reference: What begin and end count from: the begin of the container, or in a sequence the end of the element
            before.
        implicit_end: Given the begin, says the end of an element that states none.
    """
    begin = reference + (clock.seconds(element, "begin") or 0)
    duration = clock.seconds(element, "dur")
    end = clock.seconds(element, "end")
    ends = [] if duration is None else [begin + duration]
    if end is not None:
        ends.append(reference + end)
    return Interval(begin, min(ends) if ends else implicit_end(begin))
