#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The decoder alone: rows of prefill and tokens a second for language models and ways to run them, by turns.

    python benchmarks/decoder.py MODEL.gguf [MODEL.gguf ...] --library xllamacpp --form ubatch=128 --form ubatch=256
    python benchmarks/decoder.py MODEL.gguf --form kv=f16 --form kv=q8_0 --form sequences=2,flash=no

Every form has its own contexts, one for each of ``--lanes`` threads; the lanes of one form work at the same time, the
forms take turns. A form is a list of

    kv=f16|q8_0      type of the KV cache (default f16)
    ubatch=N         rows computed at once (default 128)
    flash=yes|no     flash attention (default: what the library chooses)
    repack=yes|no    weights laid out for the processor (default: what the engine chooses)
    sequences=N      chunks in one step of a lane, in one batch (default 1)

Rates are those of all lanes and sequences together. Weights may be random: nothing of what is decoded is looked at.
"""

import argparse
import pathlib
import statistics
import threading
import time
from typing import Any

import numpy as np
from _common import machine, table

from qwen_asr_native import Context, Model, load_library

SWITCH = {"yes": True, "no": False}


class Lane:
    """One context."""

    def __init__(self, model: Model, form: dict[str, str], rows: int, steps: int) -> None:
        self.sequences = int(form.get("sequences", 1))
        separate = self.sequences > 1 and model.library.verdict.family == "mainline"
        more: dict[str, Any] = {"kv_type": form["kv"]} if "kv" in form else {}
        self.context = Context(
            model,
            n_ctx=(rows + steps) * (1 if separate else self.sequences),
            n_batch=int(form.get("ubatch", 128)),
            n_ubatch=int(form.get("ubatch", 128)),
            n_seq_max=self.sequences,
            separate=separate,
            flash_attention=SWITCH[form["flash"]] if "flash" in form else None,
            **more,
        )
        self.embeddings = np.random.default_rng(0).normal(0, 0.02, (rows, model.n_embd)).astype(np.float32)
        self.steps = steps

    def work(self, start: threading.Barrier, rates: list[tuple[float, float]]) -> None:
        """Add rows and tokens a second."""
        for number in range(self.sequences):
            self.context.truncate(0, sequence=number)
        start.wait()
        began = time.perf_counter()
        for number in range(self.sequences):
            self.context.decode_embeddings(self.embeddings, 0, logits=True, sequence=number)
        prefill = self.sequences * len(self.embeddings) / (time.perf_counter() - began)
        start.wait()
        began = time.perf_counter()
        for _ in range(self.steps):
            self.context.decode_step([(number, 5) for number in range(self.sequences)])
        rates.append((prefill, self.sequences * self.steps / (time.perf_counter() - began)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=pathlib.Path, nargs="+", metavar="MODEL.gguf")
    parser.add_argument("--library", default="ik-llama-cpp-python", help="name or path (default: %(default)s)")
    parser.add_argument("--form", action="append", default=[], help="see above; may be given several times")
    parser.add_argument("--lanes", type=int, default=2, help="default: %(default)s")
    parser.add_argument("--rows", type=int, default=300, help="of one chunk (default: %(default)s, 21 s of audio)")
    parser.add_argument("--steps", type=int, default=60, help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    options = parser.parse_args()
    library = load_library(options.library)
    print(f"{machine()}\n{library.provider} {library.version}\n", flush=True)
    contenders: dict[tuple[str, str], list[Lane]] = {}
    opened: dict[tuple[pathlib.Path, str | None], Model] = {}
    for file in options.models:
        for text in options.form or [""]:
            form = dict(part.split("=", 1) for part in text.split(",") if part)
            repack = form.get("repack")
            if (file, repack) not in opened:
                opened[file, repack] = Model(library, file, repack=None if repack is None else SWITCH[repack])
            lanes = [Lane(opened[file, repack], form, options.rows, options.steps) for _ in range(options.lanes)]
            contenders[file.name, text] = lanes
    found: dict[tuple[str, str], list[tuple[float, float]]] = {key: [] for key in contenders}
    for _ in range(options.rounds):
        for key, lanes in contenders.items():
            rates: list[tuple[float, float]] = []
            start = threading.Barrier(len(lanes))
            threads = [threading.Thread(target=lane.work, args=(start, rates)) for lane in lanes]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            found[key].append((sum(rate[0] for rate in rates), sum(rate[1] for rate in rates)))
    lines = []
    for (name, text), rounds in found.items():
        cells = [f"{statistics.median(r):.0f} ({min(r):.0f}-{max(r):.0f})" for r in zip(*rounds, strict=True)]
        lines.append((name, text or "as it comes", *cells))
    print(table(("model", "form", "prefill, rows/s", "tokens/s"), lines))


if __name__ == "__main__":
    main()
