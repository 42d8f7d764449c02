# SPDX-License-Identifier: Apache-2.0
"""Where a chunk is decoded: a sequence in a KV cache of its own, or one of several that go to a GPU in one batch.

A *slot* holds one sequence.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from qwen_asr_native import Context, Model

from .prompt import Prompt
from .spare_threads import Pace, SpareThreads

__all__ = ["OwnSlot", "SharedSlots", "Slot", "Slots", "is_large"]

Float32 = npt.NDArray[np.float32]
Embed = Callable[[Sequence[int]], Float32]
"""Looks up the rows ``[n, width]`` of token ids in the model's own table."""
Answer = Callable[[Float32], int | None]
"""Gets the logits ``[vocab]`` after what there is and returns the token to append, None to stop."""

_UBATCH_SMALL: Final = 128
"""Rows computed at once: more is not faster with a small model on a CPU, and costs memory in every lane."""
_UBATCH_LARGE: Final = {"ik": 512, "mainline": 256}
"""With a large one 2 to 5 % more rows a second (docs/performance.md)."""
_UBATCH_GPU: Final = 512
_LARGE_CACHE_BYTES: Final = 32 << 20
_NO_TOKEN: Final = 0
"""What is computed, and forgotten, for sequences that have no token in a step; any token will do."""


def is_large(model: Model, positions: int) -> bool:
    """Whether a KV cache of so many positions, and with it the model, is one for which more effort pays."""
    return positions * model.kv_bytes_per_position > _LARGE_CACHE_BYTES


