# SPDX-License-Identifier: Apache-2.0
"""What does a GPU make of it? Lanes, quantisations and encoder providers; and whether it always writes the same text.

    python -m benchmarks.gpu --library FOLDER_WITH_LIBLLAMA              # everything, about 10 minutes
    python -m benchmarks.gpu --library built --only speed --lanes 1,8    # a library of `qwen-asr-plugin native build`
    python -m benchmarks.gpu --library built --encoders cpu:int8,cuda:fp16
    python -m benchmarks.gpu --device cpu --lanes 1x16,4x4,16x1          # lanes x threads on the processor

Speed: random weights of the 0.6B shape (made once, 4 GB in --cache), audio in chunks of 30 s, 4.5 tokens a second.
Every configuration runs in a process of its own: once to warm up, then --rounds times. 8own are eight KV caches in
eight threads instead of eight shared lanes. Lines with "decoder" leave the encoder out. "prefill/s" is that of one
lane, waiting for the others included; "tokens/s" that of all.

Sameness: the bundled model on real clips, three times through eight shared lanes, once through one lane, once on the
processor. The three must agree to the last bit, or the status is 1; the others may differ in a word, which is counted.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import queue
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks._common import machine, table
from benchmarks.speed import fixed_work
from benchmarks.speed.speech import join_clips, read_wave
from qwen_asr_model import synthesize
from qwen_asr_native import list_devices, load_library
from qwen_asr_plugin.audio import find_chunks
from qwen_asr_plugin.engine.decoder import Decoder
from qwen_asr_plugin.engine.lanes import LanePool
from qwen_asr_plugin.engine.loop_guard import token_budget
from qwen_asr_plugin.engine.prompt import SpecialTokens, build_prompt
from qwen_asr_plugin.engine.recognition import WorkTimes
from qwen_asr_plugin.engine.recognizer import LoadedModel, SpokenText, load_model
from qwen_asr_plugin.options import EngineOptions

RATE = 16000
ROWS_PER_SECOND = fixed_work.ROWS_PER_SECOND
CHUNK_SECONDS = 30
TOKENS_PER_SECOND = 4.5
QUANTS = ("f16", "q8_0", "q4_0")
PRECISIONS = ("fp32", "fp16", "int8")
SAME_LANES = 8

Job = dict[str, Any]
Samples = npt.NDArray[np.float32]


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--library", help="libllama: a file, a folder, or a provider's name (default: as the product)")
    parser.add_argument("--device", default="gpu", help="as the product's option (default: %(default)s)")
    parser.add_argument("--only", choices=["speed", "same"], help="one half of it")
    parser.add_argument("--quants", default="f16,q8_0,q4_0", help="default: %(default)s")
    parser.add_argument("--lanes", default="1,2,4,8,16,8own", help="N, NxTHREADS or Nown (default: %(default)s)")
    parser.add_argument("--encoders", default="none,cpu:int8", help="none or PROVIDER:PRECISION (default: %(default)s)")
    parser.add_argument("--seconds", type=int, default=600, help="audio for each configuration (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=2, help="default: %(default)s")
    parser.add_argument("--limit", type=float, default=120, help="seconds for a configuration (default: %(default)s)")
    parser.add_argument("--model", type=Path, help="another bundle than the synthetic one")
    parser.add_argument("--speech", type=Path, help="folder of WAV clips, 16 kHz mono (default: the sample video)")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "qwen-asr-gpu-benchmark")
    parser.add_argument("--json", type=Path, help="write every figure to this file, too")
    parser.add_argument("--job", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.job:
        job = json.loads(arguments.job)
        print("\n" + json.dumps(_speed(job) if job["kind"] == "speed" else _same(job)), flush=True)
        return 0
    print(machine(), flush=True)
    device = next(d for d in list_devices(_library_file(arguments.library)) if _is_meant(d.name, d.kind, arguments))
    print(f"{device.describe()}, {load_library(arguments.library).describe()}\n", flush=True)
    arguments.cache.mkdir(parents=True, exist_ok=True)
    found: list[Job] = []
    status = 0
    if arguments.only != "same":
        found += _measure_speed(arguments)
    if arguments.only != "speed":
        same, status = _compare_texts(arguments)
        found += same
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": machine(), "device": device.as_dict(), "runs": found}))
    return status


def _is_meant(name: str, kind: str, arguments: argparse.Namespace) -> bool:
    return arguments.device.lower() in (name.lower(), kind)


def _library_file(library: str | None) -> Path:
    return load_library(library).path


def _measure_speed(arguments: argparse.Namespace) -> list[Job]:
    model = arguments.model or arguments.cache / "0.6B"
    if not model.exists():
        print("Making random weights of the 0.6B shape ...", flush=True)
        synthesize("0.6B", model, precisions=PRECISIONS, quants=QUANTS, max_chunk_seconds=CHUNK_SECONDS)
    speech = arguments.cache / f"speech-{arguments.seconds}.wav"
    if not speech.exists():
        join_clips(arguments.speech, arguments.seconds, speech)
    head = ("configuration", "RTF", "tokens/s", "prefill/s", "encoder s", "load s", "memory MB")
    rows, found = [], []
    for quant in arguments.quants.split(","):
        for encoder in arguments.encoders.split(","):
            for lanes in arguments.lanes.split(","):
                job = _job(arguments, "speed", lanes, model=str(model), quant=quant, encoder=encoder, media=str(speech))
                result = job | _run(job | {"rounds": arguments.rounds}, arguments.limit)
                found.append(result)
                what = "decoder" if encoder == "none" else f"encoder {encoder}"
                rows.append((f"{quant}, {what}, {lanes} lanes", *_figures(result)))
                print(" ", *rows[-1], flush=True)
    print(f"\n{table(head, rows)}\n", flush=True)
    return found


def _job(arguments: argparse.Namespace, kind: str, lanes: str, **others: Any) -> Job:
    number, _, threads = lanes.removesuffix("own").partition("x")
    job = {"kind": kind, "library": arguments.library, "device": arguments.device, "lanes": int(number)}
    return job | {"own": lanes.endswith("own"), "threads": int(threads or 0) * int(number), "name": lanes} | others


def _figures(result: Job) -> tuple[str, ...]:
    if "error" in result:
        return (result["error"], *["-"] * 5)
    return (
        f"{statistics.median(result['wall']) / result['audio']:.5f}",
        f"{result['tokens'] / statistics.median(result['wall']):.0f}",
        f"{result['prefill_rate']:.0f}",
        f"{result['encoder_seconds']:.2f}",
        f"{result['load_seconds']:.1f}",
        "-" if result["memory_mb"] is None else f"{result['memory_mb']:.0f}",
    )


def _run(job: Job, limit: float) -> Job:
    """Do a job in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.gpu", "--job", json.dumps(job)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit, check=False)
    except subprocess.TimeoutExpired:
        return {"error": f"stopped after {limit:.0f} s"}
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no message"]
        return {"error": f"status {done.returncode}: {lines[-1][:300]}"}
    answer: Job = json.loads(done.stdout.strip().splitlines()[-1])
    return answer


