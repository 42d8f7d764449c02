# SPDX-License-Identifier: Apache-2.0
"""From raw runs to what a report says: medians, spreads, ratios, stages."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

__all__ = ["STAGES", "Row", "best", "rows_of"]

STAGES = ("encoder", "prefill", "generation", "alignment", "rest")

Values = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One contender under one load.

    Attributes:
        name: Its short name.
        title: What it is.
        runs: Its runs that came to an end.
        error: Why there are none.
    """

    name: str
    title: str
    runs: tuple[Values, ...]
    error: str = ""

    def median(self, key: str) -> float:
        """Median over the runs."""
        return statistics.median(float(run[key]) for run in self.runs)

    def spread(self, key: str) -> tuple[float, float]:
        """Smallest and largest of the runs."""
        values = [float(run[key]) for run in self.runs]
        return min(values), max(values)

    @property
    def work(self) -> float:
        """Median seconds of work, loading not included."""
        return self.median("work_seconds")

    def times_as_fast(self, reference: Row) -> tuple[float, float, float]:
        """Return median, smallest and largest of the ratios of each round, in which both ran soon after each other."""
        others = {run["round"]: float(run["work_seconds"]) for run in reference.runs}
        ratios = [others[run["round"]] / float(run["work_seconds"]) for run in self.runs if run["round"] in others]
        return (statistics.median(ratios), min(ratios), max(ratios)) if ratios else (math.nan, math.nan, math.nan)

    def stages(self) -> dict[str, float]:
        """Seconds of the clock per stage: what lanes do at the same time is divided by their number.

        ``rest`` is what is left of the work: decoding the media, finding speech, building cues, a lane with nothing to
        do at the end.
        """
        found = {
            stage: statistics.median(run["stages"].get(stage, 0.0) / run["lanes"] for run in self.runs)
            for stage in STAGES[:-1]
        }
        return {**found, "rest": max(0.0, self.work - sum(found.values()))}

    @property
    def has_stages(self) -> bool:
        """Whether the contender says where its time goes."""
        return any(run["stages"] for run in self.runs)


def rows_of(values: Values, load: str = "alone") -> list[Row]:
    """Make a row of every contender of a record."""
    rows = []
    for contender in values.get("contenders", []):
        runs = [run for run in values["runs"] if run["contender"] == contender["name"]]
        done = tuple(run for run in runs if "error" not in run and run["load"] == load)
        error = next((run["error"] for run in runs if "error" in run), "")
        rows.append(Row(name=contender["name"], title=contender["title"], runs=done, error=error))
    return rows


def best(rows: Iterable[Row]) -> Row | None:
    """The fastest of those that ran."""
    return min((row for row in rows if row.runs), key=lambda row: row.work, default=None)
