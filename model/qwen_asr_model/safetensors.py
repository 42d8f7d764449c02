# SPDX-License-Identifier: Apache-2.0
"""Reads safetensors files: one file or a sharded folder, one tensor at a time.

The ``safetensors`` package cannot hand out bfloat16 as numpy arrays (numpy has no such type) without torch, and
bfloat16 is what the official checkpoints are stored in; hence this reader. The format: a little-endian u64 header
length, a JSON header with dtype, shape and byte range of every tensor, then the data.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ._json import read_json
from .errors import CheckpointError

__all__ = ["SafetensorsStore", "TensorEntry", "open_safetensors", "read_header"]

_ITEM_SIZE = {"BF16": 2, "F16": 2, "F32": 4}
# Official headers have some 100 kB. The format allows 100 MB, which as JSON could take gigabytes to parse.
_MAX_HEADER_BYTES = 16 << 20
_MAX_DIMENSIONS = 8
_MAX_BYTES = 1 << 48
_BLOCK_VALUES = 1 << 23
"""Values that are in memory at once while a tensor is streamed."""
_AGAIN = "Download the checkpoint again."


@dataclass(frozen=True, kw_only=True)
class TensorEntry:
    """Where one tensor lies.

    Attributes:
        file: The safetensors file.
        dtype: ``"BF16"``, ``"F16"`` or ``"F32"``.
        shape: Shape.
        offset: First byte, from the start of the file.
    """

    file: Path
    dtype: str
    shape: tuple[int, ...]
    offset: int


def read_header(file: Path) -> dict[str, TensorEntry]:
    """Parse and check the header of one safetensors file.

    Args:
        file: The file.

    Returns:
        Every tensor by name.

    Raises:
        CheckpointError: The file cannot be read, is not safetensors, is cut off, or has overlapping or unknown tensors.
    """
    try:
        size = file.stat().st_size
        with file.open("rb") as stream:
            prefix = stream.read(8)
            if len(prefix) < 8:
                raise CheckpointError(
                    f"only {size} bytes long, too short for a safetensors file.", path=file, hint=_AGAIN
                )
            (length,) = struct.unpack("<Q", prefix)
            if length > _MAX_HEADER_BYTES:
                raise CheckpointError("not a safetensors file (impossible header length).", path=file, hint=_AGAIN)
            if length > size - 8:
                raise CheckpointError(
                    f"cut off: the header has {length} bytes, the file only {size}.", path=file, hint=_AGAIN
                )
            text = stream.read(length)
    except OSError as error:
        raise CheckpointError(f"cannot be read ({error.strerror}).", path=file) from error
    try:
        header = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CheckpointError("not a safetensors file (the header is not JSON).", path=file, hint=_AGAIN) from error
    if not isinstance(header, dict):
        raise CheckpointError("not a safetensors file (the header is not a table).", path=file, hint=_AGAIN)
    header.pop("__metadata__", None)
    entries = {name: _entry(file, name, value, base=8 + length, size=size) for name, value in header.items()}
    end = 8 + length
    for name, entry in sorted(entries.items(), key=lambda item: item[1].offset):
        if entry.offset < end and math.prod(entry.shape):
            raise CheckpointError(f"corrupt: tensor {name} overlaps the one before it.", path=file, hint=_AGAIN)
        end = entry.offset + math.prod(entry.shape) * _ITEM_SIZE[entry.dtype]
    return entries


def _entry(file: Path, name: str, value: Any, *, base: int, size: int) -> TensorEntry:
    try:
        dtype, shape, (begin, end) = value["dtype"], tuple(value["shape"]), value["data_offsets"]
        numbers = (*shape, begin, end)
        if not isinstance(dtype, str) or len(shape) > _MAX_DIMENSIONS:
            raise TypeError
        if not all(isinstance(number, int) and -1 < number < _MAX_BYTES for number in numbers):
            raise ValueError
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"corrupt: the entry of tensor {name} is malformed.", path=file, hint=_AGAIN) from error
    if dtype not in _ITEM_SIZE:
        raise CheckpointError(
            f"tensor {name} is stored as {dtype}.", path=file, hint=f"Only {', '.join(_ITEM_SIZE)} can be converted."
        )
    if end - begin != math.prod(shape) * _ITEM_SIZE[dtype]:
        raise CheckpointError(
            f"corrupt: tensor {name} has {end - begin} bytes for shape {shape}.", path=file, hint=_AGAIN
        )
    if base + end > size:
        raise CheckpointError(
            f"cut off: tensor {name} ends at byte {base + end}, the file has {size}.", path=file, hint=_AGAIN
        )
    return TensorEntry(file=file, dtype=dtype, shape=shape, offset=base + begin)


class SafetensorsStore:
    """Tensors of a checkpoint; only what is being loaded takes memory.

    Args:
        entries: Every tensor by name.
    """

    def __init__(self, entries: Mapping[str, TensorEntry]) -> None:
        self._entries = dict(entries)

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of a tensor.

        Raises:
            CheckpointError: There is no such tensor.
        """
        return self._find(name).shape

    def load(self, name: str) -> npt.NDArray[np.float32]:
        """Read one tensor.

        Returns:
            A fresh float32 array in the tensor's shape.

        Raises:
            CheckpointError: There is no such tensor, the file cannot be read, or a value is not finite.
        """
        entry = self._find(name)
        return _read(name, entry, 0, math.prod(entry.shape)).reshape(entry.shape)

    def blocks(self, name: str) -> Iterator[npt.NDArray[np.float32]]:
        """Read one tensor a few rows at a time.

        Yields:
            Fresh float32 arrays that put together along the first axis are the tensor.

        Raises:
            CheckpointError: As `load`.
        """
        entry = self._find(name)
        rows, width = entry.shape[0] if entry.shape else 1, math.prod(entry.shape[1:])
        step = max(1, _BLOCK_VALUES // max(width, 1))
        for begin in range(0, rows, step):
            end = min(begin + step, rows)
            yield _read(name, entry, begin * width, end * width).reshape(-1, *entry.shape[1:])

    def _find(self, name: str) -> TensorEntry:
        try:
            return self._entries[name]
        except KeyError:
            raise CheckpointError(
                f"the checkpoint has no tensor {name}.", hint="Is it a Qwen3-ASR checkpoint in the official layout?"
            ) from None


def _read(name: str, entry: TensorEntry, begin: int, end: int) -> npt.NDArray[np.float32]:
    """Values ``begin`` to ``end`` of a tensor, float32 in one dimension."""
    raw_type = np.dtype({"F32": "<f4", "F16": "<f2", "BF16": "<u2"}[entry.dtype])
    try:
        raw = np.fromfile(entry.file, raw_type, end - begin, offset=entry.offset + begin * raw_type.itemsize)
    except OSError as error:
        raise CheckpointError(f"tensor {name} cannot be read ({error}).", path=entry.file) from error
    if len(raw) != end - begin:
        raise CheckpointError(f"tensor {name} cannot be read (cut off).", path=entry.file, hint=_AGAIN)
    if entry.dtype == "BF16":
        # bfloat16 is the upper half of a float32.
        wide = raw.astype(np.uint32)
        wide <<= np.uint32(16)
        values = wide.view(np.float32)
    else:
        values = raw.astype(np.float32)
    # The sum of finite values is finite here: in float64 nothing that float32 holds can overflow.
    if not np.isfinite(values.sum(dtype=np.float64)):
        raise CheckpointError(f"corrupt: tensor {name} holds values that are not finite.", path=entry.file)
    return values


def open_safetensors(folder: Path) -> SafetensorsStore:
    """Open ``model.safetensors`` or the shards that ``model.safetensors.index.json`` names.

    Args:
        folder: The checkpoint's folder.

    Returns:
        The tensors of all files.

    Raises:
        CheckpointError: Neither is there, a shard is missing, or a file is damaged.
    """
    single = folder / "model.safetensors"
    index = folder / "model.safetensors.index.json"
    if single.is_file():
        return SafetensorsStore(read_header(single))
    if not index.is_file():
        raise CheckpointError(
            f"no {single.name} and no {index.name} here.", path=folder, hint="Is this the folder of a checkpoint?"
        )
    try:
        weight_map = {str(name): str(file) for name, file in read_json(index)["weight_map"].items()}
    except (KeyError, TypeError, AttributeError) as error:
        raise CheckpointError("not a safetensors index.", path=index, hint=_AGAIN) from error
    headers: dict[str, dict[str, TensorEntry]] = {}
    for file in sorted(set(weight_map.values())):
        if Path(file).name != file:
            raise CheckpointError(f"the index names a file outside its folder: {file}.", path=index, hint=_AGAIN)
        headers[file] = read_header(folder / file)
    for name, file in weight_map.items():
        if name not in headers[file]:
            raise CheckpointError(f"tensor {name} is not in {file}, where the index says.", path=index, hint=_AGAIN)
    return SafetensorsStore({name: headers[file][name] for name, file in weight_map.items()})
