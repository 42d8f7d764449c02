# SPDX-License-Identifier: Apache-2.0
"""Does a worker process keep its size, and does work survive its death?

    python benchmarks/worker_endurance.py                    # both
    python benchmarks/worker_endurance.py --kills 0          # only memory
    python benchmarks/worker_endurance.py --transcriptions 0 # only kills

Memory: one clip, transcribed over and over by one worker; its resident memory is looked at after each. Flat means that
after the first 20 nothing is more than ``--allowed`` per cent above the 20th. Kills: files of six clips, during each of
which the worker is sent SIGKILL, SIGSEGV and SIGSTOP in turn at a moment that a fixed seed chooses; every file must end
with the text of an undisturbed run or with a named error, and no process, zombie or open file may be left. Ends with
status 1 where one of this does not hold.
"""

import argparse
import itertools
import json
import os
import pathlib
import random
import signal
import statistics
import sys
import threading
import time

import numpy as np
import psutil
from _common import machine, table

from qwen_asr_plugin.audio import SpeechChunk, SpeechSpan
from qwen_asr_plugin.engine.supervisor import ProcessEngine
from qwen_asr_plugin.errors import EngineError
from qwen_asr_plugin.media import choose_track, find_ffmpeg, open_audio, probe
from qwen_asr_plugin.options import EngineOptions

SPEECH = pathlib.Path(__file__).resolve().parent.parent / "tests" / "speech"
CLIPS = ("29-hibari", "06-espeak", "35-flite", "timed-09", "austen-0880", "26-espeak")
SIGNALS = ("SIGKILL", "SIGSEGV", "SIGSTOP")
SETTLED = 20


def load_chunk(name: str, index: int) -> SpeechChunk:
    found = probe(SPEECH / f"{name}.flac", find_ffmpeg())
    with open_audio(found, choose_track(found), find_ffmpeg()) as stream:
        samples = np.concatenate(list(stream))
    end = len(samples) // 16
    span = SpeechSpan(start_ms=0, end_ms=end)
    return SpeechChunk(index=index, start_ms=0, end_ms=end, samples=samples, spans=(span,))


def worker_of() -> psutil.Process:
    """Return the one worker of this process."""
    (worker,) = psutil.Process().children()
    return worker


def memory(options: EngineOptions, count: int, clip: str, allowed: float) -> tuple[bool, dict[str, object]]:
    engine = ProcessEngine(options)
    engine.wait_loaded()
    worker, chunk = worker_of(), load_chunk(clip, 0)
    sizes, texts, started = [], set(), time.perf_counter()
    for _ in range(count):
        texts.update(r.text for r in engine.recognize([chunk]))
        sizes.append(worker.memory_info().rss / 1e6)
    seconds = time.perf_counter() - started
    same = worker.is_running() and len(texts) == 1
    engine.close()
    shown = sorted({1, 2, 5, 10, SETTLED, *range(50, count, 50), count})
    print(table(("transcription", "RSS of the worker, MB"), [(n, f"{sizes[n - 1]:.1f}") for n in shown if n <= count]))
    settled = sizes[SETTLED - 1 :]
    growth = 100 * (max(settled) / settled[0] - 1)
    well = same and growth <= allowed
    print(
        f"{count} times {clip} in {seconds:.0f} s: at most {growth:+.2f} % after the {SETTLED}th ({allowed} allowed), "
        f"{'one worker, one text' if same else 'NOT one worker and one text'}: {'flat' if well else 'NOT FLAT'}\n"
    )
    return well, {"rss_mb": sizes, "growth_percent": growth, "seconds": seconds}


class Killer(threading.Thread):
    """Sends one signal to the worker after a while."""

    def __init__(self, engine: ProcessEngine, seconds: float, name: str) -> None:
        super().__init__(daemon=True)
        self._engine = engine
        self._seconds = seconds
        self._name = name
        self.done = False

    def run(self) -> None:
        """Do so."""
        time.sleep(self._seconds)
        for process in psutil.Process().children():
            try:
                if process.status() == psutil.STATUS_ZOMBIE:
                    continue
                os.kill(process.pid, getattr(signal, self._name))
            except (psutil.Error, ProcessLookupError):
                continue
            self.done = True


