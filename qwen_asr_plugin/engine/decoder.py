# SPDX-License-Identifier: Apache-2.0
"""The language model: prompt and audio rows in, token ids out, one chunk at a time on one KV cache."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from qwen_asr_native import Context, Model

from .loop_guard import loop_length
from .prompt import Prompt, SpecialTokens

__all__ = ["Decoded", "Decoder"]

_TOP_K: Final = 50
_SEED: Final = 20260101
_UBATCH: Final = 128
"""Rows computed at once: more is not faster on a CPU and costs memory in every lane."""
_LARGE_CACHE_BYTES: Final = 32 << 20


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
    """One KV cache on a loaded model. One thread at a time; several decoders may share a model.

    Args:
        model: The loaded GGUF.
        positions: Size of the KV cache: prompt, audio rows and new tokens of the longest chunk together.
        threads: Threads for this decoder.
    """

    def __init__(self, model: Model, *, positions: int, threads: int) -> None:
        self.special = SpecialTokens.of(model)
        self._model = model
        self._threads = threads
        self.positions = positions
        self._context: Context | None = self._new_context()

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
        started = time.perf_counter()
        filled = len(prompt) + len(audio)
        context = self._context = self._context or self._new_context()
        context.clear()
        context.decode_tokens(prompt.before_audio, 0, logits=False)
        context.decode_embeddings(audio, len(prompt.before_audio))
        context.decode_tokens(prompt.after_audio, len(prompt.before_audio) + len(audio), logits=True)
        prefilled = time.perf_counter()

        choose = _Sampler(temperature, seed) if temperature > 0 else _greedy
        tokens: list[int] = []
        generated = 0
        looped = True
        for position in range(filled, min(filled + max_tokens, self.positions)):
            token = choose(context.logits())
            generated += 1
            if token in self.special.stops or cancelled():
                looped = False
                break
            tokens.append(token)
            if repeated := loop_length(tokens):
                del tokens[-repeated:]
                break
            context.decode_tokens((token,), position, logits=True)
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
        """Free a large KV cache on a CPU until the next chunk, so that others can use its memory meanwhile.

        Making it again takes a fraction of a second, which is little beside decoding with a model of that size. On a
        GPU the room might be gone by then.
        """
        large = self.positions * self._model.kv_bytes_per_position > _LARGE_CACHE_BYTES
        if large and self._model.device.kind == "cpu":
            self.close()

    def close(self) -> None:
        """Free the KV cache."""
        if self._context is not None:
            self._context.close()
            self._context = None

    def _new_context(self) -> Context:
        batch = min(_UBATCH, self.positions)
        return Context(self._model, n_ctx=self.positions, n_batch=batch, n_ubatch=batch, threads=self._threads)


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
