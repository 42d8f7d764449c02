# SPDX-License-Identifier: Apache-2.0
"""What the benchmarks share: the machine in words, media made of the sample, Markdown tables, a busy neighbour."""

import contextlib
import os
import pathlib
import platform
import subprocess
import sys
from collections.abc import Iterator, Sequence

from qwen_asr_plugin.media import find_ffmpeg

SAMPLE = pathlib.Path(__file__).resolve().parent.parent / "tests" / "samples" / "sample.mp4"

# Instruction sets that decide how fast integer and float products are on a CPU.
_FLAGS = (
    "avx2",
    "fma",
    "f16c",
    "avx_vnni",
    "avx512f",
    "avx512_vnni",
    "avx512_bf16",
    "amx_int8",
    "asimd",
    "asimddp",
    "i8mm",
)


def machine() -> str:
    """Describe this computer in one line: processor, cores to use, instruction sets, memory, system, load."""
    model, flags = platform.processor() or platform.machine(), set()
    info = pathlib.Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            name, _, value = (part.strip() for part in line.partition(":"))
            if name == "model name":
                model = value
            elif name in {"flags", "Features"}:
                flags = set(value.split())
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    found = [flag for flag in _FLAGS if flag in flags]
    parts = [model, f"{cores} cores", " ".join(found) or "instruction sets unknown"]
    parts += [f"{platform.system()} {platform.machine()}", f"Python {platform.python_version()}"]
    if hasattr(os, "getloadavg"):
        parts.append(f"load {os.getloadavg()[0]:.1f}")
    return ", ".join(parts)


def make_media(folder: pathlib.Path, seconds: int) -> pathlib.Path:
    """Write an audio file of that length, the sample's speech over and over, and return its path."""
    ffmpeg = [str(find_ffmpeg(None).ffmpeg), "-hide_banner", "-nostdin", "-loglevel", "error", "-y"]
    once = folder / "once.m4a"
    if not once.exists():
        encoding = ["-vn", "-ac", "1", "-ar", "16000", "-c:a", "aac", "-b:a", "48k"]
        subprocess.run([*ffmpeg, "-i", str(SAMPLE), *encoding, str(once)], check=True)
    path = folder / f"speech-{seconds}s.m4a"
    repeat = ["-stream_loop", "-1", "-i", str(once), "-c", "copy", "-t", str(seconds)]
    subprocess.run([*ffmpeg, *repeat, str(path)], check=True)
    return path


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a Markdown table; columns after the first are numbers, right-aligned."""
    lines = [f"| {' | '.join(head)} |", f"|---|{'---:|' * (len(head) - 1)}"]
    lines += [f"| {' | '.join(str(cell) for cell in row)} |" for row in rows]
    return "\n".join(lines)


@contextlib.contextmanager
def busy_neighbour() -> Iterator[None]:
    """Keep one core busy with another process of the lowest priority, as a build or an indexer would."""
    code = "import os\nif hasattr(os, 'nice'): os.nice(19)\nwhile True: pass"
    process = subprocess.Popen([sys.executable, "-c", code])
    try:
        yield
    finally:
        process.kill()
        process.wait()
