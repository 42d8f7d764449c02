# SPDX-License-Identifier: Apache-2.0
"""Times as subtitle files write them, to integer milliseconds."""

from __future__ import annotations

from fractions import Fraction

__all__ = ["clock_ms", "round_ms"]


def round_ms(seconds: Fraction) -> int:
    """Round seconds to the nearest millisecond, halves up."""
    return int((seconds * 2000 + 1) // 2)


def clock_ms(hours: str, minutes: str, seconds: str, fraction: str) -> int:
    """Return milliseconds of the parts of a clock time; empty parts count zero, `fraction` is a decimal fraction.

    Digits of the fraction beyond the third are rounded to the nearest millisecond.
    """
    whole = int(hours or 0) * 3600 + int(minutes or 0) * 60 + int(seconds or 0)
    if len(fraction) <= 3:
        return whole * 1000 + int(fraction.ljust(3, "0"))
    return whole * 1000 + round_ms(Fraction(int(fraction), 10 ** len(fraction)))