class Slot(Protocol):
    """One sequence."""

    positions: int

    def generate(self, prompt: Prompt, audio: Float32, answer: Answer) -> None:
        """Fill the sequence with prompt and audio rows ``[rows, width]``, then append what `answer` wants.

        Args:
            prompt: Token ids around the audio.
            audio: Encoder rows, float32 ``[rows, width]``.
            answer: Called after the prompt and after every token, perhaps in another thread. What it raises ends this
                and is raised here.
        """


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
        threads: Threads for a step, a number or what the lanes of a pool lend each other.
        exact: Keep keys and values in 16 bits even where 8 are faster, for weights that are not quantised either.
    """

    def __init__(
        self,
        model: Model,
        embed: Embed,
        *,
        positions: int,
        most: int | None = None,
        threads: int | SpareThreads,
        exact: bool = True,
    ) -> None:
        self._model = model
        self._embed = embed
        self._threads = SpareThreads(1, threads) if isinstance(threads, int) else threads
        self._pace = Pace(self._threads.own)
        self._most = positions if most is None else most
        self._exact = exact
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

    def generate(self, prompt: Prompt, audio: Float32, answer: Answer) -> None:
        """See `Slot.generate`."""
        sequence = self._lent()
        context, own = sequence.context, self._threads.own
        using = own
        context.set_threads(own, self._threads.share())
        logits = sequence.fill(prompt, audio, self._embed)
        self._pace.begin()
        while (token := answer(logits)) is not None:
            started = time.perf_counter()
            threads = self._pace.choose(self._for_one_row(self._threads.share()))
            if threads != using:
                context.set_threads(threads)
                using = threads
            context.decode_tokens((token,), context.length(), logits=True)
            logits = context.logits()
            self._pace.took(threads, time.perf_counter() - started)

    def rest(self) -> None:
        """Free a large KV cache on a CPU until the next chunk, so that others can use its memory meanwhile.

        Making it again takes a fraction of a second, which is little beside decoding with a model of that size. On a
        GPU the room might be gone by then.
        """
        if self._is_large() and self._model.device.kind == "cpu":
            self.close()

    def close(self) -> None:
        """See `Slots.close`."""
        if self._sequence is not None:
            self._sequence.context.close()
            self._sequence = None

    def _lent(self) -> _Sequence:
        assert self._sequence is not None
        return self._sequence

    def _is_large(self) -> bool:
        return is_large(self._model, self.positions)

    def _for_one_row(self, threads: int) -> int:
        """Return how many of the threads a step of one row may use without a change in any bit of its result.

        Mainline divides one row's attention among threads along the positions, ``ik`` does where there is no whole
        number of heads for each: the order of additions then depends on the number of threads.
        """
        own, heads = self._threads.own, self._model.n_head_kv
        if self._model.library.verdict.family != "ik" or heads % own:
            return own
        return max(number for number in range(own, threads + 1) if not heads % number)

    def _new_sequence(self) -> _Sequence:
        on_cpu = self._model.device.kind == "cpu"
        family, large = self._model.library.verdict.family, self._is_large()
        ubatch = _UBATCH_LARGE[family] if large else _UBATCH_SMALL
        ubatch = min(ubatch if on_cpu else _UBATCH_GPU, self.positions)
        # A step reads the whole cache. Mainline's kernels for 8 bits are slower than reading twice as much.
        small = on_cpu and large and not self._exact and family == "ik"
        context = Context(
            self._model,
            n_ctx=self.positions,
            n_batch=ubatch,
            n_ubatch=ubatch,
            threads=self._threads.own,
            kv_type="q8_0" if small else "f16",
        )
        return _Sequence(context, 0, self.positions)


@dataclass(eq=False, kw_only=True)
class _Member:
    """A chunk that is decoded together with others."""

    sequence: _Sequence
    prompt: Prompt
    audio: Float32
    answer: Answer
    token: int = _NO_TOKEN
    over: bool = False
    error: Exception | None = None
    woken: threading.Event = field(default_factory=threading.Event)


class SharedSlots:
    """Several sequences over one context, whose steps are computed together: one pass over the weights for all.

    Whenever a chunk ends, the next one joins the others (continuous batching). What is computed for one sequence must
    not depend on when that happens, or the same file would give different texts. So every step has the same shape:
    a row for every sequence, those without a token get any, which is forgotten at once; each sequence has a cache of
    its own; and one more sequence is always full, so that attention always runs over the same number of positions.
    Flash attention is off: CUDA's divides the positions of all sequences among the multiprocessors in equal shares, and
    where a share ends within a sequence depends on its number.

    One thread at a time does the work of all, prompts and answers included, until its own chunk is over; then it
    appoints another one. To wake every thread for every token would take longer than the GPU needs for it.

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
            flash_attention=False,
        )
        self._full = sequences
        self._context.decode_tokens(np.full(positions, _NO_TOKEN), 0, logits=False, sequence=self._full)
        self._free: queue.SimpleQueue[_Sequence] = queue.SimpleQueue()
        for number in range(sequences):
            self._free.put(_Sequence(self._context, number, positions))
        self._lock = threading.Lock()
        self._led = False
        self._arrived: deque[_Member] = deque()
        self._generating: dict[int, _Member] = {}

    @contextlib.contextmanager
    def take(self, positions: int) -> Iterator[Slot]:
        """See `Slots.take`; all have the same size."""
        del positions
        sequence = self._free.get()
        try:
            yield _SharedSlot(self, sequence)
        finally:
            self._free.put(sequence)

    def rest(self) -> None:
        """Keep everything: others still use it, and the room on the GPU might be gone when it is needed again."""

    def close(self) -> None:
        """See `Slots.close`."""
        self._context.close()

    def generate(self, sequence: _Sequence, prompt: Prompt, audio: Float32, answer: Answer) -> None:
        """Decode one chunk together with those of other threads, see `Slot.generate`."""
        member = _Member(sequence=sequence, prompt=prompt, audio=audio, answer=answer)
        with self._lock:
            self._arrived.append(member)
            leads = not self._led
            self._led = True
        if not leads:
            member.woken.wait()
        if not member.over:
            self._lead(member)
        if member.error is not None:
            raise member.error

    def _lead(self, own: _Member) -> None:
        """Work for everybody until one's own chunk is over, then let another one go on."""
        while not own.over:
            while self._arrived:
                self._fill(self._arrived.popleft())
            if self._generating:
                self._step()
        with self._lock:
            heir = next(iter([*self._generating.values(), *self._arrived]), None)
            self._led = heir is not None
        if heir is not None:
            heir.woken.set()

    def _fill(self, member: _Member) -> None:
        try:
            logits = member.sequence.fill(member.prompt, member.audio, self._embed)
        except Exception as error:  # noqa: BLE001 - raised in its own thread
            self._end(member, error)
        else:
            self._answer(member, logits)

    def _step(self) -> None:
        """Append everybody's token."""
        members = self._generating
        rows = range(self._full + 1)
        lengths = [self._context.length(row) for row in rows]
        tokens = [(row, members[row].token if row in members else _NO_TOKEN) for row in rows]
        waiting = list(members.values())
        try:
            logits = self._context.decode_step(tokens)
            for row in rows:
                if row not in members:
                    self._context.truncate(lengths[row], sequence=row)
        except Exception as error:  # noqa: BLE001 - raised in every thread that waits for this step
            for member in waiting:
                self._end(member, error)
        else:
            for member in waiting:
                self._answer(member, logits[member.sequence.number])

    def _answer(self, member: _Member, logits: Float32) -> None:
        try:
            token = member.answer(logits)
        except Exception as error:  # noqa: BLE001 - raised in its own thread
            self._end(member, error)
            return
        if token is None:
            self._end(member)
        else:
            member.token = token
            self._generating[member.sequence.number] = member

    def _end(self, member: _Member, error: Exception | None = None) -> None:
        self._generating.pop(member.sequence.number, None)
        member.error = error
        member.over = True
        member.woken.set()


class _SharedSlot:
    def __init__(self, slots: SharedSlots, sequence: _Sequence) -> None:
        self._slots = slots
        self._sequence = sequence
        self.positions = sequence.positions

    def generate(self, prompt: Prompt, audio: Float32, answer: Answer) -> None:
        self._slots.generate(self._sequence, prompt, audio, answer)
