# SPDX-License-Identifier: Apache-2.0
"""Does an alignment agree with where voices are heard?

A forced aligner never says that it is lost. Voice activity is found by another model from the sound alone, so it can
tell: where somebody speaks for long and no word is placed, the times of the words are wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from qwen_asr_plugin.audio import SpeechSpan

from .words import TimedWord

__all__ = ["is_plausible", "silent_share"]

_MOST_SILENT: Final = 0.3
"""benchmarks/alignment.py has the measurement behind it."""
_SPARE_MS: Final = 400
"""So much speech without a word is never held against an alignment: breath, laughter, a word not recognised."""
_JOIN_MS: Final = 300


def is_plausible(words: Sequence[TimedWord], spans: Sequence[SpeechSpan]) -> bool:
    """Say whether words lie where somebody speaks.

    Args:
        words: Words of a chunk in time order.
        spans: Where speech was found in the chunk, in time order.
    """
    speech_ms = sum(span.end_ms - span.start_ms for span in spans)
    silent_ms = silent_share(words, spans) * speech_ms
    return silent_ms <= max(_SPARE_MS, _MOST_SILENT * speech_ms)


def silent_share(words: Sequence[TimedWord], spans: Sequence[SpeechSpan]) -> float:
    """Return the share of the speech, 0 to 1, in which no word is said. Gaps between words up to 300 ms count as said.

    Args:
        words: Words of a chunk in time order.
        spans: Where speech was found in the chunk, in time order.
    """
    speech_ms = sum(span.end_ms - span.start_ms for span in spans)
    if not speech_ms:
        return 0.0
    said = [(word.start_ms, word.end_ms) for word in words]
    said += [
        (before.end_ms, after.start_ms)
        for before, after in pairwise(words)
        if after.start_ms - before.end_ms <= _JOIN_MS
    ]
    covered_ms = 0
    for span in spans:
        reached = span.start_ms
        for begin, end in sorted(said):
            begin, end = max(begin, reached), min(end, span.end_ms)
            if end > begin:
                covered_ms += end - begin
                reached = end
    return 1.0 - covered_ms / speech_ms
