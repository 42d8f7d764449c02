# SPDX-License-Identifier: Apache-2.0
"""Who takes part: a name, a program and the job it gets."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from qwen_asr_native.cores import usable_cores

from .models import CHUNK_SECONDS, Models
from .speech import Speech

__all__ = ["GROUPS", "Contender", "Settings", "all_contenders", "choose", "default_contender"]

GROUPS: Final = ("main", "ours", "slow", "all")
"""``main`` is what the goals are about, ``ours`` all configurations of ours, ``slow`` what takes long."""
IK: Final = "ik-llama-cpp-python"
MAINLINE: Final = "xllamacpp"
_RUNNERS: Final = "benchmarks.speed.runners"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What contenders depend on.

    Attributes:
        models: The weights in every form.
        speech: The file to recognise.
        tokens_per_second: Tokens to generate per second of that file.
        built: A libllama that was built for this machine.
        built_mainline: Another one, of llama.cpp itself.
        official_python: A Python that has ``qwen-asr``.
        whisper_weights: Folder with weights for ``faster-whisper``.
    """

    models: Models
    speech: Speech
    tokens_per_second: float
    built: Path | None = None
    built_mainline: Path | None = None
    official_python: Path | None = None
    whisper_weights: Path | None = None
    cores: int = field(default_factory=usable_cores)

    @property
    def kept_rate(self) -> float:
        """Tokens per second for those who leave silence out: they write the same text for less audio."""
        return self.tokens_per_second * self.speech.seconds / max(self.speech.kept_seconds, 1.0)


@dataclass(frozen=True, kw_only=True)
class Contender:
    """One row of the report.

    Attributes:
        name: Short name for the command line.
        title: What it is, for the report.
        runner: Module of `benchmarks.speed.runners`.
        job: What the runner is told.
        python: Who runs it.
        missing: Why it cannot run; empty when it can be tried.
        fixed: Whether it generates the fixed number of tokens.
        groups: Names that stand for several contenders and for this one, too.
    """

    name: str
    title: str
    runner: str
    job: Mapping[str, Any]
    python: str = sys.executable
    missing: str = ""
    fixed: bool = True
    groups: tuple[str, ...] = ()

    @property
    def module(self) -> str:
        """The program."""
        return f"{_RUNNERS}.{self.runner}"


def default_contender(settings: Settings) -> str:
    """Name of the product as it comes, with the fastest library."""
    return f"ours-{settings.cores}x1"


def all_contenders(settings: Settings) -> list[Contender]:
    """Every contender, in the order of the report."""
    cores = settings.cores
    lanes, one = (cores, 1), (1, cores)  # as many lanes as cores, and all cores in one lane
    several = f"ours-{cores}x1"
    listed = [_ours(settings, several, IK, *lanes, groups=("main", "slow"))]
    if cores > 1:
        listed.append(_ours(settings, f"ours-1x{cores}", IK, *one, groups=("main",)))
    built, mainline = (settings.built, "--built"), (settings.built_mainline, "--built-mainline")
    listed.append(_ours_built(settings, f"{several}-built", *built, *lanes, groups=("main",)))
    listed.append(_ours(settings, f"{several}-mainline", MAINLINE, *lanes, groups=("main",)))
    listed.append(_ours_built(settings, f"{several}-mainline-built", *mainline, *lanes))
    if cores > 1:
        listed.append(_ours(settings, f"ours-1x{cores}-mainline", MAINLINE, *one))
    return [
        *listed,
        _ours(settings, f"{several}-q4_0", IK, *lanes, quant="q4_0"),
        _ours(settings, f"{several}-q8_0", IK, *lanes, quant="q8_0"),
        _ours(settings, f"{several}-int4", IK, *lanes, precision="int4"),
        _ours(settings, f"{several}-fp32", IK, *lanes, precision="fp32"),
        _ours(settings, f"{several}-aligner", IK, *lanes, aligner=True, groups=("main",)),
        _ours(settings, f"{several}-mainline-aligner", MAINLINE, *lanes, aligner=True),
        _ancestor(settings, "ancestor", MAINLINE, groups=("main",)),
        _ancestor(settings, "ancestor-lean", MAINLINE, lean=True, groups=("main",)),
        _ancestor(settings, "ancestor-lean-ik", IK, lean=True),
        _mtmd(settings, "llama.cpp", repack=True, groups=("main",)),
        _mtmd(settings, "llama.cpp-plain", repack=False),
        _official(settings),
        _whisper(settings),
    ]


