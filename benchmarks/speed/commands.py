# SPDX-License-Identifier: Apache-2.0
"""The sub-commands of ``python -m benchmarks``."""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from qwen_asr_native.cores import usable_cores
from qwen_asr_native.user_folders import cache_folder

from .contenders import Contender, Settings, all_contenders, choose, default_contender
from .experiment import Record, take_turns
from .models import BUNDLED, SHAPES, prepare
from .plots import require_matplotlib
from .processes import run_child
from .report import RUNS, write_report
from .speech import Speech, join_clips, repeat

__all__ = ["add_commands"]

_LONG_SECONDS = 1800
_OUT = Path(__file__).resolve().parents[2] / "docs" / "performance"


def add_commands(commands: Any) -> None:
    """Add the sub-commands to what `argparse.ArgumentParser.add_subparsers` returned."""
    command = _add(commands, "prepare", _prepare, "make the weights in every form, and nothing else")
    _weights(command)
    command.add_argument("--again", action="store_true", help="our bundle again: the converter has changed")

    command = _add(commands, "compare", _compare, "contenders by turns: times, ratios, memory, where the time goes")
    _weights(command)
    _speech(command, 600)
    _turns(command, rounds=5)
    command.add_argument("--contenders", default="main", help="names and groups, see list (default: %(default)s)")
    command.add_argument("--reference", help="what ratios are against (default: ancestor, or the last contender)")
    _others(command)
    _output(command, "compare")

    command = _add(commands, "stages", _stages, "where the time of our default configuration goes, one round")
    _weights(command)
    _speech(command, 60)
    _turns(command, rounds=1)
    command.add_argument("--contenders", default="", help="names and groups (default: the default configuration)")
    command.set_defaults(reference=None)
    _others(command)
    _output(command, "stages")

    command = _add(commands, "encoder", _encoder, "our encoder against the released form, alone")
    _weights(command)
    _speech(command, 40)
    _turns(command, rounds=5)
    command.add_argument("--repeats", type=int, default=3, help="encodings a run (default: %(default)s)")
    _output(command, "encoder")

    command = _add(commands, "neighbour", _neighbour, "beside one busy process of the lowest priority")
    _weights(command)
    _speech(command, 60)
    _turns(command, rounds=5)
    command.add_argument("--contenders", default="", help="names and groups (default: the default configuration)")
    _others(command)
    _output(command, "neighbour")

    command = _add(commands, "length", _length, "time per minute and memory against length")
    _weights(command, BUNDLED)
    _speech(command, None)
    _turns(command, rounds=3)
    text = "runs of files of half an hour and more (default: %(default)s)"
    command.add_argument("--long-rounds", type=int, default=1, help=text)
    lengths = [60.0, 300.0, 900.0, 3600.0, 10800.0]
    command.add_argument("--lengths", type=float, nargs="+", default=lengths, help="seconds (default: %(default)s)")
    _output(command, "length")

    command = _add(commands, "report", _report, "write the report again from the raw runs")
    _output(command, None)

    command = _add(commands, "list", _list, "the contenders and their groups")
    _others(command)


def _add(commands: Any, name: str, run: Any, text: str) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text)
    command.set_defaults(run=run)
    return command


def _weights(command: argparse.ArgumentParser, *others: str) -> None:
    """`others` are shapes that can be asked for, too; the first of them is then the default."""
    choices = (*others, *SHAPES)
    command.add_argument("--shape", choices=choices, default=choices[0], help="which weights (default: %(default)s)")
    command.add_argument(
        "--cache", type=Path, default=cache_folder() / "benchmarks", help="folder of the weights (default: %(default)s)"
    )


def _speech(command: argparse.ArgumentParser, seconds: float | None) -> None:
    if seconds is not None:
        text = "length of the audio (default: %(default)s)"
        command.add_argument("--seconds", type=float, default=seconds, help=text)
    text = "tokens to generate for it (default: %(default)s)"
    command.add_argument("--tokens-per-second", type=float, default=4.5, help=text)
    command.add_argument("--speech", type=Path, metavar="FOLDER", help="clips to join (default: the sample video)")


def _turns(command: argparse.ArgumentParser, *, rounds: int) -> None:
    command.add_argument("--rounds", type=int, default=rounds, help="runs of each (default: %(default)s)")
    command.add_argument("--limit", type=float, default=3600, help="seconds a run may take (default: %(default)s)")


def _others(command: argparse.ArgumentParser) -> None:
    command.add_argument("--built", type=Path, metavar="FILE", help="a libllama of `qwen-asr-plugin native build`")
    text = "another one, of llama.cpp itself, as `native build` makes it by default"
    command.add_argument("--built-mainline", type=Path, metavar="FILE", help=text)
    command.add_argument("--official-python", type=Path, metavar="PYTHON", help="a Python that has qwen-asr and torch")
    command.add_argument("--whisper-weights", type=Path, metavar="FOLDER", help="weights for faster-whisper")


def _output(command: argparse.ArgumentParser, name: str | None) -> None:
    command.add_argument("--out", type=Path, default=_OUT, help="folder of report, pictures and raw runs")
    if name is not None:
        command.add_argument("--name", default=name, help="name of the raw runs and the section (default: %(default)s)")
    command.add_argument("--no-plots", action="store_true", help="no pictures: works without matplotlib")


@contextlib.contextmanager
def _settings(given: argparse.Namespace) -> Iterator[Settings]:
    if not given.no_plots:
        require_matplotlib()
    models = prepare(given.cache.absolute(), given.shape)
    with tempfile.TemporaryDirectory() as scratch:
        yield Settings(
            models=models,
            speech=join_clips(given.speech, given.seconds, Path(scratch, "speech.wav")),
            tokens_per_second=given.tokens_per_second,
            built=_absolute(getattr(given, "built", None)),
            built_mainline=_absolute(getattr(given, "built_mainline", None)),
            # Not resolved: what a virtual environment is known by is a link.
            official_python=_absolute(getattr(given, "official_python", None)),
            whisper_weights=_absolute(getattr(given, "whisper_weights", None)),
        )


