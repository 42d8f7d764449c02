# SPDX-License-Identifier: Apache-2.0
"""Where a chunk is decoded: a sequence in a KV cache of its own, or one of several that go to a GPU in one batch.

A *slot* holds one sequence.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from qwen_asr_native import Context, Model

from .prompt import Prompt

__all__ = ["OwnSlot", "SharedSlots", "Slot", "Slots"]

Float32 = npt.NDArray[np.float32]
Embed = Callable[[Sequence[int]], Float32]
"""Looks up the rows ``[n, width]`` of token ids in the model's own table."""

_UBATCH_CPU: Final = 128
"""Rows computed at once: more is not faster on a CPU and costs memory in every lane."""
_UBATCH_GPU: Final = 512
_LARGE_CACHE_BYTES: Final = 32 << 20
_NO_TOKEN: Final = 0
"""What is computed, and forgotten, for sequences that have no token in a step; any token will do."""


class Slot(Protocol):
    """One sequence."""

    positions: int

    def prefill(self, prompt: Prompt, audio: Float32) -> Float32:
        """Fill the sequence with prompt and audio rows ``[rows, width]``; return the logits after them, ``[vocab]``."""

    def step(self, token: int) -> Float32:
        """Append one token and return the logits after it, ``[vocab]``."""


class Slots(Protocol):
    """The slots that a lane may use."""

    def take(self, positions: int) -> contextlib.AbstractContextManager[Slot]:
        """Lend a slot for one attempt that needs so many positions; waits for one. It may have more, or fewer."""

    def rest(self) -> None:
        """Let go of memory that others could use until the next chunk."""

    def close(self) -> None:
        """Free the KV cache."""


class _Sequence:
    """One sequence of a context. What stands before the audio is the same for many chunks and computed once."""

    def __init__(self, context: Context, number: int, positions: int) -> None:
        self.context = context
        self.number = number
        self.positions = positions
        self._before: tuple[int, ...] = ()

    def fill(self, prompt: Prompt, audio: Float32, embed: Embed) -> Float32:
        """Fill the sequence anew; return the logits."""
        context, before = self.context, prompt.before_audio
        kept = len(before) if before == self._before else 0
        self._before = ()  # nothing is known of the sequence until it is filled
        context.truncate(kept, sequence=self.number)
        if not kept:
            context.decode_tokens(before, 0, logits=False, sequence=self.number)
        # A few tokens alone would cost as much as a full batch of rows: they go along as rows.
        rows = np.concatenate([audio, embed(prompt.after_audio)])
        context.decode_embeddings(rows, len(before), logits=True, sequence=self.number)
        self._before = before
        return context.logits()


class OwnSlot:
    """A lane's own KV cache, one sequence in it. One thread at a time; it is its own and only slot.

    Args:
        model: The loaded GGUF.
        embed: Its token table.
        positions: Size of the KV cache at first; it grows with what is asked for.
        most: Largest size; None is `positions`.
        threads: Threads for a step.
    """

    def __init__(self, model: Model, embed: Embed, *, positions: int, most: int | None = None, threads: int) -> None:
        self._model = model
        self._embed = embed
        self._threads = threads
        self._most = positions if most is None else most
        self.positions = positions
        self._sequence: _Sequence | None = self._new_sequence()

    @contextlib.contextmanager
    def take(self, positions: int) -> Iterator[Slot]:
        """See `Slots.take`."""
        if self.positions < min(positions, self._most):
            self.close()
            self.positions = min(positions, self._most)
        self._sequence = self._sequence or self._new_sequence()
        yield self

    def prefill(self, prompt: Prompt, audio: Float32) -> Float32:
        """See `Slot.prefill`."""
        return self._lent().fill(prompt, audio, self._embed)

    def step(self, token: int) -> Float32:
        """See `Slot.step`."""
        context = self._lent().context
        context.decode_tokens((token,), context.length(), logits=True)
        return context.logits()

    def rest(self) -> None:
        """Free a large KV cache on a CPU until the next chunk, so that others can use its memory meanwhile.

        Making it again takes a fraction of a second, which is little beside decoding with a model of that size. On a
        GPU the room might be gone by then.
        """
        large = self.positions * self._model.kv_bytes_per_position > _LARGE_CACHE_BYTES
        if large and self._model.device.kind == "cpu":
            self.close()

    def close(self) -> None:
        """See `Slots.close`."""
        if self._sequence is not None:
            self._sequence.context.close()
            self._sequence = None

    def _lent(self) -> _Sequence:
        assert self._sequence is not None
        return self._sequence

    def _new_sequence(self) -> _Sequence:
        ubatch = min(_UBATCH_CPU if self._model.device.kind == "cpu" else _UBATCH_GPU, self.positions)
        context = Context(self._model, n_ctx=self.positions, n_batch=ubatch, n_ubatch=ubatch, threads=self._threads)
        return _Sequence(context, 0, self.positions)


