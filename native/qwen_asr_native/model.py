# SPDX-License-Identifier: Apache-2.0
"""A loaded GGUF model: weights, vocabulary and metadata, shared by any number of contexts and threads."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from qwen_asr_native.devices import CPU, Device, FoundDevice, find_device
from qwen_asr_native.errors import ArchitectureError, ClosedError, DeviceError, ModelLoadError, TokenError
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
_WHOLE_LOG = 1000
_UNKNOWN_ARCHITECTURE = "unknown model architecture"
_BUFFER = re.compile(r"(\S+) +(?:model )?buffer size += +[\d.]+ MiB")


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
        device: Where to compute: a device's name, kind or backend (see `find_device`). None is the CPU, or the first
            GPU when ``gpu_layers`` asks for one.
        gpu_layers: Layers to put on that GPU, -1 for all; None is all.
        use_mmap: Map the file instead of reading it, so that processes share the memory. Repacking by ``ik`` libraries
            needs a copy and goes before this.
        repack: Rearrange quantized weights for the processor while loading, into a copy. None chooses what is faster:
            yes, unless a GPU has them.

    Attributes:
        library: The library it runs with.
        path: The GGUF file.
        device: Where it computes.
        n_embd: Width of an embedding row.
        n_vocab: Number of tokens, and of logits.
        n_ctx_train: Positions the model was trained for.
        n_head_kv: Heads of keys and values in a layer.
        kv_bytes_per_position: Bytes of KV cache a position takes, in 16 bits as libllama's default is.
        architecture: ``general.architecture`` of the file.
        positions_per_embedding: Position numbers per embedding row: 4 with multi-section rotary embedding (M-RoPE, such
            as architecture ``qwen3vl``), else 1.

    Raises:
        ModelLoadError: The file is missing, cut off, or not a model the library can run.
        DeviceError: There is no such device, or it does not take the model; the CPU is never used instead.
    """

    def __init__(
        self,
        library: Library,
        path: str | os.PathLike[str],
        *,
        device: str | None = None,
        gpu_layers: int | None = None,
        use_mmap: bool = True,
        repack: bool | None = None,
    ) -> None:
        self._weights: Weights | None = None
        self.library = library
        self.path = Path(path)
        self._functions = library.functions
        if gpu_layers is not None and gpu_layers < -1:
            raise ModelLoadError(f"gpu_layers must be -1 (all), 0 or more, not {gpu_layers}.")
        head = read_gguf(self.path)
        check_model(self.path, head)
        self.architecture = str(head.metadata["general.architecture"])
        found, layers = _placement(library, device, gpu_layers)
        self.device = found.device
        address = self._load(found, layers, use_mmap=use_mmap, repack=repack)
        self._weights = Weights(self._functions, address)
        self._vocab = self._functions.get_vocab(address)
        self.n_embd = self._functions.n_embd(address)
        self.n_vocab = self._functions.n_vocab(address, self._vocab)
        self.n_ctx_train = self._functions.n_ctx_train(address)
        self.n_head_kv = _n_head_kv(self.architecture, head.metadata)
        self.kv_bytes_per_position = _kv_bytes(self.architecture, head.metadata)
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
                raise TokenError(f"{self.library.title} cannot tokenize a text of {len(data)} bytes.")
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
                raise TokenError(f"{self.library.title} cannot write out token {token}.")
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

    def _load(self, found: FoundDevice, layers: int, *, use_mmap: bool, repack: bool | None) -> int:
        """Load the weights on a device and make sure that they are there; returns the address of the model."""
        mark = LIBRARY_LOG.mark()
        address = self._try_to_load(found, layers, use_mmap=use_mmap, repack=repack)
        said = LIBRARY_LOG.since(mark) or "nothing"
        if layers == 0:
            if address:
                return address
            if _UNKNOWN_ARCHITECTURE in said:
                raise ArchitectureError(
                    f"{self.path}: {self.library.title} does not know the architecture "
                    f"{self.architecture!r}; it is older than this kind of model. Use a newer library, or convert the "
                    "checkpoint yourself (our GGUF files have the older architecture 'qwen3', which it knows)."
                )
            raise ModelLoadError(f"{self.path}: {self.library.title} cannot load this model. It said: {said}")
        where = f"{self.path}: {self.library.title} cannot put this model on {found.device.describe()}"
        if address:
            buffers = _BUFFER.findall(LIBRARY_LOG.since(mark, _WHOLE_LOG))
            if any(_is_memory_of(found.device, buffer) for buffer in buffers):
                return address
            self._functions.free_model(address)
            raise DeviceError(f"{where}: it left all of it on the CPU ({', '.join(dict.fromkeys(buffers))}).")
        again = self._load(FoundDevice(device=CPU), 0, use_mmap=use_mmap, repack=repack)  # is the file to blame?
        self._functions.free_model(again)
        raise DeviceError(
            f"{where}, though it can load it on the CPU. It said: {said}. "
            "Free memory of the device, put fewer layers there, or choose cpu."
        )

    def _try_to_load(self, found: FoundDevice, layers: int, *, use_mmap: bool, repack: bool | None) -> int | None:
        layout = self.library.verdict.model_params
        params = self._functions.model_defaults()
        params.n_gpu_layers = layers
        if layout.has("use_mmap"):
            params.use_mmap = use_mmap
        else:
            params.load_mode = _LOAD_MODE_MMAP if use_mmap else _LOAD_MODE_NONE
        # A list of devices, read while the model loads. An empty one keeps mainline builds with GPU support from
        # sending large products to a GPU that was not chosen.
        addresses = (ctypes.c_void_p * 2)(found.address, None)
        names = ctypes.create_string_buffer(found.device.name.encode())
        if layout.family == "ik":
            params.repack_tensors = repack is None or repack
            if layers and not found.alone:  # a name it does not know would make it crash
                params.devices = ctypes.addressof(names)
        else:
            params.use_extra_bufts = found.device.kind == "cpu" if repack is None else repack
            params.devices = ctypes.addressof(addresses)
        return self._functions.load_model(os.fsencode(self.path), params)


