# SPDX-License-Identifier: Apache-2.0
"""Watching what a backend does to the process around it."""

from __future__ import annotations

import contextlib
import gc
import importlib
import io
import os
import signal
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Leftovers", "Surroundings", "captured_stdout", "leftovers", "settled_leftovers", "surroundings"]


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What a backend must leave alone."""

    working_directory: str
    environment: dict[str, str]
    signal_handlers: dict[str, object]
    media_folder: dict[str, tuple[int, int]]


def surroundings(folder: Path) -> Surroundings:
    """Look around; of the files in `folder`, size and time of change are noted."""
    return Surroundings(
        working_directory=os.getcwd(),  # noqa: PTH109
        environment=dict(os.environ),
        signal_handlers={
            getattr(number, "name", str(number)): signal.getsignal(number) for number in signal.valid_signals()
        },
        media_folder={one.name: (one.stat().st_size, one.stat().st_mtime_ns) for one in sorted(folder.iterdir())},
    )


@contextlib.contextmanager
def captured_stdout() -> Iterator[Callable[[], str]]:
    """Catch what is written to standard output by Python, by native libraries and by child processes.

    Yields:
        A function that returns what was written so far.
    """
    with tempfile.TemporaryFile() as file:
        kept = os.dup(1)
        os.dup2(file.fileno(), 1)
        stream = io.TextIOWrapper(io.FileIO(os.dup(1), "w"), encoding="utf-8", errors="replace", write_through=True)

        def so_far() -> str:
            stream.flush()
            file.seek(0)
            return file.read().decode(errors="replace")

        try:
            with contextlib.redirect_stdout(stream):
                yield so_far
        finally:
            os.dup2(kept, 1)
            os.close(kept)
            stream.close()


@dataclass(frozen=True, kw_only=True)
class Leftovers:
    """What runs or is open; None where this system does not tell."""

    threads: Counter[str]
    processes: Counter[str] | None
    files: Counter[str] | None
    temporary_files: Counter[str]

    def more_than(self, before: Leftovers, kind: str) -> list[str]:
        """Name what has come since `before`."""
        new, old = getattr(self, kind), getattr(before, kind)
        return sorted((new - old).elements()) if new is not None and old is not None else []


def leftovers(temporary_folder: Path) -> Leftovers:
    """Look what runs and is open right now."""
    return Leftovers(
        threads=Counter(thread.name.rstrip("0123456789") for thread in threading.enumerate()),
        processes=_processes(),
        files=_open_files(),
        temporary_files=Counter(str(path.relative_to(temporary_folder)) for path in temporary_folder.rglob("*")),
    )


def settled_leftovers(before: Leftovers, temporary_folder: Path, *, patience_s: float) -> Leftovers:
    """Look again until nothing is more than `before`, or patience ends: closing may go on in the background."""
    deadline = time.monotonic() + patience_s
    while True:
        after = leftovers(temporary_folder)
        growing = any(after.more_than(before, kind) for kind in ("threads", "processes", "files", "temporary_files"))
        if not growing or time.monotonic() >= deadline:
            return after
        gc.collect()
        time.sleep(0.05)


def _processes() -> Counter[str] | None:
    try:
        return Counter(_linux_descendants("self"))
    except FileNotFoundError:
        pass  # not Linux, or a kernel without this list
    try:
        psutil: Any = importlib.import_module("psutil")
    except ImportError:
        return None
    found: Counter[str] = Counter()
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            found[child.name()] += 1
    return found


def _linux_descendants(process: str) -> Iterator[str]:
    for task in Path(f"/proc/{process}/task").iterdir():
        with contextlib.suppress(ProcessLookupError):
            for child in (task / "children").read_text(encoding="ascii").split():
                # It may end at any moment.
                with contextlib.suppress(OSError):
                    yield Path(f"/proc/{child}/comm").read_text(encoding="utf-8").strip()
                    yield from _linux_descendants(child)


def _open_files() -> Counter[str] | None:
    for folder in ("/proc/self/fd", "/dev/fd"):
        if Path(folder).is_dir():
            found: Counter[str] = Counter()
            for name in os.listdir(folder):  # noqa: PTH208
                with contextlib.suppress(OSError, ValueError):
                    os.fstat(int(name))  # the descriptor of the listing itself is closed by now
                    found[_target(f"{folder}/{name}")] += 1
            return found
    return None


def _target(link: str) -> str:
    try:
        target = os.readlink(link)  # noqa: PTH115
    except OSError:
        return "a file"
    # Pipes and sockets are new ones in every run; how many there are is what counts.
    return target.partition(":[")[0] if ":[" in target else target
