# SPDX-License-Identifier: Apache-2.0
"""Breaks the pieces of one cue into lines."""

from __future__ import annotations

from collections.abc import Sequence

from .costs import LINE, TOP_HEAVY, UNEVEN

__all__ = ["best_break", "best_breaks"]


def best_break(
    sums: Sequence[float],
    spaces: Sequence[float],
    seams: Sequence[float],
    begin: int,
    end: int,
    span: range,
    room: float,
) -> tuple[float, int]:
    """Find the best place to break pieces into two lines.

    Args:
        sums: Width of the pieces before each, with the spaces before them; one value more than pieces.
        spaces: Width of the space before each piece, 0 where there is none.
        seams: Price of the seam before each piece.
        begin: First piece of the cue.
        end: The piece after its last one.
        span: Where the second line may begin so that both fit.
        room: Width of a line.

    Returns:
        The cost, and the piece that begins the second line.
    """
    best, place = float("inf"), span.start
    left = sums[begin] + spaces[begin]
    right = sums[end]
    for at in span:
        cost = LINE * seams[at]
        if cost >= best:
            continue
        # Two sentences get a line each, even or not.
        if cost:
            surplus = (2 * sums[at] - left - right + spaces[at]) / room
            cost += UNEVEN * surplus * surplus + (TOP_HEAVY if surplus > 0 else 0.0)
        if cost < best:
            best, place = cost, at
    return best, place


def best_breaks(
    sums: Sequence[float],
    spaces: Sequence[float],
    seams: Sequence[float],
    begin: int,
    end: int,
    count: int,
    room: float,
) -> tuple[float, tuple[int, ...]]:
    """Find the best places to break pieces into any number of lines, by dynamic programming.

    Each line pays for how far it is from the mean; for two lines that is `UNEVEN` as in `best_break`.

    Args:
        sums: As for `best_break`, like the next four.
        spaces: See there.
        seams: See there.
        begin: See there.
        end: See there.
        count: How many lines; the pieces fit into so many.
        room: Width of a line.

    Returns:
        The cost, and the pieces that begin the second line and the lines after it.
    """
    ideal = (sums[end] - sums[begin] - spaces[begin]) / count
    # ways[at]: cheapest way to set the pieces before `at` into the lines so far, and the pieces that begin lines.
    ways: dict[int, tuple[float, tuple[int, ...]]] = {begin: (0.0, ())}
    for line in range(1, count + 1):
        longer: dict[int, tuple[float, tuple[int, ...]]] = {}
        for first, (cost, begins) in ways.items():
            for last in range(first + 1, end + 1):
                width = sums[last] - sums[first] - spaces[first]
                if width > room:
                    break
                if (last == end) != (line == count):
                    continue
                price = cost + 2 * UNEVEN * ((width - ideal) / room) ** 2
                price += LINE * seams[last] if last < end else 0.0
                if last not in longer or price < longer[last][0]:
                    longer[last] = (price, (*begins, last) if last < end else begins)
        ways = longer
    return ways[end]
