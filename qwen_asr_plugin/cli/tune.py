# SPDX-License-Identifier: Apache-2.0
"""``qwen-asr-plugin tune``: which library and which split of the cores is the fastest here, measured and kept."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from qwen_asr_plugin.errors import translate_errors
from subtitle_hooks import CancelledError

from .console import say, stderr
from .stopping import stop_on_signals

if TYPE_CHECKING:
    from qwen_asr_model import Bundle
    from qwen_asr_plugin.engine.build_gain import BuildGain
    from qwen_asr_plugin.engine.tuning import Row, Tuning

__all__ = ["tune"]

_MIN_SECONDS = 2.0


class _Steps(Protocol):
    def __call__(self, step: str, done: int, total: int) -> None: ...


def tune(
    *,
    model_dir: Annotated[
        Path | None, typer.Option("--model-dir", "-m", help="Model bundle to tune for; the bundled one.")
    ] = None,
    precision: Annotated[str | None, typer.Option("--precision", "--prec", help="Its encoder precision.")] = None,
    quant: Annotated[str | None, typer.Option(help="Its decoder quantisation.")] = None,
    seconds: Annotated[
        float, typer.Option(min=_MIN_SECONDS, max=3600, help="Time limit; what was measured by then decides.")
    ] = 100.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Measure and show, but keep nothing.")] = False,
    reset: Annotated[
        bool, typer.Option("--reset", help="Measure nothing; forget what was chosen for this model.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> int:
    """Measure which libllama and which split of the cores is the fastest for a model on this computer, and use it.

    Every usable library takes part, each with a thread per lane, with two, and with one lane on all cores (a lane is
    a chunk of speech in work). They take turns, each in a process of its own; one that crashes is a line in the table.
    The default stays unless another configuration is faster in every round and by more than 5 % (10 % where there was
    time for one round only). The computer should have nothing else to do meanwhile.

    The choice is kept for this model on this processor, and used from then on wherever --libllama, --threads, --lanes,
    --device and QWEN_ASR_LIBLLAMA leave it open. It is not used any more once a library changes, comes or goes;
    qwen-asr-plugin doctor says what is in use. The decoder on a GPU is not part of this. Another library may write a
    few words otherwise.

    It also says what building a library for this very processor would gain (qwen-asr-plugin native build).

    [bold]Examples[/bold]

    qwen-asr-plugin tune

    qwen-asr-plugin tune --model-dir qwen3-asr-0.6b --seconds 300

    qwen-asr-plugin tune --reset
    """
    from qwen_asr_model import find_bundle, open_bundle

    bundle = translate_errors(open_bundle)(
        translate_errors(find_bundle)(model_dir), precision=precision, quant=quant, aligner=False
    )
    if reset:
        _forget(bundle, as_json=as_json)
        return 0
    with stop_on_signals() as stop, _bar(bundle.name) as progress:
        tuning = _measure(model_dir, precision, quant, seconds, progress, stop)
    if tuning is None:
        stderr.print("Stopped; nothing has been changed.")
        return CancelledError.code
    _finish(tuning, dry_run=dry_run, as_json=as_json)
    return 0


def _measure(
    model: Path | None, precision: str | None, quant: str | None, seconds: float, progress: _Steps, stop: Event
) -> Tuning | None:
    """Return the result; None after Ctrl-C."""
    from qwen_asr_plugin.engine import tuning
    from qwen_asr_plugin.options import EngineOptions

    options = EngineOptions(model=model, precision=precision, quant=quant)
    try:
        return tuning.tune(options, seconds=seconds, progress=progress, cancelled=stop.is_set)
    except CancelledError:
        return None


def _finish(tuning: Tuning, *, dry_run: bool, as_json: bool) -> None:
    """Keep the choice, then show everything."""
    from qwen_asr_plugin.engine.build_gain import build_gain
    from qwen_asr_plugin.engine.choices import deciding_option, store_choice
    from qwen_asr_plugin.options import EngineOptions

    gain = build_gain(tuning)
    decided_by = deciding_option(EngineOptions())
    if not as_json:
        stderr.print(_table(tuning))
        _tell(_verdict(tuning))
    file = None if dry_run else store_choice(tuning.choice())
    if as_json:
        say(json.dumps(_facts(tuning, gain, file, decided_by), indent=2))
        return
    _tell("Nothing was kept (--dry-run)." if file is None else f"Kept in {file}")
    if decided_by:
        _tell(f"{decided_by} is set and decides all the same; the choice is used when it is not.")
    _tell(f"A library built here: {gain.text}")


def _forget(bundle: Bundle, *, as_json: bool) -> None:
    from qwen_asr_plugin.engine.choices import choices_file, forget_choice

    forgotten = forget_choice(bundle)
    if as_json:
        say(json.dumps({"model": bundle.name, "forgotten": forgotten, "file": str(choices_file())}, indent=2))
    elif forgotten:
        _tell(f"What was chosen for {bundle.name} is forgotten; the default is used again.")
    else:
        _tell(f"Nothing had been chosen for {bundle.name}.")


def _table(tuning: Tuning) -> Table:
    table = Table(title=f"{tuning.bundle.name} on {tuning.machine.processor}, {_cores(tuning)}", title_justify="left")
    table.add_column("Configuration")
    for name in ("RTF", "of default", "Prefill/s", "Tokens/s", "Memory", "Rounds"):
        table.add_column(name, justify="right")
    for row in tuning.rows:
        style = "bold green" if row is tuning.chosen else ""
        name = row.configuration.describe() + (" (default)" if row is tuning.default else "")
        table.add_row(Text(name), *_cells(row, tuning.default), style=style)
    return table


def _cells(row: Row, default: Row) -> list[str]:
    if row.rtf is None:
        return [row.outcome, *[""] * 5]
    ratio = row.ratio_to(default)
    return [
        f"{row.rtf:.4f}",
        row.outcome if row.outcome != "measured" else "-" if ratio is None else f"{ratio:.2f}",
        f"{row.prefill_per_second:.0f}",
        f"{row.tokens_per_second:.0f}",
        f"{row.peak_memory_bytes / 1e6:.0f} MB",
        str(len(row.visits)),
    ]


def _verdict(tuning: Tuning) -> str:
    time = f"{tuning.seconds:.0f} s" + (", the time limit," if tuning.out_of_time else "")
    chosen = tuning.chosen.configuration.describe()
    lines = [
        f"{row.configuration.describe()} {row.outcome}: {row.reason}"
        for row in tuning.rows
        if row.outcome in ("crashed", "failed", "too slow")
    ]
    if tuning.chosen is tuning.default:
        lines.append(f"After {time} the default is the one to use: {chosen}.")
    else:
        gain = 1 / (tuning.chosen.ratio_to(tuning.default) or 1)
        lines.append(f"After {time} chosen: {chosen}; {gain:.2f} times as fast as the default.")
    return "\n".join(lines)


def _cores(tuning: Tuning) -> str:
    return "1 core" if tuning.machine.cores == 1 else f"{tuning.machine.cores} cores"


def _facts(tuning: Tuning, gain: BuildGain, file: Path | None, decided_by: str) -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "model": tuning.bundle.name,
        "precision": tuning.bundle.precision,
        "quant": tuning.bundle.quant,
        "machine": asdict(tuning.machine),
        "configurations": [
            {
                **asdict(row.configuration),
                "outcome": row.outcome,
                "reason": row.reason,
                "default": row is tuning.default,
                "chosen": row is tuning.chosen,
                "rtf": row.rtf,
                "ratio": row.ratio_to(tuning.default),
                "ratios": row.ratios_to(tuning.default),
                "prefill_tokens_per_second": row.prefill_per_second,
                "generation_tokens_per_second": row.tokens_per_second,
                "peak_memory_mb": row.peak_memory_bytes / 1e6,
                "rounds": len(row.visits),
            }
            for row in tuning.rows
        ],
        "chosen": asdict(tuning.chosen.configuration),
        "seconds": tuning.seconds,
        "out_of_time": tuning.out_of_time,
        "file": None if file is None else str(file),
        "decided_by": decided_by,
        "native_build": asdict(gain),
    }


def _tell(line: str) -> None:
    stderr.print(Text(line), soft_wrap=True)


@contextmanager
def _bar(name: str) -> Iterator[_Steps]:
    """A progress bar on a terminal, else a line for every configuration's first turn."""
    bar = Progress(
        TextColumn("Tuning for {task.fields[name]}"),
        BarColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
        console=stderr,
        disable=not stderr.is_terminal,
        transient=True,
    )
    task = bar.add_task("", name=name, total=None)
    told: set[str] = set()

    def update(step: str, done: int, total: int) -> None:
        bar.update(task, description=step, completed=done, total=total)
        if not stderr.is_terminal and step not in told:
            told.add(step)
            _tell(f"Measuring {step}")

    with bar:
        yield update
