# SPDX-License-Identifier: Apache-2.0
"""One audio encoder, frontend and backend, on the same clip again and again."""

from __future__ import annotations

import statistics
import time
from pathlib import Path

from benchmarks.speed.job import CannotRunError, Job, Result, serve
from benchmarks.speed.speech import read_wave
from qwen_asr_model import find_bundle, open_bundle
from qwen_asr_plugin.audio import log_mel
from qwen_asr_plugin.engine.encoder import Encoder

__all__ = ["run"]

_RATE = 16000
_ALL_ROWS = 1 << 30


def run(job: Job) -> Result:
    """Encode the first ``seconds`` of ``media`` (WAV) ``repeats`` times; ``full`` is attention over the whole clip."""
    files = open_bundle(find_bundle(Path(job["model"])), precision=job["precision"])
    started = time.perf_counter()
    encoder = Encoder(
        files.encoder_frontend,
        files.encoder_backend,
        chunk_frames=files.chunk_frames,
        window_chunks=files.window_chunks,
        threads=job["threads"],
    )
    if job["full"]:
        if "_window_rows" not in vars(encoder):
            raise CannotRunError("benchmarks/speed/runners/encoder.py must be brought up to date: _window_rows.")
        vars(encoder)["_window_rows"] = _ALL_ROWS
    load_seconds = time.perf_counter() - started
    samples = read_wave(Path(job["media"]))[: int(job["seconds"] * _RATE)]
    mel = log_mel(samples)
    encoder.encode_mel(mel)
    spent = []
    for _ in range(job["repeats"]):
        started = time.perf_counter()
        encoder.encode_mel(mel)
        spent.append(time.perf_counter() - started)
    return {
        "load_seconds": load_seconds,
        "work_seconds": statistics.median(spent),
        "audio_seconds": len(samples) / _RATE,
        "chunks": 1,
        "tokens": 0,
        "lanes": 1,
        "stages": {},
        "versions": {},
    }


if __name__ == "__main__":
    serve(run)
