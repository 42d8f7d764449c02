# SPDX-License-Identifier: Apache-2.0
"""Progress and messages on standard error, and Ctrl-C."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from subtitle_hooks import LogLevel, Progress, SilentEvents

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["ByteProgress", "ConsoleEvents", "Interrupt", "age", "clock", "megabytes"]

_REDRAW_EVERY_S = 0.1
_PLAIN_STEP_PERCENT = 10


class Interrupt:
    """Turns the first Ctrl-C into a request to stop, and leaves the second one to Python."""

    def __init__(self) -> None:
        self._asked = threading.Event()

    def asked(self) -> bool:
        """Say whether Ctrl-C was pressed."""
        return self._asked.is_set()

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Handle Ctrl-C inside; outside of the main thread Python allows no handlers and this does nothing."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        previous = signal.signal(signal.SIGINT, lambda *_: self._pressed())
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, previous)

    def _pressed(self) -> None:
        if self._asked.is_set():
            raise KeyboardInterrupt
        self._asked.set()
        # Not through sys.stderr: the handler may have interrupted a print() there, and the message would be lost.
        with contextlib.suppress(OSError, ValueError):
            os.write(sys.stderr.fileno(), b"\nsubtitle-host: stopping; press Ctrl-C again to stop at once.\n")


class ConsoleEvents(SilentEvents):
    """`Events` for one media file: a live line on a terminal, plain lines anywhere else.

    Args:
        label: How lines name the file.
        interrupt: Whom to ask whether to stop.
        quiet: Show only warnings and errors.
    """

    def __init__(self, label: str, interrupt: Interrupt, *, quiet: bool) -> None:
        self._label = label
        self._interrupt = interrupt
        self._quiet = quiet
        self._live = sys.stderr.isatty()
        self._lock = threading.Lock()
        self._stage = ""
        self._stage_began = 0.0
        self._shown_at = 0.0
        self._shown_percent = -1
        self._width = 0

    def progress(self, progress: Progress) -> None:
        """Show it, unless the line is still fresh."""
        if self._quiet:
            return
        with self._lock:
            now = time.monotonic()
            if progress.stage != self._stage:
                self._stage, self._stage_began, self._shown_percent, self._shown_at = progress.stage, now, -1, 0.0
            percent = progress.done_ms * 100 // progress.total_ms if progress.total_ms else None
            if not self._due(now, percent):
                return
            self._shown_at = now
            self._shown_percent = -1 if percent is None else percent
            self._draw(self._line(progress, percent, now - self._stage_began))

    def log(self, level: LogLevel, message: str) -> None:
        """Show a message on a line of its own."""
        if level == "debug" or (self._quiet and level == "info"):
            return
        with self._lock:
            self._erase()
            prefix = "" if level == "info" else f"{level}: "
            print(f"{self._label}: {prefix}{message}", file=sys.stderr, flush=True)

    def cancelled(self) -> bool:
        """Say whether Ctrl-C was pressed."""
        return self._interrupt.asked()

    def finish(self) -> None:
        """Take the live line away."""
        with self._lock:
            self._erase()

    def _due(self, now: float, percent: int | None) -> bool:
        if self._live:
            return percent == 100 or now - self._shown_at >= _REDRAW_EVERY_S
        if percent is None:
            return self._shown_at == 0.0
        return self._shown_percent < 0 or percent // _PLAIN_STEP_PERCENT > self._shown_percent // _PLAIN_STEP_PERCENT

    def _line(self, progress: Progress, percent: int | None, elapsed_s: float) -> str:
        if percent is None or not progress.total_ms:
            return f"{self._label}: {progress.stage}, {clock(progress.done_ms / 1000)} done"
        line = f"{self._label}: {progress.stage} {percent} %"
        if 0 < progress.done_ms < progress.total_ms and elapsed_s >= 1:
            line += f", {clock(elapsed_s * (progress.total_ms - progress.done_ms) / progress.done_ms)} left"
        return line

    def _draw(self, line: str) -> None:
        if self._live:
            line = line[: shutil.get_terminal_size().columns - 1]  # a wrapped line could not be taken back
            print(f"\r{line.ljust(self._width)}", end="", file=sys.stderr, flush=True)
            self._width = len(line)
        else:
            print(line, file=sys.stderr, flush=True)

    def _erase(self) -> None:
        if self._width:
            print(f"\r{' ' * self._width}\r", end="", file=sys.stderr, flush=True)
            self._width = 0


class ByteProgress:
    """Downloads and stages on standard error: a live line on a terminal, plain lines anywhere else.

    Args:
        quiet: Show nothing.
    """

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._live = sys.stderr.isatty()
        self._width = 0
        self._shown_at = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._width:
            print(f"\r{' ' * self._width}\r", end="", file=sys.stderr, flush=True)
            self._width = 0

    def bytes_done(self, name: str, done: int, total: int) -> None:
        """Show how much of a file is there."""
        now = time.monotonic()
        if self._live and (done == total or now - self._shown_at >= _REDRAW_EVERY_S):
            self._shown_at = now
            self._draw(f"{name}: {100 * done // total} % of {megabytes(total)}")
        elif not self._live and done == 0:
            self._draw(f"{name}: {megabytes(total)}")

    def stage(self, what: str) -> None:
        """Show what is being done."""
        self._draw(what)

    def _draw(self, line: str) -> None:
        if self._quiet:
            return
        if self._live:
            line = line[: shutil.get_terminal_size().columns - 1]
            print(f"\r{line.ljust(self._width)}", end="", file=sys.stderr, flush=True)
            self._width = len(line)
        else:
            print(f"subtitle-host: {line}", file=sys.stderr, flush=True)


def megabytes(size: int) -> str:
    """Format a number of bytes as MB, or kB below 1 MB."""
    return f"{size / 1_000_000:.1f} MB" if size >= 1_000_000 else f"{-(-size // 1000)} kB"


def age(seconds: float) -> str:
    """Format an age in words: ``3 hours``."""
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= length:
            count = int(seconds // length)
            return f"{count} {unit}{'s' if count > 1 else ''}"
    return "less than a minute"


def clock(seconds: float) -> str:
    """Format a duration as ``m:ss`` or ``h:mm:ss``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
