# SPDX-License-Identifier: Apache-2.0
"""``qwen-asr-plugin model``: convert, make, look at and verify model bundles."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from qwen_asr_plugin.errors import translate_errors

from .console import stderr

__all__ = ["model_app"]

model_app = typer.Typer(
    no_args_is_help=True,
    help="Convert, make, look at and verify model bundles.\n\nA bundle is a folder with two ONNX encoder graphs and a "
    "GGUF decoder; docs/models.md says how to get the real weights.",
)

Precisions = Annotated[str, typer.Option("--precision", "--prec", help="Encoder: fp32, fp16, int8, int4; comma list.")]
Quants = Annotated[str, typer.Option(help="Decoder: f16, q8_0, q5_0, q4_0, q6_k, q4_k...; comma list.")]


@model_app.command()
@translate_errors
def convert(
    checkpoint: Annotated[
        Path, typer.Argument(help="Folder of an official Qwen3-ASR or Qwen3-ForcedAligner checkpoint (config.json...).")
    ],
    out: Annotated[Path, typer.Argument(help="Folder to write the bundle to.")],
    *,
    name: Annotated[str | None, typer.Option(help="Name of the bundle; the checkpoint folder's if left out.")] = None,
    precision: Precisions = "int8",
    quant: Quants = "q8_0",
    languages: Annotated[str, typer.Option(help="ISO codes the model knows, comma list; all if left out.")] = "",
    max_chunk_seconds: Annotated[
        float | None, typer.Option(min=1, help="Longest piece at once; 30 s, an aligner 180 s, if left out.")
    ] = None,
    aligner: Annotated[
        Path | None, typer.Option(help="Folder of the Qwen3-ForcedAligner checkpoint to put into the same bundle.")
    ] = None,
    aligner_quant: Annotated[str, typer.Option(help="Its decoder, as --quant; the same if left out.")] = "",
    aligner_chunk_seconds: Annotated[float, typer.Option(min=1, help="Its longest piece of audio at once.")] = 180.0,
    licence: Annotated[str, typer.Option(help="SPDX identifier of the weights' licence.")] = "Apache-2.0",
) -> None:
    """Convert an official checkpoint folder; needs neither torch nor the network.

    qwen-asr-plugin model convert Qwen3-ASR-0.6B ./qwen3-asr-0.6b --aligner Qwen3-ForcedAligner-0.6B --quant q8_0
    """
    from qwen_asr_model import convert_checkpoint

    with _bar() as progress:
        convert_checkpoint(
            checkpoint,
            out,
            name=name or checkpoint.resolve().name.lower(),
            precisions=_list(precision),
            quants=_list(quant),
            languages=_list(languages) or None,
            max_chunk_seconds=max_chunk_seconds,
            aligner=aligner,
            aligner_quants=_list(aligner_quant) or None,
            aligner_chunk_seconds=aligner_chunk_seconds,
            licence=licence,
            progress=progress,
        )
    show(out)


@model_app.command()
@translate_errors
def synth(
    out: Annotated[
        Path | None, typer.Argument(help="Folder to write the bundle to; ./random-SIZE if left out.")
    ] = None,
    *,
    size: Annotated[str, typer.Option(help="Architecture: tiny, 0.6b, 1.7b, aligner-tiny or aligner-0.6b.")] = "0.6b",
    precision: Precisions = "int8",
    quant: Quants = "q8_0",
    seed: Annotated[int, typer.Option(help="The same seed gives the same weights.")] = 0,
) -> None:
    """Make a bundle of random weights with the exact architecture, for tests and benchmarks. It recognises nothing.

    qwen-asr-plugin model synth --size 0.6b
    """
    from qwen_asr_model import synthesize

    out = out or Path(f"random-{size.lower()}")
    with _bar() as progress:
        synthesize(size, out, precisions=_list(precision), quants=_list(quant), seed=seed, progress=progress)
    show(out)


@model_app.command()
@translate_errors
def show(
    bundle: Annotated[Path | None, typer.Argument(help="Folder of the bundle; the bundled model if left out.")] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Show what a bundle is and which files it has."""
    from qwen_asr_model import describe_bundle, find_bundle

    facts = describe_bundle(find_bundle(bundle))
    if as_json:
        print(json.dumps(facts, indent=2, default=str))
        return
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for key, value in facts.items():
        if isinstance(value, dict):
            value = [f"{name} {_plain(inner)}" for name, inner in value.items()]
        lines = value if isinstance(value, list) else [value]
        text = "\n".join(" ".join(map(str, line.values())) if isinstance(line, dict) else str(line) for line in lines)
        table.add_row(Text(key, style="bold"), Text(text, overflow="fold"))
    stderr.print(table)


@model_app.command()
@translate_errors
def verify(
    bundle: Annotated[Path | None, typer.Argument(help="Folder of the bundle; the bundled model if left out.")] = None,
) -> None:
    """Compare every file of a bundle with the size and checksum its manifest gives."""
    from qwen_asr_model import find_bundle, open_any, verify_bundle

    opened = open_any(find_bundle(bundle))
    verify_bundle(opened)
    print(f"{opened.path}: every file is as its manifest says.")


def _plain(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _list(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part.strip().lower() for part in text.split(",") if part.strip()))


class _bar:  # noqa: N801 - reads as the verb it is
    """A progress bar as a context manager whose value is the callback ``(step, done, total)``."""

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), console=stderr, transient=True
        )

    def __enter__(self) -> Callable[[str, int, int], None]:
        self._progress.start()
        task = self._progress.add_task("", total=None)

        def update(step: str, done: int, total: int) -> None:
            self._progress.update(task, description=step, completed=done, total=total)

        return update

    def __exit__(self, *_: object) -> None:
        self._progress.stop()
