# SPDX-License-Identifier: Apache-2.0
"""Reads what an ONNX file says about itself, without onnx and without its weights.

Only the protobuf fields that matter are walked, memory-mapped: the graph's inputs and outputs, the names of its
operators, and name, type and shape of its weights. Field numbers: ``onnx.proto3`` of https://github.com/onnx/onnx.
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .errors import OnnxDamagedError

__all__ = ["FLOAT", "FLOAT16", "OnnxHead", "OnnxValue", "read_onnx"]

FLOAT, UINT8, INT8, FLOAT16 = 1, 2, 3, 10
"""Numbers of element types."""
_MODEL_GRAPH = 7
_GRAPH_NODE, _GRAPH_INITIALIZER, _GRAPH_INPUT, _GRAPH_OUTPUT = 1, 5, 11, 12
_NODE_OPERATOR, _NODE_ATTRIBUTE = 4, 5
_ATTRIBUTE_NAME, _ATTRIBUTE_INT = 1, 3
_TENSOR_DIMS, _TENSOR_TYPE, _TENSOR_NAME, _TENSOR_RAW, _TENSOR_EXTERNAL, _TENSOR_LOCATION = 1, 2, 8, 9, 13, 14
_VALUE_NAME, _VALUE_TYPE = 1, 2
_TYPE_TENSOR, _TYPE_ELEMENT, _TYPE_SHAPE, _SHAPE_DIM, _DIM_VALUE = 1, 1, 2, 1, 1
# An encoder has some thousand nodes of a dozen fields each; a file of empty fields would be walked for minutes.
_MAX_FIELDS = 1_000_000
_MAX_NAME = 4096
_MAX_DIMENSIONS = 8
_BYTES = {FLOAT: 4, UINT8: 1, INT8: 1, FLOAT16: 2}
_AGAIN = "Copy the bundle again, or convert the checkpoint again."


@dataclass(frozen=True, kw_only=True)
class OnnxValue:
    """An input, an output or a weight: name, number of the element type, shape (None: free)."""

    name: str
    type: int
    shape: tuple[int | None, ...]


@dataclass(frozen=True, kw_only=True)
class OnnxHead:
    """What a graph takes, gives, and is made of.

    Attributes:
        inputs: The inputs that are no weights.
        outputs: The outputs.
        weights: The weights.
        operators: How often each operator occurs.
        packed_bits: Bits of the weights of ``MatMulNBits`` operators -> how many such operators.
    """

    inputs: tuple[OnnxValue, ...]
    outputs: tuple[OnnxValue, ...]
    weights: tuple[OnnxValue, ...]
    operators: dict[str, int]
    packed_bits: dict[int, int]

    @property
    def precision(self) -> str:
        """What most of the weights are stored as: ``fp32``, ``fp16``, ``int8`` or ``int4``."""
        if self.packed_bits.get(4):
            return "int4"
        found = {FLOAT: 0, FLOAT16: 0, INT8: 0, UINT8: 0}
        for weight in self.weights:
            if weight.type in found:
                found[weight.type] += math.prod(size or 0 for size in weight.shape)
        if found[INT8] + found[UINT8] > max(found[FLOAT], found[FLOAT16]) or self.packed_bits:
            return "int8"
        return "fp16" if found[FLOAT16] > found[FLOAT] else "fp32"


def read_onnx(file: Path) -> OnnxHead:
    """Read the head of an ONNX file and check that it is one whole message with a graph.

    Args:
        file: The file.

    Returns:
        What it says about itself.

    Raises:
        OnnxDamagedError: It is not ONNX, cut off or corrupt, or wants weights from other files.
    """
    with _mapped(file) as data:
        try:
            head = _Reader(data).model()
        except _BrokenError as error:
            raise OnnxDamagedError(f"cut off or corrupt ({error}).", path=file, hint=_AGAIN) from error
    if head is None or not head.inputs:
        raise OnnxDamagedError("not an ONNX model (no graph with inputs).", path=file, hint=_AGAIN)
    return head


class _BrokenError(ValueError):
    """Says what does not fit."""


@contextmanager
def _mapped(file: Path) -> Iterator[mmap.mmap]:
    try:
        with file.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
            yield data
    except OSError as error:
        raise OnnxDamagedError(f"cannot be read ({error.strerror}).", path=file) from error
    except OnnxDamagedError:
        raise
    except ValueError as error:
        raise OnnxDamagedError("empty.", path=file, hint=_AGAIN) from error


class _Reader:
    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self._walked = 0

    def model(self) -> OnnxHead | None:
        graphs = [span for number, span in self._messages(0, len(self._data)) if number == _MODEL_GRAPH]
        if len(graphs) > 1:
            raise _BrokenError(f"{len(graphs)} graphs")
        return self._graph(*graphs[0]) if graphs else None

    def _graph(self, begin: int, end: int) -> OnnxHead:
        inputs, outputs, weights = [], [], []
        operators: dict[str, int] = {}
        packed: dict[int, int] = {}
        for number, span in self._messages(begin, end):
            if number == _GRAPH_INITIALIZER:
                weights.append(self._weight(*span))
            elif number == _GRAPH_INPUT:
                inputs.append(self._value(*span))
            elif number == _GRAPH_OUTPUT:
                outputs.append(self._value(*span))
            elif number == _GRAPH_NODE:
                operator, bits = self._node(*span)
                operators[operator] = operators.get(operator, 0) + 1
                if operator == "MatMulNBits":
                    packed[bits] = packed.get(bits, 0) + 1
        names = {weight.name for weight in weights}
        return OnnxHead(
            # Old files list their weights among the inputs.
            inputs=tuple(value for value in inputs if value.name not in names),
            outputs=tuple(outputs),
            weights=tuple(weights),
            operators=operators,
            packed_bits=packed,
        )

    def _node(self, begin: int, end: int) -> tuple[str, int]:
        operator, bits = "", 4
        for number, span in self._messages(begin, end):
            if number == _NODE_OPERATOR:
                operator = self._text(*span)
            elif number == _NODE_ATTRIBUTE:
                name, value = "", 0
                for field, content in self._fields(*span):
                    if field == _ATTRIBUTE_NAME and isinstance(content, tuple):
                        name = self._text(*content)
                    elif field == _ATTRIBUTE_INT and isinstance(content, int):
                        value = content
                if name == "bits":
                    bits = value
        return operator, bits

    def _weight(self, begin: int, end: int) -> OnnxValue:
        name, kind, shape, raw = "", 0, [], None
        for number, content in self._fields(begin, end):
            if number == _TENSOR_DIMS:
                shape += [content] if isinstance(content, int) else self._packed(*content)
            elif number == _TENSOR_TYPE and isinstance(content, int):
                kind = content
            elif number == _TENSOR_NAME and isinstance(content, tuple):
                name = self._text(*content)
            elif number == _TENSOR_RAW and isinstance(content, tuple):
                raw = content[1] - content[0]
            elif number == _TENSOR_EXTERNAL or (number == _TENSOR_LOCATION and content):
                raise _BrokenError(f"weight {name!r} lies in another file")
        if len(shape) > _MAX_DIMENSIONS or (
            raw is not None and kind in _BYTES and raw != math.prod(shape) * _BYTES[kind]
        ):
            raise _BrokenError(f"weight {name!r} has {raw} bytes for shape {shape[:_MAX_DIMENSIONS]}")
        return OnnxValue(name=name, type=kind, shape=tuple(shape))

    def _value(self, begin: int, end: int) -> OnnxValue:
        name, kind = "", 0
        shape: list[int | None] = []
        for number, span in self._messages(begin, end):
            if number == _VALUE_NAME:
                name = self._text(*span)
            elif number == _VALUE_TYPE:
                for _, tensor in (field for field in self._messages(*span) if field[0] == _TYPE_TENSOR):
                    for field, content in self._fields(*tensor):
                        if field == _TYPE_ELEMENT and isinstance(content, int):
                            kind = content
                        elif field == _TYPE_SHAPE and isinstance(content, tuple):
                            shape = [self._dimension(*dim) for n, dim in self._messages(*content) if n == _SHAPE_DIM]
        return OnnxValue(name=name, type=kind, shape=tuple(shape))

    def _dimension(self, begin: int, end: int) -> int | None:
        for number, content in self._fields(begin, end):
            if number == _DIM_VALUE and isinstance(content, int):
                return content
        return None

    def _packed(self, begin: int, end: int) -> list[int]:
        values: list[int] = []
        while begin < end and len(values) <= _MAX_DIMENSIONS:
            value, begin = self._varint(begin, end)
            values.append(value)
        return values

    def _text(self, begin: int, end: int) -> str:
        if end - begin > _MAX_NAME:
            raise _BrokenError(f"a name of {end - begin} bytes")
        return self._data[begin:end].decode("utf-8", "replace")

    def _messages(self, begin: int, end: int) -> Iterator[tuple[int, tuple[int, int]]]:
        """The length-delimited fields of a message: number, first byte and end."""
        for number, content in self._fields(begin, end):
            if isinstance(content, tuple):
                yield number, content

    def _fields(self, at: int, end: int) -> Iterator[tuple[int, int | tuple[int, int]]]:
        """The fields of a message: number, and value of a varint or first byte and end of a length-delimited one."""
        while at < end:
            self._walked += 1
            if self._walked > _MAX_FIELDS:
                raise _BrokenError(f"more than {_MAX_FIELDS} fields")
            tag, at = self._varint(at, end)
            number, wire = tag >> 3, tag & 7
            if number == 0:
                raise _BrokenError(f"field 0 at byte {at}")
            if wire == 0:
                value, at = self._varint(at, end)
                yield number, value
            elif wire == 2:
                size, at = self._varint(at, end)
                if at + size > end:
                    raise _BrokenError(f"field {number} ends at byte {at + size}, the data at {end}")
                yield number, (at, at + size)
                at += size
            elif wire in (1, 5):
                at += 8 if wire == 1 else 4
            else:
                raise _BrokenError(f"wire type {wire} at byte {at}")
        if at != end:
            raise _BrokenError(f"a field ends at byte {at}, the data at {end}")

    def _varint(self, at: int, end: int) -> tuple[int, int]:
        data, value = self._data, 0
        for shift in range(0, 70, 7):
            if at >= end:
                raise _BrokenError(f"a number is cut off at byte {at}")
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value, at
        raise _BrokenError(f"an endless number at byte {at}")
