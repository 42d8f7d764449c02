# SPDX-License-Identifier: Apache-2.0
"""Word times measured by a forced aligner: from what it predicts to words of the text as punctuated."""

from __future__ import annotations

from collections.abc import Sequence

from qwen_asr_plugin.audio import SpeechSpan

from .reconcile import WordUnits, reconcile
from .repair import repair_times
from .spread import spread
from .units import Unit
from .weights import speech_weight
from .words import TimedWord

__all__ = ["align_words"]


def align_words(
    text: str,
    units: Sequence[Unit],
    slot_times_ms: Sequence[int],
    spans: Sequence[SpeechSpan],
    *,
    start_ms: int,
    end_ms: int,
) -> tuple[TimedWord, ...]:
    """Place every word of a recognised chunk by what an aligner predicted.

    Args:
        text: What was recognised, with punctuation.
        units: Its n units, see `align_units`.
        slot_times_ms: 2 n predicted times, start and end of every unit, in milliseconds since the beginning of the
            chunk, as the model gives them: in no order, and repaired here.
        spans: Speech in the chunk, on the clock of `start_ms`; may be empty, then the whole chunk counts as speech.
        start_ms: Where the chunk begins, integer milliseconds.
        end_ms: Where it ends, not before `start_ms`.

    Returns:
        Words that put together are `text`, in order, not overlapping and inside ``[start_ms, end_ms]``; none lasts
        over more than `MAX_SILENCE_MS` without speech. `TimedWord.repaired` tells where the times are not those the
        model predicted, `TimedWord.estimated` is True only for words without any unit (an emoji). Empty for a blank
        text.

    Raises:
        ValueError: `end_ms` lies before `start_ms`, there are not two times per unit, or the units are not of `text`.
    """
    if end_ms < start_ms:
        raise ValueError(f"The chunk ends at {end_ms} ms, before it begins at {start_ms} ms.")
    if len(slot_times_ms) != 2 * len(units):
        raise ValueError(f"{len(units)} units need {2 * len(units)} times, not {len(slot_times_ms)}.")
    words = reconcile(text, units)
    ordered = [min(max(start_ms + at, start_ms), end_ms) for at in repair_times(slot_times_ms)]
    times = spread(
        _word_times(words, ordered, start_ms),
        [speech_weight(word.text) for word in words],
        spans,
        start_ms=start_ms,
        end_ms=end_ms,
    )
    return tuple(
        TimedWord(
            text=word.text,
            start_ms=begin,
            end_ms=end,
            estimated=word.first == word.last,
            repaired=word.first < word.last
            and (begin - start_ms, end - start_ms) != (slot_times_ms[2 * word.first], slot_times_ms[2 * word.last - 1]),
        )
        for word, (begin, end) in zip(words, times, strict=True)
    )


def _word_times(words: Sequence[WordUnits], ordered: Sequence[int], start_ms: int) -> list[tuple[int, int]]:
    """Take begin and end of every word from its units; a word without any is at the end of the one before it."""
    times = []
    last_ms = ordered[0] if ordered else start_ms
    for word in words:
        begin_ms = ordered[2 * word.first] if word.first < word.last else last_ms
        last_ms = ordered[2 * word.last - 1] if word.first < word.last else last_ms
        times.append((begin_ms, last_ms))
    return times
