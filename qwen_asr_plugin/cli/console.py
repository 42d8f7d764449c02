# SPDX-License-Identifier: Apache-2.0
"""What the user sees: panel, live progress, statistics. Everything goes to standard error but the text itself."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.panel import Panel
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from subtitle_hooks import Progress as Done
from subtitle_hooks import Segment, SubtitleError

__all__ = ["ConsoleEvents", "clock", "say", "show_configuration", "show_error", "show_statistics", "stderr", "stdout"]

stderr = Console(stderr=True, highlight=False)
stdout = Console(highlight=False)

_STATISTICS = (
    ("audio_seconds", "Audio", "{:.1f} s"),
    ("speech_seconds", "Speech", "{:.1f} s"),
    ("load_seconds", "Model load", "{:.2f} s"),
    ("wall_seconds", "Wall time", "{:.2f} s"),
    ("rtf", "RTF (without load)", "{:.4f}"),
    ("encoder_seconds", "Encoder", "{:.2f} s"),
    ("prefill_tokens", "Prefill", "{} tokens"),
    ("prefill_tokens_per_second", "", "{:.0f} tokens/s"),
    ("generation_tokens", "Generation", "{} tokens"),
    ("generation_tokens_per_second", "", "{:.0f} tokens/s"),
    ("retries", "Decoding retries", "{}"),
    ("peak_memory_mb", "Peak memory", "{:.0f} MB"),
)


def clock(ms: int) -> str:
    """Return milliseconds as ``1:02:03.4`` or ``02:03.4``."""
    seconds, rest = divmod(ms, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return (f"{hours}:" if hours else "") + f"{minutes:02}:{seconds:02}.{rest // 100}"


def say(line: str) -> None:
    """Print a line on standard output; a reader that has gone (``| head``) or a full disk does not end the work."""
    try:
        print(line, flush=True)
    except OSError:  # what is left to say, and the flush at exit, goes nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def show_error(error: SubtitleError) -> None:
    """Print one error: what, which file, what to do, and its code."""
    text = Text.assemble(("error ", "bold red"), (f"[{error.code}] ", "red"))
    text.append(f"{error.path}: " if error.path else "").append(error.what)
    if error.hint:
        text.append(f"\n      {error.hint}", style="dim")
    stderr.print(text, soft_wrap=True)


def show_configuration(values: Mapping[str, str]) -> None:
    """Print the panel that says what will be done with what."""
    table = Table.grid(padding=(0, 2))
    for name, value in values.items():
        table.add_row(Text(name, style="bold"), Text(value))
    stderr.print(Panel(table, title="qwen-asr-plugin", title_align="left", expand=False))


def show_statistics(rows: list[tuple[Path, Mapping[str, float | str]]]) -> None:
    """Print one column of statistics per file."""
    table = Table(title="Statistics", title_justify="left")
    table.add_column("")
    for path, _ in rows:
        table.add_column(Text(path.name), justify="right")
    for key, label, form in _STATISTICS:
        table.add_row(label, *(form.format(values[key]) for _, values in rows))
    stderr.print(table)


class ConsoleEvents:
    """The host's side of one file: a progress bar with ETA, the text as it comes, messages.

    Args:
        name: File name shown beside the bar.
        show_text: Print every segment on standard output as soon as it is there.
        quiet: No bar, and no message below a warning.
        cancelled: Says whether the user wants to stop.
    """

    def __init__(self, name: str, *, show_text: bool, quiet: bool, cancelled: Callable[[], bool]) -> None:
        self._show_text = show_text
        self._cancelled = cancelled
        self._bar = Progress(
            TextColumn("{task.fields[name]}"),
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeElapsedColumn(),
            TextColumn("ETA"),
            TimeRemainingColumn(),
            console=stderr,
            disable=quiet or not stderr.is_terminal,
            transient=True,
        )
        self._plain = not quiet and not stderr.is_terminal
        self._unheard = {"debug", "info"} if quiet else {"debug"}
        self._told = 0
        self._name = name
        self._task: TaskID = self._bar.add_task("", name=name, total=None)

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Keep the bar on the screen."""
        with self._bar:
            yield

    def progress(self, progress: Done) -> None:
        """Move the bar; without a terminal, print a line every quarter."""
        self._bar.update(self._task, description=progress.stage, completed=progress.done_ms, total=progress.total_ms)
        if self._plain and progress.total_ms:
            quarter = 4 * progress.done_ms // progress.total_ms
            if quarter > self._told:
                self._told = quarter
                stderr.print(f"{self._name}: {25 * quarter} %", soft_wrap=True)

    def segment(self, segment: Segment) -> None:
        """Show the text on standard output."""
        if self._show_text:
            line = f"[{clock(segment.start_ms)} -> {clock(segment.end_ms)}]  {segment.text.replace(chr(10), ' ')}"
            if stderr.is_terminal and sys.stdout.isatty():
                self._bar.console.print(line, soft_wrap=True, markup=False)
            else:
                say(line)

    def log(self, level: str, message: str) -> None:
        """Show messages of weight."""
        if level not in self._unheard:
            style = {"warning": "yellow", "error": "red"}.get(level, "")
            stderr.print(Text(message, style=style), soft_wrap=True)

    def cancelled(self) -> bool:
        """Whether the user has asked to stop."""
        return self._cancelled()
