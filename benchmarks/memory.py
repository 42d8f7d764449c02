# SPDX-License-Identifier: Apache-2.0
"""Does memory grow with the length of the file? The command line's peak for a short file against a long one.

    python benchmarks/memory.py --short 120 --long 7200

Every file is transcribed by a fresh ``qwen-asr-plugin transcribe``, whose own figure (``statistics.peak_memory_mb``)
stands beside an independent one: the processes of the whole tree (command line, worker, ffmpeg), looked at every 0.1 s.
RSS counts a page once per process that has mapped it, so libraries loaded twice count twice; PSS (Linux) shares them
out and is what the machine really loses. Ends with status 1 when the long file needs more than ``--allowed`` MB more.
"""

import argparse
import contextlib
import json
import pathlib
import subprocess
import sys
import tempfile
import time
from collections import defaultdict

import psutil
from _common import machine, make_media, table

_INTERVAL_SECONDS = 0.1


class Sampler:
    """Peaks of a process tree in bytes, by part and together."""

    def __init__(self, root: psutil.Process) -> None:
        self._root = root
        self._names: dict[int, str] = {}
        self.peaks: defaultdict[str, int] = defaultdict(int)

    def look(self) -> None:
        """Take one sample."""
        rss: defaultdict[str, int] = defaultdict(int)
        pss = 0
        for process in [self._root, *self._children()]:
            with contextlib.suppress(psutil.Error):  # it may have ended
                rss[self._name(process)] += process.memory_info().rss
                pss += getattr(process.memory_full_info(), "pss", 0)
        rss["sum of RSS"] = sum(rss.values())
        rss["sum of PSS"] = pss
        for name, value in rss.items():
            self.peaks[name] = max(self.peaks[name], value)

    def _children(self) -> list[psutil.Process]:
        try:
            return self._root.children(recursive=True)
        except psutil.Error:
            return []

    def _name(self, process: psutil.Process) -> str:
        if process.pid not in self._names:
            words = process.cmdline()
            is_worker = any("engine.worker" in word for word in words)
            if process.pid == self._root.pid:
                name = "command line"
            else:
                name = "worker" if is_worker else pathlib.PurePath(words[0]).name.split("-")[0] if words else "other"
            if not words:
                return name
            self._names[process.pid] = name
        return self._names[process.pid]


def measure(media: pathlib.Path, folder: pathlib.Path, arguments: list[str]) -> tuple[dict[str, float], dict[str, int]]:
    """Transcribe one file; return the product's statistics and the sampled peaks in bytes."""
    folder.mkdir()
    command = ["qwen-asr-plugin", "transcribe", str(media), "-f", "json", "-o", str(folder), "-q", *arguments]
    process = psutil.Popen(command, stdout=subprocess.DEVNULL)
    sampler = Sampler(process)
    while process.poll() is None:
        sampler.look()
        time.sleep(_INTERVAL_SECONDS)
    written = sorted(folder.glob("*.json"))
    if process.returncode or not written:
        raise SystemExit(f"qwen-asr-plugin ended with status {process.returncode} on {media.name}")
    return json.loads(written[0].read_text(encoding="utf-8"))["statistics"], dict(sampler.peaks)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", type=int, default=120, help="seconds of the short file (default: %(default)s)")
    parser.add_argument("--long", type=int, default=7200, help="seconds of the long file (default: %(default)s)")
    parser.add_argument("--allowed", type=float, default=150.0, help="allowed growth in MB (default: %(default)s)")
    parser.add_argument("--json", type=pathlib.Path, help="write the figures to this file, too")
    parser.add_argument("arguments", nargs="*", help="after --: further arguments of transcribe, such as --lanes 1")
    options = parser.parse_args()
    print(machine(), flush=True)
    results = []
    with tempfile.TemporaryDirectory() as scratch:
        for name, seconds in (("short", options.short), ("long", options.long)):
            media = make_media(pathlib.Path(scratch), seconds)
            results.append(measure(media, pathlib.Path(scratch, name), options.arguments))
    (short, short_peaks), (long, long_peaks) = results
    figures = {"reported peak_memory_mb": (short["peak_memory_mb"], long["peak_memory_mb"])}
    for name in sorted(short_peaks | long_peaks):
        figures[name] = (short_peaks.get(name, 0) / 1e6, long_peaks.get(name, 0) / 1e6)
    rows = [(name, f"{a:.0f}", f"{b:.0f}", f"{b - a:+.0f}") for name, (a, b) in figures.items()]
    print(table(("peak, MB", f"{options.short} s", f"{options.long} s", "difference"), rows))
    for statistics in (short, long):
        print(", ".join(f"{name} {value}" for name, value in statistics.items()))
    if options.json:
        options.json.write_text(json.dumps({"machine": machine(), "short": short, "long": long, "peaks_mb": figures}))
    growth = max(b - a for name, (a, b) in figures.items() if name.startswith(("reported", "sum")))
    print(f"growth {growth:.0f} MB, allowed {options.allowed:.0f} MB")
    return int(growth > options.allowed)


if __name__ == "__main__":
    sys.exit(main())
