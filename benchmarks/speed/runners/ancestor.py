# SPDX-License-Identifier: Apache-2.0
"""The ancestor's way of working in our engine.

Its released int4 encoder sees the whole clip at once (full attention), clips are 40 s and the last one is filled up
with silence, one sequence is decoded after the other with all threads, in mainline libllama with a K-quant. What the
ancestor also does and this does not: prefill the clip before once more as a memory. So it is faster here than there.
"""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

import numpy as np

from benchmarks.speed import fixed_work
from benchmarks.speed.job import CannotRunError, Job, Result, serve, tokens_of
from benchmarks.speed.speech import read_wave
from qwen_asr_plugin.engine.recognition import WorkTimes
from qwen_asr_plugin.engine.recognizer import load_model
from qwen_asr_plugin.options import ALIGNER_OFF, EngineOptions

__all__ = ["run"]

_CLIP_SECONDS = 40
_RATE = 16000
_ALL_ROWS = 1 << 30


def run(job: Job) -> Result:
    """Recognise ``media`` (WAV) with ``model``, ``threads`` and ``libllama``."""
    wanted = 0
    fixed_work.apply(lambda _: wanted)
    options = EngineOptions(
        model=Path(job["model"]),
        libllama=job["libllama"],
        lanes=1,
        threads=job["threads"],
        aligner=ALIGNER_OFF,
        isolation="inline",
    )
    started = time.perf_counter()
    loaded = load_model(options)
    model = dataclasses.replace(loaded, bundle=dataclasses.replace(loaded.bundle, max_chunk_seconds=_CLIP_SECONDS))
    if "_window_rows" not in vars(model.encoder):
        raise CannotRunError("benchmarks/speed/runners/ancestor.py must be brought up to date: Encoder._window_rows.")
    vars(model.encoder)["_window_rows"] = _ALL_ROWS
    recognizer = model.recognizer()
    load_seconds = time.perf_counter() - started

    started = time.perf_counter()
    samples = read_wave(Path(job["media"]))
    spent: list[WorkTimes] = []
    first: float | None = None
    for begin in range(0, len(samples), _CLIP_SECONDS * _RATE):
        clip = samples[begin : begin + _CLIP_SECONDS * _RATE]
        wanted = tokens_of(len(clip) / _RATE, job["tokens_per_second"])
        padded = np.pad(clip, (0, _CLIP_SECONDS * _RATE - len(clip)))
        spent.append(recognizer.recognize(padded, language="en").times)
        first = time.perf_counter() - started + load_seconds if first is None else first
    work_seconds = time.perf_counter() - started
    times = WorkTimes.sum(spent)
    return {
        "load_seconds": load_seconds,
        "work_seconds": work_seconds,
        "first_seconds": first,
        "audio_seconds": len(samples) / _RATE,
        "chunks": len(spent),
        "tokens": times.generation_tokens,
        "positions": times.prefill_tokens,
        "lanes": 1,
        "stages": {
            "encoder": times.encoder_seconds,
            "prefill": times.prefill_seconds,
            "generation": times.generation_seconds,
        },
        "versions": {"libllama": model.library},
    }


if __name__ == "__main__":
    serve(run)
