# SPDX-License-Identifier: Apache-2.0
"""The language model: prompt and audio rows in, token ids out."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from qwen_asr_native import Model

from .loop_guard import loop_length
from .prompt import Prompt, SpecialTokens
from .slots import Slots

__all__ = ["Decoded", "Decoder"]

_TOP_K: Final = 50
_SEED: Final = 20260101


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """What one attempt produced.

    Attributes:
        tokens: Token ids without the stop token; a loop is cut back to its first occurrence.
        looped: The loop guard or the token budget ended it, not the model.
        prefill_seconds: Time for prompt and audio rows.
        generation_seconds: Time for the tokens.
        prefill_tokens: Positions prefilled.
        generation_tokens: Tokens generated, stop token included.
    """

    tokens: tuple[int, ...]
    looped: bool
    prefill_seconds: float
    generation_seconds: float
    prefill_tokens: int
    generation_tokens: int


class Decoder:
    """A loaded model's way from rows to tokens. One thread at a time.

    Args:
        model: The loaded GGUF.
        slots: Where it may decode.
    """

    def __init__(self, model: Model, slots: Slots) -> None:
        self.special = SpecialTokens.of(model)
        self._model = model
        self._slots = slots

    def decode(
        self,
        prompt: Prompt,
        audio: npt.NDArray[np.float32],
        *,
        max_tokens: int,
        temperature: float = 0.0,
        seed: int = 0,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> Decoded:
        """Decode one chunk.

        Args:
            prompt: Token ids around the audio.
            audio: Encoder rows, float32 ``[rows, embedding width]``.
            max_tokens: Most tokens to generate; what the KV cache holds is a limit, too.
            temperature: 0 is greedy; above, top-k sampling with a seed fixed by `seed`.
            seed: Distinguishes attempts; the same call gives the same tokens.
            cancelled: Asked before every token; True ends the attempt with what there is.
        """
        filled = len(prompt) + len(audio)
        choose = _Sampler(temperature, seed) if temperature > 0 else _greedy
        tokens: list[int] = []
        generated = 0
        looped = True
        prefilled = 0.0

        def answer(logits: npt.NDArray[np.float32]) -> int | None:
            nonlocal generated, looped, prefilled
            prefilled = prefilled or time.perf_counter()
            token = choose(logits)
            generated += 1
            if token in self.special.stops or cancelled():
                looped = False
                return None
            tokens.append(token)
            if repeated := loop_length(tokens):
                del tokens[-repeated:]
                return None
            return token if generated < most else None

        with self._slots.take(filled + max_tokens) as slot:
            most = min(max_tokens, slot.positions - filled)
            started = time.perf_counter()
            slot.generate(prompt, audio, answer)
        return Decoded(
            tokens=tuple(tokens),
            looped=looped,
            prefill_seconds=prefilled - started,
            generation_seconds=time.perf_counter() - prefilled,
            prefill_tokens=filled,
            generation_tokens=generated,
        )

    def text(self, tokens: tuple[int, ...]) -> str:
        """Return the text of token ids; control tokens have none, a character cut in half becomes U+FFFD."""
        return b"".join(self._model.piece(token) for token in tokens).decode("utf-8", errors="replace")

    def rest(self) -> None:
        """Let go of memory that others could use until the next chunk."""
        self._slots.rest()


def _greedy(logits: npt.NDArray[np.float32]) -> int:
    return int(np.argmax(logits))


class _Sampler:
    """Top-k sampling whose random numbers depend on the seed alone."""

    def __init__(self, temperature: float, seed: int) -> None:
        self._temperature = temperature
        self._random = np.random.Generator(np.random.PCG64(_SEED + seed))

    def __call__(self, logits: npt.NDArray[np.float32]) -> int:
        best = np.argsort(-logits, kind="stable")[:_TOP_K]
        scaled = logits[best].astype(np.float64) / self._temperature
        weights = np.exp(scaled - scaled.max())
        return int(self._random.choice(best, p=weights / weights.sum()))
