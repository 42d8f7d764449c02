# SPDX-License-Identifier: Apache-2.0
"""Models as tables and as JSON, and the bar that shows one coming."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table
from rich.text import Text

from .console import stderr

if TYPE_CHECKING:
    from qwen_asr_model.catalogue import Entry
    from qwen_asr_model.check import PartCheck
    from qwen_asr_model.store import InstalledBundle

__all__ = [
    "TransferBar",
    "available_facts",
    "catalogue_table",
    "check_table",
    "installed_facts",
    "megabytes",
    "step_bar",
]

_MANY_LANGUAGES = 6
_DOING = {
    "download": "Fetching",
    "unpack": "Unpacking",
    "copy": "Copying",
    "convert": "Converting",
    "check": "Checking",
}


def megabytes(size: int | None) -> str:
    """Return a length for people; a question mark where it is not known."""
    if size is None:
        return "?"
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


def installed_facts(one: InstalledBundle) -> dict[str, Any]:
    """Describe an installed model as plain values."""
    opened, record = one.opened, one.record
    return {
        "name": one.name,
        "path": str(one.path),
        "family": getattr(opened, "family", None if opened is None else "qwen3-forced-aligner"),
        "size": one.size,
        "precisions": [] if opened is None else list(opened.precisions),
        "quants": [] if opened is None else list(opened.quants),
        "aligner": None if opened is None else getattr(opened, "aligner", opened) is not None,
        "languages": list(one.languages),
        "licence": one.licence or None,
        "memory_mb": None if record is None else record.memory_mb,
        "source": "bundled" if record is None else record.source,
        "added": None if record is None else record.added,
        "problem": None if one.problem is None else str(one.problem),
    }


def available_facts(entry: Entry, *, installed: bool) -> dict[str, Any]:
    """Describe a model of the catalogue as plain values."""
    return {
        "name": entry.name,
        "aliases": list(entry.aliases),
        "title": entry.title,
        "kind": entry.kind,
        "family": entry.family,
        "size": entry.size,
        "precisions": [entry.precision] if entry.precision else [],
        "quants": [entry.quant] if entry.quant else [],
        "languages": list(entry.languages),
        "licence": entry.licence or None,
        "memory_mb": entry.memory_mb,
        "homepage": entry.homepage or None,
        "checksums_known": entry.pinned,
        "installed": installed,
    }


def catalogue_table(title: str, rows: Iterable[Mapping[str, Any]]) -> Table:
    """Return a table of models; `rows` are of `installed_facts` or `available_facts`."""
    table = Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0))
    for column in ("Name", "Size", "Memory", "Encoder", "Decoder", "Languages", "What it is"):
        right = column in ("Size", "Memory")
        table.add_column(column, justify="right" if right else "left", overflow="fold", no_wrap=column == "Name")
    for row in rows:
        what = row.get("problem") or row.get("title") or _source(row)
        memory = row["memory_mb"]
        table.add_row(
            Text(row["name"], style="bold"),
            megabytes(row["size"]),
            "?" if memory is None else megabytes(memory * 1_000_000),
            ", ".join(row["precisions"]) or "-",
            ", ".join(row["quants"]) or "-",
            _languages(row["languages"]),
            Text(what, style="red" if row.get("problem") else ""),
        )
    return table


def check_table(parts: Iterable[PartCheck]) -> Table:
    """Return a table of how far the files of a bundle are from the checkpoint."""
    table = Table(title="Against the checkpoint", title_justify="left", box=None, padding=(0, 2, 0, 0))
    for column in ("Part", "Variant", "Cosine", "Largest error", "Same choice", "Loss", "Loss of checkpoint"):
        words = column in ("Part", "Variant")
        table.add_column(column, justify="left" if words else "right", no_wrap=words, overflow="fold")
    for part in parts:
        rest = ((part.same_choice, ".1%"), (part.loss, ".4f"), (part.reference_loss, ".4f"))
        cells = ["-" if value is None else format(value, form) for value, form in rest]
        table.add_row(part.part, part.variant, f"{part.cosine:.6f}", f"{part.max_error:.3g}", *cells)
    return table


def _source(row: Mapping[str, Any]) -> str:
    if row["source"] == "bundled":
        return "comes with the program"
    return f"{row['source']}, {row['added'][:10]}"


def _languages(codes: list[str]) -> str:
    if len(codes) > _MANY_LANGUAGES:
        return f"{len(codes)} languages"
    return " ".join(codes) or "?"


class TransferBar:
    """A progress bar for bytes on a terminal, else a line every quarter of a file of some length."""

    def __init__(self) -> None:
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=stderr,
            disable=not stderr.is_terminal,
            transient=True,
        )
        self._task: TaskID = self._bar.add_task("", total=None)
        self._shown = ("", "")
        self._told = 0

    @contextmanager
    def shown(self) -> Iterator[TransferBar]:
        """Keep it on the screen."""
        with self._bar:
            yield self

    def update(self, what: str, name: str, done: int, total: int | None) -> None:
        """Move it; see `qwen_asr_model.store.StoreProgress`."""
        text = f"{_DOING[what]} {name}"
        if self._shown != (what, name):
            self._shown, self._told = (what, name), 0
            self._bar.reset(self._task, total=total, description=text)
        self._bar.update(self._task, completed=done, total=total)
        quarter = 4 * done // total if total else 0
        if not stderr.is_terminal and what == "download" and quarter > self._told:
            self._told = quarter
            stderr.print(Text(f"{text}: {25 * quarter} % of {megabytes(total)}"), soft_wrap=True)

    def say(self, line: str) -> None:
        """Print a line above it."""
        stderr.print(Text(line), soft_wrap=True)


@contextmanager
def step_bar() -> Iterator[Callable[[str, int, int], None]]:
    """Show a progress bar; the value is the callback ``(step, done, total)``."""
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=stderr, transient=True) as progress:
        task = progress.add_task("", total=None)

        def update(step: str, done: int, total: int) -> None:
            progress.update(task, description=step, completed=done, total=total)

        yield update
