# SPDX-License-Identifier: Apache-2.0
"""Finds the cuts between cues, and their lines, with the least cost, while the pieces arrive."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from .costs import CUE, END, FULL, LATE, SEAM, SHARED, SHORT, TORN, UNREAD
from .layout import best_break, best_breaks
from .norms import Norm
from .pieces import Piece
from .seams import Seam

__all__ = ["Optimizer", "PlannedCue", "cue_end_ms"]

# What a cue holds at most where the norm would let it grow without end (words without width or length).
_MAX_PIECES: Final = 250
_MAX_LINES: Final = 4
# An undecided stretch longer than this many full cues is decided as it looks best by then; bounds time and memory.
_MAX_OPEN_CUES: Final = 4
# A cue that begins so late shares its time with the next sentence even over a pause.
_RUNNING_LATE_MS: Final = 1000
# A cue is held, where silence allows, until it can be read at this part of the greatest speed: Subtitle Edit's default
# norm calls 15 characters per second the best speed, where 20 is the limit.
_COMFORT: Final = 0.75
_INFINITY: Final = float("inf")


@dataclass(frozen=True, kw_only=True)
class PlannedCue:
    """A cue that no further word can change.

    Attributes:
        lines: Its pieces, line by line.
        start_ms: When it begins.
        spoken_ms: When its last word has been said.
        next_ms: When the next cue begins; None after the last one.
    """

    lines: tuple[tuple[Piece, ...], ...]
    start_ms: int
    spoken_ms: int
    next_ms: int | None


def cue_end_ms(norm: Norm, start_ms: int, spoken_ms: int, next_ms: int | None, width: float) -> int:
    """Choose when a cue ends: after its last word, later if reading needs it, `Norm.min_gap_ms` before the next cue.

    Args:
        norm: The limits; the result keeps to its durations and its gap.
        start_ms: When the cue begins.
        spoken_ms: When its last word has been said.
        next_ms: When the next cue begins, at least the minimum duration and the gap after `start_ms`; None if there
            is none.
        width: Width of its text.
    """
    end_ms = max(spoken_ms, start_ms + norm.min_duration_ms)
    if norm.chars_per_second is not None:
        wanted_ms = start_ms + 1 + int(width * 1000 / (_COMFORT * norm.chars_per_second))
        if wanted_ms > end_ms:
            end_ms = max(end_ms, min(spoken_ms + norm.max_extension_ms, wanted_ms))
    if next_ms is not None and next_ms - end_ms < max(1, norm.close_gap_ms):
        end_ms = next_ms - norm.min_gap_ms
    if norm.max_duration_ms is not None and end_ms > start_ms + norm.max_duration_ms:
        end_ms = start_ms + norm.max_duration_ms
    return end_ms


class Optimizer:
    """Dynamic programming over break points, one pass, deciding as early as it can.

    For every break the cheapest way to get there is kept, with the time the next cue may begin at. A cue is decided as
    soon as the ways to all breaks from which a cue may still grow have it in common; then nothing to come can change
    it. The next word of a stretch without such a decision is awaited for four full cues at most.

    Args:
        norm: Limits of a cue.
        ready_ms: Earliest time the first cue may begin at.
    """

    def __init__(self, norm: Norm, *, ready_ms: int = 0) -> None:
        self._norm = norm
        self._ready_ms = ready_ms
        self._room = norm.max_chars_per_line if norm.max_chars_per_line is not None else _INFINITY
        self._space = norm.text_width(" ")
        lines = min(_MAX_LINES, norm.max_lines or _MAX_LINES)
        self._max_lines = 1 if norm.max_chars_per_line is None else lines
        self._capacity = self._room * self._max_lines
        self._longest_ms = norm.max_duration_ms if norm.max_duration_ms is not None else _INFINITY
        # Without limits a cue is a sentence.
        self._whole = self._capacity == _INFINITY and self._longest_ms == _INFINITY
        self._clear()

    def _clear(self) -> None:
        self._pieces: list[Piece] = []
        self._ends: list[int] = []
        self._sums: list[float] = [0.0]
        self._spaces: list[float] = []
        # One value for every break, the one before the first piece being break 0.
        self._seams: list[float] = [0.0]
        self._full_stops: list[bool] = [True]
        self._shared: list[float] = [0.0]
        self._costs: list[float] = [0.0]
        self._origins: list[int] = [0]
        self._roots: list[int] = [0]
        self._begins: list[int] = [0]
        self._places: list[tuple[int, ...]] = [()]
        # Piece after the last one that fits on a line that begins at a break; known as soon as one does not.
        self._line_ends: list[int] = [0]
        self._low = 0  # a cue that ends at the last piece or later begins here or later
        self._line_low = 0  # a line that ends with the last piece begins here or later

    @property
    def ready_ms(self) -> int:
        """Earliest time the next cue may begin at, as far as cues are decided."""
        return self._ready_ms

    @property
    def last(self) -> Piece | None:
        """The piece that was pushed last, if it is not part of a finished run."""
        return self._pieces[-1] if self._pieces else None

    def push(self, piece: Piece, seam: Seam) -> list[PlannedCue]:
        """Take the next piece.

        Args:
            piece: It begins not before the one pushed last.
            seam: What lies before it.

        Returns:
            Cues that are decided now, in time order.
        """
        planned: list[PlannedCue] = []
        if self._pieces:
            at = len(self._pieces)
            # Speech that overlaps its successor gives way.
            self._ends[-1] = min(self._ends[-1], piece.start_ms)
            pause_ms = piece.start_ms - self._ends[-1]
            planned = self._settle(at, seam, piece.start_ms, pause_ms)
        if not self._pieces:
            self._begins[0] = max(piece.start_ms, self._ready_ms)
        self._pieces.append(piece)
        self._ends.append(max(piece.start_ms, piece.end_ms))
        space = self._space if piece.space_before else 0.0
        self._sums.append(self._sums[-1] + space + piece.width)
        self._spaces.append(space)
        return planned

    def close(self, next_ms: int | None) -> list[PlannedCue]:
        """Decide everything: a pause follows, another language, or nothing.

        Args:
            next_ms: When the next word begins; None if there is none.
        """
        if not self._pieces:
            return []
        total = len(self._pieces)
        if next_ms is not None:
            self._ends[-1] = min(self._ends[-1], next_ms)
        if self._whole:  # one cue on one line, nothing to choose
            begin_ms = self._begins[0] + self._norm.min_duration_ms + self._norm.min_gap_ms
            self._origins = [0] * (total + 1)
            self._places = [()] * (total + 1)
            self._begins += [max(begin_ms, next_ms or 0)] * total
        else:
            self._reach(total, Seam.SENTENCE, next_ms, 0)
        planned = self._commit(total, follows=next_ms is not None)
        self._clear()
        return planned

    def _settle(self, at: int, seam: Seam, next_ms: int, pause_ms: int) -> list[PlannedCue]:
        norm = self._norm
        if pause_ms >= norm.split_pause_ms or (self._whole and seam is Seam.SENTENCE):
            return self.close(next_ms)
        if self._whole:
            if at >= _MAX_PIECES * _MAX_OPEN_CUES:
                return self.close(next_ms)
            return []
        self._reach(at, seam, next_ms, pause_ms)
        is_apart = seam is Seam.SENTENCE and pause_ms >= norm.join_pause_ms
        if is_apart and self._begins[at] - next_ms < _RUNNING_LATE_MS:
            return self._cut(at)
        return self._decided(at)

    def _reach(self, at: int, seam: Seam, next_ms: int | None, pause_ms: int) -> None:
        """Add a break behind the last piece, with the cheapest way to it."""
        norm = self._norm
        self._narrow(at)
        cost, origin, places = self._cheapest(at, next_ms, ends_sentence=seam is Seam.SENTENCE)
        price = SEAM[seam]
        cost += END * price * max(0.0, 1 - pause_ms / norm.split_pause_ms)
        begin_ms = self._begins[origin] + norm.min_duration_ms + norm.min_gap_ms
        if next_ms is not None:
            cost += LATE * max(0, begin_ms - next_ms) / 1000
            begin_ms = max(next_ms, begin_ms)
        self._costs.append(cost)
        self._origins.append(origin)
        self._roots.append(self._roots[origin] if origin else at)
        self._begins.append(begin_ms)
        self._places.append(places)
        self._line_ends.append(0)
        self._seams.append(price)
        self._full_stops.append(seam is Seam.SENTENCE)
        shared = SHARED * (1 + pause_ms / max(1, 2 * norm.join_pause_ms)) if seam is Seam.SENTENCE else 0.0
        self._shared.append(self._shared[-1] + shared)

    def _narrow(self, at: int) -> None:
        """Leave out the breaks that are too far back for a line, and for a cue, that ends with the last piece."""
        sums, spaces = self._sums, self._spaces
        spoken_ms = self._ends[at - 1]
        line_low, low = self._line_low, self._low
        while sums[at] - sums[line_low] - spaces[line_low] > self._room:
            self._line_ends[line_low] = at - 1
            line_low += 1
        self._line_low = line_low
        while low < at - 1 and (
            at - low > _MAX_PIECES or self._begins[low] + self._longest_ms < spoken_ms or not self._lines(low)
        ):
            low += 1
        self._low = low

    def _cheapest(self, at: int, next_ms: int | None, *, ends_sentence: bool) -> tuple[float, int, tuple[int, ...]]:
        """Find the best beginning of a cue that ends behind the last piece, and the best lines for it.

        Terms are added in the order of what they take to compute, and a way is left as soon as it is too dear.
        """
        norm, sums, spaces, costs, begins = self._norm, self._sums, self._spaces, self._costs, self._begins
        spoken_ms = self._ends[at - 1]
        step_ms = norm.min_duration_ms + norm.min_gap_ms
        brief_ms = 2 * norm.min_duration_ms
        speed = norm.chars_per_second or _INFINITY
        total, stops = sums[at], self._shared[at - 1]
        best, origin = _INFINITY, at - 1
        places: tuple[int, ...] = ()
        for begin in range(self._low, at):
            cost = costs[begin] + CUE
            if cost >= best:
                continue
            inside = stops - self._shared[begin]
            if inside:
                cost += inside + (0.0 if ends_sentence and self._full_stops[begin] else TORN)
            width = total - sums[begin] - spaces[begin]
            fill = width / self._capacity
            cost += FULL * fill * fill
            if cost >= best:
                continue
            start_ms = begins[begin]
            if start_ms + self._longest_ms < spoken_ms and begin < at - 1:
                continue
            follows_ms = start_ms + step_ms if next_ms is not None and next_ms < start_ms + step_ms else next_ms
            shown_ms = cue_end_ms(norm, start_ms, spoken_ms, follows_ms, width) - start_ms
            if shown_ms < brief_ms:
                cost += SHORT * (1 - shown_ms / brief_ms)
            unread = width / speed - shown_ms / 1000
            if unread > 0:
                cost += UNREAD * unread
            if cost >= best:
                continue
            count = self._lines(begin)
            if not count:
                continue
            extra, breaks = self._lay_out(begin, at, count)
            if cost + extra < best:
                best, origin, places = cost + extra, begin, breaks
        return best, origin, places

    def _lay_out(self, begin: int, at: int, count: int) -> tuple[float, tuple[int, ...]]:
        if count == 1:
            return 0.0, ()
        if count == 2:
            span = range(self._line_low, self._line_ends[begin] + 1)
            cost, place = best_break(self._sums, self._spaces, self._seams, begin, at, span, self._room)
            return cost, (place,)
        return best_breaks(self._sums, self._spaces, self._seams, begin, at, count, self._room)

    def _lines(self, begin: int) -> int:
        """Count the lines that the pieces from `begin` to the last one need; 0 if there is no room for them."""
        lines = 1
        while begin < self._line_low:
            begin = self._line_ends[begin]
            lines += 1
            if lines > self._max_lines:
                return 0
        return lines

    def _decided(self, at: int) -> list[PlannedCue]:
        """Decide the first cue if all ways that can go on have it, or if it has been open for too long."""
        low = self._low
        if low == 0:
            return []
        roots = self._roots
        root = roots[at]
        if roots[low] == root and all(root == other for other in roots[low:at]):
            return self._cut(root)
        is_long = self._sums[at] > _MAX_OPEN_CUES * self._capacity or at > _MAX_OPEN_CUES * _MAX_PIECES
        if is_long or self._ends[at - 1] - self._begins[0] > _MAX_OPEN_CUES * self._longest_ms:
            for begin in range(low, at):
                if roots[begin] != root:
                    self._costs[begin] = _INFINITY
            return self._cut(root)
        return []

    def _cut(self, at: int) -> list[PlannedCue]:
        """Decide all cues up to a break and forget what is before it."""
        planned = self._commit(at, follows=True)
        dropped = self._sums[at]
        del self._pieces[:at], self._ends[:at], self._spaces[:at]
        del self._seams[:at], self._full_stops[:at], self._shared[:at], self._costs[:at], self._begins[:at]
        self._sums = [total - dropped for total in self._sums[at:]]
        self._line_ends = [max(0, end - at) for end in self._line_ends[at:]]
        self._places = [tuple(place - at for place in places) for places in self._places[at:]]
        self._origins = [max(0, origin - at) for origin in self._origins[at:]]
        self._roots = [0]
        for index in range(1, len(self._origins)):
            self._roots.append(self._roots[self._origins[index]] if self._origins[index] else index)
        self._low = max(0, self._low - at)
        self._line_low = max(0, self._line_low - at)
        return planned

    def _commit(self, at: int, *, follows: bool) -> list[PlannedCue]:
        cuts = [at]
        while cuts[-1]:
            cuts.append(self._origins[cuts[-1]])
        planned = []
        for index in range(len(cuts) - 1, 0, -1):
            begin, end = cuts[index], cuts[index - 1]
            marks = (begin, *self._places[end], end)
            planned.append(
                PlannedCue(
                    lines=tuple(tuple(self._pieces[a:b]) for a, b in pairwise(marks)),
                    start_ms=self._begins[begin],
                    spoken_ms=self._ends[end - 1],
                    next_ms=self._begins[end] if follows or index > 1 else None,
                )
            )
        self._ready_ms = planned[-1].start_ms + self._norm.min_duration_ms + self._norm.min_gap_ms
        return planned
