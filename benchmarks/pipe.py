# SPDX-License-Identifier: Apache-2.0
"""A long stream through a pipe: when does the first cue come, and does memory stay flat?

    python benchmarks/pipe.py --minutes 30 --pace 20

ffmpeg sends the sample's speech over and over, so many times as fast as it is spoken, as a WAV into
``qwen-asr-plugin transcribe -``. What is sent passes through here and is counted: a cue has come "at" the time in the
stream that was sent when its line could be read. The processes behind the pipe (command line, worker, ffmpeg) are
looked at every half second; a row is the highest of its part of the stream. PSS (Linux) counts shared pages once.

Ends with status 1 when the first cue comes after the stream's end or later than ``--first`` seconds of it, when cues
are missing at the end, or when the last part needs more than ``--allowed`` MB more than the second one. (In the first,
the model is loaded.)
"""

import argparse
import json
import pathlib
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import IO

import psutil
from _common import SAMPLE, machine, table
from memory import Sampler

from qwen_asr_plugin.media import find_ffmpeg

_LOOK_SECONDS = 0.5
_RATE_HZ = 16_000
_BYTES_A_SECOND = 2 * _RATE_HZ
_PARTS = 6
_CUES_A_MINUTE = 13 / (55 / 60)  # the sample's
_FEWEST = 0.9


class Stream:
    """The stream on its way from one process to the other."""

    def __init__(self, source: IO[bytes], sink: IO[bytes]) -> None:
        self._source = source
        self._sink = sink
        self._bytes = 0
        self.ended = threading.Event()
        threading.Thread(target=self._pass_on, daemon=True).start()

    @property
    def seconds(self) -> float:
        """How much of it has been sent."""
        return self._bytes / _BYTES_A_SECOND

    def _pass_on(self) -> None:
        while data := self._source.read(_BYTES_A_SECOND // 4):
            self._sink.write(data)
            self._sink.flush()
            self._bytes += len(data)
        self.ended.set()
        self._sink.close()


class Cues:
    """The cues that came, by the time in the stream that was sent then."""

    def __init__(self, lines: IO[bytes], stream: Stream) -> None:
        self.sent_seconds: list[float] = []
        self.before_end = 0
        self._thread = threading.Thread(target=self._read, args=(lines, stream), daemon=True)
        self._thread.start()

    def join(self) -> None:
        """Wait for the last one."""
        self._thread.join()

    def _read(self, lines: IO[bytes], stream: Stream) -> None:
        for line in lines:
            if b"-->" in line:
                self.sent_seconds.append(stream.seconds)
                self.before_end += not stream.ended.is_set()


def speech(seconds: int, pace: float) -> subprocess.Popen[bytes]:
    """Start to send speech of that length, paced."""
    command = [str(find_ffmpeg(None).ffmpeg), "-loglevel", "error", "-nostdin", "-readrate", f"{pace:g}"]
    command += ["-stream_loop", "-1", "-i", str(SAMPLE), "-t", str(seconds), "-vn", "-ac", "1", "-ar", str(_RATE_HZ)]
    return subprocess.Popen([*command, "-f", "wav", "-"], stdout=subprocess.PIPE)


def watched(process: psutil.Popen, stream: Stream, part_seconds: float) -> Iterator[dict[str, int]]:
    """Yield the highest memory, in bytes, of each part of the stream, and of the rest after its end."""
    number, sampler = 0, Sampler(process)
    while process.poll() is None:
        if stream.seconds >= (number + 1) * part_seconds and number < _PARTS:
            yield dict(sampler.peaks)
            number, sampler = number + 1, Sampler(process)
        sampler.look()
        time.sleep(_LOOK_SECONDS)
    yield dict(sampler.peaks)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30, help="length of the stream (default: %(default)s)")
    parser.add_argument("--pace", type=float, default=20, help="times as fast as spoken (default: %(default)s)")
    parser.add_argument("--first", type=float, default=300, help="first cue by this second (default: %(default)s)")
    parser.add_argument("--allowed", type=float, default=20, help="allowed growth in MB (default: %(default)s)")
    parser.add_argument("--json", type=pathlib.Path, help="write the figures to this file, too")
    parser.add_argument("arguments", nargs="*", help="after --: further arguments of transcribe, such as --lanes 1")
    options = parser.parse_args()
    print(machine(), flush=True)
    seconds = round(options.minutes * 60)
    began = time.perf_counter()
    source = speech(seconds, options.pace)
    process = psutil.Popen(
        ["qwen-asr-plugin", "transcribe", "-", "-q", *options.arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    stream = Stream(source.stdout, process.stdin)
    cues = Cues(process.stdout, stream)
    rows = []
    for number, peaks in enumerate(watched(process, stream, seconds / _PARTS), start=1):
        if peaks:
            until = f"{min(number, _PARTS) * options.minutes / _PARTS:g}" if number <= _PARTS else "after the end"
            rows.append((until, len(cues.sent_seconds), *(peaks[key] / 1e6 for key in ("sum of PSS", "sum of RSS"))))
    cues.join()
    wall = time.perf_counter() - began
    shown = [(until, count, f"{pss:.0f}", f"{rss:.0f}") for until, count, pss, rss in rows]
    print(table(("minute of the stream", "cues so far", "PSS, MB", "RSS, MB"), shown))
    first = cues.sent_seconds[0] if cues.sent_seconds else float("inf")
    growth = max(last - early for early, last in zip(rows[1][2:], rows[_PARTS - 1][2:], strict=True))
    print(f"first cue when {first:.0f} s of {stream.seconds:.0f} s were sent, allowed {options.first:.0f} s")
    print(f"{cues.before_end} of {len(cues.sent_seconds)} cues before the end of the stream; {wall:.0f} s in all")
    print(f"growth from the second to the last part {growth:.1f} MB, allowed {options.allowed:.0f} MB")
    if options.json:
        figures = {"machine": machine(), "parts": rows, "first": first, "growth_mb": growth, "wall_seconds": wall}
        options.json.write_text(json.dumps(figures))
    complete = len(cues.sent_seconds) >= _FEWEST * _CUES_A_MINUTE * options.minutes
    well = process.returncode == 0 and complete and cues.before_end and first <= options.first
    return int(not well or growth > options.allowed)


if __name__ == "__main__":
    sys.exit(main())