def _load(job: Mapping[str, Any], *, aligner: bool) -> LoadedModel:
    provider, _, precision = str(job.get("encoder", "cpu:")).partition(":")
    options = EngineOptions(
        model=Path(job["model"]) if job.get("model") else None,
        quant=job.get("quant"),
        precision=precision or None,
        aligner="auto" if aligner else "off",
        libllama=job["library"],
        onnx_provider="cpu" if provider == "none" else provider,
        device=job["device"],
        lanes=job["lanes"],
        threads=job["threads"],
    )
    model = load_model(options)
    return dataclasses.replace(model, shared_slots=None) if job.get("own") else model


def _speed(job: Job) -> Job:
    samples = read_wave(Path(job["media"]))
    free = _free_memory(job)
    model = _load(job, aligner=False)
    if model.bundle.name.startswith("synthetic"):  # random weights never end a text
        fixed_work.apply(fixed_work.tokens_at(TOKENS_PER_SECOND))
    length = int(min(CHUNK_SECONDS, model.max_chunk_seconds) * RATE)
    pieces = [samples[at : at + length] for at in range(0, len(samples), length)]
    lanes = _DecoderLanes(model, pieces) if job["encoder"] == "none" else _Lanes(model, pieces)
    try:
        runs = [_timed(lanes) for _ in range(job["rounds"] + 1)][1:]  # the first one warms up
        left = _free_memory(job)
    finally:
        lanes.close()
    times = runs[0][1]
    return {
        "audio": len(samples) / RATE,
        "wall": [wall for wall, _ in runs],
        "tokens": times.generation_tokens,
        "encoder_seconds": times.encoder_seconds,
        "prefill_rate": times.prefill_tokens / times.prefill_seconds,
        "load_seconds": model.load_seconds,
        "memory_mb": None if free is None or left is None else (free - left) / 2**20,
    }


