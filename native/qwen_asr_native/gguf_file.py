# SPDX-License-Identifier: Apache-2.0
"""Reads the head of a GGUF file, to refuse what would make libllama abort the process or fail without a reason.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. Little-endian versions 2 and 3; only the head is
read, tensor data is not touched.
"""

from __future__ import annotations

import math
import mmap
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qwen_asr_native.errors import ModelLoadError

__all__ = ["ArrayInfo", "GgufFile", "TensorInfo", "check_model", "read_array", "read_gguf"]

_STRING, _ARRAY = 8, 9
_SCALARS = {0: "B", 1: "b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "?", 10: "<Q", 11: "<q", 12: "<d"}
_MAX_DIMENSIONS = 4
# What a file may ask for. Real ones have hundreds of tensors, tens of keys and some 300 000 strings in arrays; a file
# of zeros or one made to annoy would otherwise be walked for minutes.
_MAX_ENTRIES = 1 << 16
_MAX_STRINGS = 1 << 22
_MAX_NESTING = 4
_MAX_ALIGNMENT = 1 << 20
_MAX_TENSOR_BYTES = 1 << 50
# Tensor type -> (elements in a block, bytes of a block). Types not listed are checked by offset only.
_BLOCKS = {
    0: (1, 4),  # F32
    1: (1, 2),  # F16
    2: (32, 18),  # Q4_0
    3: (32, 20),  # Q4_1
    6: (32, 22),  # Q5_0
    7: (32, 24),  # Q5_1
    8: (32, 34),  # Q8_0
    10: (256, 84),  # Q2_K
    11: (256, 110),  # Q3_K
    12: (256, 144),  # Q4_K
    13: (256, 176),  # Q5_K
    14: (256, 210),  # Q6_K
    20: (32, 18),  # IQ4_NL
    23: (256, 136),  # IQ4_XS
    30: (1, 2),  # BF16
}
_REQUIRED = ("block_count", "context_length", "embedding_length", "feed_forward_length", "attention.head_count")
_SIZES = ("attention.head_count_kv", "attention.key_length", "attention.value_length", "rope.dimension_count")
_MAX_LAYERS = 512
_MAX_SIZE = 1 << 24
# Arrays of the tokenizer: type number of their elements, and whether there is one element for each token.
_VOCABULARY = {
    "tokenizer.ggml.tokens": (_STRING, True),
    "tokenizer.ggml.token_type": (5, True),
    "tokenizer.ggml.scores": (6, True),
    "tokenizer.ggml.merges": (_STRING, False),
}
_SECTIONED = ("qwen2vl", "qwen3vl", "qwen3vlmoe")


@dataclass(frozen=True, kw_only=True)
class TensorInfo:
    """One tensor: name, ggml type number, shape (fastest dimension first), offset from the start of the data."""

    name: str
    type: int
    shape: tuple[int, ...]
    offset: int

    @property
    def size(self) -> int | None:
        """Bytes of data, None for a type this package does not know."""
        if self.type not in _BLOCKS:
            return None
        elements, size = _BLOCKS[self.type]
        return self.count // elements * size

    @property
    def count(self) -> int:
        """Number of values."""
        return math.prod(self.shape)


@dataclass(frozen=True, kw_only=True)
class ArrayInfo:
    """One array of the metadata: type number of its elements, how many, which bytes of the file; how many are empty."""

    type: int
    count: int
    start: int
    end: int
    empty: int = 0


@dataclass(frozen=True, kw_only=True)
class GgufFile:
    """The head of a file.

    Attributes:
        metadata: Scalars and strings by key; of an array only its number of elements.
        arrays: Where the arrays are, by key; `read_array` reads one.
        tensors: The tensors by name.
        data_start: Offset of the tensor data in the file.
        file_size: Bytes of the file.
    """

    metadata: dict[str, Any]
    arrays: dict[str, ArrayInfo]
    tensors: dict[str, TensorInfo]
    data_start: int
    file_size: int


def read_gguf(path: Path) -> GgufFile:
    """Read the head of a GGUF file and check that the tensor data is all there.

    Raises:
        ModelLoadError: The file is missing, no GGUF file, or cut off.
    """
    with _opened(path) as data:
        size = len(data)
        head = _Reader(data).head(size)
    for tensor in head.tensors.values():
        end = head.data_start + tensor.offset + (tensor.size or 0)
        if end > size:
            raise ModelLoadError(
                f"{path}: the file is cut off: tensor {tensor.name} ends at byte {end}, the file at {size}. "
                "Download or convert the model again."
            )
    return head


def read_array(path: Path, head: GgufFile, key: str) -> list[Any]:
    """Read one array of the metadata.

    Args:
        path: The file ``head`` was read from.
        head: What `read_gguf` returned.
        key: The array's key.

    Returns:
        Its strings or numbers; empty where there is no such array, or it holds arrays.

    Raises:
        ModelLoadError: The file cannot be read any more, or is not what it was, or a string is no UTF-8.
    """
    info = head.arrays.get(key)
    if info is None or info.type == _ARRAY:
        return []
    with _opened(path) as data:
        return _Reader(data).array(info)


def check_model(path: Path, head: GgufFile) -> None:
    """Check that everything libllama needs for a text model is in the head.

    Raises:
        ModelLoadError: Something is missing or contradicts itself.
    """
    architecture = head.metadata.get("general.architecture")
    if not isinstance(architecture, str):
        raise ModelLoadError(f"{path}: not a model: the key general.architecture is missing.")
    required = [f"{architecture}.{key}" for key in _REQUIRED] + ["tokenizer.ggml.model", "tokenizer.ggml.tokens"]
    if architecture in _SECTIONED:
        required.append(f"{architecture}.rope.dimension_sections")
    missing = [key for key in required if key not in head.metadata]
    if missing:
        raise ModelLoadError(f"{path}: not a complete {architecture} model: missing {', '.join(missing)}.")
    _check_sizes(path, head, architecture)
    _check_vocabulary(path, head)
    embedding = head.tensors.get("token_embd.weight")
    if embedding is None:
        raise ModelLoadError(f"{path}: not a complete {architecture} model: missing tensor token_embd.weight.")
    expected = (head.metadata[f"{architecture}.embedding_length"], head.metadata["tokenizer.ggml.tokens"])
    if embedding.shape != expected:
        raise ModelLoadError(
            f"{path}: the token table is {embedding.shape}, but the metadata say {expected} (embedding length, tokens)."
        )


def _check_sizes(path: Path, head: GgufFile, architecture: str) -> None:
    """Refuse sizes that libllama asserts or divides by."""
    for key in (*_REQUIRED, *_SIZES):
        name = f"{architecture}.{key}"
        if name not in head.metadata or name in head.arrays:  # some models have a number for every layer
            continue
        value = head.metadata[name]
        limit = _MAX_LAYERS if key == "block_count" else _MAX_SIZE
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= limit:
            raise ModelLoadError(f"{path}: {name} cannot be {value!r}: the file is damaged.")


def _check_vocabulary(path: Path, head: GgufFile) -> None:
    """Refuse arrays that libllama reads beyond their end, or asserts something about."""
    count = head.metadata["tokenizer.ggml.tokens"]
    for key, (kind, whole) in _VOCABULARY.items():
        info = head.arrays.get(key)
        if info is None and key not in head.metadata:
            continue
        if info is None or info.type != kind or (whole and info.count != count):
            raise ModelLoadError(f"{path}: {key} is not the list it should be: the file is damaged.")
        if info.empty:
            raise ModelLoadError(f"{path}: {key} has {info.empty} empty entries: the file is damaged.")
    with _opened(path) as data:
        twice = _Reader(data).repeated(head.arrays["tokenizer.ggml.tokens"])
    if twice is not None:  # ``ik`` libraries abort
        raise ModelLoadError(f"{path}: the vocabulary has {twice[:64]!r} twice: the file is damaged.")


class _NotGgufError(Exception):
    """The bytes are not a GGUF file this package reads."""


@contextmanager
def _opened(path: Path) -> Iterator[mmap.mmap]:
    """The mapped file; what reading it raises becomes a `ModelLoadError`."""
    size = 0
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size == 0:
                raise ModelLoadError(f"{path}: the file is empty. Download or convert the model again.")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                yield data
    except FileNotFoundError as error:
        raise ModelLoadError(f"{path}: no such file.") from error
    except OSError as error:
        raise ModelLoadError(f"{path}: cannot be read: {error.strerror or error}.") from error
    except _NotGgufError as error:
        raise ModelLoadError(f"{path}: {error}.") from error
    except (struct.error, IndexError, UnicodeDecodeError, OverflowError, MemoryError) as error:
        raise ModelLoadError(
            f"{path}: the file is cut off or damaged in its head ({size} bytes). Download or convert the model again."
        ) from error


class _Reader:
    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self._at = 0
        self._strings = 0

    def head(self, file_size: int) -> GgufFile:
        if self._data[:4] != b"GGUF":
            raise _NotGgufError("not a GGUF file (it does not begin with 'GGUF')")
        self._at = 4
        version = self._scalar("<I")
        if version not in (2, 3):
            raise _NotGgufError(f"GGUF version {version:#x} is not supported (2 and 3, little-endian, are)")
        tensor_count, key_count = self._scalar("<Q"), self._scalar("<Q")
        if max(tensor_count, key_count) > _MAX_ENTRIES:
            raise OverflowError
        metadata: dict[str, Any] = {}
        arrays: dict[str, ArrayInfo] = {}
        for _ in range(key_count):
            key, kind = self._string(), self._scalar("<I")
            if key in metadata:
                raise _NotGgufError(f"the key {key[:64]!r} is there twice; the file is damaged")
            if kind == _ARRAY:
                arrays[key] = self._array_info()
                metadata[key] = arrays[key].count
            else:
                metadata[key] = self._value(kind)
        tensors: dict[str, TensorInfo] = {}
        for _ in range(tensor_count):
            tensor = self._tensor()
            if tensor.name in tensors:
                raise _NotGgufError(f"tensor {tensor.name[:64]!r} is there twice; the file is damaged")
            tensors[tensor.name] = tensor
        alignment = metadata.get("general.alignment", 32)
        if not isinstance(alignment, int) or not 8 <= alignment <= _MAX_ALIGNMENT or alignment % 8:
            raise _NotGgufError(f"general.alignment is {alignment!r}; the file is damaged")
        start = -(-self._at // alignment) * alignment
        return GgufFile(metadata=metadata, arrays=arrays, tensors=tensors, data_start=start, file_size=file_size)

    def array(self, info: ArrayInfo) -> list[Any]:
        self._at = info.start
        if info.type == _STRING:
            return [self._string() for _ in range(info.count)]
        return list(struct.unpack_from(f"<{info.count}{_SCALARS[info.type][-1]}", self._data, info.start))

    def repeated(self, info: ArrayInfo) -> str | None:
        """The first string of an array that was there before."""
        seen: set[bytes] = set()
        at, data, length_of = info.start, self._data, struct.Struct("<Q").unpack_from
        for _ in range(info.count):
            begin = at + 8
            at = begin + length_of(data, at)[0]
            text = data[begin:at]
            if text in seen:
                return text.decode("utf-8", "replace")
            seen.add(text)
        return None

    def _tensor(self) -> TensorInfo:
        name = self._string()
        dimensions = self._scalar("<I")
        if dimensions > _MAX_DIMENSIONS:
            raise _NotGgufError(f"tensor {name[:64]!r} has {dimensions} dimensions; the file is damaged")
        shape = tuple(self._scalar("<Q") for _ in range(dimensions))
        kind, offset = self._scalar("<I"), self._scalar("<Q")
        tensor = TensorInfo(name=name, type=kind, shape=shape, offset=offset)
        elements, _ = _BLOCKS.get(kind, (1, 1))
        if 0 in shape or (shape and shape[0] % elements) or max(tensor.count, offset) > _MAX_TENSOR_BYTES:
            raise _NotGgufError(f"tensor {name[:64]!r} cannot have the shape {shape}; the file is damaged")
        return tensor

    def _scalar(self, code: str) -> Any:
        (value,) = struct.unpack_from(code, self._data, self._at)
        self._at += struct.calcsize(code)
        return value

    def _string(self) -> str:
        length = self._scalar("<Q")
        text = self._data[self._at : self._at + length]
        if len(text) != length:
            raise IndexError
        self._at += length
        return text.decode("utf-8")

    def _value(self, kind: int) -> Any:
        if kind == _STRING:
            return self._string()
        if kind not in _SCALARS:
            raise _NotGgufError(f"unknown value type {kind}; the file is damaged")
        return self._scalar(_SCALARS[kind])

    def _array_info(self, depth: int = 1) -> ArrayInfo:
        kind, count = self._scalar("<I"), int(self._scalar("<Q"))
        start, empty = self._at, 0
        if kind in (_STRING, _ARRAY):
            self._strings += count
            if depth > _MAX_NESTING or self._strings > _MAX_STRINGS:
                raise _NotGgufError(f"it claims an array of {count} elements; the file is damaged")
        if kind == _STRING:  # hundreds of thousands of tokens: the loop is kept bare
            at, data, length_of = self._at, self._data, struct.Struct("<Q").unpack_from
            for _ in range(count):
                (length,) = length_of(data, at)
                if not length:
                    empty += 1
                at += 8 + length
            self._at = at
        elif kind == _ARRAY:
            for _ in range(count):
                self._array_info(depth + 1)
        elif kind in _SCALARS:
            self._at += struct.calcsize(_SCALARS[kind]) * count
        else:
            raise _NotGgufError(f"unknown array type {kind}; the file is damaged")
        if self._at > len(self._data):
            raise IndexError
        return ArrayInfo(type=kind, count=count, start=start, end=self._at, empty=empty)
