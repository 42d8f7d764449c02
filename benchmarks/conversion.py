# SPDX-License-Identifier: Apache-2.0
"""How long converting a checkpoint takes and how much memory it needs, for random weights of the official sizes.

    python benchmarks/conversion.py [SIZE...] [--folder FOLDER]     # sizes: 0.6B 1.7B aligner-0.6B

Each step runs in a process of its own. Its peak is that of the process and of what it starts (libllama's quantiser),
without the pages of files it has mapped, which the system takes back whenever it likes. The bound is twice the largest
tensor, as it lies in the checkpoint, and 500 MB; status 1 where a step needs more. A size takes up to 15 GB of disk
while it runs.

Measured on an AMD EPYC, 2 cores, AVX-512, Linux, with other work going on beside it (load 2 to 5, this at a nice value
of 5 to 12); a step writes both graphs and the decoder, of the aligner its text table, too:

    size           step                   seconds   peak, MB   bound, MB
    0.6B           write the checkpoint        26        158        1122
    0.6B           fp32 + f16                  10        163        1122
    0.6B           fp16 + q8_0                 11        148        1122
    0.6B           int8 + q4_0                 13        248        1122
    0.6B           int4 + q4_k                 39        867        1122
    aligner-0.6B   write the checkpoint        24        170        1122
    aligner-0.6B   fp32 + f16                  18        164        1122
    aligner-0.6B   fp16 + q8_0                 29        162        1122
    aligner-0.6B   int8 + q4_0                 31        258        1122
    aligner-0.6B   int4 + q4_k                 64        181        1122
    1.7B           write the checkpoint        71        171        1744
    1.7B           fp32 + f16                  31        163        1744
    1.7B           fp16 + q8_0                 20        152        1744
    1.7B           int8 + q4_0                 22        267        1744
    1.7B           int4 + q4_k                 86       1598        1744
"""

import argparse
import json
import math
import multiprocessing
import pathlib
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from typing import Any

import psutil
from _common import machine, table

from qwen_asr_model import convert_checkpoint
from qwen_asr_model._shapes import tensor_shapes
from qwen_asr_model.synth import SIZES, synthesize_checkpoint

CHOICES = {
    "fp32 + f16": (("fp32",), ("f16",)),
    "fp16 + q8_0": (("fp16",), ("q8_0",)),
    "int8 + q4_0": (("int8",), ("q4_0",)),
    "int4 + q4_k": (("int4",), ("q4_k",)),
}
MB = 1_000_000


def memory(process: psutil.Process) -> int:
    """Bytes a process and what it started hold, files they have mapped not counted."""
    total = 0
    for one in (process, *process.children(recursive=True)):
        try:
            info = one.memory_info()
        except psutil.Error:
            continue
        total += info.rss - getattr(info, "shared", 0)
    return total


def measured(results: Any, work: Callable[..., object], arguments: tuple[object, ...], options: dict[str, Any]) -> None:
    """Do something, and put seconds and peak into the queue. Runs in a process of its own."""
    process, done, peak = psutil.Process(), threading.Event(), [0]

    def watch() -> None:
        while not done.wait(0.02):
            peak[0] = max(peak[0], memory(process))

    watcher = threading.Thread(target=watch)
    watcher.start()
    started = time.perf_counter()
    try:
        work(*arguments, **options)
    finally:
        done.set()
        watcher.join()
    results.put((time.perf_counter() - started, peak[0]))


def run(work: Callable[..., object], *arguments: object, **options: Any) -> tuple[float, int]:
    """Return seconds and peak bytes of a call in a process of its own."""
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    child = context.Process(target=measured, args=(results, work, arguments, options))
    child.start()
    child.join()
    if child.exitcode:
        sys.exit(f"{work.__name__} failed")
    found: tuple[float, int] = results.get()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sizes", nargs="*", default=["0.6B", "1.7B", "aligner-0.6B"], metavar="SIZE")
    parser.add_argument("--folder", type=pathlib.Path, help="where to work (default: the system's temporary folder)")
    parser.add_argument("--json", action="store_true", help="for programs")
    chosen = parser.parse_args()
    rows = []
    for size in chosen.sizes:
        work = pathlib.Path(tempfile.mkdtemp(prefix="conversion-", dir=chosen.folder))
        try:
            largest = 2 * max(math.prod(shape) for shape in tensor_shapes(SIZES[size]).values())
            bound = (2 * largest + 500 * MB) // MB
            seconds, peak = run(synthesize_checkpoint, size, work / "checkpoint")
            rows.append((size, "write the checkpoint", f"{seconds:.0f}", peak // MB, bound))
            for name, (precisions, quants) in CHOICES.items():
                options = {"precisions": precisions, "quants": quants}
                seconds, peak = run(convert_checkpoint, work / "checkpoint", work / "bundle", **options)
                rows.append((size, name, f"{seconds:.0f}", peak // MB, bound))
                sys.stderr.write(f"{rows[-1]}\n")
        finally:
            shutil.rmtree(work, ignore_errors=True)
    if chosen.json:
        print(json.dumps(rows))
    else:
        print(machine(), end="\n\n")
        print(table(("size", "step", "seconds", "peak, MB", "bound, MB"), rows))
    if any(peak > bound for _size, _step, _seconds, peak, bound in rows):
        sys.exit("a step needs more memory than it may")


if __name__ == "__main__":
    main()
