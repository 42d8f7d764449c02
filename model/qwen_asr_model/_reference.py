# SPDX-License-Identifier: Apache-2.0
"""The model once more in plain numpy float32, straight from a checkpoint: what a conversion is compared with.

Weights are loaded as they are needed, so that memory stays that of one tensor. Formulas: the official package,
``qwen_asr`` 0.0.6.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ._encoder import sinusoids
from .checkpoint import AUDIO_PREFIX, HEAD_NAME, TEXT_PREFIX, Checkpoint

__all__ = ["ReferenceDecoder", "ReferenceEncoder"]

Float32 = npt.NDArray[np.float32]
_LAYER_NORM_EPSILON = 1e-5


class ReferenceEncoder:
    """The audio encoder of a checkpoint.

    Args:
        checkpoint: Where the weights come from.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._config = checkpoint.config.audio
        self._tensors = checkpoint.tensors

    def rows(self, mel: Float32) -> Float32:
        """Return what the frontend makes of a log-mel: ``[n_mels, frames] -> [rows, d_model]``.

        Chunks are seen one by one; in a clip of several the last one is filled up with zeros and its rows cut off.
        """
        frames, size = mel.shape[1], self._config.chunk_frames
        if frames > size:
            mel = np.pad(mel, ((0, 0), (0, -frames % size)))
        chunks = [self._chunk(mel[:, at : at + size]) for at in range(0, mel.shape[1], size)]
        full, rest = divmod(frames, size)
        return np.concatenate(chunks)[: full * self._config.chunk_rows - (-rest // 8)]

    def encode(self, rows: Float32) -> Float32:
        """Return what the backend makes of rows, window by window: ``[rows, d_model] -> [rows, output_dim]``."""
        size = self._config.chunk_rows * self._config.window_chunks
        windows = [rows[at : at + size] for at in range(0, len(rows), size)]
        for layer in range(self._config.layers):
            at = f"layers.{layer}."
            normal = [self._norm(x, f"{at}self_attn_layer_norm") for x in windows]
            added = [self._linear(y, f"{at}self_attn.out_proj") for y in self._attention(normal, f"{at}self_attn")]
            windows = [x + y for x, y in zip(windows, added, strict=True)]
            joined = self._norm(np.concatenate(windows), f"{at}final_layer_norm")
            inner = self._linear(_gelu(self._linear(joined, f"{at}fc1")), f"{at}fc2")
            windows = [x + y for x, y in zip(windows, _split(inner, windows), strict=True)]
        x = self._norm(np.concatenate(windows), "ln_post")
        return self._linear(_gelu(self._linear(x, "proj1")), "proj2")

    def _chunk(self, mel: Float32) -> Float32:
        x = mel[None]
        for name in ("conv2d1", "conv2d2", "conv2d3"):
            x = _gelu(self._convolution(x, name))
        flat = x.transpose(2, 0, 1).reshape(x.shape[2], -1)
        rows: Float32 = flat @ self._get("conv_out.weight").T
        return rows + sinusoids(self._config.chunk_rows, self._config.d_model)[: len(rows)]

    def _convolution(self, x: Float32, name: str) -> Float32:
        kernel, bias = self._get(f"{name}.weight"), self._get(f"{name}.bias")
        padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
        height, width = -(-x.shape[1] // 2), -(-x.shape[2] // 2)
        taps = [
            padded[:, i : i + 2 * height - 1 : 2, j : j + 2 * width - 1 : 2].reshape(len(x), -1)
            for i in range(3)
            for j in range(3)
        ]
        # Kernel [out, in, 3, 3] against patches [in, 9, positions].
        patches = np.stack(taps, axis=1).reshape(len(x) * 9, -1)
        out: Float32 = kernel.reshape(len(kernel), -1) @ patches + bias[:, None]
        return out.reshape(len(kernel), height, width)

    def _attention(self, windows: list[Float32], at: str) -> list[Float32]:
        joined, heads = np.concatenate(windows), self._config.heads
        parts = [_split(self._linear(joined, f"{at}.{part}_proj"), windows) for part in "qkv"]
        results = []
        for q, k, v in zip(*parts, strict=True):
            split = [part.reshape(len(q), heads, -1).transpose(1, 0, 2) for part in (q, k, v)]
            weights = _softmax(split[0] @ split[1].transpose(0, 2, 1) / math.sqrt(split[0].shape[2]))
            results.append((weights @ split[2]).transpose(1, 0, 2).reshape(len(q), -1))
        return results

    def _linear(self, x: Float32, name: str) -> Float32:
        result: Float32 = x @ self._get(f"{name}.weight").T + self._get(f"{name}.bias")
        return result

    def _norm(self, x: Float32, name: str) -> Float32:
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + np.float32(_LAYER_NORM_EPSILON))
        result: Float32 = scaled * self._get(f"{name}.weight") + self._get(f"{name}.bias")
        return result

    def _get(self, name: str) -> Float32:
        return self._tensors.load(AUDIO_PREFIX + name)


class ReferenceDecoder:
    """The decoder of a checkpoint.

    Args:
        checkpoint: Where the weights come from.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._config = checkpoint.config
        self._tensors = checkpoint.tensors

    def embed(self, tokens: Sequence[int]) -> Float32:
        """Return the embeddings of tokens, ``[tokens, hidden]``."""
        wanted = np.asarray(tokens, np.int64)
        result = np.empty((len(wanted), self._config.text.hidden_size), np.float32)
        begin = 0
        for block in self._tensors.blocks(f"{TEXT_PREFIX}embed_tokens.weight"):
            here = (wanted >= begin) & (wanted < begin + len(block))
            result[here] = block[wanted[here] - begin]
            begin += len(block)
        return result

    def scores(self, rows: Float32, wanted: npt.NDArray[np.int64]) -> Float32:
        """Return what the head says after some rows: ``[time, hidden] -> [wanted, rows of the head]``."""
        x = rows
        for layer in range(self._config.text.layers):
            at = f"layers.{layer}."
            x = x + self._attention(self._norm(x, f"{at}input_layernorm"), f"{at}self_attn.")
            normal = self._norm(x, f"{at}post_attention_layernorm")
            gate = normal @ self._get(f"{at}mlp.gate_proj").T
            with np.errstate(over="ignore"):
                inner = gate / (1 + np.exp(-gate)) * (normal @ self._get(f"{at}mlp.up_proj").T)
            x = x + inner @ self._get(f"{at}mlp.down_proj").T
        last = self._norm(x[wanted], "norm")
        tied = self._config.aligner is None and self._config.text.tied
        head = f"{TEXT_PREFIX}embed_tokens.weight" if tied else HEAD_NAME
        return np.concatenate([last @ block.T for block in self._tensors.blocks(head)], axis=1)

    def _attention(self, x: Float32, at: str) -> Float32:
        config, time = self._config.text, len(x)
        q, k, v = (
            (x @ self._get(f"{at}{part}_proj").T).reshape(time, -1, config.head_dim).transpose(1, 0, 2)
            for part in "qkv"
        )
        q, k = (self._rotate(self._norm(part, f"{at}{name}_norm")) for part, name in ((q, "q"), (k, "k")))
        k, v = (np.repeat(part, config.heads // config.kv_heads, axis=0) for part in (k, v))
        scores = q @ k.transpose(0, 2, 1) / np.float32(math.sqrt(config.head_dim))
        scores[:, np.triu(np.ones((time, time), bool), 1)] = -np.inf
        joined = (_softmax(scores) @ v).transpose(1, 0, 2).reshape(time, -1)
        result: Float32 = joined @ self._get(f"{at}o_proj").T
        return result

    def _rotate(self, x: Float32) -> Float32:
        """Plain RoPE: the three position axes of the official M-RoPE are always equal. ``[heads, time, head_dim]``."""
        half = x.shape[2] // 2
        rates = self._config.text.rope_theta ** (-np.arange(half) / half)
        angles = np.arange(x.shape[1])[:, None] * rates
        sin, cos = np.sin(angles).astype(np.float32), np.cos(angles).astype(np.float32)
        first, second = x[..., :half], x[..., half:]
        return np.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)

    def _norm(self, x: Float32, name: str) -> Float32:
        mean = (x**2).mean(-1, keepdims=True)
        result: Float32 = x / np.sqrt(mean + np.float32(self._config.text.rms_norm_eps)) * self._get(name)
        return result

    def _get(self, name: str) -> Float32:
        return self._tensors.load(f"{TEXT_PREFIX}{name}.weight")


def _split(x: Float32, windows: Sequence[Float32]) -> list[Float32]:
    return np.split(x, np.cumsum([len(window) for window in windows])[:-1])


def _softmax(scores: Float32) -> Float32:
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    result: Float32 = weights / weights.sum(-1, keepdims=True)
    return result


def _gelu(x: Float32) -> Float32:
    result: Float32 = x * (0.5 * (1 + _erf(x / np.float32(math.sqrt(2)))))
    return result


def _erf(x: Float32) -> Float32:
    """The error function within 1.5e-7, as close as float32 can say: Abramowitz and Stegun, formula 7.1.26."""
    size = np.abs(x)
    t = 1 / (1 + 0.3275911 * size)
    sum_ = ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t
    return np.asarray(np.copysign(1 - sum_ * np.exp(-size * size), x), np.float32)