class SharedSlots:
    """Several sequences over one context, whose steps are computed together: one pass over the weights for all.

    Whenever a chunk ends, the next one joins the others (continuous batching). What is computed for one sequence must
    not depend on when that happens, or the same file would give different texts. So every step has the same shape:
    a row for every sequence, those without a token get any, which is forgotten at once; each sequence has a cache of
    its own; and one more sequence is always full, so that attention always runs over the same number of positions.

    Args:
        model: The loaded GGUF, on a GPU.
        embed: Its token table.
        positions: Size of each sequence's KV cache.
        sequences: How many chunks at the same time.
        threads: Threads for what the GPU leaves to the CPU.

    Raises:
        ContextError: There is not enough memory, or the library cannot keep sequences apart.
    """

    def __init__(self, model: Model, embed: Embed, *, positions: int, sequences: int, threads: int) -> None:
        self._embed = embed
        self.positions = positions
        ubatch = min(_UBATCH_GPU, positions)
        self._context = Context(
            model,
            n_ctx=positions + 1,  # one to spare for a row that is forgotten
            n_batch=max(ubatch, sequences + 1),
            n_ubatch=max(ubatch, sequences + 1),
            threads=threads,
            n_seq_max=sequences + 1,
            separate=True,
        )
        self._full = sequences
        self._context.decode_tokens(np.full(positions, _NO_TOKEN), 0, logits=False, sequence=self._full)
        self._free: queue.SimpleQueue[_Sequence] = queue.SimpleQueue()
        for number in range(sequences):
            self._free.put(_Sequence(self._context, number, positions))
        self._turn = threading.Condition()
        self._generating: set[int] = set()
        self._tokens: dict[int, int] = {}
        self._answers: dict[int, Float32 | Exception] = {}

    @contextlib.contextmanager
    def take(self, positions: int) -> Iterator[Slot]:
        """See `Slots.take`; all have the same size."""
        del positions
        sequence = self._free.get()
        try:
            yield _SharedSlot(self, sequence)
        finally:
            with self._turn:
                self._generating.discard(sequence.number)
                self._step_if_complete()
            self._free.put(sequence)

    def rest(self) -> None:
        """Keep everything: others still use it, and the room on the GPU might be gone when it is needed again."""

    def close(self) -> None:
        """See `Slots.close`."""
        self._context.close()

    def prefill(self, sequence: _Sequence, prompt: Prompt, audio: Float32) -> Float32:
        """Fill a sequence while the others wait; from now on their steps wait for its tokens."""
        with self._turn:
            logits = sequence.fill(prompt, audio, self._embed)
            self._generating.add(sequence.number)
            return logits

    def step(self, sequence: _Sequence, token: int) -> Float32:
        """Wait until every sequence that generates has a token, and return the logits after this one's."""
        number = sequence.number
        with self._turn:
            self._tokens[number] = token
            self._step_if_complete()
            self._turn.wait_for(lambda: number in self._answers)
            answer = self._answers.pop(number)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _step_if_complete(self) -> None:
        """With the lock held: compute a step once nobody has to be waited for."""
        if not self._tokens or len(self._tokens) < len(self._generating):
            return
        rows = range(self._full + 1)
        lengths = [self._context.length(row) for row in rows]
        try:
            logits = self._context.decode_step([(row, self._tokens.get(row, _NO_TOKEN)) for row in rows])
            for row in rows:
                if row not in self._tokens:
                    self._context.truncate(lengths[row], sequence=row)
            self._answers.update({row: logits[row] for row in self._tokens})
        except Exception as error:  # noqa: BLE001 - raised in every thread that waits for this step
            self._answers.update(dict.fromkeys(self._tokens, error))
        self._tokens.clear()
        self._turn.notify_all()


class _SharedSlot:
    def __init__(self, slots: SharedSlots, sequence: _Sequence) -> None:
        self._slots = slots
        self._sequence = sequence
        self.positions = sequence.positions

    def prefill(self, prompt: Prompt, audio: Float32) -> Float32:
        return self._slots.prefill(self._sequence, prompt, audio)

    def step(self, token: int) -> Float32:
        return self._slots.step(self._sequence, token)
