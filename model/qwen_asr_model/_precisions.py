# SPDX-License-Identifier: Apache-2.0
"""How the encoder's weights are stored and multiplied, one class per precision.

Inputs and outputs of every graph are float32; a precision only decides what a layer does inside.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from ._onnx_file import Array, Graph, Weight
from .errors import ConversionError

__all__ = ["PRECISIONS", "Int8", "Precision", "make_precision"]

PRECISIONS = ("fp32", "fp16", "int8", "int4")
INT4_BLOCK = 32
EDGE_BLOCK = 128
EDGES = frozenset({"conv_out", "proj1", "proj2"})
"""The first and the last products: what they lose, no other layer makes good. About a twentieth of the weights."""
SENSITIVE = "self_attn."
"""The products around attention, a third of a layer's weights: their errors count twice as much as all others.

In 8 bits the output's cosine with float32 is at least 0.988 on random checkpoints of up to 8 layers (with 4 bits here
0.97 on the worst of 20), and onnxruntime multiplies blocks of 128 bytes half as fast again as 4-bit blocks of 32.
"""
# Scales to try, in parts of the one that lets the largest value be the lowest level, and rows tried at once.
_TRIED_SCALES = (1.0, 1.08, 0.94, 0.88, 0.82, 0.76)
_ROWS_AT_ONCE = 256


class Precision(Protocol):
    """Stores weights in a graph and multiplies by them."""

    def gelu(self, graph: Graph, x: str) -> str:
        """Add the GELU of ``x``."""

    def weight(self, graph: Graph, name: str, weight: Weight) -> str:
        """Store a weight that is used as float32 and return the float32 value's name."""

    def linear(self, graph: Graph, x: str, name: str, weight: Weight, bias: Weight | None) -> str:
        """Add ``x @ weight.T + bias``; ``weight`` is ``[out, in]``, the last axis of ``x`` is ``in``."""


class Float:
    """Weights as float32 or float16; arithmetic is float32 either way.

    float16 is a storage format: a Cast turns each weight into float32, and onnxruntime folds it away while loading.

    Args:
        dtype: Type the weights are stored in.
    """

    def __init__(self, dtype: npt.DTypeLike) -> None:
        self._dtype = np.dtype(dtype)

    def gelu(self, graph: Graph, x: str) -> str:
        """See `Precision.gelu`: the exact one (erf); ONNX itself has it only from opset 20 on."""
        return graph.node("Gelu", [x], contrib=True)

    def weight(self, graph: Graph, name: str, weight: Weight) -> str:
        """See `Precision.weight`."""
        if self._dtype == np.float32:
            return graph.store(name, np.float32, weight.shape, weight.load)
        half = graph.store(name, np.float16, weight.shape, lambda: _to_half(name, weight.load()))
        return graph.node("Cast", [half], to=1)

    def linear(self, graph: Graph, x: str, name: str, weight: Weight, bias: Weight | None) -> str:
        """See `Precision.linear`."""
        rows, columns = weight.shape
        y = graph.node("MatMul", [x, self.weight(graph, f"{name}.weight", weight.map(np.transpose, (columns, rows)))])
        return y if bias is None else graph.node("Add", [y, self.weight(graph, f"{name}.bias", bias)])


class Int8:
    """Signed weights, symmetric with one scale per output; activations become unsigned bytes at run time."""

    def gelu(self, graph: Graph, x: str) -> str:
        """See `Precision.gelu`: the form with tanh, a fifth faster. It is at most 0.0005 off; a byte's step is 0.01."""
        return graph.node("FastGelu", [x], contrib=True)

    def weight(self, graph: Graph, name: str, weight: Weight) -> str:
        """See `Precision.weight`; what is no matrix stays float32."""
        return graph.store(name, np.float32, weight.shape, weight.load)

    def linear(self, graph: Graph, x: str, name: str, weight: Weight, bias: Weight | None) -> str:
        """See `Precision.linear`."""
        matrix, scale = self._matrix(graph, name, weight)
        inputs = [x, matrix, scale, ""]
        if bias is not None:
            inputs.append(self.weight(graph, f"{name}.bias", bias))
        return graph.node("DynamicQuantizeMatMul", inputs, contrib=True)

    def patches(
        self, graph: Graph, x: str, name: str, weight: Weight, bias: Weight, unfold: Callable[[str, str], str]
    ) -> str:
        """Add a convolution as a product: ``unfold(x, padding) @ weight.T + bias``.

        ``x`` is quantised before it is unfolded: nine times fewer values to quantise and to copy.
        """
        matrix, scale = self._matrix(graph, name, weight)
        values, x_scale, x_zero = graph.nodes("DynamicQuantizeLinear", [x], 3)
        inputs = [unfold(values, x_zero), matrix, x_scale, scale, x_zero, "", self.weight(graph, f"{name}.bias", bias)]
        return graph.node("MatMulIntegerToFloat", inputs, contrib=True)

    def _matrix(self, graph: Graph, name: str, weight: Weight) -> tuple[str, str]:
        rows, columns = weight.shape

        def quantise() -> tuple[Array, Array]:
            return quantise_rows(weight.load())

        matrix = graph.store(f"{name}.weight", np.int8, (columns, rows), lambda: quantise()[0].T)
        return matrix, graph.store(f"{name}.scale", np.float32, (rows,), lambda: quantise()[1])