def _kv_bytes(architecture: str, metadata: Mapping[str, Any]) -> int:
    """Layers x KV heads x (key length + value length) x 2 bytes."""
    layers, width, heads = (
        int(metadata[f"{architecture}.{name}"]) for name in ("block_count", "embedding_length", "attention.head_count")
    )
    lengths = (
        int(metadata.get(f"{architecture}.attention.{name}_length", width // heads)) for name in ("key", "value")
    )
    return layers * _n_head_kv(architecture, metadata) * sum(lengths) * 2


def _n_head_kv(architecture: str, metadata: Mapping[str, Any]) -> int:
    """As many as there are heads for queries where the file does not say."""
    heads = metadata[f"{architecture}.attention.head_count"]
    return int(metadata.get(f"{architecture}.attention.head_count_kv", heads))


def _placement(library: Library, device: str | None, gpu_layers: int | None) -> tuple[FoundDevice, int]:
    """The device meant by both arguments of `Model`, and the number of layers to put there."""
    wanted = device or ("gpu" if gpu_layers else "cpu")
    # The CPU needs no search, which would start the drivers of the other devices.
    found = FoundDevice(device=CPU) if wanted.strip().lower() == "cpu" else find_device(library, wanted)
    if found.device.kind == "cpu":
        if gpu_layers:
            raise DeviceError(f"gpu_layers is {gpu_layers}, but the device is the CPU: leave out one of the two.")
        return FoundDevice(device=found.device), 0
    if gpu_layers == 0:
        raise DeviceError(f"gpu_layers is 0, but the device is {found.device.name}: leave out one of the two.")
    return found, _ALL_LAYERS if gpu_layers in (None, -1) else gpu_layers


def _is_memory_of(device: Device, buffer: str) -> bool:
    """Whether a buffer, named as in libllama's log, is in a device's memory.

    The name is the device's own (``CUDA0``, ``MTL0_Mapped``) or its backend's (``Metal``, ``OpenCL``);
    ``CUDA_Host`` and the like are main memory.
    """
    name = buffer.lower()
    if "_host" in name:
        return False
    return any(name == owner or name.startswith(f"{owner}_") for owner in (device.name.lower(), device.backend.lower()))
