# SPDX-License-Identifier: Apache-2.0
"""The report's pictures. matplotlib is needed for them alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .figures import STAGES, Row
from .goals import FLAT, length_points

__all__ = ["plot_length", "plot_ratios", "plot_stages", "require_matplotlib"]

Values = dict[str, Any]

_OURS, _OTHERS = "#2a6f97", "#a9a9a9"
_STAGE_COLOURS = ("#2a6f97", "#61a5c2", "#f4a259", "#8cb369", "#c9c9c9")


def require_matplotlib() -> None:
    """Say how to get it before hours of measuring, not after.

    Raises:
        SystemExit: It is not installed.
    """
    try:
        import matplotlib as mpl
    except ImportError:
        raise SystemExit(
            "The pictures of the report need matplotlib: pip install matplotlib (or --no-plots)."
        ) from None
    mpl.use("Agg")


def _figure(bars: int, label: str) -> Any:
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(9, 1.3 + 0.42 * bars), layout="constrained")
    axes.set_xlabel(label)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _save(figure: Any, file: Path) -> None:
    from matplotlib import pyplot as plt

    figure.savefig(file, dpi=110, metadata={"Software": None})
    plt.close(figure)


def plot_ratios(rows: list[Row], reference: Row, file: Path) -> None:
    """Bars: how many times as fast as the reference."""
    shown = sorted((row for row in rows if row.runs), key=lambda row: -row.work)
    figure, axes = _figure(len(shown), f"times as fast as {reference.name} (longer is better)")
    values = [row.times_as_fast(reference)[0] for row in shown]
    colours = [_OURS if row.name.startswith("ours") else _OTHERS for row in shown]
    bars = axes.barh([row.name for row in shown], values, color=colours)
    axes.bar_label(bars, [f" {value:.2f}" for value in values])
    axes.margins(x=0.12)
    _save(figure, file)


def plot_stages(rows: list[Row], audio_seconds: float, file: Path) -> None:
    """Stacked bars: seconds of each stage per minute of audio."""
    shown = sorted((row for row in rows if row.runs and row.has_stages), key=lambda row: -row.work)
    figure, axes = _figure(len(shown), "seconds per minute of audio (shorter is better)")
    left = [0.0] * len(shown)
    for stage, colour in zip(STAGES, _STAGE_COLOURS, strict=True):
        values = [row.stages()[stage] * 60 / audio_seconds for row in shown]
        axes.barh([row.name for row in shown], values, left=left, color=colour, label=stage)
        left = [a + b for a, b in zip(left, values, strict=True)]
    axes.legend(frameon=False, ncols=len(STAGES), loc="lower center", bbox_to_anchor=(0.5, 1.0))
    _save(figure, file)


def plot_length(values: Values, file: Path) -> None:
    """Two curves over the length of the file: time per minute of audio, peak memory."""
    from matplotlib import pyplot as plt

    points = {seconds / 60: runs for seconds, runs in length_points(values).items()}
    figure, (above, below) = plt.subplots(2, 1, sharex=True, figsize=(8, 5.5), layout="constrained")
    rows = [Row(name="", title="", runs=tuple(runs)) for runs in points.values()]
    minutes = list(points)
    costs = [row.work / minute for row, minute in zip(rows, minutes, strict=True)]
    for minute, row in zip(minutes, rows, strict=True):
        above.plot([minute] * len(row.runs), [r["work_seconds"] / minute for r in row.runs], ".", color=_OTHERS)
    above.plot(minutes, costs, "o-", color=_OURS)
    above.axhspan(costs[-1] * (1 - FLAT), costs[-1] * (1 + FLAT), color=_OURS, alpha=0.12)
    above.set_ylabel("s per minute of audio")
    below.plot(minutes, [row.median("peak_mb") for row in rows], "o-", color=_OURS)
    below.set_ylabel("peak memory, MB")
    below.set_xlabel("length of the file, minutes")
    for axes in (above, below):
        axes.set_ylim(0, 1.1 * axes.get_ylim()[1])
        axes.spines[["top", "right"]].set_visible(False)
    below.set_xscale("log")
    below.set_xticks(minutes, [f"{minute:g}" for minute in minutes])
    below.minorticks_off()
    _save(figure, file)
