# SPDX-License-Identifier: Apache-2.0
"""Cuts one sentence, or one stretch of speech between pauses, into cues."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from math import ceil
from typing import Final

from qwen_asr_plugin.alignment import Boundary

from .layout import LineFill, Piece, break_cost
from .norm import Norm

__all__ = ["split_run"]

# Prices relative to a cut between two plain words with no pause, which costs 1.
_CUE_COST: Final = 1.0
_SHORT_COST: Final = 3.0
_BALANCE_COST: Final = 3.0


def split_run(pieces: Sequence[Piece], ends: Sequence[Boundary], norm: Norm) -> list[int]:
    """Find the cuts that give the fewest, best and most even cues.

    Dynamic programming over all cuts that keep every cue within the lines and the duration of the norm; a cut is
    cheap after punctuation and at a pause, dear after a word that belongs to the next one.

    Args:
        pieces: n pieces, times not decreasing; none wider than a line.
        ends: What ends after each; n values.
        norm: Limits of a cue.

    Returns:
        Index of the first piece of every cue, then n.
    """
    total = len(pieces)
    widths = [0, *accumulate(piece.space_before + piece.width for piece in pieces)]
    ideal = widths[-1] / max(1, ceil(widths[-1] / norm.capacity))
    best = [0.0, *[float("inf")] * total]
    origin = [0] * (total + 1)
    for begin in range(total):
        fill = LineFill(norm)
        start_ms = pieces[begin].start_ms
        for last in range(begin, total):
            duration_ms = pieces[last].end_ms - start_ms
            if not fill.add(pieces[last]) or (last > begin and duration_ms > norm.max_duration_ms):
                break
            cost = best[begin] + _CUE_COST
            cost += _SHORT_COST * max(0.0, 1 - duration_ms / norm.min_duration_ms)
            cost += _BALANCE_COST * ((widths[last + 1] - widths[begin] - ideal) / norm.capacity) ** 2
            if last + 1 < total:
                pause_ms = pieces[last + 1].start_ms - pieces[last].end_ms
                relief = max(0.0, 1 - pause_ms / norm.split_pause_ms)
                cost += relief * break_cost(ends[last], pieces[last + 1])
            if cost < best[last + 1]:
                best[last + 1] = cost
                origin[last + 1] = begin
    cuts = [total]
    while cuts[-1]:
        cuts.append(origin[cuts[-1]])
    return cuts[::-1]
