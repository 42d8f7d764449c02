# SPDX-License-Identifier: Apache-2.0
"""The audio encoder: log-mel in, one embedding row per 80 ms out, two ONNX graphs run by onnxruntime.

The frontend (convolutions) sees one second at a time, the backend (transformer) one window of eight seconds: that is
the attention the model was trained with. Seconds and windows are batches, never padding.
"""

from __future__ import annotations

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qwen_asr_plugin.audio import log_mel
from qwen_asr_plugin.errors import EngineError, OnnxProviderError

from .onnx_session import open_session

__all__ = ["Encoder", "encoded_rows"]

Float32 = npt.NDArray[np.float32]


def encoded_rows(frames: int, chunk_frames: int = 100) -> int:
    """Return the encoder rows for `frames` mel frames: 13 a full second, one per 8 frames started of the rest.

    Source: the three convolutions of stride 2 of the official encoder, ``ceil(ceil(ceil(n / 2) / 2) / 2)``.
    """
    full, rest = divmod(frames, chunk_frames)
    return full * -(-chunk_frames // 8) + -(-rest // 8)


class Encoder:
    """Both graphs of one bundle; may be called from several threads at once.

    Args:
        frontend: ONNX file: mel ``[seconds, mels, frames]`` to rows ``[seconds, rows, width]``, float32.
        backend: ONNX file: rows ``[windows, rows, width]`` to embeddings ``[windows, rows, decoder width]``.
        chunk_frames: Mel frames per frontend chunk (the model's ``2 * n_window``).
        window_chunks: Frontend chunks per attention window.
        threads: Threads per call; on a CPU they change no byte of the result.
        most_threads: Most threads that a call of `encode` may ask for; None is `threads`.
        provider: The execution provider, see `EngineOptions.onnx_provider`.
        allow_fallback: Use the CPU when the provider cannot be used, and say so in `warnings`.

    Attributes:
        provider: Name of the execution provider in use, as onnxruntime writes it.
        warnings: What is not as it was asked for, in words for the user.

    Raises:
        OnnxDamagedError: A file cannot be loaded.
        OnnxProviderError: The execution provider is not installed or cannot start.
    """

    def __init__(
        self,
        frontend: Path,
        backend: Path,
        *,
        chunk_frames: int = 100,
        window_chunks: int = 8,
        threads: int = 1,
        most_threads: int | None = None,
        provider: str = "cpu",
        allow_fallback: bool = False,
    ) -> None:
        self._chunk_frames = chunk_frames
        self._window_rows = window_chunks * encoded_rows(chunk_frames, chunk_frames)
        self.warnings: tuple[str, ...] = ()
        try:
            self._frontend, self._backend = _sessions(frontend, backend, threads, provider)
        except OnnxProviderError as error:
            if not allow_fallback:
                raise
            self.warnings = (f"The encoder runs on the CPU, not on {provider}: {error.what}",)
            provider = "cpu"
            self._frontend, self._backend = _sessions(frontend, backend, threads, provider)
        # DirectML is the one provider whose sessions must not be called by two threads at once.
        self._turn = threading.Lock() if provider.startswith("dml") else contextlib.nullcontext()
        mel = self._frontend.get_inputs()[0]
        self._mel_name: str = mel.name
        # On a CPU one second fits the cache: whole chunks are no faster and take several times the memory.
        self._second_by_second = isinstance(mel.shape[0], int) or provider == "cpu"
        # Seconds do not depend on each other: threads that take one each never wait for one another, while the threads
        # of one call meet after every operator, which takes half as long again beside a busy program.
        self._threads = threads
        most = threads if most_threads is None else most_threads
        self._pool = ThreadPoolExecutor(most, "frontend") if provider == "cpu" and most > 1 else None
        self._static_frames = isinstance(mel.shape[2], int)
        self._backend_inputs = [i.name for i in self._backend.get_inputs()]
        self._dtype = np.float16 if "float16" in mel.type else np.float32
        self.provider: str = self._frontend.get_providers()[0]

    @property
    def width(self) -> int:
        """Width of the rows it returns, which must be the decoder's embedding width."""
        return int(self._backend.get_outputs()[0].shape[-1])

    def encode(self, samples: Float32, *, threads: int | None = None) -> Float32:
        """Return the embedding rows, float32 ``[rows, width]``, of 16 kHz mono `samples`, float32 ``[n]``.

        Args:
            samples: What was spoken.
            threads: Threads for the frontend this time; None is what the encoder was made with.
        """
        return self.encode_mel(log_mel(samples), threads=threads)

    def encode_mel(self, mel: Float32, *, threads: int | None = None) -> Float32:
        """Return the embedding rows, float32 ``[rows, width]``, of a log-mel, float32 ``[mels, frames]``."""
        with self._turn:
            return self._encode_mel(mel, threads or self._threads)

    def _encode_mel(self, mel: Float32, threads: int) -> Float32:
        frames = mel.shape[1]
        rows = self._run_frontend(self._seconds(mel), threads)[: encoded_rows(frames, self._chunk_frames)]
        full = len(rows) // self._window_rows * self._window_rows
        windows = rows[:full].reshape(-1, self._window_rows, rows.shape[1])
        parts = [self._run_backend(windows)] if full else []
        if full < len(rows):
            parts.append(self._run_backend(rows[np.newaxis, full:]))
        return np.concatenate(parts).astype(np.float32, copy=False)

    def _seconds(self, mel: Float32) -> Float32:
        """Cut into chunks ``[seconds, mels, chunk_frames]``; a clip under one chunk keeps its length (as trained)."""
        bins, frames = mel.shape
        if frames < self._chunk_frames and not self._static_frames:
            return mel[np.newaxis]
        count = -(-frames // self._chunk_frames)
        padded = np.zeros((bins, count * self._chunk_frames), np.float32)
        padded[:, :frames] = mel
        return np.ascontiguousarray(padded.reshape(bins, count, self._chunk_frames).transpose(1, 0, 2))

    def _run_frontend(self, seconds: Float32, threads: int = 1) -> npt.NDArray[Any]:
        step = 1 if self._second_by_second else len(seconds)

        def run(at: int) -> npt.NDArray[Any]:
            feed = {self._mel_name: seconds[at : at + step].astype(self._dtype, copy=False)}
            output: npt.NDArray[Any] = self._frontend.run(None, feed)[0]
            return output

        steps = range(0, len(seconds), step)
        left = iter(steps)
        done: dict[int, npt.NDArray[Any]] = {}

        def work(_: int = 0) -> None:
            for at in left:
                done[at] = run(at)

        if self._pool is None or min(threads, len(steps)) == 1:
            work()
        else:
            list(self._pool.map(work, range(min(threads, len(steps)))))
        joined = np.concatenate([done[at] for at in steps])
        return joined.reshape(-1, joined.shape[-1])

    def _run_backend(self, windows: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Run ``[windows, rows, width]`` and return ``[windows * rows, decoder width]``."""
        feed = {self._backend_inputs[0]: windows}
        if len(self._backend_inputs) > 1:  # released bundles want a mask, all zeros: nothing is padded here
            rows = windows.shape[1]
            feed[self._backend_inputs[1]] = np.zeros((len(windows), 1, rows, rows), windows.dtype)
        output: npt.NDArray[Any] = self._backend.run(None, feed)[0]
        return output.reshape(-1, output.shape[-1])


def _sessions(frontend: Path, backend: Path, threads: int, provider: str) -> tuple[Any, Any]:
    return (
        open_session(frontend, provider=provider, threads=1 if provider == "cpu" else threads),
        open_session(backend, provider=provider, threads=threads),
    )


def check_width(encoder: Encoder, decoder_width: int, model_folder: Path) -> None:
    """Refuse an encoder and a decoder of different models.

    Raises:
        EngineError: Their widths differ.
    """
    if encoder.width != decoder_width:
        raise EngineError(
            f"The encoder writes rows of {encoder.width} numbers, the decoder reads {decoder_width}: "
            "they belong to different models.",
            path=model_folder,
            hint="Keep every model in a folder of its own; the files of 0.6B and 1.7B carry the same names.",
        )