class _Lanes:
    """The engine's own lanes."""

    def __init__(self, model: LoadedModel, pieces: Sequence[Samples]) -> None:
        self._pool = LanePool(model)
        self._pieces = pieces

    def work(self) -> list[WorkTimes]:
        def submit(piece: Samples) -> Future[SpokenText]:
            return self._pool.submit(piece, context="", language="en", align=False, cancelled=lambda: False)

        return [future.result().times for future in [submit(piece) for piece in self._pieces]]

    def close(self) -> None:
        self._pool.close()


class _DecoderLanes:
    """The same without the encoder, whose rows are made beforehand."""

    def __init__(self, model: LoadedModel, pieces: Sequence[Samples]) -> None:
        self._model = model
        self._rows = [model.encoder.encode(piece) for piece in pieces]
        self._prompt = build_prompt(model.decoder, SpecialTokens.of(model.decoder), language="en")
        self._slots = [model.slots() for _ in range(model.lanes)]
        self._free: queue.SimpleQueue[Decoder] = queue.SimpleQueue()
        for slots in self._slots:
            self._free.put(Decoder(model.decoder, slots))

    def work(self) -> list[WorkTimes]:
        with ThreadPoolExecutor(self._model.lanes) as threads:
            return list(threads.map(self._one, self._rows))

    def _one(self, rows: Samples) -> WorkTimes:
        decoder = self._free.get()
        try:
            decoded = decoder.decode(self._prompt, rows, max_tokens=token_budget(len(rows) / ROWS_PER_SECOND))
        finally:
            self._free.put(decoder)
        return WorkTimes(
            prefill_seconds=decoded.prefill_seconds,
            generation_seconds=decoded.generation_seconds,
            prefill_tokens=decoded.prefill_tokens,
            generation_tokens=decoded.generation_tokens,
        )

    def close(self) -> None:
        if self._model.shared_slots is None:
            for slots in self._slots:
                slots.close()
        self._model.close()


def _timed(lanes: _Lanes | _DecoderLanes) -> tuple[float, WorkTimes]:
    started = time.perf_counter()
    times = lanes.work()
    return time.perf_counter() - started, WorkTimes.sum(times)


def _free_memory(job: Mapping[str, Any]) -> int | None:
    for device in list_devices(_library_file(job["library"])):
        if job["device"].lower() in (device.name.lower(), device.kind):
            return device.memory_free
    return None


def _compare_texts(arguments: argparse.Namespace) -> tuple[list[Job], int]:
    clips = _clips(arguments)
    jobs = [_job(arguments, "same", str(SAME_LANES), media=clips) for _ in range(3)]
    jobs.append(_job(arguments, "same", "1", media=clips))
    jobs.append(_job(arguments, "same", "1", media=clips) | {"device": "cpu"})
    found = [job | _run(job, arguments.limit) for job in jobs]
    rows = []
    for result in found:
        name = f"{result['device']}, {result['lanes']} lanes"
        if "error" in result:
            rows.append((name, result["error"], "-", "-"))
            continue
        first = found[0].get("texts", [])
        texts = sum(a != b for a, b in zip(result["texts"], first, strict=False))
        times = sum(a != b for a, b in zip(result["times"], first and found[0]["times"], strict=False))
        rows.append((name, result["digest"], f"{texts} of {len(result['texts'])}", times))
    print(f"{table(('run', 'digest', 'other texts', 'other times'), rows)}\n", flush=True)
    digests = {result.get("digest") for result in found[:3]}
    return found, int(len(digests) != 1 or None in digests)


def _clips(arguments: argparse.Namespace) -> list[str]:
    """One WAV file for each clip."""
    if arguments.speech is None:
        return [str(join_clips(None, 60, arguments.cache / "sample.wav").path)]
    found = [str(path) for path in sorted(arguments.speech.glob("*.wav"))]
    if not found:
        raise SystemExit(f"There are no .wav files in {arguments.speech}.")
    return found


def _same(job: Job) -> Job:
    pool = LanePool(model := _load(job, aligner=True))
    try:
        chunks = [
            chunk.samples
            for name in job["media"]
            for chunk in find_chunks([read_wave(Path(name))], start_ms=0, max_seconds=min(20, model.max_chunk_seconds))
            if chunk is not None
        ]
        futures = [
            pool.submit(samples, context="", language="en", align=True, cancelled=lambda: False) for samples in chunks
        ]
        spoken = [future.result() for future in futures]
    finally:
        pool.close()
    times = [[(unit.start_ms, unit.stop_ms) for unit in one.aligned or ()] for one in spoken]
    texts = [one.text for one in spoken]
    return {
        "texts": texts,
        "times": times,
        "digest": hashlib.sha256(json.dumps([texts, times]).encode()).hexdigest()[:12],
        "retries": sum(one.times.retries for one in spoken),
    }


if __name__ == "__main__":
    sys.exit(main())