def choose(listed: list[Contender], wanted: str) -> list[Contender]:
    """Find contenders by names and groups, separated by commas.

    Raises:
        SystemExit: There is no such contender; says which there are.
    """
    chosen: list[Contender] = []
    for word in map(str.strip, wanted.split(",")):
        found = [c for c in listed if word in (c.name, *c.groups, "all")]
        if not found:
            names = ", ".join(contender.name for contender in listed)
            raise SystemExit(f"There is no contender {word!r}. There are: {names}; groups: {', '.join(GROUPS)}.")
        chosen += [contender for contender in found if contender not in chosen]
    return chosen


def _ours(
    settings: Settings,
    name: str,
    library: str,
    lanes: int,
    threads: int,
    *,
    precision: str = "int8",
    quant: str = "q4_k",
    aligner: bool = False,
    groups: tuple[str, ...] = (),
) -> Contender:
    words = [f"ours, {library}, {lanes} {'lane' if lanes == 1 else 'lanes'} x {threads}", f"{precision} + {quant}"]
    options = {
        "model": str(settings.models.bundle),
        "libllama": library,
        "lanes": lanes,
        "threads": lanes * threads,
        "precision": precision,
        "quant": quant,
        "aligner": "auto" if aligner else "off",
        # Times of random weights are not plausible; the aligner would be given up after three chunks.
        "check_alignment": "no",
    }
    job = {"media": str(settings.speech.path), "options": options, "tokens_per_second": settings.kept_rate}
    title = ", ".join(words) + (", 0.6B aligner" if aligner else "")
    return Contender(name=name, title=title, runner="ours", job=job, groups=("ours", *groups))


def _ours_built(
    settings: Settings,
    name: str,
    library: Path | None,
    option: str,
    lanes: int,
    threads: int,
    *,
    groups: tuple[str, ...] = (),
) -> Contender:
    plain = _ours(settings, name, str(library), lanes, threads, groups=groups)
    kind = "llama.cpp" if "mainline" in name else "libllama"
    return dataclasses.replace(
        plain,
        title=plain.title.replace(str(library), f"{kind} built here"),
        missing="" if library else f"not at hand: {option} names a libllama of `qwen-asr-plugin native build`",
    )


def _recorded(settings: Settings) -> dict[str, Any]:
    return {
        "media": str(settings.speech.path),
        "tokens_per_second": settings.tokens_per_second,
        "threads": settings.cores,
        "chunk_seconds": CHUNK_SECONDS,
    }


def _ancestor(
    settings: Settings, name: str, library: str, *, lean: bool = False, groups: tuple[str, ...] = ()
) -> Contender:
    """As released, it prefills the clip before once more and generates with half of the threads; not so where lean."""
    generating = settings.cores if lean else max(1, settings.cores // 2)
    job = {
        **_recorded(settings),
        "model": str(settings.models.released),
        "libllama": library,
        "memory": not lean,
        "threads_generating": generating,
    }
    how = "no clip prefilled twice" if lean else "as released"
    threads = (
        f"{settings.cores} threads, {generating} for tokens"
        if generating < settings.cores
        else f"1 lane x {generating}"
    )
    title = f"the ancestor's way in our engine, {how}, {library}, {threads}, int4 + q4_k_m"
    return Contender(name=name, title=title, runner="ancestor", job=job, groups=groups)


def _mtmd(settings: Settings, name: str, *, repack: bool, groups: tuple[str, ...] = ()) -> Contender:
    models = settings.models
    job = {**_recorded(settings), "text": str(models.text), "mmproj": str(models.mmproj)}
    title = f"llama.cpp's mtmd, {MAINLINE}, 1 x {settings.cores}, q8_0 + q4_k_m, {'' if repack else 'not '}repacked"
    job |= {"libllama": MAINLINE, "repack": repack}
    return Contender(name=name, title=title, runner="mtmd", job=job, groups=groups)


def _official(settings: Settings) -> Contender:
    python = settings.official_python
    return Contender(
        name="official",
        title=f"official PyTorch package, fp32, {settings.cores} threads",
        runner="official",
        job={**_recorded(settings), "model": str(settings.models.checkpoint)},
        python=str(python or sys.executable),
        missing="" if python else "not asked for: --official-python names a Python that has the package qwen-asr",
        groups=("slow",),
    )


def _whisper(settings: Settings) -> Contender:
    weights = settings.whisper_weights
    return Contender(
        name="faster-whisper",
        title=f"faster-whisper, {weights.name if weights else 'no weights'}, int8, {settings.cores} threads",
        runner="whisper",
        job={**_recorded(settings), "model": str(weights)},
        missing="" if weights else "not at hand: --whisper-weights names a folder with its weights",
        fixed=False,
        groups=("slow",),
    )
