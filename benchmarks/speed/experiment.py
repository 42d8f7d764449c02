# SPDX-License-Identifier: Apache-2.0
"""Contenders by turns, every run in a fresh process, written down after each one."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks._common import busy_neighbour

from .contenders import Contender, Settings
from .processes import run_child
from .surroundings import surroundings

__all__ = ["Record", "take_turns"]

_WORK_DIFFERS = 0.03
"""Part by which the number of tokens may differ from what was asked for: every chunk rounds."""


class Record:
    """The raw runs of one experiment, in a JSON file that is written again after every run.

    Args:
        file: The file.
        kind: Which experiment, see `benchmarks.speed.report`.
        settings: What it depends on, in JSON types.
    """

    def __init__(self, file: Path, kind: str, settings: Mapping[str, Any]) -> None:
        self._file = file
        self.values: dict[str, Any] = {
            "kind": kind,
            "name": file.stem,
            "settings": dict(settings),
            "surroundings": surroundings(),
            "runs": [],
        }

    def add(self, run: Mapping[str, Any]) -> None:
        """Keep one run and say what came out."""
        self.values["runs"].append(dict(run))
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._file.write_text(json.dumps(self.values, indent=1) + "\n", encoding="utf-8")
        names = ("round", "contender", "load", "seconds", "work_seconds", "load_seconds", "peak_mb", "tokens", "error")
        shown = (f"{run[key]:.2f}" if isinstance(run[key], float) else str(run[key]) for key in names if key in run)
        print("  ".join(shown), file=sys.stderr, flush=True)


def take_turns(
    record: Record,
    contenders: Sequence[Contender],
    settings: Settings,
    *,
    rounds: int,
    limit: float,
    loads: Iterable[str] = ("alone",),
) -> None:
    """Run every contender once a round; each round begins with another one.

    What cannot run is asked once only; its reason stands in the record.

    Args:
        record: Where the runs go.
        contenders: Who takes part.
        settings: What they depend on.
        rounds: Runs of each.
        limit: Seconds after which a run is stopped.
        loads: ``alone``, or ``busy`` for beside a process of the lowest priority that never rests.
    """
    record.values["contenders"] = [{"name": c.name, "title": c.title} for c in contenders]
    given_up: set[str] = set()
    for number in range(rounds):
        first = number % len(contenders)
        for contender in [*contenders[first:], *contenders[:first]]:
            if contender.name in given_up:
                continue
            for load in loads:
                run = _run(contender, settings, limit, load)
                record.add({"round": number + 1, "contender": contender.name, "load": load, **run})
                if "error" in run:
                    given_up.add(contender.name)
                    break


def _run(contender: Contender, settings: Settings, limit: float, load: str) -> dict[str, Any]:
    if contender.missing:
        return {"error": contender.missing}
    with busy_neighbour() if load == "busy" else contextlib.nullcontext():
        result = run_child([contender.python, "-m", contender.module], contender.job, limit=limit)
    if contender.fixed and "error" not in result:
        wanted = settings.tokens_per_second * settings.speech.seconds
        if abs(result["tokens"] - wanted) > max(_WORK_DIFFERS * wanted, result["chunks"]):
            return {"error": f"did other work: {result['tokens']} tokens instead of {wanted:.0f}"}
    return result
