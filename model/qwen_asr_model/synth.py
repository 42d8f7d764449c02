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
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ._checkpoint_writer import write_checkpoint
from ._shapes import tensor_shapes
from .checkpoint import Checkpoint
from .config import AlignerConfig, AudioConfig, ModelConfig, TextConfig
from .convert import (
    DEFAULT_ALIGNER_CHUNK_SECONDS,
    DEFAULT_PRECISIONS,
    DEFAULT_QUANTS,
    Part,
    Progress,
    write_bundle,
)
from .errors import CheckpointError, ConversionError
from .vocabulary import AUDIO_END, AUDIO_START, END_OF_TURN, TIMESTAMP, TokenType, Vocabulary, byte_alphabet

__all__ = ["SIZES", "synthesize", "synthesize_checkpoint", "synthetic_checkpoint"]

# Ids of the official tokenizer, counted from the first token after the plain ones (151643).
_FIRST_SPECIAL = 151643
_SPECIAL = {
    "<|endoftext|>": 151643,
    "<|im_start|>": 151644,
    END_OF_TURN: 151645,
    AUDIO_START: 151669,
    AUDIO_END: 151670,
    "<|audio_pad|>": 151676,
    "<asr_text>": 151704,
    TIMESTAMP: 151705,
}
_PADDING = "<|endoftext|>"
_BLOCK_VALUES = 1 << 23
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


# Rows of 256 values, so that K-quants (blocks of 256) can be made of it too.
_TINY = ModelConfig(
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
)


def _aligner(config: ModelConfig, *, vocab_size: int, classes: int) -> ModelConfig:
    return replace(
        config,
        text=replace(config.text, vocab_size=vocab_size, tied=False),
        aligner=AlignerConfig(classes=classes, class_ms=80, timestamp_id=_special_ids(vocab_size)[TIMESTAMP]),
    )


def _special_ids(size: int) -> dict[str, int]:
    """In a table of the official size the official ids; in a smaller one its last entries, in the same order."""
    if size > max(_SPECIAL.values()):
        return _SPECIAL
    return {spelling: size - len(_SPECIAL) + number for number, spelling in enumerate(_SPECIAL)}


SIZES = {
    "0.6B": _official({"layers": 18, "d_model": 896}, {"hidden_size": 1024}),
    "1.7B": _official({"layers": 24, "d_model": 1024}, {"hidden_size": 2048}),
    "tiny": _TINY,
    "aligner-0.6B": _aligner(
        _official({"layers": 24, "d_model": 1024}, {"hidden_size": 1024}), vocab_size=152064, classes=5000
    ),
    # With the same seed it has the encoder and the vocabulary of "tiny".
    "aligner-tiny": _aligner(_TINY, vocab_size=_TINY.text.vocab_size, classes=300),
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
    aligner: str | None = None,
    progress: Progress | None = None,
) -> Path:
    """Write a bundle with random weights.

    The same arguments give the same bytes. Needs the ``onnx`` package (extra ``convert``).

    Args:
        size: One of `SIZES`: ``"0.6B"``, ``"1.7B"`` or ``"tiny"``, or a forced aligner alone, ``"aligner-0.6B"`` or
            ``"aligner-tiny"``.
        out: Folder to write; an old bundle there is replaced.
        precisions: Encoder precisions, the first becomes the default.
        quants: Language model types, the first becomes the default.
        seed: Seed of the weights.
        max_chunk_seconds: Longest piece of audio the model should get at once, in seconds.
        aligner: A forced aligner to put beside the recogniser, of `SIZES`.
        progress: Called as the work goes on.

    Returns:
        The folder.

    Raises:
        ConversionError: A size is unknown or of the wrong kind, or the bundle cannot be written.
    """

    def part(wanted: str, seconds: float) -> Part:
        checkpoint = synthetic_checkpoint(wanted, seed=seed)
        return Part(checkpoint=checkpoint, quants=tuple(quants), languages=(), max_chunk_seconds=seconds)

    return write_bundle(
        part(size, max_chunk_seconds),
        Path(out),
        aligner=None if aligner is None else part(aligner, DEFAULT_ALIGNER_CHUNK_SECONDS),
        name=f"synthetic-{size}",
        precisions=precisions,
        licence="CC0-1.0",
        progress=progress,
    )


def synthesize_checkpoint(size: str, out: str | os.PathLike[str], *, seed: int = 0, layout: str = "nested") -> Path:
    """Write a checkpoint with random weights, as the official ones are laid out: bfloat16, 1.7B in two shards.

    The same arguments give the same bytes. Converting it gives the bundle that `synthesize` writes with the same seed,
    but for the rounding of the weights to bfloat16.

    Args:
        size: One of `SIZES`.
        out: Folder to write; it must be empty.
        seed: Seed of the weights.
        layout: ``"nested"`` as the authors publish it, or ``"flat"`` as the ``-hf`` repositories do.

    Returns:
        The folder.

    Raises:
        ConversionError: The size or layout is unknown, or the folder cannot be written.
    """
    return write_checkpoint(synthetic_checkpoint(size, seed=seed), Path(out), layout=layout)


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
        self._shapes = tensor_shapes(config)
        self._seed = seed

    def __contains__(self, name: str) -> bool:
        return name in self._shapes

    def shape(self, name: str) -> tuple[int, ...]:
        try:
            return self._shapes[name]
        except KeyError:
            raise CheckpointError(f"the checkpoint has no tensor {name}.") from None

    def load(self, name: str) -> npt.NDArray[np.float32]:
        return np.concatenate(list(self.blocks(name)))

    def blocks(self, name: str) -> Iterator[npt.NDArray[np.float32]]:
        shape = self.shape(name)
        # Seeded by name: the order in which tensors are asked for does not matter. Blocks of one tensor go on where
        # the one before ended, so that they are the same whatever their size.
        random = np.random.default_rng((self._seed, zlib.crc32(name.encode())))
        fan_in = math.prod(shape[1:])
        step = max(1, _BLOCK_VALUES // fan_in)
        for begin in range(0, shape[0], step):
            values = random.standard_normal((min(step, shape[0] - begin), *shape[1:]), np.float32)
            if len(shape) > 1:
                # The embedding's rows are looked up, not summed; small rows also keep the logits of a tied head sane.
                values *= np.float32(1 / math.sqrt(fan_in))
            elif name.endswith(".bias"):
                values *= np.float32(0.01)
            else:
                values = 1 + values * np.float32(0.05)
            yield values


def _vocabulary(size: int) -> Vocabulary:
    """Build a valid byte-level BPE: the 256 bytes, a few merged words, filler, and the special tokens."""
    pieces = dict.fromkeys(byte_alphabet())
    merges = []
    for word in _WORDS:
        left = word[0]
        for letter in word[1:]:
            merges.append(f"{left} {letter}")
            left += letter
            pieces[left] = None
    special = _special_ids(size)
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
