# SPDX-License-Identifier: Apache-2.0
"""Writes ``report.md`` and its pictures from all raw runs in a folder; can be done again without measuring."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks._common import table

from .figures import STAGES, Row, rows_of
from .goals import goals, length_points
from .plots import plot_length, plot_ratios, plot_stages

__all__ = ["RUNS", "write_report"]

RUNS = "runs"
"""Folder of the raw runs, beside the report."""

_ORDER = ("compare", "encoder", "neighbour", "length")
_HEAD = """# Speed report

Made by `python -m benchmarks report` from the raw runs in `{runs}/`; do not edit. What follows from it is in
`docs/performance.md`, how to repeat it in `benchmarks/README.md`.

Contenders of one table took turns, every run in a fresh process: compare figures of one table only. Work is without
loading, which has a column of its own. Memory is the largest sum of PSS over all processes of a contender, sampled
every 0.4 s. Except where the bundled model is named, weights are random and of the exact shape; all contenders' files
are made of one checkpoint, and every one generates the same fixed number of tokens per second of the file. Ratios are
those of each round, in which both contenders ran soon after each other; the table has their median and range.
"""
_RATIO_HEAD = (
    "contender",
    "load, s",
    "work, s: median (range)",
    "RTF",
    "times as fast: median (range)",
    "peak MB",
    "tokens",
    "runs",
)

Values = dict[str, Any]


def write_report(folder: Path, *, plots: bool) -> Path:
    """Write the report of all records in the folder ``runs`` of `folder`; returns its path.

    Raises:
        SystemExit: There are none.
    """
    records = [json.loads(file.read_text(encoding="utf-8")) for file in sorted((folder / RUNS).glob("*.json"))]
    records.sort(key=lambda values: (_ORDER.index(values["kind"]), values["name"]))
    if not records:
        raise SystemExit(f"There are no runs in {folder.name}/{RUNS} yet: python -m benchmarks compare makes some.")
    parts = [_HEAD.format(runs=RUNS)]
    if judged := goals(records):
        parts.append("## Goals\n\n" + table(("goal", "found", "met"), judged))
    for values in records:
        sections = {"compare": _compare, "encoder": _encoder, "neighbour": _neighbour, "length": _length}
        parts.append("\n\n".join(sections[values["kind"]](values, folder, plots)))
    report = folder / "report.md"
    report.write_text("\n".join(part.rstrip("\n") + "\n" for part in parts), encoding="utf-8")
    return report


def _facts(values: Values) -> str:
    around, settings = values["surroundings"], values["settings"]
    packages = ", ".join(f"{name} {found}" for name, found in around["packages"].items())
    lines = [
        f"- machine at the start: {around['machine']}",
        f"- date: {around['date']}, commit {around['commit']}",
        f"- packages: {packages}",
        f"- command: `{around['command']}`",
        "- " + ", ".join(f"{name.replace('_', ' ')}: {value}" for name, value in settings.items()),
    ]
    said = [run.get("versions", {}) for run in values["runs"]]
    versions = {name: found for of_run in said for name, found in of_run.items() if name != "libllama"}
    if versions:
        lines.append("- other contenders: " + ", ".join(f"{name} {found}" for name, found in versions.items()))
    return "\n".join(lines)


def _line(row: Row, reference: Row | None, audio: float) -> tuple[str, ...]:
    low, high = row.spread("work_seconds")
    times = "-"
    if reference is not None:
        middle, least, most = row.times_as_fast(reference)
        times = f"{middle:.2f} ({least:.2f}-{most:.2f})"
    return (
        row.title,
        f"{row.median('load_seconds'):.1f}",
        f"{row.work:.2f} ({low:.2f}-{high:.2f})",
        f"{row.work / audio:.3f}",
        times,
        f"{row.median('peak_mb'):.0f}",
        f"{row.median('tokens'):.0f}",
        str(len(row.runs)),
    )


def _ratio_table(rows: list[Row], reference: Row | None, audio: float) -> str:
    return table(_RATIO_HEAD, [_line(row, reference, audio) for row in rows if row.runs])


def _missing(rows: Iterable[Row]) -> list[str]:
    lines = [f"- {row.title}: {row.error}" for row in rows if row.error]
    return ["Did not run, or not to the end:\n\n" + "\n".join(lines)] if lines else []


def _stage_table(rows: list[Row], audio: float) -> str:
    shown = [row for row in rows if row.runs and row.has_stages]
    lines = []
    for row in shown:
        stages = row.stages()
        lines.append((row.title, *(f"{stages[stage] * 60 / audio:.2f}" for stage in STAGES)))
    return table(("seconds per minute of audio", *STAGES), lines)


def _compare(values: Values, folder: Path, plots: bool) -> list[str]:
    rows, name, audio = rows_of(values), values["name"], float(values["settings"]["seconds"])
    reference = next((row for row in rows if row.name == values["settings"]["reference"] and row.runs), None)
    parts = [f"## Contenders: {name}", _facts(values)]
    if any(row.runs for row in rows):
        parts.append(_ratio_table(rows, reference, audio))
    parts += _missing(rows)
    if reference is not None and plots and sum(bool(row.runs) for row in rows) > 1:
        plot_ratios(rows, reference, folder / f"{name}-ratios.png")
        parts.append(f"![Times as fast as {reference.name}]({name}-ratios.png)")
    if any(row.has_stages for row in rows):
        parts += [f"### Where the time goes: {name}", _stage_table(rows, audio)]
        parts.append("Seconds of the clock; what several lanes do at once is divided by their number.")
        if plots:
            plot_stages(rows, audio, folder / f"{name}-stages.png")
            parts.append(f"![Seconds per minute of audio by stage]({name}-stages.png)")
    return parts


def _encoder(values: Values, folder: Path, plots: bool) -> list[str]:  # noqa: ARG001
    rows = rows_of(values)
    released = next((row for row in rows if row.name == "released-full" and row.runs), None)
    lines = []
    for row in rows:
        if row.runs:
            low, high = row.spread("work_seconds")
            part = f"{1 / row.times_as_fast(released)[0]:.0%}" if released is not None else "-"
            lines.append((row.title, f"{row.work:.3f} ({low:.3f}-{high:.3f})", part, len(row.runs)))
    head = ("encoder", "seconds: median (range)", "of the released form", "runs")
    return ["## Encoder alone", _facts(values), table(head, lines), *_missing(rows)]


def _neighbour(values: Values, folder: Path, plots: bool) -> list[str]:  # noqa: ARG001
    lines = []
    pairs = zip(rows_of(values, "alone"), rows_of(values, "busy"), strict=True)
    for alone, busy in pairs:
        if alone.runs and busy.runs:
            times = f"{alone.times_as_fast(busy)[0]:.2f}"
            spans = [
                f"{row.work:.2f} ({row.spread('work_seconds')[0]:.2f}-{row.spread('work_seconds')[1]:.2f})"
                for row in (alone, busy)
            ]
            lines.append((alone.title, *spans, times, len(busy.runs)))
    head = ("contender", "alone, s", "beside a busy process, s", "ratio", "runs")
    text = "The other process has the lowest priority (nice 19) and never rests, on one core."
    parts = ["## Beside another program", _facts(values), text]
    return [*parts, *([table(head, lines)] if lines else []), *_missing(rows_of(values))]


def _length(values: Values, folder: Path, plots: bool) -> list[str]:
    lines = []
    for seconds, runs in length_points(values).items():
        row = Row(name="", title="", runs=tuple(runs))
        low, high = (value / (seconds / 60) for value in row.spread("work_seconds"))
        each = f"{row.work / (seconds / 60):.3f} ({low:.3f}-{high:.3f})"
        first = f"{row.median('first_seconds'):.2f}"
        lines.append(
            (f"{seconds / 60:g} min", f"{row.work:.1f}", each, f"{row.median('peak_mb'):.0f}", first, len(runs))
        )
    head = ("file", "work, s", "s per minute: median (range)", "peak MB", "first cue after, s", "runs")
    errors = [f"- {run['seconds'] / 60:g} min: {run['error']}" for run in values["runs"] if "error" in run]
    parts = [f"## Length of the file: {values['settings']['shape']}", _facts(values), table(head, lines)]
    if errors:
        parts.append("Did not run to the end:\n\n" + "\n".join(errors))
    if plots and lines:
        picture = f"{values['name']}.png"
        plot_length(values, folder / picture)
        parts.append(f"![Time per minute of audio and memory against length]({picture})")
    return parts
