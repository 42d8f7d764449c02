# SPDX-License-Identifier: Apache-2.0
"""Runs a contender in a process of its own and watches the memory of everything it starts."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

__all__ = ["run_child", "without_paths"]

REPOSITORY = Path(__file__).resolve().parents[2]
_LOOK_SECONDS = 0.4
_PATH = re.compile(r"(?<![\w.])(?:[A-Za-z]:)?(?:[/\\][\w.+@-]+)+[/\\]([\w.+@-]+)")
_LAST_WORDS = 300


def run_child(command: Sequence[str], job: Mapping[str, Any], *, limit: float) -> dict[str, Any]:
    """Run one job and return its result, with ``wall_seconds``, ``peak_mb`` and ``hwm_mb`` added.

    Args:
        command: Program that reads a job and prints a result, see `benchmarks.speed.job`.
        job: What it is told.
        limit: Seconds after which it is stopped.

    Returns:
        The result; only ``error`` where it did not come to one. ``peak_mb`` is the largest sum of PSS over the process
        tree (sampled), ``hwm_mb`` the sum of every process's own peak of RSS, which counts shared pages repeatedly.
    """
    with tempfile.TemporaryFile() as words, tempfile.TemporaryFile() as answer:
        started = time.perf_counter()
        process = psutil.Popen(list(command), cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=answer, stderr=words)
        watch = _Memory(process)
        watch.start()
        stopped = False
        try:
            process.stdin.write(json.dumps(dict(job)).encode())
            process.stdin.close()
            process.wait(limit)
        except BrokenPipeError:
            process.wait()
        except psutil.TimeoutExpired:
            stopped = True
        finally:
            _end(process)
            watch.stop()
        wall = time.perf_counter() - started
        if stopped:
            return {"error": f"stopped after {limit:.0f} s"}
        answer.seek(0)
        lines = answer.read().decode(errors="replace").splitlines()
        words.seek(0)
        said = words.read().decode(errors="replace").strip()[-_LAST_WORDS:]
    try:
        result: dict[str, Any] = json.loads(lines[-1])
    except (IndexError, ValueError):
        return {"error": without_paths(f"ended with status {process.returncode}: {' '.join(said.split())}")}
    if "error" in result:
        return {"error": without_paths(result["error"])}
    return {**result, "wall_seconds": wall, "peak_mb": watch.pss / 1e6, "hwm_mb": sum(watch.hwm.values()) / 1e6}


def without_paths(text: str) -> str:
    """Leave only the names of files: a report is for other machines, too."""
    return _PATH.sub(r"\1", text)


def _end(process: psutil.Popen) -> None:
    with contextlib.suppress(psutil.Error):
        left = process.children(recursive=True)
        if process.poll() is None:
            process.kill()
        for child in left:
            with contextlib.suppress(psutil.Error):
                child.kill()
        process.wait()


class _Memory(threading.Thread):
    """Looks at a process tree twice a second."""

    def __init__(self, root: psutil.Process) -> None:
        super().__init__(daemon=True)
        self._root = root
        self._over = threading.Event()
        self.pss = 0
        self.hwm: dict[int, int] = {}

    def run(self) -> None:
        while not self._over.wait(_LOOK_SECONDS):
            tree = [self._root]
            with contextlib.suppress(psutil.Error):
                tree += self._root.children(recursive=True)
            self.pss = max(self.pss, sum(map(self._look, tree)))

    def stop(self) -> None:
        self._over.set()
        self.join()

    def _look(self, process: psutil.Process) -> int:
        with contextlib.suppress(psutil.Error, OSError):
            peak = process.memory_info().rss
            with contextlib.suppress(OSError):  # Linux only
                status = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii", errors="replace")
                found = re.search(r"VmHWM:\s+(\d+)", status)
                peak = int(found[1]) * 1024 if found else peak
            self.hwm[process.pid] = max(peak, self.hwm.get(process.pid, 0))
            full = process.memory_full_info()
            return int(getattr(full, "pss", full.rss))
        return 0
