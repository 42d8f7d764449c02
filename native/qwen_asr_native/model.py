# SPDX-License-Identifier: Apache-2.0
"""A loaded GGUF model: weights, vocabulary and metadata, shared by any number of contexts and threads."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from qwen_asr_native.errors import ClosedError, ModelLoadError, TokenError
from qwen_asr_native.functions import FunctionTable
from qwen_asr_native.gguf_file import check_model, read_gguf
from qwen_asr_native.library import Library
from qwen_asr_native.logs import LIBRARY_LOG

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Model", "Weights"]

_ALL_LAYERS = 999
_MULTIPLE_POSITIONS = {8, 40}  # LLAMA_ROPE_TYPE_MROPE and _IMROPE
_LOAD_MODE_NONE, _LOAD_MODE_MMAP = 0, 1


class Weights:
    """The native model, freed when the `Model` and every context made from it are closed, in whatever order."""

    def __init__(self, functions: FunctionTable, address: int) -> None:
        self.address = address
        self._functions = functions
        self._users = 1
        self._lock = threading.Lock()

    def acquire(self) -> None:
        """Keep the weights for one more user."""
        with self._lock:
            self._users += 1

    def release(self) -> None:
        """One user less; the last one frees the memory."""
        with self._lock:
            self._users -= 1
            last = self._users == 0
        if last:
            self._functions.free_model(self.address)


class Model:
    """A GGUF model in memory. Safe to share between threads; use as a context manager or call `close`.

    Args:
        library: The library to run it with.
        path: The GGUF file.
        gpu_layers: Layers to put on a GPU, -1 for all. Has no effect where `Library.supports_gpu` is false.
        use_mmap: Map the file instead of reading it, so that processes share the memory. Repacking by ``ik`` libraries
            needs a copy and goes before this.
        repack: Rearrange quantized weights for the processor while loading. None chooses what is faster: yes with
            ``ik`` libraries, no with mainline ones.

    Attributes:
        library: The library it runs with.
        path: The GGUF file.
        n_embd: Width of an embedding row.
        n_vocab: Number of tokens, and of logits.
        n_ctx_train: Positions the model was trained for.
        architecture: ``general.architecture`` of the file.
        positions_per_embedding: Position numbers per embedding row: 4 with multi-section rotary embedding (M-RoPE, such
            as architecture ``qwen3vl``), else 1.

    Raises:
        ModelLoadError: The file is missing, cut off, or not a model the library can run.
    """

    def __init__(
        self,
        library: Library,
        path: str | os.PathLike[str],
        *,
        gpu_layers: int = 0,
        use_mmap: bool = True,
        repack: bool | None = None,
    ) -> None:
        self._weights: Weights | None = None
        self.library = library
        self.path = Path(path)
        self._functions = library.functions
        if gpu_layers < -1:
            raise ModelLoadError(f"gpu_layers must be -1 (all), 0 or more, not {gpu_layers}.")
        head = read_gguf(self.path)
        check_model(self.path, head)
        no_devices = (ctypes.c_void_p * 1)()  # NULL: end of the list
        params = self._params(gpu_layers, use_mmap, repack, no_devices)
        mark = LIBRARY_LOG.mark()
        address = self._functions.load_model(os.fsencode(self.path), params)
        if not address:
            said = LIBRARY_LOG.since(mark) or "nothing"
            raise ModelLoadError(f"{self.path}: {library.provider} cannot load this model. It said: {said}")
        self._weights = Weights(self._functions, address)
        self._vocab = self._functions.get_vocab(address)
        self.n_embd = self._functions.n_embd(address)
        self.n_vocab = self._functions.n_vocab(address, self._vocab)
        self.n_ctx_train = self._functions.n_ctx_train(address)
        self.architecture = str(head.metadata["general.architecture"])
        self.positions_per_embedding = 4 if self._functions.rope_type(address) in _MULTIPLE_POSITIONS else 1
        self.has_deepstack = bool(head.metadata.get(f"{self.architecture}.n_deepstack_layers"))

    def meta(self, key: str) -> str | None:
        """A metadata value of the file as text, None when there is no such key (arrays are not available)."""
        address = self._open().address
        room = 256
        while True:
            buffer = ctypes.create_string_buffer(room)
            length = self._functions.meta(address, key.encode(), buffer, room)
            if length < 0:
                return None
            if length < room:
                return buffer.value.decode("utf-8", "replace")
            room = length + 1

    def token_id(self, text: str) -> int:
        """The id of a text that is one token, special tokens included.

        Raises:
            TokenError: The text is none or several tokens.
        """
        tokens = self.tokenize(text, parse_special=True)
        if len(tokens) != 1:
            raise TokenError(
                f"{text!r} is {len(tokens)} tokens in {self.path.name}, not one. Is this the right kind of model?"
            )
        return tokens[0]

    def tokenize(self, text: str, *, parse_special: bool = False) -> list[int]:
        """Token ids of a text, without begin or end token.

        Args:
            text: Any text; characters that cannot be encoded become ``?``.
            parse_special: Take special tokens such as ``<|im_start|>`` in the text for what they mean, instead of for
                the characters they are written with. Never for text from outside.
        """
        self._open()
        data = text.encode("utf-8", "replace")
        room = len(data) + 8
        while True:
            tokens = (ctypes.c_int32 * room)()
            count = self._functions.tokenize(self._vocab, data, len(data), tokens, room, False, parse_special)  # noqa: FBT003
            if count >= 0:
                return list(tokens[:count])
            if -count <= room:
                raise TokenError(f"{self.library.provider} cannot tokenize a text of {len(data)} bytes.")
            room = -count

    def piece(self, token: int, *, special: bool = False) -> bytes:
        """The bytes of a token; a character may be spread over several tokens.

        Args:
            token: The id.
            special: Write special tokens out instead of as nothing.

        Raises:
            TokenError: There is no such token.
        """
        self._open()
        if not 0 <= token < self.n_vocab:
            raise TokenError(f"{token} is not a token id of {self.path.name} (0 to {self.n_vocab - 1}).")
        room = 64
        while True:
            buffer = ctypes.create_string_buffer(room)
            length = self._functions.token_to_piece(self._vocab, token, buffer, room, 0, special)
            if length >= 0:
                return buffer.raw[:length]
            if -length <= room:
                raise TokenError(f"{self.library.provider} cannot write out token {token}.")
            room = -length

    def close(self) -> None:
        """Free the weights, or leave that to the last context still open. Closing twice does nothing."""
        weights, self._weights = self._weights, None
        if weights is not None:
            weights.release()

    def share_weights(self) -> Weights:
        """The weights for one more user, who must release them."""
        weights = self._open()
        weights.acquire()
        return weights

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

    def _open(self) -> Weights:
        if self._weights is None:
            raise ClosedError(f"The model {self.path.name} is closed.")
        return self._weights

    def _params(
        self, gpu_layers: int, use_mmap: bool, repack: bool | None, no_devices: ctypes.Array[ctypes.c_void_p]
    ) -> Any:
        layout = self.library.verdict.model_params
        params = self._functions.model_defaults()
        params.n_gpu_layers = _ALL_LAYERS if gpu_layers == -1 else gpu_layers
        if layout.has("use_mmap"):
            params.use_mmap = use_mmap
        else:
            params.load_mode = _LOAD_MODE_MMAP if use_mmap else _LOAD_MODE_NONE
        if layout.family == "ik":
            params.repack_tensors = repack is None or repack
        else:
            params.use_extra_bufts = bool(repack)
            if gpu_layers == 0:  # else builds with GPU support still send large products there
                params.devices = ctypes.addressof(no_devices)
        return params
