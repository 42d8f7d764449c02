# SPDX-License-Identifier: Apache-2.0
"""Builds an ONNX graph and writes it to disk one weight at a time.

``onnx.save`` wants the whole model in memory, twice while it serialises. Here the nodes are an ordinary
``onnx.GraphProto``; the weights are only declared (name, type, shape, and how to get them) and are streamed into the
file behind the nodes. Protobuf allows the fields of a message in any order, so the result is an ordinary ``.onnx``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from .errors import ConversionError

__all__ = ["Graph", "Weight"]

Array = npt.NDArray[Any]

OPSET = 17
# Opset 17 belongs to IR version 8; the runtimes in question (onnxruntime >= 1.20) read both.
IR_VERSION = 8
CONTRIB = "com.microsoft"
# Protobuf cannot hold more in one message; ONNX then wants weights in side files, which a bundle does not have.
MAX_BYTES = 2**31 - 1

_MODEL_GRAPH = 7
_GRAPH_INITIALIZER = 5
_TENSOR_RAW_DATA = 9


@dataclass(frozen=True, kw_only=True)
class Weight:
    """A weight that is loaded when it is written.

    Attributes:
        shape: Its shape.
        load: Returns it as float32.
    """

    shape: tuple[int, ...]
    load: Callable[[], npt.NDArray[np.float32]]

    def map(self, change: Callable[[Array], Array], shape: tuple[int, ...]) -> Weight:
        """Return the weight after ``change``, which must give ``shape``."""
        return Weight(shape=shape, load=lambda: change(self.load()))


@dataclass(frozen=True, kw_only=True)
class _Stored:
    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    load: Callable[[], Array]

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    def header(self) -> bytes:
        """Everything of the TensorProto but the data."""
        import onnx

        proto = onnx.TensorProto(
            name=self.name, dims=self.shape, data_type=onnx.helper.np_dtype_to_tensor_dtype(self.dtype)
        )
        return bytes(proto.SerializeToString()) + _field_header(_TENSOR_RAW_DATA, self.nbytes)


class Graph:
    """A graph in the making. Values are named by strings, as in ONNX itself.

    Args:
        name: The graph's name.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._nodes: list[Any] = []
        self._weights: dict[str, _Stored] = {}
        self._contrib = False

    def node(self, operator: str, inputs: Sequence[str], *, contrib: bool = False, **attributes: Any) -> str:
        """Add a node with one output and return the output's name."""
        return self.nodes(operator, inputs, 1, contrib=contrib, **attributes)[0]

    def nodes(
        self, operator: str, inputs: Sequence[str], outputs: int, *, contrib: bool = False, **attributes: Any
    ) -> list[str]:
        """Add a node and return the names of its outputs; an empty input name is an input left out."""
        from onnx import helper

        label = f"{operator}_{len(self._nodes)}"
        names = [f"{label}.{i}" for i in range(outputs)]
        domain = CONTRIB if contrib else ""
        self._contrib = self._contrib or contrib
        self._nodes.append(helper.make_node(operator, inputs, names, name=label, domain=domain, **attributes))
        return names

    def store(self, name: str, dtype: npt.DTypeLike, shape: tuple[int, ...], load: Callable[[], Array]) -> str:
        """Declare a weight that ``load`` returns when the file is written; return its name."""
        if name in self._weights:
            raise ValueError(f"two weights named {name}")
        self._weights[name] = _Stored(name=name, dtype=np.dtype(dtype), shape=shape, load=load)
        return name

    def constant(self, name: str, value: Array) -> str:
        """Declare a small constant; the same name may be declared again for the same value."""
        if name not in self._weights:
            self.store(name, value.dtype, value.shape, lambda: value)
        return name

    def write(
        self,
        file: Path,
        *,
        inputs: dict[str, list[int | str]],
        outputs: dict[str, str],
        shapes: dict[str, list[int | str]],
    ) -> None:
        """Write the model.

        Args:
            file: Where to.
            inputs: Shape of every (float32) input, dynamic sizes by name.
            outputs: Outside name of every output -> inside name.
            shapes: Shape of every (float32) output.

        Raises:
            ConversionError: The file would be larger than a single ONNX file can be, or cannot be written.
        """
        prefix, graph = self._skeleton(inputs, outputs, shapes)
        headers = {name: stored.header() for name, stored in self._weights.items()}
        sizes = {name: len(header) + self._weights[name].nbytes for name, header in headers.items()}
        body = len(graph) + sum(len(_field_header(_GRAPH_INITIALIZER, size)) + size for size in sizes.values())
        total = len(prefix) + len(_field_header(_MODEL_GRAPH, body)) + body
        if total > MAX_BYTES:
            raise ConversionError(
                f"the file would have {total / 2**30:.1f} GiB, an ONNX file can have 2.",
                path=file,
                hint="Convert to a smaller precision, for example fp16 or int8.",
            )
        try:
            with file.open("wb") as stream:
                stream.write(prefix + _field_header(_MODEL_GRAPH, body) + graph)
                for name, header in headers.items():
                    stream.write(_field_header(_GRAPH_INITIALIZER, sizes[name]) + header)
                    _write_weight(stream, self._weights[name])
        except OSError as error:
            raise ConversionError(f"cannot be written ({error.strerror}).", path=file) from error

    def _skeleton(
        self, inputs: dict[str, list[int | str]], outputs: dict[str, str], shapes: dict[str, list[int | str]]
    ) -> tuple[bytes, bytes]:
        """The serialised model without its graph, and the serialised graph without its weights."""
        import onnx
        from onnx import helper

        ends = [helper.make_node("Identity", [inside], [outside]) for outside, inside in outputs.items()]
        graph = helper.make_graph(
            [*self._nodes, *ends],
            self._name,
            [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name, shape in inputs.items()],
            [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shapes[name]) for name in outputs],
        )
        opsets = [helper.make_opsetid("", OPSET)]
        if self._contrib:
            opsets.append(helper.make_opsetid(CONTRIB, 1))
        model = onnx.ModelProto(ir_version=IR_VERSION, producer_name="qwen-asr-plugin", opset_import=opsets)
        return bytes(model.SerializeToString()), bytes(graph.SerializeToString())


def _write_weight(stream: BinaryIO, stored: _Stored) -> None:
    data = np.asarray(stored.load(), order="C")
    if data.shape != stored.shape or data.dtype != stored.dtype:
        raise ValueError(f"{stored.name} is {data.dtype}{data.shape}, declared as {stored.dtype}{stored.shape}")
    little = data.astype(data.dtype.newbyteorder("<"), copy=False)
    stream.write(little.reshape(-1).view(np.uint8).data)


def _field_header(number: int, size: int) -> bytes:
    """Tag and length of a length-delimited protobuf field."""
    return bytes([number << 3 | 2]) + bytes(_varint(size))


def _varint(value: int) -> Iterator[int]:
    while value > 0x7F:
        yield value & 0x7F | 0x80
        value >>= 7
    yield value
