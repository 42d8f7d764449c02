# SPDX-License-Identifier: Apache-2.0
"""The audio encoder in every precision against the form of the released bundles: time of both stages, error, memory.

    python benchmarks/encoder.py --cache FOLDER
    python benchmarks/encoder.py --cache FOLDER --size 1.7B --threads 1 --rounds 5 --precision int8

Random weights of the official shapes, made once and kept in the cache folder. The released form (static frontend of one
second with float32 convolutions, 4-bit blocks of 128 with zero points, attention over the whole clip) runs as the
programs run that it was released with: one call a second, all threads inside each call. Ours runs as the engine runs
it. Contenders alternate within a round; compare figures of one run only. The relative error is the Euclidean norm of
the difference from the float32 encoder's output over the norm of that; random weights exaggerate it.
"""

import argparse
import importlib.util
import json
import os
import pathlib
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
from _common import machine, table

import qwen_asr_model
from qwen_asr_model._encoder import write_backend, write_frontend
from qwen_asr_model._precisions import make_precision
from qwen_asr_model.synth import synthetic_checkpoint
from qwen_asr_plugin.engine.encoder import Encoder
from qwen_asr_plugin.engine.onnx_session import open_session

Float32 = npt.NDArray[np.float32]
Stages = dict[str, float]
RELEASED = "released"
FOREIGN = pathlib.Path(__file__).resolve().parent.parent / "tests" / "model" / "foreign_models.py"
CONVERTER = pathlib.Path(qwen_asr_model.__file__).parent
CHUNK = 100


def foreign_models() -> Any:
    """Load the module of the tests that writes the released form."""
    spec = importlib.util.spec_from_file_location("foreign_models", FOREIGN)
    if spec is None or spec.loader is None:
        sys.exit(f"encoder.py: {FOREIGN} is missing; run it from a source tree")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def made(cache: pathlib.Path, size: str, form: str) -> tuple[pathlib.Path, pathlib.Path]:
    """Return frontend and backend of that form, writing them if the cache has none made by this converter."""
    sources = [FOREIGN] if form == RELEASED else [CONVERTER / "_encoder.py", CONVERTER / "_precisions.py"]
    newest = max(source.stat().st_mtime for source in sources)
    folder = cache / size
    folder.mkdir(parents=True, exist_ok=True)
    front, back = (folder / f"{part}.{form}.onnx" for part in ("frontend", "backend"))
    if not back.exists() or back.stat().st_mtime < newest:
        print(f"writing {form} of the {size} shape", file=sys.stderr)
        checkpoint = synthetic_checkpoint(size)
        unfinished = back.with_suffix(".partial")
        if form == RELEASED:
            foreign = vars(foreign_models())
            foreign["_write_frontend"](checkpoint, front)
            foreign["_write_backend"](checkpoint, unfinished)
        else:
            write_frontend(checkpoint, make_precision(form), front)
            write_backend(checkpoint, make_precision(form), unfinished)
        unfinished.replace(back)
    return front, back


def released(files: tuple[pathlib.Path, pathlib.Path], threads: int) -> Callable[[Float32], tuple[Float32, Stages]]:
    """Return what encodes as the released form's own program does."""
    front, back = (open_session(file, provider="cpu", threads=threads) for file in files)

    def encode(mel: Float32) -> tuple[Float32, Stages]:
        start = time.perf_counter()
        seconds = mel.reshape(len(mel), -1, CHUNK).transpose(1, 0, 2)
        rows = np.concatenate([front.run(None, {"chunk_mel": second[None]})[0][0] for second in seconds])
        between = time.perf_counter()
        mask = np.zeros((1, 1, len(rows), len(rows)), np.float32)
        output = back.run(None, {"hidden_states": rows[None], "attention_mask": mask})[0][0]
        end = time.perf_counter()
        return output, {"frontend": between - start, "backend": end - between}

    return encode


