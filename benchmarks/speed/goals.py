# SPDX-License-Identifier: Apache-2.0
"""What the project wants to be true of its speed, against what was found."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from .figures import Row, best, rows_of
from .models import BUNDLED

__all__ = ["FLAT", "GROWTH_MB", "goals", "length_points"]

FLAT = 0.05
GROWTH_MB = 150
BESIDE = 2.2
PEAK_MB = 1200
_SHAPE = "0.6B"
_PLAIN = re.compile(r"ours-\d+x\d+(-mainline)?(-built)?")
ENCODER_PART = {"with VNNI": 0.30, "AVX2 only": 0.45}

Values = dict[str, Any]
Goal = tuple[str, str, str]
"""What is wanted, what was found, whether it was met."""


def goals(records: Iterable[Values]) -> list[Goal]:
    """Judge every record by the goals it has figures for; they are about the 0.6B shape."""
    found: list[Goal] = []
    for values in records:
        kind = values["kind"]
        if values["settings"].get("shape", _SHAPE) not in (_SHAPE, BUNDLED):
            continue
        if kind == "compare":
            found += _ratios(values)
        elif kind == "encoder":
            found += _encoder(values)
        elif kind == "neighbour":
            found += _neighbour(values)
        elif kind == "length":
            found += _length(values)
    return found


def _verdict(met: bool) -> str:
    return "yes" if met else "**no**"


def _ratios(values: Values) -> list[Goal]:
    rows = {row.name: row for row in rows_of(values) if row.runs}
    # int8 and q4_k only: other types are faster or slower, but at another word error rate.
    plain = [row for row in rows.values() if _PLAIN.fullmatch(row.name)]
    mainline = best(row for row in plain if "mainline" in row.name)
    fastest = best(plain)
    where = f"({values['name']})"
    found: list[Goal] = []

    def ratio(what: str, ours: Row | None, other: str, least: float) -> None:
        if ours is not None and other in rows:
            times = ours.times_as_fast(rows[other])[0]
            found.append(
                (f"{what}: at least {least:g} x", f"{times:.2f} x: {ours.name} {where}", _verdict(times >= least))
            )

    ratio("against the ancestor's way, mainline library", mainline, "ancestor", 3.0)
    ratio("against the ancestor's way, fastest library", fastest, "ancestor", 4.5)
    ratio("against the official package, fp32", fastest, "official", 7.0)
    ratio("against llama.cpp's multimodal path", fastest, "llama.cpp", 1.0)
    for row in rows.values():
        if row.name.endswith("x1-aligner"):
            peak = row.spread("peak_mb")[1]
            what = f"peak memory with every worker and the 0.6B aligner: at most {PEAK_MB} MB"
            found.append((what, f"{peak:.0f} MB: {row.name} {where}", _verdict(peak <= PEAK_MB)))
    return found


def _encoder(values: Values) -> list[Goal]:
    rows = {row.name: row for row in rows_of(values) if row.runs}
    released, ours = rows.get("released-full"), rows.get("int8")
    if released is None or ours is None:
        return []
    flags = values["surroundings"]["machine"]
    here = "with VNNI" if "vnni" in flags else "AVX2 only"
    found: list[Goal] = []
    for kind, most in ENCODER_PART.items():
        part = 1 / ours.times_as_fast(released)[0]
        what = f"encoder against the released form, machine {kind}: at most {most:.0%}"
        found.append((what, f"{part:.0%}", _verdict(part <= most)) if kind == here else (what, "not measured", "-"))
    return found


def _neighbour(values: Values) -> list[Goal]:
    alone, busy = ({row.name: row for row in rows_of(values, load) if row.runs} for load in ("alone", "busy"))
    found: list[Goal] = []
    for name in sorted(alone.keys() & busy.keys()):
        times = alone[name].times_as_fast(busy[name])[0]
        found.append(
            (f"beside a busy process: at most {BESIDE} x", f"{times:.2f} x: {name}", _verdict(times <= BESIDE))
        )
    return found


def length_points(values: Values) -> dict[float, list[Values]]:
    """Runs that came to an end, by length of the file in seconds."""
    points: dict[float, list[Values]] = {}
    for run in values["runs"]:
        if "error" not in run:
            points.setdefault(float(run["seconds"]), []).append(run)
    return dict(sorted(points.items()))


def _length(values: Values) -> list[Goal]:
    points = length_points(values)
    if len(points) < 2:
        return []
    rows = [Row(name="", title="", runs=tuple(runs)) for runs in points.values()]
    minutes = [row.work / (seconds / 60) for row, seconds in zip(rows, points, strict=True)]
    middle = minutes[-1]  # the longest file: what a minute costs when nothing else counts
    away = max(abs(minute - middle) / middle for minute in minutes)
    growth = max(row.median("peak_mb") for row in rows) - rows[0].median("peak_mb")
    span = f"{min(points) / 60:g} to {max(points) / 60:g} minutes, {values['settings']['shape']}"
    return [
        (f"time per minute of audio flat within {FLAT:.0%}, {span}", f"{away:.1%}", _verdict(away <= FLAT)),
        (f"memory within {GROWTH_MB} MB, {span}", f"{growth:+.0f} MB", _verdict(growth <= GROWTH_MB)),
    ]
