# SPDX-License-Identifier: Apache-2.0
"""The product as its users have it: ``SubtitleHost.generate`` with a worker process, its own statistics."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from benchmarks.speed.fixed_work import apply_in_workers
from benchmarks.speed.job import Job, Result, serve
from qwen_asr_plugin.plugin import subtitle_backends
from subtitle_hooks import SilentEvents, SubtitleHost, SubtitleRequest

__all__ = ["run"]


def run(job: Job) -> Result:
    """Make the subtitles of ``media`` with ``options``; a ``tokens_per_second`` of None leaves the decoding alone."""
    if job["tokens_per_second"] is not None:
        apply_in_workers(float(job["tokens_per_second"]))
    backend = next(iter(subtitle_backends())).name
    request = SubtitleRequest(media=Path(job["media"]), language="en", options=job["options"])
    started = time.perf_counter()
    first: float | None = None
    with SubtitleHost().generate(request, SilentEvents(), backend=backend) as transcript:
        for _ in transcript:
            first = time.perf_counter() - started if first is None else first
        found: dict[str, Any] = dict(transcript.statistics)
    work = found["wall_seconds"] - found["load_seconds"]
    stages = {
        "encoder": found["encoder_seconds"],
        "prefill": _seconds(found, "prefill"),
        "generation": _seconds(found, "generation"),
        "alignment": found["alignment_seconds"],
    }
    return {
        "load_seconds": found["load_seconds"],
        "work_seconds": work,
        "first_seconds": first,
        "audio_seconds": found["audio_seconds"],
        "chunks": found["chunks"],
        "tokens": found["generation_tokens"],
        "positions": found["prefill_tokens"],
        "lanes": found["lanes"],
        "stages": stages,
        "own_peak_mb": found["peak_memory_mb"],
        "versions": {"libllama": found["library"]},
        "statistics": found,
    }


def _seconds(found: dict[str, Any], stage: str) -> float:
    rate = float(found[f"{stage}_tokens_per_second"])
    return float(found[f"{stage}_tokens"]) / rate if rate else 0.0


if __name__ == "__main__":
    serve(run)
