# SPDX-License-Identifier: Apache-2.0
"""The forced aligner's model: encoder rows and units of text in, two time classes per unit out, in one pass.

Nothing is generated. The prompt is ``<|audio_start|> rows <|audio_end|> unit <timestamp> <timestamp> unit ...``,
without any chat template, and the class at each ``<timestamp>`` is read at that very position (source: the official
package, ``qwen_asr`` 0.0.6). Everything goes in as embedding rows, because the decoder's vocabulary is the list of
classes: what libllama calls logits are the class logits, and logits over a vocabulary of text never exist.
"""

from __future__ import annotations

import threading
import unicodedata
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from qwen_asr_model import AlignerFiles, TextTable
from qwen_asr_native import Context, Library, Model
from qwen_asr_plugin.errors import ModelError

__all__ = ["ForcedAligner"]

_UBATCH: Final = 64
_POSITION_STEP: Final = 64
_MEMORY_BUDGET: Final = 48 << 20
"""KV cache of all passes at once, in bytes. A pass lives for a second or two; a lane that finds no room waits."""


class ForcedAligner:
    """A loaded aligner; may be called from several threads at once.

    Args:
        files: The aligner of a bundle.
        library: The library to run it with.
        tokenizer: The recogniser's language model, whose tokenizer is used.
        tokenizer_sha256: Digest of that tokenizer's vocabulary; empty when it is not known.
        threads: Threads per pass, unless `align` is told another number; they change no bit of the result.
        device: Where to compute, see `qwen_asr_native.Model`.
        gpu_layers: Layers to put on a GPU, see `qwen_asr_native.Model`.

    Attributes:
        files: The aligner of a bundle.
        width: Width of the encoder rows it takes.

    Raises:
        ModelError: The aligner's vocabulary is not that of the recogniser.
        ModelLoadError: libllama cannot load the decoder.
    """

    def __init__(
        self,
        files: AlignerFiles,
        library: Library,
        tokenizer: Model,
        *,
        tokenizer_sha256: str,
        threads: int,
        device: str | None = None,
        gpu_layers: int | None = None,
    ) -> None:
        if tokenizer_sha256 and files.tokenizer_sha256 and tokenizer_sha256 != files.tokenizer_sha256:
            raise ModelError(
                "This forced aligner has another vocabulary than the model that recognises.",
                path=files.path,
                hint="Use the aligner of the same model family.",
            )
        self.files = files
        self._tokenizer = tokenizer
        self._table = TextTable(files.text)
        self._model = Model(library, files.llm, device=device, gpu_layers=gpu_layers)
        self.width = self._model.n_embd
        self._threads = threads
        self._per_position = self._model.kv_bytes_per_position
        self._room = threading.Condition()
        self._in_use = 0

    def align(
        self, audio: npt.NDArray[np.float32], units: Sequence[str], duration_ms: int, *, threads: int | None = None
    ) -> tuple[int, ...]:
        """Return start and end of every unit.

        Args:
            audio: Encoder rows of the chunk, float32 ``[rows, width]``.
            units: Units of the text in order, see `align_units`.
            duration_ms: Length of the chunk: no class beyond it is chosen.
            threads: Threads for this pass.

        Returns:
            Milliseconds from the start of the chunk, two per unit, as the model says them: neither repaired nor sorted.

        Raises:
            GgufDamagedError: The text table cannot be read any more.
            NativeError: libllama failed.
        """
        if not units:
            return ()
        rows, slots = self._prompt(audio, units)
        columns = min(self.files.classes, duration_ms // self.files.class_ms + 1)
        positions = -(-len(rows) // _POSITION_STEP) * _POSITION_STEP
        need = positions * self._per_position
        with self._room:
            self._room.wait_for(lambda: self._in_use == 0 or self._in_use + need <= _MEMORY_BUDGET)
            self._in_use += need
        try:
            with Context(
                self._model,
                n_ctx=positions,
                n_batch=min(_UBATCH, positions),
                n_ubatch=min(_UBATCH, positions),
                threads=threads or self._threads,
                # llama.cpp's flash attention adds up values in 16 bits on a CPU; times of words then differ.
                flash_attention=False,
            ) as context:
                scores = context.score_embeddings(rows, 0, slots, columns=columns)
        finally:
            with self._room:
                self._in_use -= need
                self._room.notify_all()
        return tuple(int(choice) * self.files.class_ms for choice in scores.argmax(axis=1))

    def close(self) -> None:
        """Free the weights."""
        self._model.close()

    def _prompt(
        self, audio: npt.NDArray[np.float32], units: Sequence[str]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        """The embedding rows of the whole prompt, float32 ``[n, width]``, and the indices of its slots."""
        tokens: list[int] = [self.files.audio_end_id]
        slots: list[int] = []
        for unit in units:
            # The official tokenizer composes first, and libllama's does not.
            tokens += self._tokenizer.tokenize(unicodedata.normalize("NFC", unit))
            slots += [len(tokens), len(tokens) + 1]
            tokens += [self.files.timestamp_id] * 2
        text = self._table.rows([self.files.audio_start_id, *tokens])
        rows = np.concatenate([text[:1], audio, text[1:]])
        return rows, np.asarray(slots, dtype=np.int64) + 1 + len(audio)
