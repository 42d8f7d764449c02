# SPDX-License-Identifier: Apache-2.0
"""The two ONNX graphs of the audio encoder.

The frontend turns mel chunks into rows, the backend lets the rows of one attention window attend to each other. Neither
masks anything: a chunk shorter than the others of its clip is padded by the caller, and every row of the backend's
batch is one whole window.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ._onnx_file import Array, Graph, Weight
from ._precisions import Int8, Precision
from .checkpoint import AUDIO_PREFIX, Checkpoint
from .config import AudioConfig

__all__ = ["sinusoids", "write_backend", "write_frontend"]

_LAYER_NORM_EPSILON = 1e-5
_END = np.iinfo(np.int64).max


def write_frontend(checkpoint: Checkpoint, precision: Precision, file: Path) -> None:
    """Write the convolutional stem.

    Input ``chunk_mel`` float32 ``[chunks, n_mels, frames]`` (log-mel), output ``chunk_out`` float32
    ``[chunks, ceil(frames / 8), d_model]``; both sizes of the input are free, ``frames`` at most one chunk.

    Args:
        checkpoint: Where the weights come from.
        precision: How they are stored.
        file: The file to write.

    Raises:
        CheckpointError: A tensor is missing, damaged or of another shape.
        ConversionError: The file cannot be written.
    """
    config = checkpoint.config.audio
    graph = Graph("qwen3_asr_encoder_frontend")
    if isinstance(precision, Int8):
        rows = _integer_stem(graph, checkpoint, precision)
    else:
        rows = _float_stem(graph, checkpoint, precision)
    table = graph.constant("positions", sinusoids(config.chunk_rows, config.d_model))
    length = graph.node("Shape", [rows], start=1, end=2)
    used = graph.node("Slice", [table, _integers(graph, 0), length, _integers(graph, 0)])
    graph.write(
        file,
        inputs={"chunk_mel": ["chunks", config.n_mels, "frames"]},
        outputs={"chunk_out": graph.node("Add", [rows, used])},
        shapes={"chunk_out": ["chunks", "rows", config.d_model]},
    )


def write_backend(checkpoint: Checkpoint, precision: Precision, file: Path) -> None:
    """Write the transformer layers and the projection to the language model's width.

    Input ``hidden_states`` float32 ``[batch, time, d_model]``, output ``last_hidden_state`` float32
    ``[batch, time, output_dim]``; batch and time are free.

    Args:
        checkpoint: Where the weights come from.
        precision: How they are stored.
        file: The file to write.

    Raises:
        CheckpointError: A tensor is missing, damaged or of another shape.
        ConversionError: The file cannot be written.
    """
    config = checkpoint.config.audio
    graph = Graph("qwen3_asr_encoder_backend")

    def linear(x: str, name: str, rows: int, columns: int) -> str:
        weight, bias = _weight(checkpoint, f"{name}.weight", rows, columns), _weight(checkpoint, f"{name}.bias", rows)
        return precision.linear(graph, x, name, weight, bias)

    x = "hidden_states"
    width = config.d_model
    for layer in range(config.layers):
        at = f"layers.{layer}."
        normal = _layer_norm(graph, checkpoint, x, f"{at}self_attn_layer_norm", width)
        query, key, value = _attention_inputs(graph, checkpoint, precision, normal, f"{at}self_attn", width)
        attended = graph.node("MultiHeadAttention", [query, key, value], contrib=True, num_heads=config.heads)
        x = graph.node("Add", [x, linear(attended, f"{at}self_attn.out_proj", width, width)])
        normal = _layer_norm(graph, checkpoint, x, f"{at}final_layer_norm", width)
        inner = precision.gelu(graph, linear(normal, f"{at}fc1", config.ffn_dim, width))
        x = graph.node("Add", [x, linear(inner, f"{at}fc2", width, config.ffn_dim)])
    x = _layer_norm(graph, checkpoint, x, "ln_post", width)
    x = precision.gelu(graph, linear(x, "proj1", width, width))
    x = linear(x, "proj2", config.output_dim, width)
    graph.write(
        file,
        inputs={"hidden_states": ["batch", "time", width]},
        outputs={"last_hidden_state": x},
        shapes={"last_hidden_state": ["batch", "time", config.output_dim]},
    )


def sinusoids(rows: int, width: int) -> npt.NDArray[np.float32]:
    """Return the positional table ``[rows, width]``: sines in the first half of the columns, cosines in the second.

    Column ``i`` of a half turns at ``exp(-i * ln(10000) / (width / 2 - 1))`` radians a row, the sinusoids of Whisper.
    """
    half = width // 2
    rates = np.exp(-np.log(10000.0) / (half - 1) * np.arange(half))
    angles = np.arange(rows)[:, None] * rates[None, :]
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1).astype(np.float32)


def _float_stem(graph: Graph, checkpoint: Checkpoint, precision: Precision) -> str:
    """Convolutions as ONNX ``Conv``, channels first."""
    config = checkpoint.config.audio
    channels = config.conv_channels
    x = graph.node("Unsqueeze", ["chunk_mel", _integers(graph, 1)])
    for number, inputs in ((1, 1), (2, channels), (3, channels)):
        name = f"conv2d{number}"
        kernel = precision.weight(
            graph, f"{name}.weight", _weight(checkpoint, f"{name}.weight", channels, inputs, 3, 3)
        )
        bias = precision.weight(graph, f"{name}.bias", _weight(checkpoint, f"{name}.bias", channels))
        convolved = graph.node("Conv", [x, kernel, bias], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
        x = precision.gelu(graph, convolved)
    x = graph.node("Transpose", [x], perm=[0, 3, 1, 2])
    return _conv_out(graph, precision, x, config, _conv_out_weight(checkpoint))


def _integer_stem(graph: Graph, checkpoint: Checkpoint, precision: Int8) -> str:
    """Convolutions as matrix products over 3x3 patches.

    Between two of them the positions are one flat axis, frame by frame and channels last, as the last product wants
    them: ``[chunks, 1 + frames * bins + bins, channels]``. What the next patches find beyond the edges is there as
    rows of zeros: one in front, a frame of them at the end.
    """
    config = checkpoint.config.audio
    channels, frames, bins = config.conv_channels, -(-config.chunk_frames // 2), -(-config.n_mels // 2)
    length = _halved(graph, graph.node("Shape", ["chunk_mel"], start=2, end=3))
    x = precision.gelu(graph, _first_convolution(graph, checkpoint, bins))
    for number in (2, 3):
        name = f"conv2d{number}"
        kernel = _weight(checkpoint, f"{name}.weight", channels, channels, 3, 3)
        matrix = kernel.map(_unfold_kernel, (channels, 9 * channels))
        length = _halved(graph, length)
        taps = graph.constant(f"{name}.taps", _taps(frames, bins))
        used = graph.node("Slice", [taps, _integers(graph, 0), length, _integers(graph, 0)])
        unfold = partial(_gather, graph, taps=used, channels=channels, rows=None if number == 2 else bins)
        bias = _weight(checkpoint, f"{name}.bias", channels)
        x = precision.gelu(graph, precision.patches(graph, x, name, matrix, bias, unfold))
        frames, bins = -(-frames // 2), -(-bins // 2)
    x = graph.node("Reshape", [x, _integers(graph, 0, -1, bins, channels)])
    # The official order of the features is channel-major, here it is bin-major: reorder the matrix instead.
    weight = _conv_out_weight(checkpoint)
    reordered = weight.map(lambda w: w.reshape(-1, channels, bins).transpose(0, 2, 1).reshape(len(w), -1), weight.shape)
    return _conv_out(graph, precision, x, config, reordered)


def _first_convolution(graph: Graph, checkpoint: Checkpoint, bins: int) -> str:
    """The convolution over the mel bins, in float32: nine inputs are too few to gain anything by integers.

    The bias is a tenth input that is always one: added apart, it would be a pass over the largest tensor of all, and
    the rows of zeros would not stay zero.
    """
    channels = checkpoint.config.audio.conv_channels
    kernel = _weight(checkpoint, "conv2d1.weight", channels, 1, 3, 3)
    bias = _weight(checkpoint, "conv2d1.bias", channels)
    zero, one = (graph.constant(name, np.array(v, np.float32)) for name, v in (("zero", 0), ("one", 1)))
    mel = graph.node("Transpose", ["chunk_mel"], perm=[0, 2, 1])
    mel = graph.node(
        "Unsqueeze", [graph.node("Pad", [mel, _integers(graph, 0, 1, 1, 0, 1, 1), zero]), _integers(graph, 3)]
    )
    # Tap k starts at k and ends 2 - k before the end, so that all taps have ceil(length / 2) positions.
    ends = (-2, -1, _END)
    axes, steps = _integers(graph, 1, 2), _integers(graph, 2, 2)
    taps = [
        graph.node("Slice", [mel, _integers(graph, j, i), _integers(graph, ends[j], ends[i]), axes, steps])
        for i in range(3)
        for j in range(3)
    ]
    patches = graph.node("Reshape", [graph.node("Concat", taps, axis=3), _integers(graph, 0, -1, 9)])
    patches = graph.node("Pad", [patches, _integers(graph, 0, 0, 0, 0, 0, 1), one])
    patches = graph.node("Pad", [patches, _integers(graph, 0, 1, 0, 0, bins, 0), zero])

    def matrix() -> Array:
        return np.concatenate([_unfold_kernel(kernel.load()).T, bias.load()[None]])

    return graph.node("MatMul", [patches, graph.store("conv2d1.weight", np.float32, (10, channels), matrix)])


def _unfold_kernel(kernel: Array) -> Array:
    """``[out, in, bin, frame] -> [out, (bin, frame, in)]``, the order of the taps in a patch."""
    unfolded: Array = kernel.transpose(0, 2, 3, 1).reshape(len(kernel), -1)
    return unfolded


def _taps(frames: int, bins: int) -> npt.NDArray[np.int32]:
    """Where the taps of every 3x3 patch of stride 2, padding 1 lie on the flat axis: ``[frames/2, bins/2, 9]``.

    Clips with fewer frames use the first rows of the table: frames follow each other, so that the place of a tap does
    not depend on how many there are, and the tap behind the last frame falls into the frame of zeros.
    """
    tap = np.arange(3) - 1
    frame = 2 * np.arange(-(-frames // 2))[:, None, None, None] + tap
    row = 2 * np.arange(-(-bins // 2))[:, None, None] + tap[:, None]
    inside = (frame >= 0) & (row >= 0) & (row < bins)
    places = np.where(inside, 1 + frame * bins + row, 0)
    return places.reshape(*places.shape[:2], 9).astype(np.int32)


def _gather(graph: Graph, x: str, padding: str, *, taps: str, channels: int, rows: int | None) -> str:
    """Gather the patches, ``[n, positions, 9 * channels]``, after putting `rows` of padding around where not None."""
    if rows is not None:
        x = graph.node("Pad", [x, _integers(graph, 0, 1, 0, 0, rows, 0), padding])
    return graph.node("Reshape", [graph.node("Gather", [x, taps], axis=1), _integers(graph, 0, -1, 9 * channels)])


def _halved(graph: Graph, length: str) -> str:
    """``ceil(length / 2)``."""
    return graph.node("Div", [graph.node("Add", [length, _integers(graph, 1)]), _integers(graph, 2)])


def _conv_out(graph: Graph, precision: Precision, x: str, config: AudioConfig, weight: Weight) -> str:
    features = config.conv_channels * config.conv_bins
    flat = graph.node("Reshape", [x, _integers(graph, 0, 0, features)])
    return precision.linear(graph, flat, "conv_out", weight, None)


def _conv_out_weight(checkpoint: Checkpoint) -> Weight:
    config = checkpoint.config.audio
    return _weight(checkpoint, "conv_out.weight", config.d_model, config.conv_channels * config.conv_bins)


def _attention_inputs(
    graph: Graph, checkpoint: Checkpoint, precision: Precision, x: str, at: str, width: int
) -> list[str]:
    """One product for query, key and value: the input is quantised once and the kernel sees a wider matrix."""

    def stacked(what: str, *shape: int) -> Weight:
        parts = [_weight(checkpoint, f"{at}.{part}_proj.{what}", *shape) for part in "qkv"]

        def load() -> Array:
            return np.concatenate([part.load() for part in parts])

        return Weight(shape=(3 * shape[0], *shape[1:]), load=load)

    joint = precision.linear(graph, x, f"{at}.qkv_proj", stacked("weight", width, width), stacked("bias", width))
    return graph.nodes("Split", [joint, _integers(graph, width, width, width)], 3, axis=-1)


def _layer_norm(graph: Graph, checkpoint: Checkpoint, x: str, name: str, width: int) -> str:
    parts = [
        graph.store(f"{name}.{what}", np.float32, (width,), _weight(checkpoint, f"{name}.{what}", width).load)
        for what in ("weight", "bias")
    ]
    return graph.node("LayerNormalization", [x, *parts], axis=-1, epsilon=_LAYER_NORM_EPSILON)


def _weight(checkpoint: Checkpoint, name: str, *shape: int) -> Weight:
    return Weight(shape=shape, load=lambda: checkpoint.load(AUDIO_PREFIX + name, shape))


def _integers(graph: Graph, *values: int) -> str:
    return graph.constant("int64_" + "_".join(map(str, values)), np.array(values, np.int64))
