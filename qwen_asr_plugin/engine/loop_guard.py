# SPDX-License-Identifier: Apache-2.0
"""Notice a decoder that repeats itself, while it does, and choose what to try instead."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

__all__ = ["LADDER", "Attempt", "echoes_context", "loop_length", "token_budget"]


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One rung of the retry ladder; temperature 0 is greedy decoding."""

    temperature: float = 0.0
    with_context: bool = True


LADDER: Final = (
    Attempt(),
    Attempt(with_context=False),
    Attempt(temperature=0.4, with_context=False),
    Attempt(temperature=0.7, with_context=False),
    Attempt(temperature=1.0, with_context=False),
)
"""Greedy first; then without the context, which loops and echoes often come from; then sampling, seeds fixed."""

# (longest period, repetitions that make a loop): people do say "no, no, no", hardly ever one word fourteen times.
_RULES: Final = ((1, 14), (4, 9), (12, 6), (40, 4))

_TOKENS_PER_SECOND: Final = 16
_SPARE_TOKENS: Final = 48


def loop_length(tokens: Sequence[int]) -> int:
    """Return how many tokens at the end are one pattern over and over, beyond its first occurrence; 0 for no loop."""
    for period in range(1, _RULES[-1][0] + 1):
        repeats = next(count for longest, count in _RULES if period <= longest)
        span = period * repeats
        if len(tokens) >= span:
            tail = tokens[-span:]
            if tail[period:] == tail[:-period]:
                return span - period
    return 0


def token_budget(audio_seconds: float) -> int:
    """Return how many tokens a chunk may take: several times what the fastest speaker needs."""
    return _SPARE_TOKENS + int(_TOKENS_PER_SECOND * audio_seconds)


def echoes_context(text: str, context: str) -> bool:
    """Say whether `text` is the context read back instead of what was spoken (official issues 106 and 140).

    Only a whole context of several words counts: single terms are meant to show up.
    """
    said = " ".join(text.lower().split())
    given = " ".join(context.lower().split())
    return len(given.split()) >= 4 and given.strip(" .,;") in said