def ours(files: tuple[pathlib.Path, pathlib.Path], threads: int) -> Callable[[Float32], tuple[Float32, Stages]]:
    """Return what encodes as the engine does."""
    encoder = Encoder(*files, threads=threads)
    run_backend, spent = vars(Encoder)["_run_backend"], [0.0]

    def timed(windows: npt.NDArray[Any]) -> npt.NDArray[Any]:
        start = time.perf_counter()
        output: npt.NDArray[Any] = run_backend(encoder, windows)
        spent[0] += time.perf_counter() - start
        return output

    vars(encoder)["_run_backend"] = timed

    def encode(mel: Float32) -> tuple[Float32, Stages]:
        spent[0], start = 0.0, time.perf_counter()
        output = encoder.encode_mel(mel)
        whole = time.perf_counter() - start
        return output, {"frontend": whole - spent[0], "backend": spent[0]}

    return encode


def measure(arguments: argparse.Namespace, size: str, threads: int) -> list[dict[str, Any]]:
    """Return one row per contender, the released form first."""
    forms = [RELEASED, *arguments.precision]
    files = {form: made(arguments.cache, size, form) for form in forms}
    encoders = {form: (released if form == RELEASED else ours)(files[form], threads) for form in forms}
    mel = np.random.default_rng(0).normal(0, 0.5, (128, arguments.seconds * CHUNK)).astype(np.float32)
    rounds: dict[str, list[Stages]] = {form: [] for form in forms}
    outputs = {form: encode(mel)[0] for form, encode in encoders.items()}
    for _ in range(arguments.rounds):
        for form, encode in encoders.items():
            output, stages = encode(mel)
            if not np.array_equal(output, outputs[form]):
                sys.exit(f"encoder.py: {form} computed other bytes than the run before")
            rounds[form].append(stages)
    rows = []
    for form in forms:
        totals = [sum(stages.values()) for stages in rounds[form]]
        row = {"size": size, "threads": threads, "form": form, "totals": totals}
        for part in ("frontend", "backend"):
            row[part] = statistics.median(stages[part] for stages in rounds[form])
        row["bytes"] = sum(file.stat().st_size for file in files[form])
        if "fp32" in outputs and form != RELEASED:  # the released form attends to the whole clip: another function
            wanted = outputs["fp32"]
            row["error"] = float(np.linalg.norm(outputs[form] - wanted) / np.linalg.norm(wanted))
        rows.append(row)
    return rows


def lines(rows: list[dict[str, Any]]) -> list[tuple[object, ...]]:
    """Return the table's lines; ratios of medians and of the fastest rounds, both against the first row."""
    base = rows[0]["totals"]
    found: list[tuple[object, ...]] = []
    for row in rows:
        totals = row["totals"]
        whole = f"{statistics.median(totals):.3f} ({min(totals):.3f}-{max(totals):.3f})"
        share = statistics.median(totals) / statistics.median(base), min(totals) / min(base)
        error = f"{row['error']:.4f}" if "error" in row else "-"
        stages = (f"{row['frontend']:.3f}", f"{row['backend']:.3f}")
        percent = f"{100 * share[0]:.1f} % ({100 * share[1]:.1f} %)"
        found.append((row["form"], *stages, whole, percent, error, f"{row['bytes'] / 1e6:.0f}"))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=pathlib.Path, required=True, help="folder for the models, up to 2 GB a size")
    parser.add_argument("--size", nargs="+", default=["0.6B"], choices=["0.6B", "1.7B"], help="default: 0.6B")
    parser.add_argument("--precision", nargs="+", default=["fp32", "int8", "int4"], help="default: fp32 int8 int4")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="default: 1 2")
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    parser.add_argument("--seconds", type=int, default=40, help="length of the clip (default: %(default)s)")
    parser.add_argument("--json", type=pathlib.Path, help="write all figures to this file")
    arguments = parser.parse_args()
    print(f"{machine()}, onnxruntime {onnxruntime.__version__}")
    everything = []
    for size in arguments.size:
        for threads in arguments.threads:
            rows = measure(arguments, size, threads)
            everything += rows
            print(f"\n{size}, {arguments.seconds} s of audio, {threads} threads, {arguments.rounds} rounds, seconds:\n")
            head = ("form", "frontend", "backend", "together (range)", "of released (fastest)", "error", "MB")
            print(table(head, lines(rows)), flush=True)
    if hasattr(os, "getloadavg"):
        print(f"\nload at the end {os.getloadavg()[0]:.1f}")
    if arguments.json:
        arguments.json.write_text(json.dumps(everything, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
