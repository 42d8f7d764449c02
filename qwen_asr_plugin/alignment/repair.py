# SPDX-License-Identifier: Apache-2.0
"""Bringing the times an aligner predicts into order, with the same result as the official code."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

__all__ = ["repair_times"]

# So many values out of order in a row take a neighbour's value; more are spaced evenly between both.
_FEW: Final = 2


def repair_times(times: Sequence[float]) -> list[int]:
    """Replace the values that break the order.

    The longest non-decreasing subsequence stays. A run of one or two other values takes the values of the neighbours
    that stay, the first of the two that of the left one; a longer run lies evenly between them. Of several longest
    subsequences the one is taken that the official algorithm finds (package qwen-asr 0.0.6, forced aligner): it
    compares all pairs, this one needs O(n log n).

    Args:
        times: n predicted times in milliseconds, start and end of every unit.

    Returns:
        n non-decreasing times, whole milliseconds (fractions cut off). Empty for no times.
    """
    values = list(times)
    stays = _longest_non_decreasing(values)
    bounds = [-1, *stays, len(values)]
    for before, after in pairwise(bounds):
        count = after - before - 1
        if not count:
            continue
        left = values[before] if before >= 0 else values[after]
        right = values[after] if after < len(values) else left
        if count <= _FEW:
            values[before + 1 : after] = (left, right)[:count]
        else:
            step = (right - left) / (count + 1)
            values[before + 1 : after] = [left + step * at for at in range(1, count + 1)]
    return [int(value) for value in values]


def _longest_non_decreasing(values: Sequence[float]) -> list[int]:
    """Return the indices of the longest non-decreasing subsequence.

    Level k holds the indices at which the longest subsequence ending there has k + 1 members. Inside a level the
    values fall, so its last member is its least. The search ends at the first index of the last level, and goes back
    to the first index of every level before that may precede.
    """
    least: list[float] = []
    levels: list[list[int]] = []
    for index, value in enumerate(values):
        depth = bisect_right(least, value)
        if depth == len(levels):
            least.append(value)
            levels.append([index])
        else:
            least[depth] = value
            levels[depth].append(index)
    chain = [levels[-1][0]] if levels else []
    for level in levels[-2::-1]:
        chain.append(next(index for index in level if index < chain[-1] and values[index] <= values[chain[-1]]))
    return chain[::-1]