class Int4(Int8):
    """4-bit weights in blocks along the input, symmetric; 8 bits where it counts most; convolutions as in `Int8`."""

    def linear(self, graph: Graph, x: str, name: str, weight: Weight, bias: Weight | None) -> str:
        """See `Precision.linear`."""
        rows, columns = weight.shape
        bits, block = 4, INT4_BLOCK
        if name in EDGES:
            bits, block = 8, EDGE_BLOCK
        elif SENSITIVE in name:
            bits, block = 8, INT4_BLOCK if columns % EDGE_BLOCK else EDGE_BLOCK  # a block begun is a block stored
        blocks = -(-columns // block)

        def quantise() -> tuple[Array, Array]:
            return quantise_blocks(weight.load(), bits, block)

        packed = graph.store(f"{name}.weight", np.uint8, (rows, blocks, block * bits // 8), lambda: quantise()[0])
        scales = graph.store(f"{name}.scale", np.float32, (rows * blocks,), lambda: quantise()[1])
        # Accuracy level 4: activations are quantised to bytes per block, the fastest kernel on CPUs.
        y = graph.node(
            "MatMulNBits",
            [x, packed, scales],
            contrib=True,
            K=columns,
            N=rows,
            bits=bits,
            block_size=block,
            accuracy_level=4,
        )
        return y if bias is None else graph.node("Add", [y, self.weight(graph, f"{name}.bias", bias)])


def make_precision(name: str) -> Precision:
    """Return the precision called ``name``.

    Raises:
        ConversionError: There is none of that name.
    """
    if name == "fp32":
        return Float(np.float32)
    if name == "fp16":
        return Float(np.float16)
    if name == "int8":
        return Int8()
    if name == "int4":
        return Int4()
    raise ConversionError(f"unknown precision {name!r}.", hint=f"Known: {', '.join(PRECISIONS)}.")


def quantise_rows(matrix: Array) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    """Quantise each row of ``[out, in]`` to signed bytes that no CPU can overflow with.

    Without VNNI, x86 adds the products of two neighbouring inputs (unsigned activation times signed weight) in 16 bits,
    saturating. The usual remedy, 7-bit weights, doubles the error. But 255 * 128 still fits: it is enough that no two
    neighbours of one sign add up to more than 128, and scaling each row by its largest such sum (rounding adds at most
    one) costs almost nothing. So all machines compute the same integers.

    Returns:
        Integers in the same shape, and one scale per row.
    """
    padded = np.pad(matrix, ((0, 0), (0, 1)))
    positive, negative = np.maximum(padded, 0), np.maximum(-padded, 0)
    sums = np.maximum(positive[:, 1:] + positive[:, :-1], negative[:, 1:] + negative[:, :-1])
    scale = sums.max(axis=1).astype(np.float32) / np.float32(127)
    scale[scale == 0] = 1
    return np.rint(matrix / scale[:, None]).astype(np.int8), scale


def quantise_blocks(matrix: Array, bits: int, block: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
    """Quantise ``[out, in]`` to 4 or 8 bits in the layout of the ``MatMulNBits`` operator.

    First the value of largest magnitude in a block becomes the lowest level, so that all levels are used. At 4 bits,
    where it pays, some wider and narrower scales are tried, too, each followed by the scale that fits its levels best
    (least squares), and the one with the smallest squared error is kept.

    Returns:
        ``[out, blocks, block * bits / 8]``; of two 4-bit values in a byte the earlier is in the low half. And one scale
        per block.
    """
    rows, columns = matrix.shape
    middle = 1 << (bits - 1)
    tried = _TRIED_SCALES if bits == 4 else _TRIED_SCALES[:1]
    levels = np.empty((rows, -(-columns // block), block), np.uint8)
    scales = np.empty(levels.shape[:2], np.float32)
    for at in range(0, rows, _ROWS_AT_ONCE):
        part = slice(at, at + _ROWS_AT_ONCE)
        values = np.pad(matrix[part], ((0, 0), (0, -columns % block))).reshape(-1, levels.shape[1], block)
        best, scales[part] = _fit_blocks(values, middle, tried)
        levels[part] = best + middle
    packed = levels if bits == 8 else levels[..., 0::2] | levels[..., 1::2] << 4
    return packed, scales.reshape(-1)


def _fit_blocks(values: Array, middle: int, tried: Sequence[float]) -> tuple[Array, Array]:
    """Return signed levels like ``values`` ``[rows, blocks, block]``, and the scale of every block."""
    largest = np.take_along_axis(values, np.abs(values).argmax(axis=2)[..., None], axis=2)
    widest = (largest / np.float32(-middle)).astype(np.float32)

    def rounded(scale: Array) -> Array:
        inverse = np.divide(1, scale, out=np.zeros_like(scale), where=scale != 0)
        levels: Array = np.clip(np.rint(values * inverse), -middle, middle - 1)
        return levels

    levels, scales = rounded(widest), widest[..., 0]
    if len(tried) == 1:
        return levels, scales
    gain = np.full_like(scales, -1)
    for factor in tried:
        found = levels if factor == 1 else rounded(widest * np.float32(factor))
        # With the best scale, <v, l> / <l, l>, the squared error is <v, v> - <v, l>^2 / <l, l>: the larger the
        # second term the better.
        match, power = np.einsum("rbk,rbk->rb", values, found), np.einsum("rbk,rbk->rb", found, found)
        fitting = np.divide(match, power, out=np.zeros_like(match), where=power != 0)
        better = match * fitting > gain
        gain = np.where(better, match * fitting, gain)
        scales = np.where(better, fitting, scales)
        levels = np.where(better[..., None], found, levels)
    return levels, scales


def _to_half(name: str, values: Array) -> npt.NDArray[np.float16]:
    if np.abs(values).max(initial=0) > np.finfo(np.float16).max:
        raise ConversionError(f"{name} has values beyond the range of float16.", hint="Convert to fp32 or int8.")
    return values.astype(np.float16)
