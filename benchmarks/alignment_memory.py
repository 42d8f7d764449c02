#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How much more memory a worker needs when a forced aligner of the 0.6B shape says when words are spoken.

    python benchmarks/alignment_memory.py [--bundle FOLDER] [--seconds 16 30] [--lanes 1]

Without ``--bundle`` recogniser and aligner are made with random weights in a scratch folder (1.6 GB; needs the extra
``convert``). Each figure comes from a fresh process that recognises one chunk in every lane as a worker does, with
``aligner=off`` and ``aligner=auto``. Random weights say nothing sensible: decoding stops after the first token (the KV
cache of the whole chunk is there from the beginning), and the aligner gets two words a second, of 1.5 tokens each.

With the aligner loaded the process works on the chunk twice, first without asking the aligner. The peak of that, less
the peak of a process without aligner, is the aligner's weights; what the second time adds is the memory of aligning.
Ends with status 1 when that is more than ``--allowed`` MB.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from _common import machine, table

from qwen_asr_model import find_bundle, open_bundle, synthesize
from qwen_asr_plugin.engine import peak_memory_bytes, recognizer
from qwen_asr_plugin.options import ALIGNER_AUTO, ALIGNER_OFF, EngineOptions

WORDS_PER_SECOND = 2
# In the random vocabulary these are single tokens, and two of one byte each.
WORDS = ("user ", "ab ")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=pathlib.Path, help="a bundle with an aligner")
    parser.add_argument("--seconds", type=float, nargs="+", default=[16, 30], help="lengths of the chunk")
    parser.add_argument("--lanes", type=int, default=1, help="chunks at the same time (default: %(default)s)")
    parser.add_argument("--allowed", type=float, default=60, help="MB that aligning may take (default: %(default)s)")
    parser.add_argument("--child", nargs=2, metavar=("ALIGNER", "SECONDS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(recognise(options.bundle, options.child[0], float(options.child[1]), options.lanes)))
        return 0
    print(machine(), flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.bundle or synthesize(
            "0.6B", pathlib.Path(scratch, "bundle"), precisions=("int4",), quants=("q8_0",), aligner="aligner-0.6B"
        )
        print(f"files of the aligner: {aligner_bytes(folder) / 1e6:.0f} MB\n", flush=True)
        rows = [measured(folder, seconds, options.lanes) for seconds in options.seconds]
    print(table(("chunk", "aligner off, MB", "loaded, not asked", "aligning", "weights", "aligning takes"), rows))
    above = max(row[-1] for row in rows)
    print(f"aligning takes {above} MB, allowed {options.allowed:.0f} MB")
    return int(above > options.allowed)


def measured(folder: pathlib.Path, seconds: float, lanes: int) -> tuple[object, int, int, int, int, int]:
    """One row: chunk length, the peaks, the aligner's weights and what aligning takes."""
    off, on = (child(folder, aligner, seconds, lanes) for aligner in (ALIGNER_OFF, ALIGNER_AUTO))
    peaks = [off["decoded"], on["decoded"], on["aligned"]]
    a, b, c, weights, above = (round(value / 1e6) for value in (*peaks, peaks[1] - peaks[0], peaks[2] - peaks[1]))
    return f"{seconds:g} s", a, b, c, weights, above


def child(folder: pathlib.Path, aligner: str, seconds: float, lanes: int) -> dict[str, int]:
    command = [sys.executable, __file__, "--bundle", str(folder), "--lanes", str(lanes)]
    done = subprocess.run([*command, "--child", aligner, str(seconds)], check=True, capture_output=True, text=True)
    found: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    return found


def recognise(folder: pathlib.Path, aligner: str, seconds: float, lanes: int) -> dict[str, int]:
    """Recognise one chunk in every lane, without and with aligning; the peaks of memory in bytes."""
    model = recognizer.load_model(EngineOptions(model=folder, aligner=aligner, lanes=lanes, threads=lanes))
    assert (model.aligner is None) == (aligner == ALIGNER_OFF)
    pool = [model.recognizer() for _ in range(lanes)]
    peaks = {}
    with ThreadPoolExecutor(lanes) as threads:
        for name, align in (("decoded", False), ("aligned", True)):
            list(threads.map(lambda lane, align=align: one_chunk(lane, seconds, align=align), pool))
            peaks[name] = peak_memory_bytes()
    return peaks


def one_chunk(lane: recognizer.Recognizer, seconds: float, *, align: bool) -> None:
    samples = np.random.default_rng(0).normal(0, 0.05, int(seconds * 16000)).astype(np.float32)
    text = "".join(WORDS[at % len(WORDS)] for at in range(int(seconds * WORDS_PER_SECOND)))
    asked = iter([True])  # stops decoding once, and nothing after it
    recognizer.parse_output = lambda _, language: (language, text)
    lane.recognize(samples, align=align, cancelled=lambda: next(asked, False))


def aligner_bytes(folder: pathlib.Path) -> int:
    files = open_bundle(find_bundle(folder)).aligner
    if files is None:
        raise SystemExit(f"{folder} has no forced aligner.")
    own = () if files.shares_encoder else (files.encoder_frontend, files.encoder_backend)
    return sum(path.stat().st_size for path in (files.llm, files.text, *own))


if __name__ == "__main__":
    sys.exit(main())
