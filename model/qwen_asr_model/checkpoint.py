# SPDX-License-Identifier: Apache-2.0
"""A checkpoint: sizes, vocabulary, and tensors by their official names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from .config import ModelConfig, read_config
from .errors import CheckpointError
from .safetensors import open_safetensors
from .vocabulary import TIMESTAMP, Vocabulary, read_vocabulary

__all__ = ["AUDIO_PREFIX", "HEAD_NAME", "TEXT_PREFIX", "Checkpoint", "TensorStore", "flat_name", "read_checkpoint"]

AUDIO_PREFIX = "thinker.audio_tower."
TEXT_PREFIX = "thinker.model."
HEAD_NAME = "thinker.lm_head.weight"


class TensorStore(Protocol):
    """Where tensors come from: safetensors files, or a generator of random ones."""

    def __contains__(self, name: str) -> bool:
        """Whether there is a tensor of that name."""

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of a tensor; ``CheckpointError`` if there is none."""

    def load(self, name: str) -> npt.NDArray[np.float32]:
        """Return a tensor as float32; ``CheckpointError`` if there is none."""

    def blocks(self, name: str) -> Iterator[npt.NDArray[np.float32]]:
        """Return a tensor in pieces along its first axis, for what would not fit into memory."""


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """Everything the converter needs to know.

    Attributes:
        config: Sizes.
        vocabulary: Tokenizer.
        tensors: Weights.
    """

    config: ModelConfig
    vocabulary: Vocabulary
    tensors: TensorStore

    def load(self, name: str, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
        """Load a tensor that must have ``shape``.

        Raises:
            CheckpointError: It is missing, damaged, or has another shape than the configuration says.
        """
        self._check_shape(name, shape)
        return self.tensors.load(name)

    def blocks(self, name: str, shape: tuple[int, ...]) -> Iterator[npt.NDArray[np.float32]]:
        """Load a tensor that must have ``shape`` in pieces along its first axis.

        Raises:
            CheckpointError: As `load`.
        """
        self._check_shape(name, shape)
        return self.tensors.blocks(name)

    def _check_shape(self, name: str, shape: tuple[int, ...]) -> None:
        found = self.tensors.shape(name)
        if found != shape:
            raise CheckpointError(f"tensor {name} has shape {found}, config.json says {shape}.")


def read_checkpoint(folder: Path) -> Checkpoint:
    """Open a checkpoint folder of one of the official layouts; no weight is read yet.

    There are two: that of the authors (everything in ``thinker_config`` and below ``thinker.``) and the flat one of
    the ``-hf`` repositories, made for transformers 5.

    Args:
        folder: Folder with ``config.json``, the tokenizer files and the safetensors.

    Returns:
        The checkpoint.

    Raises:
        CheckpointError: The folder or one of its files is missing, damaged or of another architecture.
    """
    if not folder.is_dir():
        raise CheckpointError("no such folder.", path=folder, hint="Give the folder of a downloaded checkpoint.")
    config = read_config(folder / "config.json")
    vocabulary = read_vocabulary(folder, size=config.text.vocab_size)
    if config.aligner is not None and config.aligner.timestamp_id < 0:
        # The flat layout leaves it to the tokenizer.
        config = replace(config, aligner=replace(config.aligner, timestamp_id=vocabulary.find(TIMESTAMP)))
    if config.aligner is not None and config.aligner.timestamp_id != vocabulary.find(TIMESTAMP):
        raise CheckpointError(
            f"timestamp_token_id is {config.aligner.timestamp_id}, but the tokenizer has {TIMESTAMP} at "
            f"{vocabulary.find(TIMESTAMP)}.",
            path=folder / "config.json",
        )
    tensors: TensorStore = open_safetensors(folder)
    if FLAT_TEXT_PREFIX + EMBEDDING in tensors:
        tensors = _Renamed(tensors, is_aligner=config.aligner is not None)
    return Checkpoint(config=config, vocabulary=vocabulary, tensors=tensors)


FLAT_TEXT_PREFIX = "model.language_model."
EMBEDDING = "embed_tokens.weight"
# Official name -> name in the flat layout, by their beginnings; the first that fits counts. Source: the conversion
# script of transformers, ``models/qwen3_asr/convert_qwen3_asr_to_hf.py``.
_FLAT_NAMES = {
    f"{AUDIO_PREFIX}proj1.": "model.multi_modal_projector.linear_1.",
    f"{AUDIO_PREFIX}proj2.": "model.multi_modal_projector.linear_2.",
    AUDIO_PREFIX: "model.audio_tower.",
    TEXT_PREFIX: FLAT_TEXT_PREFIX,
}
_FLAT_HEAD, _FLAT_ALIGNER_HEAD = "lm_head.weight", "score.weight"


def flat_name(name: str, *, is_aligner: bool) -> str:
    """Return what a tensor with an official name is called in the flat layout."""
    if name == HEAD_NAME:
        return _FLAT_ALIGNER_HEAD if is_aligner else _FLAT_HEAD
    for ours, theirs in _FLAT_NAMES.items():
        if name.startswith(ours):
            return theirs + name.removeprefix(ours)
    return name


class _Renamed:
    """Tensors of the flat layout under their official names."""

    def __init__(self, tensors: TensorStore, *, is_aligner: bool) -> None:
        self._tensors = tensors
        self._is_aligner = is_aligner

    def __contains__(self, name: str) -> bool:
        return self._flat(name) in self._tensors

    def shape(self, name: str) -> tuple[int, ...]:
        return self._tensors.shape(self._flat(name))

    def load(self, name: str) -> npt.NDArray[np.float32]:
        return self._tensors.load(self._flat(name))

    def blocks(self, name: str) -> Iterator[npt.NDArray[np.float32]]:
        return self._tensors.blocks(self._flat(name))

    def _flat(self, name: str) -> str:
        return flat_name(name, is_aligner=self._is_aligner)
