# SPDX-License-Identifier: Apache-2.0
"""Forced aligners whose GGUF file says nothing about time: those of the released bundles.

Their head has a row for every token: the classes first, then rows of -100 (so that libllama takes it for an output
matrix). Tokens and their embeddings are in the same file. Neither the number of classes nor their length is written
anywhere: the first is where the padding begins, the second is that of the official model.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from qwen_asr_native.errors import ModelLoadError
from qwen_asr_native.gguf_file import read_array

from ._structure import check_gguf, check_tokens
from .errors import GgufDamagedError
from .manifest import AlignerEntry
from .text_table import RowTable
from .vocabulary import AUDIO_END, AUDIO_START, TIMESTAMP

__all__ = ["ALIGNER_TOKENS", "describe_aligner"]

ALIGNER_TOKENS = (TIMESTAMP, AUDIO_START, AUDIO_END)
CLASS_MS = 80
MAX_CHUNK_SECONDS = 180.0
"""What the official code cuts to."""
_PADDING = -100.0


def describe_aligner(file: Path, *, quant: str) -> AlignerEntry:
    """Find out what ``bundle.json`` would say about a forced aligner.

    Args:
        file: Its GGUF file, with tokens, embeddings and a padded head.
        quant: Its type.

    Returns:
        The entry; the languages are not known.

    Raises:
        GgufDamagedError: The file is not GGUF, cut off or corrupt.
        WrongModelError: It is no forced aligner.
    """
    head = check_gguf(file)
    check_tokens(file, head, ALIGNER_TOKENS)
    try:
        tokens = read_array(file, head, "tokenizer.ggml.tokens")
    except ModelLoadError as error:
        raise GgufDamagedError(str(error).removeprefix(f"{file}: "), path=file) from error
    timestamp, start, end = (tokens.index(token) for token in ALIGNER_TOKENS)
    name = "output.weight" if "output.weight" in head.tensors else "token_embd.weight"
    classes = _rows_before_padding(RowTable(file, name))
    return AlignerEntry(
        shares_encoder=False,
        languages=(),
        max_chunk_seconds=min(MAX_CHUNK_SECONDS, classes * CLASS_MS / 1000),
        default_quant=quant,
        classes=classes,
        class_ms=CLASS_MS,
        timestamp_id=timestamp,
        audio_start_id=start,
        audio_end_id=end,
        tokenizer_sha256="",
    )


def _rows_before_padding(table: RowTable) -> int:
    """Count the rows before the ones that are all -100, by halving: the padding is one run up to the end."""

    def padded(row: int) -> bool:
        values: npt.NDArray[np.float32] = table.rows([row])
        # Small types store even a constant inexactly.
        return bool(np.abs(values - _PADDING).max() < abs(_PADDING) / 10)

    low, high = 0, table.n_tokens
    if not padded(high - 1):
        return high
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if padded(middle) else (middle + 1, high)
    if not low:
        raise GgufDamagedError("its head has no rows but padding.", path=table.file)
    return low
