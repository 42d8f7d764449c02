# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: RUF001
"""What Chinese numerals mean."""

from __future__ import annotations

import functools
from typing import Final

__all__ = ["DIGITS", "UNITS", "digit_string", "split_values", "value"]

DIGITS: Final = {"零": 0, "〇": 0, "幺": 1, "一": 1, "二": 2, "两": 2} | {
    sign: number for number, sign in enumerate("三四五六七八九", start=3)
}
UNITS: Final = {"十": 10, "百": 100, "千": 1000, "万": 10_000, "亿": 100_000_000}
_SECTION: Final = 10_000


def digit_string(text: str) -> str | None:
    """Return digits read one by one as digits, None where another sign is among them; 两 is never one of them."""
    if not text or any(sign not in DIGITS or sign == "两" for sign in text):
        return None
    return "".join(str(DIGITS[sign]) for sign in text)


@functools.lru_cache(maxsize=4096)
def value(text: str) -> int | None:
    """Return the number a numeral names, None where the text is none.

    A last digit right after 百, 千, 万 or 亿 counts the next lower unit, as in speech: 一百二 is 120.
    """
    total = 0
    last = 0
    for sign in "亿万":
        high, found, rest = text.partition(sign)
        if found:
            number = _section(high, after=last)
            if number is None:
                return None
            last = UNITS[sign]
            total += number * last
            text = rest
    if not text:
        return total if last else None
    if last and len(text) == 1:
        return total + DIGITS[text] * last // 10 if DIGITS.get(text, 0) and text != "两" else None
    number = _section(text, after=last)
    return None if number is None else total + number


def _section(text: str, *, after: int) -> int | None:
    """Read a number below 10 000; `after` is the unit before it, 0 where the numeral begins here."""
    total = 0
    unit = _SECTION
    zero = False
    at = 0
    while at < len(text):
        sign = text[at]
        if sign in "零〇":
            if zero or not (total or after) or at + 1 == len(text):
                return 0 if text in ("零", "〇") and not after else None
            zero = True
            at += 1
            continue
        if sign == "十":
            digit = 1
            if total and not zero:
                return None
        elif sign in DIGITS and sign != "幺":
            digit = DIGITS[sign]
            at += 1
        else:
            return None
        following = text[at : at + 1]
        if following in ("十", "百", "千"):
            if UNITS[following] >= unit or (sign == "两" and following == "十"):
                return None
            unit = UNITS[following]
            total += digit * unit
            at += 1
            zero = False
        elif at == len(text):
            if sign == "两" and len(text) > 1:
                return None
            total += digit if zero or unit in (10, _SECTION) else digit * unit // 10
        else:
            return None
    return total or None


def split_values(text: str) -> list[int] | None:
    """Read several numbers from ten on that stand without anything between them, None where there are not several."""
    best: list[list[int] | None] = [None] * len(text) + [[]]
    for at in range(len(text) - 1, -1, -1):
        for end in range(len(text), at, -1):
            rest = best[end]
            if rest is None:
                continue
            number = value(text[at:end])
            if number is not None and number >= 10:
                best[at] = [number, *rest]
                break
    found = best[0]
    return found if found is not None and len(found) > 1 else None
