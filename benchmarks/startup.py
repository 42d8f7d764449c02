# SPDX-License-Identifier: Apache-2.0
"""How long until something happens: help texts, finding plugins, and the first segment of a cold start.

    python benchmarks/startup.py

Every figure is a fresh Python process, from its start to its end, or to the first line it prints. The commands take
turns; medians. The processor time (whole run, all its processes; not on Windows) hardly depends on what else the
computer does. ``--imports`` lists the slowest imports behind ``qwen-asr-plugin --help``.
"""

import argparse
import pathlib
import statistics
import subprocess
import sys
import time
from collections import defaultdict

from _common import SAMPLE, machine, table

_FIRST_SEGMENT = """
import sys
from pathlib import Path
from subtitle_hooks import SubtitleHost, SubtitleRequest
with SubtitleHost().generate(SubtitleRequest(media=Path(sys.argv[1])), backend="qwen-asr") as transcript:
    print(next(iter(transcript)), flush=True)
"""


def commands(media: pathlib.Path) -> dict[str, list[str]]:
    """Return what is timed."""
    return {
        "python, nothing": [sys.executable, "-c", "print()"],
        "qwen-asr-plugin --help": ["qwen-asr-plugin", "--help"],
        "subtitle-host plugins": ["subtitle-host", "plugins"],
        "import qwen_asr_plugin.plugin": [sys.executable, "-c", "import qwen_asr_plugin.plugin; print()"],
        "first segment": [sys.executable, "-c", _FIRST_SEGMENT, str(media)],
    }


def processor_seconds() -> float:
    """Return the processor time of all child processes that have ended."""
    if sys.platform == "win32":
        return 0.0
    import resource

    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def seconds_of(command: list[str], *, to_first_line: bool) -> tuple[float, float]:
    """Return the time on the clock and the processor time of one fresh process."""
    used = processor_seconds()
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        process.stdout.readline()
        first = time.perf_counter() - started
        process.stdout.read()
    if process.returncode:
        raise SystemExit(f"{command[0]} ended with status {process.returncode}")
    taken = first if to_first_line else time.perf_counter() - started
    return taken, processor_seconds() - used


def slowest_imports(count: int) -> list[tuple[str, int]]:
    """Return the modules of the command line with the most time of their own, in milliseconds."""
    code = "import qwen_asr_plugin.cli"
    told = subprocess.run([sys.executable, "-X", "importtime", "-c", code], capture_output=True, text=True, check=True)
    found: list[tuple[str, int]] = []
    for line in told.stderr.splitlines():
        columns = line.removeprefix("import time:").split("|")
        if len(columns) == 3 and columns[0].strip().isdigit():
            found.append((columns[2].strip(), int(columns[0]) // 1000))
    return sorted(found, key=lambda item: -item[1])[:count]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--media", type=pathlib.Path, default=SAMPLE, help="default: the sample of the tests")
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    parser.add_argument("--imports", action="store_true", help="list the slowest imports")
    arguments = parser.parse_args()
    print(machine(), flush=True)
    times: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
    for _ in range(arguments.rounds):
        for name, command in commands(arguments.media).items():
            times[name].append(seconds_of(command, to_first_line=name == "first segment"))
    rows = []
    for name, runs in times.items():
        clock, processor = zip(*runs, strict=True)
        middle, work = statistics.median(clock), statistics.median(processor)
        rows.append((name, f"{middle:.2f}", f"{min(clock):.2f}-{max(clock):.2f}", f"{work:.2f}"))
    print(table(("seconds", "median", "range", "processor"), rows))
    if arguments.imports:
        print(table(("import, own time", "ms"), slowest_imports(12)))


if __name__ == "__main__":
    main()
