# SPDX-License-Identifier: Apache-2.0
"""How should the cores be split: few lanes of many threads, or many lanes of one thread? And with which libllama?

    python benchmarks/lanes.py                                   # the bundled model
    python benchmarks/lanes.py --model-dir BUNDLE --seconds 5    # another one; random weights need short audio

Every contender is the whole product, ``SubtitleHost.generate`` with a worker process, and the figures are the product's
own statistics. Contenders alternate within a round, so that whatever else the computer does hits them all; medians are
compared. Each is measured on the computer as it is, and beside one busy process of the lowest priority.

Bundles made by ``synthesize`` have random weights, which never end a text: every attempt runs to the token budget. For
them the real-time factor is put together from what was measured: encoder seconds per second of audio, and the token
rates at 13.7 positions and 4.5 tokens a second of speech (a chunk of 30 s).
"""

import argparse
import contextlib
import itertools
import json
import os
import pathlib
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping

from _common import busy_neighbour, machine, make_media, table

from qwen_asr_plugin.plugin import subtitle_backends
from subtitle_hooks import CancelledError, SilentEvents, SubtitleHost, SubtitleRequest

_BACKEND = next(iter(subtitle_backends())).name
_ROWS_PER_SECOND = 13
_PROMPT_POSITIONS = 15
_POSITIONS_PER_SECOND = 13.7
_TOKENS_PER_SECOND = 4.5

Figures = dict[str, float]


class Deadline(SilentEvents):
    """Cancels the work when its time is over."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def cancelled(self) -> bool:
        """Say whether the time is over."""
        return time.monotonic() > self._end


def run(media: pathlib.Path, options: Mapping[str, object], limit: float) -> Figures | None:
    """Recognise one file; None when it took longer than `limit` seconds, loading included."""
    request = SubtitleRequest(media=media, language="en", options=options)
    try:
        with SubtitleHost().generate(request, Deadline(limit), backend=_BACKEND) as transcript:
            for _ in transcript:
                pass
            found = dict(transcript.statistics)
    except CancelledError:
        return None
    lanes = float(found["lanes"])
    rates = {name: float(found[f"{name}_tokens_per_second"]) for name in ("prefill", "generation")}
    rtf = float(found["rtf"])
    if str(found["model"]).startswith("synthetic"):
        attempts = float(found["chunks"]) + float(found["retries"])
        positions = float(found["prefill_tokens"]) / attempts - _PROMPT_POSITIONS
        audio = positions / _ROWS_PER_SECOND * float(found["chunks"])
        per_second = float(found["encoder_seconds"]) / audio
        per_second += _POSITIONS_PER_SECOND / rates["prefill"] + _TOKENS_PER_SECOND / rates["generation"]
        rtf = per_second / lanes
    return {
        "rtf": rtf,
        "encoder": float(found["encoder_seconds"]),
        "prefill": rates["prefill"] * lanes,
        "generation": rates["generation"] * lanes,
        "memory": float(found["peak_memory_mb"]),
    }


def row(name: str, runs: list[Figures | None], base: list[Figures | None], limit: float) -> tuple[object, ...]:
    """Make the line of one contender."""
    done = [figures for figures in runs if figures is not None]
    if len(done) * 2 <= len(runs):
        return (name, f"stopped after {limit:.0f} s", "-", "-", "-", "-", f"{len(done)} of {len(runs)}")
    middle = {key: statistics.median(figures[key] for figures in done) for key in done[0]}
    spread = f"{min(f['rtf'] for f in done):.3f}-{max(f['rtf'] for f in done):.3f}"
    reference = [figures["rtf"] for figures in base if figures is not None]
    ratio = f"{middle['rtf'] / statistics.median(reference):.2f}" if reference else "-"
    return (
        name,
        f"{middle['rtf']:.3f} ({spread})",
        ratio,
        f"{middle['prefill']:.0f}",
        f"{middle['generation']:.0f}",
        f"{middle['memory']:.0f}",
        f"{len(done)} of {len(runs)}",
    )


def splits(threads: int) -> list[int]:
    """Return the lane counts worth comparing: one lane, every power of two below the threads, one lane a thread."""
    return sorted({1, threads, *(2**power for power in range(1, threads.bit_length()) if 2**power < threads)})


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model-dir", type=pathlib.Path, help="bundle (default: the bundled model)")
    parser.add_argument("--quant", help="decoder quantisation of the bundle")
    parser.add_argument("--precision", help="encoder precision of the bundle")
    parser.add_argument("--seconds", type=int, default=60, help="length of the audio (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--threads", type=int, help="threads together (default: the cores this process may use)")
    parser.add_argument(
        "--limit", type=float, default=60.0, help="stop a run after these seconds (default: %(default)s)"
    )
    parser.add_argument("--library", action="append", help="default: ik-llama-cpp-python and xllamacpp")
    parser.add_argument("--load", choices=["alone", "busy", "both"], default="both", help="default: %(default)s")
    parser.add_argument("--json", type=pathlib.Path, help="write every run to this file, too")
    arguments = parser.parse_args()
    threads = arguments.threads or (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2)
    libraries = arguments.library or ["ik-llama-cpp-python", "xllamacpp"]
    loads = ["alone", "busy"] if arguments.load == "both" else [arguments.load]
    bundle = {"model": arguments.model_dir, "quant": arguments.quant, "precision": arguments.precision}
    contenders = {
        f"{library}, {lanes} x {threads // lanes} threads": {"libllama": library, "lanes": lanes, "threads": threads}
        | {name: str(value) for name, value in bundle.items() if value is not None}
        for library, lanes in itertools.product(libraries, splits(threads))
    }
    print(machine(), flush=True)
    found: dict[str, dict[str, list[Figures | None]]] = {load: defaultdict(list) for load in loads}
    with tempfile.TemporaryDirectory() as scratch:
        media = make_media(pathlib.Path(scratch), arguments.seconds)
        for number in range(arguments.rounds):
            for load, (name, options) in itertools.product(loads, contenders.items()):
                with busy_neighbour() if load == "busy" else contextlib.nullcontext():
                    found[load][name].append(run(media, options, arguments.limit))
                print(f"round {number + 1}, {load}, {name}: {found[load][name][-1]}", file=sys.stderr, flush=True)
            print(f"after round {number + 1}: {machine()}", file=sys.stderr, flush=True)
    first = next(iter(contenders))
    head = ("contender", "RTF, median (range)", "against the first", "prefill/s", "tokens/s", "peak MB", "runs ended")
    for load in loads:
        print(f"\n{load}, {arguments.seconds} s of audio, rates of all lanes together:\n")
        print(table(head, [row(n, found[load][n], found[load][first], arguments.limit) for n in contenders]))
        scores = {
            name: statistics.median(f["rtf"] if f is not None else float("inf") for f in runs)
            for name, runs in found[load].items()
        }
        print(f"\nBest: {min(scores, key=scores.__getitem__)}. Worst: {max(scores, key=scores.__getitem__)}.")
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": machine(), "runs": found}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
