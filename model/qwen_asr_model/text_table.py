# SPDX-License-Identifier: Apache-2.0
"""Looks up rows of a matrix in a GGUF file, such as the text embeddings of a forced aligner."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ._structure import check_gguf
from .errors import GgufDamagedError

__all__ = ["RowTable", "TextTable"]


class RowTable:
    """A matrix of a GGUF file; only the rows that are asked for are ever read.

    Nothing is kept open: the file may be replaced or removed at any time, and reading rows of one that got shorter
    is an error, not a crash. Safe to share between threads.

    Args:
        file: The file.
        tensor: Name of the matrix.

    Attributes:
        file: The file.
        n_tokens: Rows of the matrix.
        width: Values of a row.

    Raises:
        GgufDamagedError: It is not GGUF, cut off or corrupt, or the matrix has a type that cannot be read.
        WrongModelError: It belongs to a model of another architecture.
    """

    def __init__(self, file: str | os.PathLike[str], tensor: str) -> None:
        import gguf

        self.file = Path(file)
        head = check_gguf(self.file)
        table = head.tensors[tensor]
        try:
            self._type = gguf.GGMLQuantizationType(table.type)
            self.width, self.n_tokens = table.shape
            gguf.quants.dequantize(np.zeros((1, gguf.GGML_QUANT_SIZES[self._type][1]), np.uint8), self._type)
        except (ValueError, KeyError, NotImplementedError) as error:
            raise GgufDamagedError(f"tensor {tensor} has a type or shape that cannot be read.", path=file) from error
        block, size = gguf.GGML_QUANT_SIZES[self._type]
        self._row_bytes = self.width // block * size
        self._start = head.data_start + table.offset

    def rows(self, tokens: Sequence[int] | npt.NDArray[np.integer]) -> npt.NDArray[np.float32]:
        """Return some rows.

        Args:
            tokens: Their numbers, such as token ids.

        Returns:
            float32 ``[len(tokens), width]``.

        Raises:
            ValueError: A number lies outside the matrix.
            GgufDamagedError: The file cannot be read any more.
        """
        import gguf

        unique, order = np.unique(np.asarray(tokens, dtype=np.int64), return_inverse=True)
        if len(unique) and not 0 <= unique[0] <= unique[-1] < self.n_tokens:
            message = f"token ids must be from 0 to {self.n_tokens - 1}, not {unique[0]} to {unique[-1]}"
            raise ValueError(message)
        stored = np.empty((len(unique), self._row_bytes), dtype=np.uint8)
        try:
            with self.file.open("rb", buffering=0) as stream:
                for token, row in zip(unique.tolist(), stored, strict=True):
                    stream.seek(self._start + token * self._row_bytes)
                    if stream.readinto(row.data) != self._row_bytes:
                        raise GgufDamagedError("cut off.", path=self.file, hint="Copy the bundle again.")
        except OSError as error:
            raise GgufDamagedError(f"cannot be read ({error.strerror}).", path=self.file) from error
        values: npt.NDArray[np.float32] = gguf.quants.dequantize(stored, self._type)
        return values[order]


class TextTable(RowTable):
    """The token embeddings of a forced aligner.

    Args:
        file: `AlignerFiles.text`.

    Raises:
        GgufDamagedError: It is not GGUF, cut off or corrupt.
        WrongModelError: It belongs to a model of another architecture.
    """

    def __init__(self, file: str | os.PathLike[str]) -> None:
        super().__init__(file, "token_embd.weight")
