# SPDX-License-Identifier: Apache-2.0
"""A context: the KV cache of one or more sequences over a model, and the calls that fill it.

libllama answers most misuse by aborting the process, and some by reading the wrong memory. Every call is therefore
checked here first. Two rules hold for all libraries and architectures, because some check nothing: a sequence grows
without gaps, and embedding rows go in pieces of at most ``n_ubatch`` (``ik`` libraries read the position array of a
longer piece wrongly when rows have several positions each).
"""

from __future__ import annotations

import contextlib
import ctypes
import sys
import threading
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from qwen_asr_native.context_setup import KvType, new_context
from qwen_asr_native.errors import ClosedError, ContextError, DecodeError
from qwen_asr_native.logs import LIBRARY_LOG
from qwen_asr_native.model import Model, Weights

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Context"]

_FAILURES = {
    1: "there is no room left in the KV cache",
    2: "it was aborted",
    -1: "it calls the batch invalid",
    -2: "it could not allocate memory",
    -3: "it could not compute",
}
_MAX_POSITIONS = 1 << 30
_MAX_SEQUENCES = 64
_MAX_THREADS = 512


class Context:
    """State of decoding over a model. One call at a time; different contexts may run in different threads.

    Args:
        model: The model; it may be closed before the context, the weights stay until both are.
        n_ctx: Positions the KV cache holds, over all sequences; of each sequence where they are `separate`.
        n_batch: Rows handed to the library in one call; longer input is split.
        n_ubatch: Rows computed at once.
        threads: Threads for a single row.
        threads_batch: Threads for several rows, as ``threads`` when None.
        n_seq_max: Number of sequences.
        separate: Give every sequence a cache of its own, so that what is in one has no influence, not even by the order
            of additions, on what is computed for another. ``ik`` libraries have one cache only.
        flash_attention: None leaves it to the library; ``ik`` libraries have it for one sequence only.
        kv_type: Type of what the KV cache holds. ``q8_0`` (blocks of 32 values, 8 bits each) takes 53 % of the memory
            of ``f16`` and changes the last digits of the logits. It needs flash attention.

    Attributes:
        model: The model.
        n_ctx: Positions the KV cache holds, see above.

    Raises:
        ContextError: A number makes no sense, or there is not enough memory.
        ClosedError: The model is closed.
    """

    def __init__(
        self,
        model: Model,
        *,
        n_ctx: int,
        n_batch: int = 512,
        n_ubatch: int = 512,
        threads: int = 1,
        threads_batch: int | None = None,
        n_seq_max: int = 1,
        separate: bool = False,
        flash_attention: bool | None = None,
        kv_type: KvType = "f16",
    ) -> None:
        self._address: int | None = None
        threads_batch = threads if threads_batch is None else threads_batch
        for name, value, limit in (
            ("n_ctx", n_ctx, _MAX_POSITIONS),
            ("n_batch", n_batch, _MAX_POSITIONS),
            ("n_ubatch", n_ubatch, _MAX_POSITIONS),
            ("threads", threads, _MAX_THREADS),
            ("threads_batch", threads_batch, _MAX_THREADS),
            ("n_seq_max", n_seq_max, _MAX_SEQUENCES),
        ):
            if not 1 <= value <= limit:
                raise ContextError(f"{name} must be from 1 to {limit}, not {value}.")
        if min(n_batch, n_ubatch, n_ctx) < n_seq_max:  # mainline libraries abort while they plan for such a batch
            raise ContextError(f"n_ctx, n_batch and n_ubatch must be at least the number of sequences, {n_seq_max}.")
        self.model = model
        self.n_ctx = n_ctx
        self._separate = separate
        self._functions = model.library.functions
        self._lock = threading.Lock()
        n_batch = min(n_batch, n_ctx)
        self._weights: Weights | None = model.share_weights()
        try:
            self._address = new_context(
                model.library,
                self._weights.address,
                n_ctx=n_ctx,
                n_batch=n_batch,
                n_ubatch=min(n_ubatch, n_batch),
                threads=threads,
                threads_batch=threads_batch,
                n_seq_max=n_seq_max,
                separate=separate,
                flash_attention=flash_attention,
                kv_type=kv_type,
            )
            self._token_rows = min(n_batch, self._functions.n_batch(self._address))
            self._embedding_rows = min(self._token_rows, n_ubatch, self._functions.n_ubatch(self._address))
        except BaseException:
            self.close()
            raise
        self._lengths = [0] * n_seq_max
        self._logits_row: int | None = None
        self._single_rows_work = model.library.verdict.family != "ik"
        # Buffers every call shares: one sequence id per row and its address, and which rows give logits.
        rows = self._token_rows
        self._sequence_ids = np.zeros(rows, dtype=np.int32)
        self._sequence_counts = np.ones(rows, dtype=np.int32)
        self._sequence_pointers = self._sequence_ids.ctypes.data + 4 * np.arange(rows, dtype=np.uintp)
        self._outputs = np.zeros(rows, dtype=np.int8)
        self._batch = model.library.verdict.batch.structure()

    def decode_tokens(
        self, tokens: Sequence[int] | NDArray[np.integer[Any]], position: int, *, logits: bool, sequence: int = 0
    ) -> None:
        """Append tokens to a sequence.

        Args:
            tokens: Token ids, at least one.
            position: Position of the first one, the next free position of the sequence (`length`).
            logits: Compute the logits after the last token, for `logits`.
            sequence: Which sequence.

        Raises:
            DecodeError: Wrong ids or position, no room, or the library failed. The sequence stays as it was.
            ContextError: Another thread is using the context.
            ClosedError: The context is closed.
        """
        ids = self._checked_tokens(tokens)
        with self._exclusively() as address:
            self._check_position(position, len(ids), sequence)
            with self._undone_on_failure(address, position, sequence):
                for start in range(0, len(ids), self._token_rows):
                    piece = ids[start : start + self._token_rows]
                    positions = np.arange(position + start, position + start + len(piece), dtype=np.int32)
                    self._outputs[: len(piece)] = 0
                    self._outputs[len(piece) - 1] = logits and start + len(piece) == len(ids)
                    self._decode(address, positions, len(piece), sequence, token=piece.ctypes.data)

    def decode_embeddings(
        self, rows: NDArray[np.float32], position: int, *, logits: bool = False, sequence: int = 0
    ) -> None:
        """Append embedding rows, one position each, to a sequence.

        With several positions per row (M-RoPE) the sections are ``[p, p, p, 0]``, which is what libllama itself uses
        for tokens, so that rows and tokens of a sequence agree.

        Args:
            rows: float32 array of shape (n, `Model.n_embd`), n at least 1, all values finite.
            position: Position of the first row, the next free position of the sequence (`length`).
            logits: Compute the logits after the last row, for `logits`.
            sequence: Which sequence.

        Raises:
            DecodeError: Wrong rows or position, no room, or the library failed. The sequence stays as it was.
            ContextError: Another thread is using the context.
            ClosedError: The context is closed.
        """
        rows = self._checked_rows(rows)
        with self._exclusively() as address:
            self._check_position(position, len(rows), sequence)
            with self._undone_on_failure(address, position, sequence):
                for start, piece in self._pieces(rows):
                    self._outputs[: len(piece)] = 0
                    self._outputs[len(piece) - 1] = logits and start + len(piece) == len(rows)
                    self._decode_rows(address, piece, position + start, sequence)

    def decode_step(self, tokens: Sequence[tuple[int, int]]) -> list[NDArray[np.float32]]:
        """Append one token to each of several sequences, all in one batch.

        Args:
            tokens: Pairs of sequence and token id, each sequence once.

        Returns:
            The logits after each, in the order given: float32 copies of shape (`Model.n_vocab`,).

        Raises:
            DecodeError: Wrong ids, no room, the library failed, or the logits are not numbers. The sequences stay as
                they were.
            ContextError: There is no such sequence, or another thread is using the context.
            ClosedError: The context is closed.
        """
        sequences = np.array([sequence for sequence, _ in tokens], dtype=np.int32)
        ids = self._checked_tokens([token for _, token in tokens])
        if len(set(sequences.tolist())) < len(sequences):
            raise DecodeError("A step takes each sequence once.")
        with self._exclusively() as address:
            for sequence in sequences.tolist():
                self._check_position(self.length(sequence), 1 if self._separate else len(ids), sequence)
            lengths = list(self._lengths)
            positions = np.array([lengths[sequence] for sequence in sequences], dtype=np.int32)
            self._logits_row = None
            self._outputs[: len(ids)] = 1
            try:
                self._decode(address, positions, len(ids), sequences, token=ids.ctypes.data)
            except DecodeError:
                for sequence in sequences.tolist():
                    self._functions.remove_from(address, sequence, lengths[sequence])
                raise
            self._logits_row = None
            found = [self._row_of_logits(address, row).copy() for row in range(len(ids))]
        if any(np.isnan(row.min()) for row in found):
            raise self._not_numbers()
        return found

    def score_embeddings(
        self,
        rows: NDArray[np.float32],
        position: int,
        wanted: NDArray[np.integer[Any]],
        *,
        columns: int | None = None,
        sequence: int = 0,
    ) -> NDArray[np.float32]:
        """Append embedding rows as `decode_embeddings` does, and return the logits after some of them.

        One pass for models that answer at many rows at once, such as a forced aligner. `logits` has nothing afterwards.

        Args:
            rows: float32 array of shape (n, `Model.n_embd`), n at least 1, all values finite.
            position: Position of the first row, the next free position of the sequence (`length`).
            wanted: Rising indices of the rows, shape (k,).
            columns: Return only the first so many logits of a row; None is all.
            sequence: Which sequence.

        Returns:
            float32 array of shape (k, ``columns``).

        Raises:
            DecodeError: Wrong rows, indices or position, no room, the library failed, or the logits are not numbers.
            ContextError: Another thread is using the context.
            ClosedError: The context is closed.
        """
        rows = self._checked_rows(rows)
        wanted = np.asarray(wanted)
        rising = wanted.ndim == 1 and bool((np.diff(wanted) > 0).all())
        if not rising or (wanted.size and not 0 <= wanted[0] <= wanted[-1] < len(rows)):
            raise DecodeError(f"The rows to score must be rising numbers from 0 to {len(rows) - 1}.")
        columns = self.model.n_vocab if columns is None else columns
        if not 1 <= columns <= self.model.n_vocab:
            raise DecodeError(f"A row has 1 to {self.model.n_vocab} logits, not {columns}.")
        scores = np.empty((len(wanted), columns), dtype=np.float32)
        done = 0
        with self._exclusively() as address:
            self._check_position(position, len(rows), sequence)
            with self._undone_on_failure(address, position, sequence):
                for start, piece in self._pieces(rows):
                    here = wanted[(wanted >= start) & (wanted < start + len(piece))] - start
                    self._outputs[: len(piece)] = 0
                    self._outputs[here] = 1
                    self._decode_rows(address, piece, position + start, sequence)
                    for index in here:
                        scores[done] = self._row_of_logits(address, int(index))[:columns]
                        done += 1
                self._logits_row = None
        if np.isnan(scores.min(initial=0.0)):
            raise self._not_numbers()
        return scores

    def logits(self) -> NDArray[np.float32]:
        """Logits after the last row of the last call, a float32 copy of shape (`Model.n_vocab`,).

        Raises:
            ContextError: The last call did not ask for logits, or another thread is using the context.
            DecodeError: They are not numbers: the weights are damaged.
            ClosedError: The context is closed.
        """
        with self._exclusively() as address:
            if self._logits_row is None:
                raise ContextError("There are no logits: the last decode call did not ask for them.")
            values: NDArray[np.float32] = self._row_of_logits(address, self._logits_row).copy()
        if np.isnan(values.min()):  # the minimum of anything with a NaN is NaN
            raise self._not_numbers()
        return values

    def length(self, sequence: int = 0) -> int:
        """Number of positions in a sequence, which is also its next free position."""
        self._check_sequence(sequence)
        return self._lengths[sequence]

    def set_threads(self, threads: int, threads_batch: int | None = None) -> None:
        """Compute what follows with other numbers of threads, see `Context`.

        The number changes no bit of what several rows give. What a single row gives may change in the last bits, where
        the library lets threads share one head's attention.

        Raises:
            ContextError: A number makes no sense, or another thread is using the context.
            ClosedError: The context is closed.
        """
        threads_batch = threads if threads_batch is None else threads_batch
        if not (1 <= threads <= _MAX_THREADS and 1 <= threads_batch <= _MAX_THREADS):
            raise ContextError(f"Threads must be from 1 to {_MAX_THREADS}, not {threads} and {threads_batch}.")
        with self._exclusively() as address:
            self._functions.set_n_threads(address, threads, threads_batch)

    def clear(self) -> None:
        """Forget every position of every sequence."""
        with self._exclusively() as address:
            self._logits_row = None
            self._functions.clear_memory(address)
            self._lengths = [0] * len(self._lengths)

    def truncate(self, position: int, *, sequence: int = 0) -> None:
        """Forget a sequence from a position on.

        Raises:
            ContextError: The position is not in the sequence, or the library cannot cut there.
        """
        with self._exclusively() as address:
            self._check_sequence(sequence)
            if not 0 <= position <= self._lengths[sequence]:
                raise ContextError(f"Cannot cut at {position}: the sequence has {self._lengths[sequence]} positions.")
            self._logits_row = None
            if position == self._lengths[sequence]:
                return
            if not self._functions.remove_from(address, sequence, position):
                raise ContextError(f"{self.model.library.provider} cannot cut this model's memory at {position}.")
            self._lengths[sequence] = position

    def close(self) -> None:
        """Free the memory, once a running call has ended. Closing twice does nothing."""
        with self._lock:
            address, self._address = self._address, None
            weights, self._weights = self._weights, None
            if address is not None:
                self._functions.free_context(address)
            if weights is not None:
                weights.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if not sys.is_finalizing():  # then the system takes the memory back
            with contextlib.suppress(AttributeError):  # __init__ did not get that far
                self.close()

    def _sections(self, position: int, count: int) -> NDArray[np.int32]:
        """Positions of embedding rows, section after section."""
        sections = np.zeros((self.model.positions_per_embedding, count), dtype=np.int32)
        sections[:3] = np.arange(position, position + count, dtype=np.int32)
        return sections

    def _decode(
        self,
        address: int,
        positions: NDArray[np.int32],
        count: int,
        sequences: int | NDArray[np.int32],
        *,
        token: int | None = None,
        embd: int | None = None,
    ) -> None:
        """Hand one piece to the library. The caller has set `_outputs`, and keeps the arrays behind the addresses."""
        self._sequence_ids[:count] = sequences
        batch = self._batch
        batch.n_tokens = count
        batch.token = token
        batch.embd = embd
        batch.pos = positions.ctypes.data
        batch.n_seq_id = self._sequence_counts.ctypes.data
        batch.seq_id = self._sequence_pointers.ctypes.data
        batch.logits = self._outputs.ctypes.data
        mark = LIBRARY_LOG.mark()
        code = self._functions.decode(address, batch)
        if code != 0:
            said = LIBRARY_LOG.since(mark)
            raise DecodeError(
                f"{self.model.library.provider} failed to decode {count} rows at position {positions.flat[0]}: "
                f"{_FAILURES.get(code, f'code {code}')}.{f' It said: {said}' if said else ''}"
            )
        for sequence in self._sequence_ids[:count].tolist():
            self._lengths[sequence] += 1
        self._logits_row = count - 1 if self._outputs[count - 1] else None

    def _checked_tokens(self, tokens: Sequence[int] | NDArray[np.integer[Any]]) -> NDArray[np.int32]:
        """Token ids that the library can look up without harm."""
        ids = np.asarray(tokens)
        if ids.ndim != 1 or ids.size == 0 or not np.issubdtype(ids.dtype, np.integer):
            raise DecodeError(f"Token ids must be whole numbers in one row, not {ids.dtype} of shape {ids.shape}.")
        if ids.min() < 0 or ids.max() >= self.model.n_vocab:
            wrong = int(ids[(ids < 0) | (ids >= self.model.n_vocab)][0])
            raise DecodeError(f"{wrong} is not a token id of this model (0 to {self.model.n_vocab - 1}).")
        return np.ascontiguousarray(ids, dtype=np.int32)

    def _checked_rows(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Embedding rows that the library can read without harm."""
        width = self.model.n_embd
        if rows.dtype != np.float32 or rows.ndim != 2 or rows.shape[0] == 0 or rows.shape[1] != width:
            raise DecodeError(f"Embeddings must be float32 of shape (n, {width}), not {rows.dtype} of {rows.shape}.")
        if self.model.has_deepstack:
            raise DecodeError("Embedding input of models with deepstack layers is not supported.")
        if not np.isfinite(rows).all():
            raise DecodeError("Embeddings hold values that are not finite (NaN or infinity).")
        return np.ascontiguousarray(rows)

    def _pieces(self, rows: NDArray[np.float32]) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Embedding rows in pieces of about the same size that the library reads rightly, each with its first index."""
        start = 0
        for piece in np.array_split(rows, -(-len(rows) // self._embedding_rows)):
            yield start, piece
            start += len(piece)

    def _decode_rows(self, address: int, piece: NDArray[np.float32], position: int, sequence: int) -> None:
        if len(piece) == 1 and not self._single_rows_work:
            self._decode_a_token(address, position, sequence)
        self._decode(address, self._sections(position, len(piece)), len(piece), sequence, embd=piece.ctypes.data)

    def _decode_a_token(self, address: int, position: int, sequence: int) -> None:
        """Decode some token and forget it.

        Until a context has decoded a single token, ``ik`` libraries look whether a batch of one row is the token a
        warm-up begins with, and crash on an embedding row, which has no token.
        """
        output = self._outputs[0].copy()
        self._outputs[0] = 0
        token = np.zeros(1, dtype=np.int32)
        self._functions.synchronize(address)  # rows on their way would be counted together with the token
        self._decode(address, np.array([position], dtype=np.int32), 1, sequence, token=token.ctypes.data)
        self._functions.synchronize(address)
        self._functions.remove_from(address, sequence, position)
        self._lengths[sequence] = position
        self._outputs[0] = output
        self._single_rows_work = True

    def _row_of_logits(self, address: int, index: int) -> NDArray[np.float32]:
        """The library's own memory, valid until its next call."""
        found = self._functions.logits(address, index)
        if not found:
            raise DecodeError(f"{self.model.library.provider} gave no logits.")
        row: NDArray[np.float32] = np.ctypeslib.as_array((ctypes.c_float * self.model.n_vocab).from_address(found))
        return row

    def _not_numbers(self) -> DecodeError:
        return DecodeError(f"The model computes values that are no numbers: {self.model.path} is damaged.")

    @contextlib.contextmanager
    def _exclusively(self) -> Iterator[int]:
        """The address of the open context, for one call of one thread."""
        if not self._lock.acquire(blocking=False):
            raise ContextError("The context is in use by another thread. Use one context for each thread.")
        try:
            if self._address is None:
                raise ClosedError("The context is closed.")
            yield self._address
        finally:
            self._lock.release()

    @contextlib.contextmanager
    def _undone_on_failure(self, address: int, position: int, sequence: int) -> Iterator[None]:
        """Take back what a failed call has stored already."""
        self._logits_row = None
        try:
            yield
        except DecodeError:
            self._functions.remove_from(address, sequence, position)
            self._lengths[sequence] = position
            raise

    def _check_position(self, position: int, count: int, sequence: int) -> None:
        self._check_sequence(sequence)
        if position != self._lengths[sequence]:
            raise DecodeError(
                f"Position {position} is not the next one of the sequence, which is {self._lengths[sequence]}. "
                "Use truncate() to go back."
            )
        used = self._lengths[sequence] if self._separate else sum(self._lengths)
        if used + count > self.n_ctx:
            raise DecodeError(f"{count} more positions do not fit: {used} of {self.n_ctx} are in use.")

    def _check_sequence(self, sequence: int) -> None:
        if not 0 <= sequence < len(self._lengths):
            raise ContextError(f"There is no sequence {sequence} (0 to {len(self._lengths) - 1}).")
