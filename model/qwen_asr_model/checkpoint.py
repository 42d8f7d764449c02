# SPDX-License-Identifier: Apache-2.0
"""A checkpoint: sizes, vocabulary, and tensors by their official names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from .config import ModelConfig, read_config
from .errors import CheckpointError
from .safetensors import open_safetensors
from .vocabulary import TIMESTAMP, Vocabulary, read_vocabulary

__all__ = ["AUDIO_PREFIX", "HEAD_NAME", "TEXT_PREFIX", "Checkpoint", "TensorStore", "read_checkpoint"]

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
        found = self.tensors.shape(name)
        if found != shape:
            raise CheckpointError(f"tensor {name} has shape {found}, config.json says {shape}.")
        return self.tensors.load(name)


def read_checkpoint(folder: Path) -> Checkpoint:
    """Open a checkpoint folder of the official layout; no weight is read yet.

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
    if config.aligner is not None and config.aligner.timestamp_id != vocabulary.find(TIMESTAMP):
        raise CheckpointError(
            f"timestamp_token_id is {config.aligner.timestamp_id}, but the tokenizer has {TIMESTAMP} at "
            f"{vocabulary.find(TIMESTAMP)}.",
            path=folder / "config.json",
        )
    return Checkpoint(config=config, vocabulary=vocabulary, tensors=open_safetensors(folder))
