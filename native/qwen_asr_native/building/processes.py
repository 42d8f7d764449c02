# SPDX-License-Identifier: Apache-2.0
"""Runs build tools: every line into the log, none left behind when we stop."""

from __future__ import annotations

import collections
import contextlib
import os
import queue
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING

from qwen_asr_native.errors import BuildError

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["BuildLog", "executable", "run_logged"]

_EXCERPT = 15
_KEPT = 10
_BEFORE = 2
_LONGEST = 300
_POLL_S = 0.2
_GRACE_S = 10.0
_ERROR = re.compile(
    r"\berror(?: [A-Z]+\d+)?:|^CMake Error|undefined reference to|^Undefined symbols|No space left on|Killed signal"
)


class BuildLog:
    """A log file that remembers the lines a person needs to see when the build fails.

    It is made with the first line, and of the older ones beside it the last few are kept.

    Args:
        path: The file; its folder is made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: IO[str] | None = None
        self._last: collections.deque[str] = collections.deque(maxlen=_EXCERPT)
        self._first_error: list[str] = []

    def write(self, line: str) -> None:
        """Append a line.

        Raises:
            BuildError: The file cannot be written.
        """
        try:
            if self._file is None:
                self._file = self._open()
            self._file.write(f"{line}\n")
            self._file.flush()
        except OSError as error:
            raise BuildError(f"{self.path}: the log cannot be written: {error.strerror or error}.") from error
        short = line if len(line) <= _LONGEST else f"{line[:_LONGEST]} ..."
        if not self._first_error and _ERROR.search(line):
            self._first_error = [*list(self._last)[-_BEFORE:], short]
        elif 0 < len(self._first_error) < _EXCERPT:
            self._first_error.append(short)
        self._last.append(short)

    def excerpt(self) -> str:
        """The lines from the first error on, or the last lines when none is recognised, indented."""
        return "\n".join(f"    {line}" for line in self._first_error or self._last)

    def failure(self, what: str) -> BuildError:
        """An error that shows the relevant lines and names the log."""
        hint = ""
        if "Killed signal" in self.excerpt() or "out of memory" in self.excerpt().lower():
            hint = " Memory ran out: try again with --jobs 1."
        return BuildError(f"{what}{hint}\n{self.excerpt()}\nEverything is in {self.path}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    def _open(self) -> IO[str]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        for old in sorted(self.path.parent.glob(f"*{self.path.suffix}"))[: 1 - _KEPT]:
            with contextlib.suppress(OSError):
                old.unlink()
        return self.path.open("w", encoding="utf-8", errors="backslashreplace")


def executable() -> str:
    """The Python interpreter for child processes; ``multiprocessing.set_executable`` is honoured.

    Raises:
        BuildError: None is known, as in a program that embeds Python.
    """
    import multiprocessing.spawn

    path = os.fsdecode(multiprocessing.spawn.get_executable() or "")
    if not path or getattr(sys, "frozen", False):
        raise BuildError("No Python interpreter is known. Name one with multiprocessing.set_executable().")
    return path


def run_logged(
    command: Sequence[str],
    log: BuildLog,
    *,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    on_line: Callable[[str], None] | None = None,
) -> int:
    """Run a command to its end and return its exit status; everything it says goes into the log.

    Whatever leaves this function early (Ctrl-C among them) ends the command and all it has started.

    Args:
        command: Program and arguments.
        log: Where the lines go.
        environment: Variables to set besides the ones there are.
        folder: Working folder.
        on_line: Called with each line.

    Raises:
        BuildError: The command cannot be started.
    """
    log.write(f"$ {subprocess.list2cmdline(command)}")
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
            cwd=folder,
            start_new_session=sys.platform != "win32",  # a group of its own: Ctrl-C is ours to pass on
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )
    except OSError as error:
        raise BuildError(f"{command[0]} cannot be started: {error.strerror or error}.") from error
    assert process.stdout is not None
    lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
    reader = threading.Thread(target=_read, args=(process.stdout, lines), daemon=True)
    reader.start()
    try:
        while True:
            try:
                raw = lines.get(timeout=_POLL_S)  # a blocking read could not be interrupted on Windows
            except queue.Empty:
                continue
            if raw is None:
                break
            line = raw.decode("utf-8", "replace").rstrip()
            log.write(line)
            if on_line is not None:
                on_line(line)
        return process.wait()
    except BaseException:
        _end(process, reader)
        raise
    finally:
        reader.join()
        process.stdout.close()


def _read(pipe: IO[bytes], lines: queue.SimpleQueue[bytes | None]) -> None:
    for line in pipe:
        lines.put(line)
    lines.put(None)


def _end(process: subprocess.Popen[bytes], reader: threading.Thread) -> None:
    """End the whole tree; ninja gets time to delete what is half written, so that a later run can go on."""
    if sys.platform == "win32":
        subprocess.run(["taskkill", "/T", "/F", "/PID", str(process.pid)], capture_output=True, check=False)
    else:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGTERM)
        reader.join(_GRACE_S)  # the pipe closes with the last of them
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()
