# SPDX-License-Identifier: Apache-2.0
"""Reads the head of a GGUF file, to refuse what would make libllama abort the process or fail without a reason.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. Little-endian versions 2 and 3; only the head is
read, tensor data is not touched.
"""

from __future__ import annotations

import mmap
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qwen_asr_native.errors import ModelLoadError

__all__ = ["GgufFile", "TensorInfo", "check_model", "read_gguf"]

_STRING, _ARRAY = 8, 9
_SCALARS = {0: "B", 1: "b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "?", 10: "<Q", 11: "<q", 12: "<d"}
_MAX_DIMENSIONS = 4
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
        count = 1
        for dimension in self.shape:
            count *= dimension
        return count // elements * size


@dataclass(frozen=True, kw_only=True)
class GgufFile:
    """The head of a file.

    Attributes:
        metadata: Scalars and strings by key; of an array only its number of elements.
        tensors: The tensors by name.
        data_start: Offset of the tensor data in the file.
        file_size: Bytes of the file.
    """

    metadata: dict[str, Any]
    tensors: dict[str, TensorInfo]
    data_start: int
    file_size: int


def read_gguf(path: Path) -> GgufFile:
    """Read the head of a GGUF file and check that the tensor data is all there.

    Raises:
        ModelLoadError: The file is missing, no GGUF file, or cut off.
    """
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size == 0:
                raise ModelLoadError(f"{path}: the file is empty. Download or convert the model again.")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                head = _Reader(data).head(size)
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
    for tensor in head.tensors.values():
        end = head.data_start + tensor.offset + (tensor.size or 0)
        if end > size:
            raise ModelLoadError(
                f"{path}: the file is cut off: tensor {tensor.name} ends at byte {end}, the file at {size}. "
                "Download or convert the model again."
            )
    return head


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
    embedding = head.tensors.get("token_embd.weight")
    if embedding is None:
        raise ModelLoadError(f"{path}: not a complete {architecture} model: missing tensor token_embd.weight.")
    expected = (head.metadata[f"{architecture}.embedding_length"], head.metadata["tokenizer.ggml.tokens"])
    if embedding.shape != expected:
        raise ModelLoadError(
            f"{path}: the token table is {embedding.shape}, but the metadata say {expected} (embedding length, tokens)."
        )


class _NotGgufError(Exception):
    """The bytes are not a GGUF file this package reads."""


class _Reader:
    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self._at = 0

    def head(self, file_size: int) -> GgufFile:
        if self._data[:4] != b"GGUF":
            raise _NotGgufError("not a GGUF file (it does not begin with 'GGUF')")
        self._at = 4
        version = self._scalar("<I")
        if version not in (2, 3):
            raise _NotGgufError(f"GGUF version {version:#x} is not supported (2 and 3, little-endian, are)")
        tensor_count, key_count = self._scalar("<Q"), self._scalar("<Q")
        metadata: dict[str, Any] = {}
        for _ in range(key_count):
            key = self._string()
            metadata[key] = self._value(self._scalar("<I"))
        tensors = {}
        for _ in range(tensor_count):
            name = self._string()
            dimensions = self._scalar("<I")
            if dimensions > _MAX_DIMENSIONS:
                raise _NotGgufError(f"tensor {name} has {dimensions} dimensions; the file is damaged")
            shape = tuple(self._scalar("<Q") for _ in range(dimensions))
            kind, offset = self._scalar("<I"), self._scalar("<Q")
            tensors[name] = TensorInfo(name=name, type=kind, shape=shape, offset=offset)
        alignment = int(metadata.get("general.alignment") or 32)
        start = -(-self._at // alignment) * alignment
        return GgufFile(metadata=metadata, tensors=tensors, data_start=start, file_size=file_size)

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
        if kind == _ARRAY:
            return self._skip_array()
        if kind not in _SCALARS:
            raise _NotGgufError(f"unknown value type {kind}; the file is damaged")
        return self._scalar(_SCALARS[kind])

    def _skip_array(self) -> int:
        kind, count = self._scalar("<I"), int(self._scalar("<Q"))
        if kind == _STRING:  # hundreds of thousands of tokens: the loop is kept bare
            at, data, length_of = self._at, self._data, struct.Struct("<Q").unpack_from
            for _ in range(count):
                at += 8 + length_of(data, at)[0]
            self._at = at
        elif kind == _ARRAY:
            for _ in range(count):
                self._skip_array()
        elif kind in _SCALARS:
            self._at += struct.calcsize(_SCALARS[kind]) * count
        else:
            raise _NotGgufError(f"unknown array type {kind}; the file is damaged")
        return count
