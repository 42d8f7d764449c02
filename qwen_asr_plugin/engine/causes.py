# SPDX-License-Identifier: Apache-2.0
"""Why a worker process ended: its exit status, its last words, and whether the kernel ran out of memory."""

from __future__ import annotations

import collections
import contextlib
import re
import signal
import sys
import threading
from pathlib import Path
from typing import IO, Final

from qwen_asr_plugin.errors import (
    EngineCrashedError,
    EngineError,
    EngineMemoryError,
    EngineProtocolError,
    speaks_of_memory,
)

__all__ = ["EXIT_PROTOCOL", "LIBRARY_PREFIX", "LastWords", "MemoryKills", "explain", "name_status"]

EXIT_PROTOCOL: Final = 76
"""Exit status of a worker that was sent something that is no message (EX_PROTOCOL of sysexits.h)."""

LIBRARY_PREFIX: Final = "libllama: "
"""Marks the lines of libllama's log among what else is printed."""

_LINES: Final = 40
_CALLS: Final = 8
_LINE_BYTES: Final = 2000
_QUOTED: Final = 6
_QUOTED_CHARACTERS: Final = 900
_UNPRINTABLE: Final = re.compile(r"\x1b\[[0-9;]*[A-Za-z]|[^\x20-\x7e\u00a0-\uffff]")
_CALL: Final = re.compile(r'^\s+File "|^(Current thread|Thread|Extension modules|\s*<no Python frame>)')
"""Lines of faulthandler below its first: where Python was, which libllama's user did not write."""

_WINDOWS: Final = {
    0xC0000005: "access violation",
    0xC0000017: "out of memory",
    0xC000001D: "illegal instruction",
    0xC00000FD: "stack overflow",
    0xC0000135: "a DLL is missing",
    0xC0000374: "heap corruption",
    0xC0000409: "abort",
}


class LastWords:
    """The last lines of a worker's standard error; bounded whatever it prints."""

    def __init__(self) -> None:
        # Apart, so that none of log, output and dump of a crash can push the others out.
        self._library: collections.deque[tuple[int, str]] = collections.deque(maxlen=_LINES // 2)
        self._other: collections.deque[tuple[int, str]] = collections.deque(maxlen=_LINES // 2 - _CALLS)
        self._calls: list[tuple[int, str]] = []
        self._lock = threading.Lock()

    def listen(self, pipe: IO[bytes]) -> None:
        """Read until the pipe is closed."""
        number = 0
        with pipe:
            while piece := pipe.readline(_LINE_BYTES):
                line = _UNPRINTABLE.sub(" ", piece.decode(errors="replace")).rstrip()
                while not piece.endswith(b"\n") and (piece := pipe.readline(_LINE_BYTES)):
                    pass  # the rest of a line that is too long
                if line:
                    number += 1
                    self._keep(number, line)

    def _keep(self, number: int, line: str) -> None:
        with self._lock:
            if line.startswith(LIBRARY_PREFIX):
                self._library.append((number, line))
            elif not _CALL.match(line):
                self._other.append((number, line))
            elif len(self._calls) < _CALLS:  # the innermost ones come first
                self._calls.append((number, line))

    def lines(self) -> tuple[str, ...]:
        """Return what is kept, oldest first."""
        with self._lock:
            return tuple(line for _, line in sorted([*self._library, *self._other, *self._calls]))

    def quoted(self) -> str:
        """Return what fits into an error message: the last lines without the list of calls."""
        telling = [line.removeprefix(LIBRARY_PREFIX) for line in self.lines() if not _CALL.match(line)]
        said = " | ".join(telling[-_QUOTED:])[-_QUOTED_CHARACTERS:]
        return f" It said: {said}" if said else ""


class MemoryKills:
    """Whether the kernel has lately killed a process for lack of memory, as far as it tells (Linux).

    Counts are compared with those of `refresh` before the last: what happened hours ago proves nothing.

    Args:
        pid: The worker, whose control group is looked at beside the whole machine.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._samples: collections.deque[dict[Path, int]] = collections.deque([_memory_kills(pid)], maxlen=2)

    def refresh(self) -> None:
        """Take note of the counts of now."""
        self._samples.append(_memory_kills(self._pid))

    def grew(self) -> bool:
        """Return whether one of the counts has grown."""
        return any(_count(path) > before for path, before in self._samples[0].items())


def _memory_kills(pid: int) -> dict[Path, int]:
    if sys.platform != "linux":
        return {}
    paths = [Path("/proc/vmstat")]
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
            _, controllers, group = line.split(":", 2)
            if controllers == "":
                paths.append(Path(f"/sys/fs/cgroup{group}/memory.events"))
            elif "memory" in controllers.split(","):
                paths.append(Path(f"/sys/fs/cgroup/memory{group}/memory.oom_control"))
    return {path: count for path in paths if (count := _count(path)) >= 0}


def _count(path: Path) -> int:
    with contextlib.suppress(OSError, ValueError):
        for line in path.read_text().splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return -1


def name_status(status: int | None) -> str:
    """Put an exit status into words."""
    if status is None:
        return "no exit status"
    if status < 0:
        with contextlib.suppress(ValueError):
            return f"signal {signal.Signals(-status).name}"
        return f"signal {-status}"
    if status > 255:
        return f"exit status 0x{status:08X}" + (f", {_WINDOWS[status]}" if status in _WINDOWS else "")
    return f"exit status {status}"


def explain(status: int | None, words: LastWords, *, kernel_killed_for_memory: bool) -> EngineError:
    """Return the error for a worker process that ended by itself."""
    how, said = name_status(status), words.quoted()
    if status == EXIT_PROTOCOL:
        return EngineProtocolError(
            f"The recognition engine's process was sent something that is no message.{said}",
            hint="Does another part of the host write to files that it has not opened? Please report this.",
        )
    if how == "signal SIGKILL" and kernel_killed_for_memory:
        return EngineMemoryError(
            f"The kernel killed the recognition engine's process because memory ran out ({how}).{said}",
            hint="Use a smaller model or quantisation, or fewer lanes, or close other programs.",
        )
    if status != 0 and (speaks_of_memory(said) or "out of memory" in how):
        return EngineMemoryError(
            f"The recognition engine's process ended because it got no memory ({how}).{said}",
            hint="Use a smaller model or quantisation, or fewer lanes, or close other programs.",
        )
    hint = "Other files are not affected. `qwen-asr-plugin doctor` checks the libraries; libllama=NAME tries another."
    if how == "signal SIGKILL":
        hint = "Another program killed it, perhaps one that watches over memory."
    elif how == "signal SIGILL" or "illegal instruction" in how:
        hint = "The library is made for a newer processor: choose another one with libllama=NAME or =FOLDER."
    return EngineCrashedError(f"The recognition engine's process ended unexpectedly ({how}).{said}", hint=hint)