def _absolute(path: Path | None) -> Path | None:
    return None if path is None else path.absolute()


def _record(given: argparse.Namespace, kind: str, settings: Settings | None, **more: object) -> Record:
    values: dict[str, object] = {"cores": usable_cores(), "rounds": given.rounds}
    if settings is not None:
        values |= {
            "shape": settings.models.shape,
            "seconds": settings.speech.seconds,
            "seconds_without_silence": round(settings.speech.kept_seconds, 1),
            "speech": settings.speech.source,
            "tokens_per_second": settings.tokens_per_second,
        }
    return Record(given.out / RUNS / f"{given.name}.json", kind, values | more)


def _finish(given: argparse.Namespace) -> int:
    report = write_report(given.out, plots=not given.no_plots)
    print(f"written: {report}")
    return 0


def _prepare(given: argparse.Namespace) -> int:
    prepare(given.cache.absolute(), given.shape, again=given.again)
    return 0


def _compare(given: argparse.Namespace) -> int:
    with _settings(given) as settings:
        contenders = _chosen(settings, given.contenders)
        names = [contender.name for contender in contenders]
        reference = given.reference or ("ancestor" if "ancestor" in names else names[-1])
        if reference not in names:
            raise SystemExit(f"The reference {reference!r} does not take part: {', '.join(names)}.")
        record = _record(given, "compare", settings, reference=reference)
        take_turns(record, contenders, settings, rounds=given.rounds, limit=given.limit)
    return _finish(given)


_stages = _compare


def _chosen(settings: Settings, wanted: str) -> list[Contender]:
    return choose(all_contenders(settings), wanted or default_contender(settings))


def _encoder(given: argparse.Namespace) -> int:
    with _settings(given) as settings:
        forms = [
            ("int8", "ours, int8, 8 s windows", settings.models.bundle, "int8", False),
            ("int4", "ours, int4, 8 s windows", settings.models.bundle, "int4", False),
            ("fp32", "ours, fp32, 8 s windows", settings.models.bundle, "fp32", False),
            ("released", "released form, 8 s windows", settings.models.released, None, False),
            ("released-full", "released form, whole clip at once", settings.models.released, None, True),
        ]
        shared = {"media": str(settings.speech.path), "seconds": given.seconds, "repeats": given.repeats}
        contenders = [
            Contender(
                name=name,
                title=f"{title}, {settings.cores} threads",
                runner="encoder",
                job={**shared, "model": str(model), "precision": precision, "full": full, "threads": settings.cores},
                fixed=False,
            )
            for name, title, model, precision, full in forms
        ]
        record = _record(given, "encoder", settings, repeats=given.repeats)
        take_turns(record, contenders, settings, rounds=given.rounds, limit=given.limit)
    return _finish(given)


def _neighbour(given: argparse.Namespace) -> int:
    with _settings(given) as settings:
        record = _record(given, "neighbour", settings)
        contenders = _chosen(settings, given.contenders)
        loads = ("alone", "busy")
        take_turns(record, contenders, settings, rounds=given.rounds, limit=given.limit, loads=loads)
    return _finish(given)


def _length(given: argparse.Namespace) -> int:
    if not given.no_plots:
        require_matplotlib()
    record = _record(given, "length", None, shape=given.shape)
    with tempfile.TemporaryDirectory() as scratch:
        # One minute over and over, so that every minute of every file holds the same.
        minute = join_clips(given.speech, 60, Path(scratch, "minute.wav"))
        record.values["settings"]["speech"] = minute.source
        job = _length_job(given, minute)
        files = {seconds: repeat(minute.path, seconds, Path(scratch, f"{seconds:g}.flac")) for seconds in given.lengths}
        for number in range(given.rounds):
            for seconds, file in files.items():
                if seconds >= _LONG_SECONDS and number >= given.long_rounds:
                    continue
                command = [sys.executable, "-m", "benchmarks.speed.runners.ours"]
                done = run_child(command, {**job, "media": str(file)}, limit=given.limit)
                record.add({"round": number + 1, "seconds": seconds, **done})
    return _finish(given)


def _length_job(given: argparse.Namespace, minute: Speech) -> dict[str, object]:
    """The bundled model decodes for real; random weights do the fixed work."""
    if given.shape == BUNDLED:
        return {"options": {}, "tokens_per_second": None}
    models = prepare(given.cache.absolute(), given.shape)
    settings = Settings(models=models, speech=minute, tokens_per_second=given.tokens_per_second)
    return dict(_chosen(settings, "")[0].job)


def _report(given: argparse.Namespace) -> int:
    if not given.no_plots:
        require_matplotlib()
    return _finish(given)


def _list(given: argparse.Namespace) -> int:
    from .models import Models

    nothing = Speech(path=Path(), seconds=0, kept_seconds=0, source="")
    settings = Settings(
        models=Models(shape=SHAPES[0], folder=Path()),
        speech=nothing,
        tokens_per_second=0,
        built=given.built,
        built_mainline=given.built_mainline,
        official_python=given.official_python,
        whisper_weights=given.whisper_weights,
    )
    for contender in all_contenders(settings):
        groups = f" [{', '.join(contender.groups)}]" if contender.groups else ""
        missing = f"\n    {contender.missing}" if contender.missing else ""
        print(f"{contender.name}{groups}\n    {contender.title}{missing}")
    return 0