def kills(options: EngineOptions, count: int, silence: float) -> tuple[bool, dict[str, object]]:
    dice = random.Random(11)
    chunks = [load_chunk(name, index) for index, name in enumerate(CLIPS)]
    engine = ProcessEngine(options, silence_seconds=silence)
    engine.wait_loaded()
    list(engine.recognize(chunks))
    started = time.perf_counter()
    expected = [r.text for r in engine.recognize(chunks)]
    undisturbed = time.perf_counter() - started
    host, files = psutil.Process(), []
    rows = {name: {"kills": 0, "complete": 0, "error": 0, "wrong": 0, "told": 0, "seconds": []} for name in SIGNALS}
    names = itertools.cycle(SIGNALS)
    while sum(row["kills"] for row in rows.values()) < count:
        name = next(names)
        row, said = rows[name], []
        killer = Killer(engine, dice.uniform(0.0, undisturbed), name)
        started = time.perf_counter()
        killer.start()
        try:
            texts = [r.text for r in engine.recognize(chunks, on_restart=said.append)]
            row["complete" if texts == expected else "wrong"] += 1
        except EngineError as error:
            row["error"] += 1
            print(f"{name}: {type(error).__name__}: {error.what}")
        killer.join()
        row["kills"] += killer.done
        row["told"] += len(said)
        row["seconds"].append(time.perf_counter() - started)
        engine.wait_loaded()
        if hasattr(host, "num_fds"):
            files.append(host.num_fds())
    list(engine.recognize(chunks))  # a worker that was stopped after the last result is noticed here
    engine.close()
    time.sleep(1.0)
    left = host.children()
    head = (
        "signal",
        "kills",
        "files complete",
        "named errors",
        "wrong or incomplete",
        "restarts told",
        "median s",
        "worst s",
    )
    body = [
        (
            n,
            r["kills"],
            r["complete"],
            r["error"],
            r["wrong"],
            r["told"],
            f"{statistics.median(r['seconds'] or [0]):.1f}",
            f"{max(r['seconds'], default=0):.1f}",
        )
        for n, r in rows.items()
    ]
    print(table(head, body))
    leak = bool(files) and files[-1] > files[0] + 8  # a worker that is about to be replaced has open pipes, too
    well = not left and not leak and not any(row["wrong"] for row in rows.values())
    print(
        f"undisturbed {undisturbed:.1f} s a file; a hang is noticed after {silence:.0f} s without a sign of life; "
        f"processes left: {len(left)}; open files of the host {files[:1]} to {files[-1:]}: "
        f"{'all well' if well else 'NOT WELL'}\n"
    )
    return well, {"signals": rows, "undisturbed_seconds": undisturbed, "processes_left": len(left), "open_files": files}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--transcriptions", type=int, default=200, help="times in a row (default: %(default)s)")
    parser.add_argument("--clip", default="austen-0880", help="clip of tests/speech (default: %(default)s)")
    parser.add_argument("--allowed", type=float, default=5.0, help="allowed growth in per cent (default: %(default)s)")
    parser.add_argument("--kills", type=int, default=50, help="kills (default: %(default)s)")
    parser.add_argument(
        "--silence",
        type=float,
        default=4.0,
        help="seconds without a sign of life that count as a hang; the product's default is 30 (default: %(default)s)",
    )
    parser.add_argument("--json", type=pathlib.Path, help="write the figures to this file, too")
    arguments = parser.parse_args()
    print(machine(), flush=True)
    options, figures, well = EngineOptions(lanes=2, threads=2), {"machine": machine()}, True
    if arguments.transcriptions:
        count = max(SETTLED + 1, arguments.transcriptions)
        flat, figures["memory"] = memory(options, count, arguments.clip, arguments.allowed)
        well &= flat
    if arguments.kills:
        survived, figures["kills"] = kills(options, arguments.kills, arguments.silence)
        well &= survived
    if arguments.json:
        arguments.json.write_text(json.dumps(figures), encoding="utf-8")
    return int(not well)


if __name__ == "__main__":
    sys.exit(main())
