# SPDX-License-Identifier: Apache-2.0
"""Word times estimated from voice activity, for when no forced aligner measures them.

A silence inside a chunk lies between two words, most likely where a sentence or clause ends. So the silences are laid
onto word boundaries by dynamic programming over the whole chunk, and inside each stretch of speech the words share
the time by how long they take to say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from qwen_asr_plugin.audio import SpeechSpan

from .boundaries import Boundary, boundary_after
from .weights import speech_weight
from .words import TimedWord, split_words

__all__ = ["estimate_words"]

# A shorter silence is as likely the closure of a plosive as a pause between words.
_MIN_PAUSE_MS: Final = 150
# The last word before a pause is drawn out (pre-pausal lengthening), and a pause too short for voice activity
# detection follows it; in syllables.
_FINAL_LENGTHENING: Final = {
    Boundary.TIGHT: 0.0,
    Boundary.NONE: 0.0,
    Boundary.PHRASE: 0.0,
    Boundary.CLAUSE: 1.0,
    Boundary.SENTENCE: 1.0,
}

# Spread of a stretch's speech time around its expected value: per syllable (square-root growth), per stretch
# (speakers change pace, linear growth), and of the edges of voice activity detection in syllables.
_SYLLABLE_SPREAD: Final = 0.5
_RATE_SPREAD: Final = 0.1
_EDGE_SPREAD: Final = 0.7
# Deviations beyond this many standard deviations cost linearly (Huber), so that one wrong span cannot rule.
_HUBER: Final = 3.0

# Costs in nats (negative log odds): not to pause at a boundary; to pause there; and per second of the pause.
_NO_PAUSE_COST: Final = {
    Boundary.TIGHT: 0.0,
    Boundary.NONE: 0.0,
    Boundary.PHRASE: 0.0,
    Boundary.CLAUSE: 0.7,
    Boundary.SENTENCE: 3.0,
}
_PAUSE_COST: Final = {
    Boundary.TIGHT: 4.0,
    Boundary.NONE: 2.5,
    Boundary.PHRASE: 1.5,
    Boundary.CLAUSE: 0.4,
    Boundary.SENTENCE: 0.0,
}
_PAUSE_COST_PER_S: Final = {
    Boundary.TIGHT: 3.0,
    Boundary.NONE: 3.0,
    Boundary.PHRASE: 2.0,
    Boundary.CLAUSE: 1.0,
    Boundary.SENTENCE: 0.0,
}
# Longer pauses than this say no more.
_LONG_PAUSE_MS: Final = 1000
# A span without a word (noise taken for speech), and its price per second.
_EMPTY_COST: Final = 4.0
_EMPTY_COST_PER_S: Final = 6.0

# Above this many words only every n-th boundary may carry a pause; keeps the quadratic search bounded.
_MAX_BOUNDARIES: Final = 600

_Floats = npt.NDArray[np.float64]
_Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class _Text:
    """The words of a chunk, as the search sees them.

    Attributes:
        units: n word texts.
        weights: (n,) syllables of each word, with final lengthening.
        ends: What ends after each word; n values.
    """

    units: tuple[str, ...]
    weights: _Floats
    ends: tuple[Boundary, ...]


def estimate_words(
    text: str,
    spans: Sequence[SpeechSpan],
    *,
    start_ms: int,
    end_ms: int,
    language: str | None,
) -> tuple[TimedWord, ...]:
    """Place every word of a recognised chunk by the voice activity in it.

    Args:
        text: What was recognised, with punctuation.
        spans: Speech in the chunk, on the clock of `start_ms`; may be empty, then the whole chunk counts as speech.
        start_ms: Where the chunk begins, integer milliseconds.
        end_ms: Where it ends, not before `start_ms`.
        language: Language of the text, None where unknown.

    Returns:
        One word per unit of `split_words`, in order, times not decreasing and inside ``[start_ms, end_ms]``; a word
        ends where the next begins or at the silence after it. Empty for a blank text.

    Raises:
        ValueError: `end_ms` lies before `start_ms`.
    """
    if end_ms < start_ms:
        raise ValueError(f"The chunk ends at {end_ms} ms, before it begins at {start_ms} ms.")
    units = split_words(text)
    if not units:
        return ()
    speech = _speech(spans, start_ms, end_ms)
    words = _describe(units, language)
    splits = _assign(words, speech) if len(speech) > 1 else [0, len(units)]
    return tuple(
        word
        for (begin, end), first, last in zip(speech, splits, splits[1:], strict=False)
        for word in _spread(words, first, last, begin, end)
    )


def _describe(units: tuple[str, ...], language: str | None) -> _Text:
    ends = tuple(
        boundary_after(unit, following, language) for unit, following in zip(units, (*units[1:], None), strict=True)
    )
    weights = [speech_weight(unit) + _FINAL_LENGTHENING[end] for unit, end in zip(units, ends, strict=True)]
    return _Text(units=units, weights=np.array(weights, dtype=np.float64), ends=ends)


def _speech(spans: Sequence[SpeechSpan], start_ms: int, end_ms: int) -> list[tuple[int, int]]:
    """Clip the spans to the chunk and join those that are closer than a pause between words."""
    speech: list[tuple[int, int]] = []
    for span in sorted(spans, key=lambda span: span.start_ms):
        begin, end = max(span.start_ms, start_ms), min(span.end_ms, end_ms)
        if end <= begin:
            continue
        if speech and begin - speech[-1][1] < _MIN_PAUSE_MS:
            speech[-1] = (speech[-1][0], max(speech[-1][1], end))
        else:
            speech.append((begin, end))
    return speech or [(start_ms, end_ms)]


def _assign(words: _Text, speech: list[tuple[int, int]]) -> list[int]:
    """Find which words lie in which span.

    Minimises, over all monotonic assignments, the cost of every span's speech time given the words in it plus the
    cost of every boundary with or without a pause.

    Args:
        words: n words.
        speech: m spans in milliseconds.

    Returns:
        m + 1 word indices: span j holds words ``[split[j], split[j + 1])``.
    """
    count = len(words.units)
    marks = np.unique(np.linspace(0, count, min(count, _MAX_BOUNDARIES) + 1).round().astype(np.int64))
    said = np.concatenate(([0.0], np.cumsum(words.weights)))[marks]
    lengths = np.array([end - begin for begin, end in speech], dtype=np.float64)
    lengths *= said[-1] / lengths.sum()  # milliseconds to syllables, at the mean rate of the chunk
    unpaused = np.concatenate(([0.0], np.cumsum([_NO_PAUSE_COST[end] for end in words.ends])))
    before, upto = unpaused[marks], unpaused[np.maximum(marks - 1, 0)]

    best = np.full(len(marks), np.inf)
    best[0] = 0.0
    origins: list[_Ints] = []
    for at, (begin, end) in enumerate(speech):
        if at:
            best = best + _pause_costs(words, marks, begin - speech[at - 1][1])
        inside = said[np.newaxis, :] - said[:, np.newaxis]  # [from, to], syllables
        total = best[:, np.newaxis] + _length_cost(inside, lengths[at])
        total += np.maximum(upto[np.newaxis, :] - before[:, np.newaxis], 0.0)
        total[np.tril_indices(len(marks), -1)] = np.inf
        np.fill_diagonal(total, best + _EMPTY_COST + _EMPTY_COST_PER_S * (end - begin) / 1000)
        origins.append(np.argmin(total, axis=0))
        best = np.min(total, axis=0)

    splits = [len(marks) - 1]
    for origin in reversed(origins):
        splits.append(int(origin[splits[-1]]))
    return [int(marks[split]) for split in reversed(splits)]


def _pause_costs(words: _Text, marks: _Ints, pause_ms: int) -> _Floats:
    """Price of a silence at each boundary; free before the first and after the last word."""
    by_end = {end: _PAUSE_COST[end] + _PAUSE_COST_PER_S[end] * min(pause_ms, _LONG_PAUSE_MS) / 1000 for end in Boundary}
    inner = [by_end[words.ends[mark - 1]] for mark in marks[1:-1]]
    return np.array([0.0, *inner, 0.0])


def _length_cost(expected: _Floats, length: float) -> _Floats:
    """Negative log likelihood of a speech time given the syllables said in it (normal, Huber tails)."""
    spread = np.sqrt(_EDGE_SPREAD**2 + _SYLLABLE_SPREAD**2 * np.maximum(expected, 0.0) + (_RATE_SPREAD * expected) ** 2)
    deviation = np.abs(expected - length) / spread
    squared = np.where(deviation < _HUBER, deviation**2 / 2, _HUBER * (deviation - _HUBER / 2))
    cost: _Floats = squared + np.log(spread / _EDGE_SPREAD)
    return cost


def _spread(words: _Text, first: int, last: int, start_ms: int, end_ms: int) -> list[TimedWord]:
    """Share the time of one span among words ``[first, last)`` by weight."""
    if first == last:
        return []
    shares = np.concatenate(([0.0], np.cumsum(words.weights[first:last])))
    times = [start_ms + round(share) for share in (shares * ((end_ms - start_ms) / shares[-1])).tolist()]
    return [
        TimedWord(text=unit, start_ms=begin, end_ms=end, estimated=True)
        for unit, begin, end in zip(words.units[first:last], times, times[1:], strict=False)
    ]
