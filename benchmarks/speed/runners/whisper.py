# SPDX-License-Identifier: Apache-2.0
"""``faster-whisper`` with real weights: it decodes what it hears; nobody can tell it how many tokens to write."""

from __future__ import annotations

import time
from importlib.metadata import version

from benchmarks.speed.job import CannotRunError, Job, Result, serve

__all__ = ["run"]


def run(job: Job) -> Result:
    """Recognise ``media`` with the weights in the folder ``model``, int8, greedy."""
    try:
        from faster_whisper import WhisperModel
    except ImportError:
        raise CannotRunError("the package faster-whisper is not installed.") from None
    started = time.perf_counter()
    model = WhisperModel(job["model"], device="cpu", compute_type="int8", cpu_threads=job["threads"])
    load_seconds = time.perf_counter() - started
    started = time.perf_counter()
    first: float | None = None
    tokens = 0
    segments, info = model.transcribe(job["media"], language="en", beam_size=1, temperature=0.0)
    for segment in segments:
        tokens += len(segment.tokens)
        first = time.perf_counter() - started + load_seconds if first is None else first
    return {
        "load_seconds": load_seconds,
        "work_seconds": time.perf_counter() - started,
        "first_seconds": first,
        "audio_seconds": info.duration,
        "chunks": 0,
        "tokens": tokens,
        "lanes": 1,
        "stages": {},
        "versions": {name: version(name) for name in ("faster-whisper", "ctranslate2")},
    }


if __name__ == "__main__":
    serve(run)
