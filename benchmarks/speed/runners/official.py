# SPDX-License-Identifier: Apache-2.0
"""The official PyTorch package on the checkpoint itself, in fp32 on the CPU.

Run by the Python that has ``qwen-asr`` (``--official-python``), which needs nothing of this project.
"""

from __future__ import annotations

import functools
import time
import wave
from importlib.metadata import version
from typing import Any

from benchmarks.speed.job import CannotRunError, Job, Result, pieces, serve, tokens_of

__all__ = ["run"]


def run(job: Job) -> Result:
    """Recognise ``media`` (WAV) in pieces of at most ``chunk_seconds``, every one with its number of new tokens."""
    try:
        import numpy as np
        import torch
        from qwen_asr import Qwen3ASRModel
    except ImportError as error:
        raise CannotRunError(f"the package qwen-asr cannot be imported by the Python given: {error}") from error

    torch.set_num_threads(job["threads"])
    started = time.perf_counter()
    model: Any = Qwen3ASRModel.from_pretrained(
        job["model"], dtype=torch.float32, device_map="cpu", max_inference_batch_size=1
    )
    load_seconds = time.perf_counter() - started
    generate = model.model.generate
    counted: list[int] = []

    def counting(*given: Any, **named: Any) -> Any:
        output = generate(*given, **named)
        counted.append(int(output.sequences.shape[1] - named["input_ids"].shape[1]))
        return output

    with wave.open(job["media"], "rb") as file:
        rate = file.getframerate()
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float32) / 32768
    started = time.perf_counter()
    first: float | None = None
    cut = pieces(len(samples), rate, job["chunk_seconds"])
    for begin, end in cut:
        model.max_new_tokens = tokens_of((end - begin) / rate, job["tokens_per_second"])
        model.model.generate = functools.partial(counting, min_new_tokens=model.max_new_tokens)
        model.transcribe(audio=(samples[begin:end], rate), language="English")
        first = time.perf_counter() - started + load_seconds if first is None else first
    return {
        "load_seconds": load_seconds,
        "work_seconds": time.perf_counter() - started,
        "first_seconds": first,
        "audio_seconds": len(samples) / rate,
        "chunks": len(cut),
        "tokens": sum(counted),
        "lanes": 1,
        "stages": {},
        "versions": {name: version(name) for name in ("qwen-asr", "torch", "transformers")},
    }


if __name__ == "__main__":
    serve(run)
