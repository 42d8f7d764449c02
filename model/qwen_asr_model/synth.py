# SPDX-License-Identifier: Apache-2.0
"""Bundles with random weights and the exact shapes of the official models.

They recognise nothing, but load, run and take as long as the real ones: good for tests, benchmarks and bug reports on
machines where no checkpoint can be had.
"""

from __future__ import annotations

import math
import os
import re
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from .checkpoint import AUDIO_PREFIX, HEAD_NAME, TEXT_PREFIX, Checkpoint
from .config import AudioConfig, ModelConfig, TextConfig
from .convert import DEFAULT_PRECISIONS, DEFAULT_QUANTS, Progress, write_bundle
from .errors import CheckpointError, ConversionError
from .vocabulary import END_OF_TURN, TokenType, Vocabulary, byte_alphabet

__all__ = ["SIZES", "synthesize", "synthetic_checkpoint"]

# Ids of the official tokenizer, counted from the first token after the plain ones (151643).
_FIRST_SPECIAL = 151643
_SPECIAL = {
    "<|endoftext|>": 151643,
    "<|im_start|>": 151644,
    END_OF_TURN: 151645,
    "<|audio_start|>": 151669,
    "<|audio_end|>": 151670,
    "<|audio_pad|>": 151676,
    "<asr_text>": 151704,
    "<timestamp>": 151705,
}
_PADDING = "<|endoftext|>"
# Merges that let the prompt's own words be single tokens, as in a trained vocabulary.
_WORDS = ("system", "user", "assistant", "language", "English", "None")


def _official(audio: dict[str, int], text: dict[str, int]) -> ModelConfig:
    return ModelConfig(
        audio=AudioConfig(
            n_mels=128,
            layers=audio["layers"],
            d_model=audio["d_model"],
            heads=audio["d_model"] // 64,
            ffn_dim=4 * audio["d_model"],
            output_dim=text["hidden_size"],
            conv_channels=480,
            n_window=50,
            n_window_infer=800,
        ),
        text=TextConfig(
            vocab_size=151936,
            hidden_size=text["hidden_size"],
            intermediate_size=3 * text["hidden_size"],
            layers=28,
            heads=16,
            kv_heads=8,
            head_dim=128,
            context_length=65536,
            rms_norm_eps=1e-6,
            rope_theta=1e6,
            mrope_section=(24, 20, 20),
            tied=True,
        ),
    )


SIZES = {
    "0.6B": _official({"layers": 18, "d_model": 896}, {"hidden_size": 1024}),
    "1.7B": _official({"layers": 24, "d_model": 1024}, {"hidden_size": 2048}),
    # Rows of 256 values, so that K-quants (blocks of 256) can be made of it too.
    "tiny": ModelConfig(
        audio=AudioConfig(
            n_mels=128,
            d_model=64,
            layers=2,
            heads=2,
            ffn_dim=128,
            output_dim=256,
            conv_channels=8,
            n_window=50,
            n_window_infer=800,
        ),
        text=TextConfig(
            vocab_size=512,
            hidden_size=256,
            intermediate_size=256,
            layers=2,
            heads=4,
            kv_heads=2,
            head_dim=64,
            context_length=4096,
            rms_norm_eps=1e-6,
            rope_theta=1e6,
            mrope_section=(12, 10, 10),
            tied=True,
        ),
    ),
}
"""Sizes that can be made."""


def synthesize(
    size: str,
    out: str | os.PathLike[str],
    *,
    precisions: Sequence[str] = DEFAULT_PRECISIONS,
    quants: Sequence[str] = DEFAULT_QUANTS,
    seed: int = 0,
    max_chunk_seconds: float = 30.0,
    progress: Progress | None = None,
) -> Path:
    """Write a bundle with random weights.

    The same arguments give the same bytes. Needs the ``onnx`` package (extra ``convert``).

    Args:
        size: ``"0.6B"``, ``"1.7B"`` or ``"tiny"``.
        out: Folder to write; an old bundle there is replaced.
        precisions: Encoder precisions, the first becomes the default.
        quants: Language model types, the first becomes the default.
        seed: Seed of the weights.
        max_chunk_seconds: Longest piece of audio the model should get at once, in seconds.
        progress: Called as the work goes on.

    Returns:
        The folder.

    Raises:
        ConversionError: The size is unknown, or the bundle cannot be written.
    """
    return write_bundle(
        synthetic_checkpoint(size, seed=seed),
        Path(out),
        name=f"synthetic-{size}",
        precisions=precisions,
        quants=quants,
        languages=(),
        max_chunk_seconds=max_chunk_seconds,
        licence="CC0-1.0",
        progress=progress,
    )


def synthetic_checkpoint(size: str | ModelConfig, *, seed: int = 0) -> Checkpoint:
    """Return a checkpoint whose tensors are made up as they are asked for.

    Args:
        size: One of `SIZES` in either case, or sizes of one's own.
        seed: Seed of the weights.

    Returns:
        The checkpoint.

    Raises:
        ConversionError: The size is unknown.
    """
    if isinstance(size, str):
        known = {name.lower(): name for name in SIZES}
        if size.lower() not in known:
            raise ConversionError(f"unknown size {size!r}.", hint=f"Known: {', '.join(SIZES)}.")
        config = SIZES[known[size.lower()]]
    else:
        config = size
    return Checkpoint(
        config=config, vocabulary=_vocabulary(config.text.vocab_size), tensors=_RandomTensors(config, seed)
    )


