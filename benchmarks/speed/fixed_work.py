# SPDX-License-Identifier: Apache-2.0
"""Makes the engine decode a fixed number of tokens, in processes of the benchmark only.

Random weights never say that they are done and repeat themselves, so that budget, loop guard, retries and stop tokens
would decide how much they decode. Here the length of the audio does. The text is replaced by ordinary English of the
usual number of words, so that the forced aligner and the cues get what they would get.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from qwen_asr_plugin.engine import decoder, launcher, prompt, recognizer

__all__ = ["apply", "apply_in_workers", "tokens_at"]

ROWS_PER_SECOND = 13
WORDS_PER_TOKEN = 0.6
_WORDS = ("system", "user", "assistant", "language", "English", "None")  # one token each in the made-up vocabulary
_WORDS_PER_SENTENCE = 12
_READY_TO_IMPORT = "sys.path[:] = {path!r}\n"
"""Line of a worker's program after which it can import what its host can."""


def apply(tokens: Callable[[int], int]) -> None:
    """Change the engine of this process.

    Args:
        tokens: How many tokens to generate for a chunk of so many encoder rows.

    Raises:
        SystemExit: The engine is not made as it was when this was written.
    """
    decode = _old(decoder.Decoder, "decode")

    def fixed(self: Any, asked: Any, audio: Any, **others: Any) -> Any:
        return decode(self, asked, audio, **{**others, "max_tokens": tokens(len(audio))})

    _replace(decoder.Decoder, "decode", fixed)
    _replace(decoder.Decoder, "text", lambda _, found: _text(len(found)))
    _replace(decoder, "loop_length", lambda _: 0)
    _replace(recognizer, "LADDER", _old(recognizer, "LADDER")[:1])
    _replace(prompt.SpecialTokens, "stops", property(lambda _: frozenset()))


def tokens_at(rate: float) -> Callable[[int], int]:
    """Return what `apply` wants: `rate` tokens per second of audio."""
    return lambda rows: max(1, round(rate * rows / ROWS_PER_SECOND))


def apply_in_workers(rate: float) -> None:
    """Change the engine of the worker processes that this process will start; `rate` is tokens per second."""
    code = _old(launcher, "_CODE")
    if _READY_TO_IMPORT not in code:
        raise SystemExit("benchmarks/speed/fixed_work.py must be brought up to date: workers start in another way.")
    change = f"from benchmarks.speed import fixed_work\nfixed_work.apply(fixed_work.tokens_at({rate!r}))\n"
    _replace(launcher, "_CODE", code.replace(_READY_TO_IMPORT, _READY_TO_IMPORT + change))


def _text(tokens: int) -> str:
    words = list(itertools.islice(itertools.cycle(_WORDS), max(1, round(tokens * WORDS_PER_TOKEN))))
    for at in range(_WORDS_PER_SENTENCE - 1, len(words), _WORDS_PER_SENTENCE):
        words[at] += "."
    return " ".join(words)


def _old(owner: Any, name: str) -> Any:
    if name not in vars(owner):
        where = getattr(owner, "__qualname__", owner.__name__)
        raise SystemExit(f"benchmarks/speed/fixed_work.py must be brought up to date: {where} has no {name}.")
    return vars(owner)[name]


def _replace(owner: Any, name: str, value: object) -> None:
    _old(owner, name)
    setattr(owner, name, value)
