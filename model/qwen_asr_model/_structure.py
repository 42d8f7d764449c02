# SPDX-License-Identifier: Apache-2.0
"""Checks that a GGUF or ONNX file is whole, from its structure alone.

Both native libraries answer a cut-off file with an obscure message at best and a crash at worst. These checks touch
only the headers (memory-mapped), so they cost milliseconds whatever the file's size.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from qwen_asr_native.errors import ModelLoadError
from qwen_asr_native.gguf_file import GgufFile, check_model, read_gguf

from .errors import GgufDamagedError, OnnxDamagedError, WrongModelError

__all__ = ["check_gguf", "check_onnx"]

ARCHITECTURES = ("qwen3vl", "qwen3")
_MODEL_GRAPH, _GRAPH_INPUT = 7, 11
_AGAIN = "Copy the bundle again, or convert the checkpoint again."


def check_gguf(file: Path) -> GgufFile:
    """Check that a GGUF file holds all of its tensors.

    Args:
        file: The file.

    Returns:
        Its head.

    Raises:
        GgufDamagedError: It is not GGUF, cut off or corrupt.
        WrongModelError: It holds a model of another architecture.
    """
    try:
        head = read_gguf(file)
        architecture = head.metadata.get("general.architecture")
        if isinstance(architecture, str) and architecture not in ARCHITECTURES:
            raise WrongModelError(
                f"holds a model of architecture {architecture!r}.",
                path=file,
                hint=f"Needed: {' or '.join(ARCHITECTURES)}.",
            )
        check_model(file, head)
    except ModelLoadError as error:
        raise GgufDamagedError(str(error).removeprefix(f"{file}: "), path=file) from error
    return head


def check_onnx(file: Path) -> None:
    """Check that an ONNX file is one whole model message with a graph.

    Args:
        file: The file.

    Raises:
        OnnxDamagedError: It is not ONNX, cut off or corrupt.
    """
    inputs = 0
    with _mapped(file) as data:
        try:
            for number, begin, end in _fields(data, 0, len(data)):
                if number == _MODEL_GRAPH:
                    inputs += sum(field == _GRAPH_INPUT for field, _, _ in _fields(data, begin, end))
        except _BrokenError as error:
            raise OnnxDamagedError(f"cut off or corrupt ({error}).", path=file, hint=_AGAIN) from error
    if not inputs:
        raise OnnxDamagedError("not an ONNX model (no graph with inputs).", path=file, hint=_AGAIN)


class _BrokenError(ValueError):
    """Says what does not fit."""


@contextmanager
def _mapped(file: Path) -> Iterator[mmap.mmap]:
    try:
        with file.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
            yield data
    except OSError as error:
        raise OnnxDamagedError(f"cannot be read ({error.strerror}).", path=file) from error
    except ValueError as error:
        raise OnnxDamagedError("empty.", path=file, hint=_AGAIN) from error


def _fields(data: mmap.mmap, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Walk the fields of a protobuf message: number, first byte and end of each length-delimited one."""
    while at < end:
        tag, at = _varint(data, at, end)
        number, wire = tag >> 3, tag & 7
        if number == 0:
            raise _BrokenError(f"field 0 at byte {at}")
        if wire == 0:
            _, at = _varint(data, at, end)
        elif wire == 2:
            size, at = _varint(data, at, end)
            if at + size > end:
                raise _BrokenError(f"field {number} ends at byte {at + size}, the data at {end}")
            yield number, at, at + size
            at += size
        elif wire in (1, 5):
            at += 8 if wire == 1 else 4
        else:
            raise _BrokenError(f"wire type {wire} at byte {at}")
    if at != end:
        raise _BrokenError(f"a field ends at byte {at}, the data at {end}")


def _varint(data: mmap.mmap, at: int, end: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= end:
            raise _BrokenError(f"a number is cut off at byte {at}")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise _BrokenError(f"an endless number at byte {at}")