class _RandomTensors:
    """Weights scaled by the square root of their inputs, so that activations keep their size from layer to layer."""

    def __init__(self, config: ModelConfig, seed: int) -> None:
        self._shapes = _shapes(config)
        self._seed = seed

    def __contains__(self, name: str) -> bool:
        return name in self._shapes

    def shape(self, name: str) -> tuple[int, ...]:
        try:
            return self._shapes[name]
        except KeyError:
            raise CheckpointError(f"the checkpoint has no tensor {name}.") from None

    def load(self, name: str) -> npt.NDArray[np.float32]:
        shape = self.shape(name)
        # Seeded by name: the order in which tensors are asked for does not matter.
        random = np.random.default_rng((self._seed, zlib.crc32(name.encode())))
        values = random.standard_normal(shape, np.float32)
        if len(shape) > 1:
            # The embedding's rows are looked up, not summed; small rows also keep the logits of a tied head sane.
            fan_in = math.prod(shape[1:])
            values *= np.float32(1 / math.sqrt(fan_in))
        elif name.endswith(".bias"):
            values *= np.float32(0.01)
        else:
            values = 1 + values * np.float32(0.05)
        return values


def _shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    audio, text = config.audio, config.text
    width, channels, hidden = audio.d_model, audio.conv_channels, text.hidden_size
    shapes: dict[str, tuple[int, ...]] = {}

    def audio_layer(name: str, *shape: int, bias: bool = True) -> None:
        shapes[f"{AUDIO_PREFIX}{name}.weight"] = shape
        if bias:
            shapes[f"{AUDIO_PREFIX}{name}.bias"] = shape[:1]

    for number, inputs in ((1, 1), (2, channels), (3, channels)):
        audio_layer(f"conv2d{number}", channels, inputs, 3, 3)
    audio_layer("conv_out", width, channels * audio.conv_bins, bias=False)
    for layer in range(audio.layers):
        at = f"layers.{layer}."
        for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
            audio_layer(f"{at}self_attn.{part}", width, width)
        audio_layer(f"{at}self_attn_layer_norm", width)
        audio_layer(f"{at}fc1", audio.ffn_dim, width)
        audio_layer(f"{at}fc2", width, audio.ffn_dim)
        audio_layer(f"{at}final_layer_norm", width)
    audio_layer("ln_post", width)
    audio_layer("proj1", width, width)
    audio_layer("proj2", audio.output_dim, width)

    shapes[f"{TEXT_PREFIX}embed_tokens.weight"] = (text.vocab_size, hidden)
    shapes[f"{TEXT_PREFIX}norm.weight"] = (hidden,)
    if not text.tied:
        shapes[HEAD_NAME] = (text.vocab_size, hidden)
    for layer in range(text.layers):
        parts: dict[str, tuple[int, ...]] = {
            "input_layernorm": (hidden,),
            "self_attn.q_proj": (text.heads * text.head_dim, hidden),
            "self_attn.k_proj": (text.kv_heads * text.head_dim, hidden),
            "self_attn.v_proj": (text.kv_heads * text.head_dim, hidden),
            "self_attn.o_proj": (hidden, text.heads * text.head_dim),
            "self_attn.q_norm": (text.head_dim,),
            "self_attn.k_norm": (text.head_dim,),
            "post_attention_layernorm": (hidden,),
            "mlp.gate_proj": (text.intermediate_size, hidden),
            "mlp.up_proj": (text.intermediate_size, hidden),
            "mlp.down_proj": (hidden, text.intermediate_size),
        }
        for part, shape in parts.items():
            shapes[f"{TEXT_PREFIX}layers.{layer}.{part}.weight"] = shape
    return shapes


def _vocabulary(size: int) -> Vocabulary:
    """Build a valid byte-level BPE: the 256 bytes, a few merged words, filler, and the special tokens.

    In a table of the official size the special tokens have their official ids; in a smaller one they are its last
    entries, in the same order.
    """
    pieces = dict.fromkeys(byte_alphabet())
    merges = []
    for word in _WORDS:
        left = word[0]
        for letter in word[1:]:
            merges.append(f"{left} {letter}")
            left += letter
            pieces[left] = None
    special = dict(_SPECIAL)
    if size <= max(special.values()):
        special = {spelling: size - len(_SPECIAL) + number for number, spelling in enumerate(_SPECIAL)}
    end_of_plain = min(_FIRST_SPECIAL, *special.values())
    if len(pieces) > end_of_plain:
        raise ConversionError(f"a vocabulary of {size} entries is too small.", hint=f"At least {len(pieces) + 8}.")
    tokens = [*pieces, *(f"[FILL{number}]" for number in range(len(pieces), end_of_plain))]
    types = [TokenType.NORMAL] * end_of_plain
    tokens += [f"[PAD{number}]" for number in range(end_of_plain, size)]
    types += [TokenType.UNUSED] * (size - end_of_plain)
    for spelling, number in special.items():
        tokens[number] = spelling
        control = re.fullmatch(r"<\|.*\|>", spelling) is not None
        types[number] = TokenType.CONTROL if control else TokenType.USER_DEFINED
    return Vocabulary(
        tokens=tuple(tokens),
        types=tuple(types),
        merges=tuple(dict.fromkeys(merges)),
        eos_id=special[END_OF_TURN],
        padding_id=special[_PADDING],
    )
