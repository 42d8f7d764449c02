# SPDX-License-Identifier: Apache-2.0
"""Word times the aligner is known to get wrong: several words at one instant, and words stretched over a pause."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Final

from qwen_asr_plugin.audio import SpeechSpan

__all__ = ["MAX_SILENCE_MS", "spread"]

MAX_SILENCE_MS: Final = 300
"""No word lasts over more time without speech than this."""

# An aligner's times are multiples of 80 ms, so that a time stands for 40 ms before and after it. Shorter words are
# collapsed: of no length, or squeezed together by the repair.
_RESOLUTION_MS: Final = 80
_COLLAPSED_MS: Final = _RESOLUTION_MS // 2
# What a collapsed word takes where there is room, at least the resolution.
_PER_SYLLABLE_MS: Final = 170
# One or two words were said where the aligner put them; more must have been said over some time, if in a hurry.
_FEW: Final = 2
_HURRIED: Final = 0.6

Interval = tuple[int, int]


def spread(
    times: Sequence[Interval],
    weights: Sequence[float],
    spans: Sequence[SpeechSpan],
    *,
    start_ms: int,
    end_ms: int,
) -> list[Interval]:
    """Shorten words that last over a pause, and give collapsed words time.

    A word with more than `MAX_SILENCE_MS` without speech in it keeps the part with the most speech and ends at the
    borders of the speech there, but lasts at least 80 ms. Collapsed words at one instant share the speech that no other
    word has, each as much as it takes to say at an average rate: what follows the instant, up to the next word, and
    where that is too little also what precedes it, back to the word before (for one or two words no further than
    rounding explains). They never take what is no speech, another word's time, or speech behind more than
    `MAX_SILENCE_MS` of silence; where nothing is left, they stay as they are.

    Args:
        times: Begin and end of n words in milliseconds; in order, not overlapping, inside the chunk.
        weights: n weights in syllables, see `speech_weight`.
        spans: Speech in the chunk, on the same clock; may be empty, then the whole chunk counts as speech.
        start_ms: Where the chunk begins.
        end_ms: Where it ends.

    Returns:
        n times, in order, not overlapping.

    Raises:
        ValueError: `times` are not in order or not inside the chunk.
    """
    clock = [start_ms, *(at for interval in times for at in interval), end_ms]
    if any(before > after for before, after in pairwise(clock)):
        raise ValueError(f"The word times are not in order, or not inside {start_ms} to {end_ms} ms.")
    speech = _merged(spans, start_ms, end_ms)
    placed = [_without_pause(begin, end, speech) for begin, end in times]
    for first, last in _collapsed_runs(placed):
        free_from = placed[first - 1][1] if first else start_ms
        free_until = placed[last][0] if last < len(placed) else end_ms
        free = _reachable(_inside(speech, free_from, free_until), placed[first][0], placed[last - 1][1])
        if free:
            placed[first:last] = _share(placed[first][0], weights[first:last], free)
    return placed


def _merged(spans: Sequence[SpeechSpan], start_ms: int, end_ms: int) -> list[Interval]:
    """Clip the spans to the chunk and join those that touch."""
    speech: list[Interval] = []
    for begin, end in sorted((max(span.start_ms, start_ms), min(span.end_ms, end_ms)) for span in spans):
        if end <= begin:
            continue
        if speech and begin <= speech[-1][1]:
            speech[-1] = (speech[-1][0], max(speech[-1][1], end))
        else:
            speech.append((begin, end))
    return speech or [(start_ms, end_ms)]


def _inside(speech: Sequence[Interval], begin: int, end: int) -> list[Interval]:
    clipped = ((max(first, begin), min(last, end)) for first, last in speech)
    return [(first, last) for first, last in clipped if first < last]


def _without_pause(begin: int, end: int, speech: Sequence[Interval]) -> Interval:
    """Cut a word that lasts over too much silence."""
    parts = _inside(speech, begin, end)
    if end - begin - _length(parts) <= MAX_SILENCE_MS:
        return begin, end
    if not parts:
        return begin, begin + MAX_SILENCE_MS
    first, last = _loudest(parts)
    cut_begin, cut_end = parts[first][0], parts[last][1]
    left = MAX_SILENCE_MS - (cut_end - cut_begin - _length(parts[first : last + 1]))
    # The aligner hears the first sound of a word before voice activity detection does.
    if cut_begin - begin <= left:
        left -= cut_begin - begin
        cut_begin = begin
    if end - cut_end <= left:
        cut_end = end
    if cut_end - cut_begin < _RESOLUTION_MS:
        cut_end = min(end, cut_begin + _RESOLUTION_MS)
        cut_begin = max(begin, cut_end - _RESOLUTION_MS)
    return cut_begin, cut_end


def _loudest(parts: Sequence[Interval]) -> tuple[int, int]:
    """Return the first and last of the neighbouring parts with the most speech that have little silence between."""
    best = (0, 0)
    most = 0
    first = 0
    for last in range(len(parts)):
        while parts[last][1] - parts[first][0] - _length(parts[first : last + 1]) > MAX_SILENCE_MS:
            first += 1
        speech = _length(parts[first : last + 1])
        if speech > most:
            best, most = (first, last), speech
    return best


def _length(parts: Sequence[Interval]) -> int:
    return sum(end - begin for begin, end in parts)


def _collapsed_runs(times: Sequence[Interval]) -> list[tuple[int, int]]:
    """Return first and last (exclusive) of every run of collapsed words at one instant."""
    runs: list[tuple[int, int]] = []
    for at, (begin, end) in enumerate(times):
        if end - begin >= _COLLAPSED_MS:
            continue
        if runs and runs[-1][1] == at and begin - times[at - 1][1] < _COLLAPSED_MS:
            runs[-1] = (runs[-1][0], at + 1)
        else:
            runs.append((at, at + 1))
    return runs


def _reachable(free: Sequence[Interval], begin: int, end: int) -> list[Interval]:
    """Leave out what lies behind too much silence, seen from ``[begin, end]``."""
    near = set()
    silence, edge = 0, end
    for part in free:
        if part[1] > begin:
            silence += max(0, part[0] - edge)
            edge = max(edge, part[1])
            if silence <= MAX_SILENCE_MS:
                near.add(part)
    silence, edge = 0, begin
    for part in reversed(free):
        if part[0] < end:
            silence += max(0, edge - part[1])
            edge = min(edge, part[0])
            if silence <= MAX_SILENCE_MS:
                near.add(part)
    return sorted(near)


def _share(begin: int, weights: Sequence[float], free: Sequence[Interval]) -> list[Interval]:
    """Give the words of the collapsed run at `begin` their parts of the free speech.

    Positions are counted in milliseconds of free speech, so that pauses are stepped over.
    """
    wanted = [max(_RESOLUTION_MS, weight * _PER_SYLLABLE_MS) for weight in weights]
    before = _heard_until(free, begin)
    after = min(_length(free) - before, round(sum(wanted)))
    needed = len(wanted) * _COLLAPSED_MS if len(wanted) <= _FEW else round(_HURRIED * sum(wanted))
    before = min(before, max(0, needed - after))
    scale = (before + after) / sum(wanted)
    marks = [_heard_until(free, begin) - before]
    marks += [marks[0] + round(said * scale) for said in accumulate(wanted)]
    return [_largest_part(free, first, last) for first, last in pairwise(marks)]


def _heard_until(free: Sequence[Interval], time_ms: int) -> int:
    return sum(max(0, min(end, time_ms) - begin) for begin, end in free)


def _largest_part(free: Sequence[Interval], first: int, last: int) -> Interval:
    """Turn positions in the free speech into times; a word that would last over a pause keeps its longer part."""
    parts = []
    offset = 0
    for begin, end in free:
        part = (max(begin, begin + first - offset), min(end, begin + last - offset))
        if part[0] <= part[1]:
            parts.append(part)
        offset += end - begin
    return max(parts, key=lambda part: part[1] - part[0])
