# SPDX-License-Identifier: Apache-2.0
"""``qwen-asr-plugin model``: get models, look at them, check, convert, make and remove them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from qwen_asr_plugin.errors import translate_errors

from .console import say, stderr
from .model_check import Audio, Language, Spoken, against_checkpoint, read_speech
from .model_check import check as check_model
from .model_show import show, show_overview
from .model_tables import (
    TransferBar,
    available_facts,
    catalogue_table,
    check_table,
    installed_facts,
    megabytes,
    step_bar,
)

if TYPE_CHECKING:
    from qwen_asr_model.download import DownloadSettings

__all__ = ["model_app"]

model_app = typer.Typer(
    no_args_is_help=True,
    help="Get models, look at them, check, convert, make and remove them.\n\nA model is a folder, a bundle, with two "
    "ONNX encoder graphs and a GGUF decoder. Installed ones have a name that can be used wherever a folder can: "
    "--model-dir NAME. docs/models.md says more.",
)

AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]
Precisions = Annotated[str, typer.Option("--precision", "--prec", help="Encoder: fp32, fp16, int8, int4; comma list.")]
Quants = Annotated[str, typer.Option(help="Decoder: f16, q8_0, q5_0, q4_0, q6_k, q4_k...; comma list.")]
Catalogues = Annotated[
    list[str] | None,
    typer.Option("--catalogue", help="A list of models of your own, JSON file or address; repeatable."),
]
Offline = Annotated[bool, typer.Option("--offline", help="Never use the network (also: QWEN_ASR_OFFLINE=1).")]
Mirrors = Annotated[
    list[str] | None,
    typer.Option("--mirror", help="OLD=NEW: ask NEW wherever an address begins with OLD; repeatable."),
]
Bundle = Annotated[str | None, typer.Argument(help="Name or folder of the model; the bundled one if left out.")]
Name = Annotated[str | None, typer.Option("--name", help="Name to install it under.")]
Force = Annotated[bool, typer.Option("--force", help="Replace the one that is installed under that name.")]


@model_app.command("list")
@translate_errors
def list_models(
    *, catalogue: Catalogues = None, offline: Offline = False, mirror: Mirrors = None, as_json: AsJson = False
) -> None:
    """List the installed models, and those that can be pulled.

    Memory is about what the engine takes with one lane, where that is known.
    """
    from qwen_asr_model.catalogue import load_catalogue
    from qwen_asr_model.store import list_installed
    from qwen_asr_model.store_folders import models_folder

    installed = list_installed()
    entries = load_catalogue(catalogue or (), settings=_settings(offline=offline, mirrors=mirror))
    names = {one.name for one in installed}
    if as_json:
        facts = {
            "models_folder": str(models_folder()),
            "installed": [installed_facts(one) for one in installed],
            "available": [available_facts(entry, installed=entry.name in names) for entry in entries],
        }
        say(json.dumps(facts, indent=2))
        return
    stderr.print(catalogue_table("Installed", [installed_facts(one) for one in installed]))
    rest = [available_facts(entry, installed=False) for entry in entries if entry.name not in names]
    stderr.print(catalogue_table("To pull with `qwen-asr-plugin model pull NAME`", rest))


@model_app.command()
@translate_errors
def pull(
    model: Annotated[str, typer.Argument(help="Name of the model; `model list` shows all.")],
    *,
    name: Name = None,
    force: Force = False,
    catalogue: Catalogues = None,
    mirror: Mirrors = None,
    offline: Offline = False,
    precision: Precisions = "int8",
    quant: Quants = "q8_0",
    keep_download: Annotated[
        bool, typer.Option("--keep-download", help="Keep what was fetched, such as a checkpoint, after installing.")
    ] = False,
    accept_changed: Annotated[
        bool, typer.Option("--accept-changed", help="Take a file that is another one than when it was first fetched.")
    ] = False,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds without a byte until a connection is given up.")] = 60,
    as_json: AsJson = False,
) -> None:
    """Fetch a model and install it: whole, checked, or not at all.

    Stopped or cut off, the same command goes on where it was. Checkpoints are converted after they have been fetched,
    as --precision and --quant say. Proxies: HTTPS_PROXY; the hub's mirror: HF_ENDPOINT or --mirror.

    [bold]Examples[/bold]

    qwen-asr-plugin model pull qwen3-asr-0.6b

    qwen-asr-plugin model pull qwen3-asr-0.6b --precision int4 --quant q4_k --name small

    qwen-asr-plugin transcribe film.mkv --model-dir qwen3-asr-0.6b
    """
    from qwen_asr_model.catalogue import find_entry, load_catalogue
    from qwen_asr_model.store_pull import Conversion, pull_bundle

    settings = _settings(offline=offline, mirrors=mirror, timeout=timeout)
    entry = find_entry(model, load_catalogue(catalogue or (), settings=settings))
    with TransferBar().shown() as bar:
        try:
            path = pull_bundle(
                entry,
                name=name,
                replace=force,
                accept_changed=accept_changed,
                keep_download=keep_download,
                conversion=Conversion(precisions=_list(precision), quants=_list(quant)),
                settings=settings,
                progress=bar.update,
                say=bar.say,
            )
        except KeyboardInterrupt:
            bar.say("Stopped; what has come is kept. The same command goes on from there.")
            raise typer.Exit(130) from None
    _installed(path, as_json=as_json)


@model_app.command()
@translate_errors
def add(
    path: Annotated[Path, typer.Argument(help="Zip file or folder with a model.")],
    *,
    name: Name = None,
    force: Force = False,
    precision: Annotated[
        str, typer.Option("--precision", "--prec", help="Encoder to make of an mmproj file.")
    ] = "int8",
    as_json: AsJson = False,
) -> None:
    """Install a model that is on this computer already; a folder is copied.

    A folder with a text GGUF and an mmproj GGUF, as llama.cpp uses them, is converted.

    qwen-asr-plugin model add Qwen3-ASR-0.6B-gguf.zip --name small
    """
    from qwen_asr_model.store import add_bundle

    with TransferBar().shown() as bar:
        installed = add_bundle(path, name=name, replace=force, precisions=_list(precision), progress=bar.update)
    _installed(installed, as_json=as_json)


@model_app.command()
@translate_errors
def remove(
    names: Annotated[list[str], typer.Argument(help="Names of installed models.")], *, as_json: AsJson = False
) -> None:
    """Remove installed models, and what was fetched for them."""
    from qwen_asr_model.store import remove_bundle

    removed = [str(remove_bundle(name)) for name in names]
    if as_json:
        say(json.dumps({"removed": removed}, indent=2))
        return
    for folder in removed:
        stderr.print(Text(f"Removed {folder}"), soft_wrap=True)


@model_app.command("path")
@translate_errors
def show_path(
    bundle: Annotated[str | None, typer.Argument(help="Name of the model; the folder of all if left out.")] = None,
) -> None:
    """Print the folder of a model, or of all installed ones."""
    from qwen_asr_model.store import named_bundle
    from qwen_asr_model.store_folders import models_folder

    say(str(models_folder() if bundle is None else named_bundle(bundle)))


@model_app.command()
@translate_errors
def convert(
    checkpoint: Annotated[
        Path, typer.Argument(help="Folder of an official Qwen3-ASR or Qwen3-ForcedAligner checkpoint (config.json...).")
    ],
    out: Annotated[
        Path | None, typer.Argument(help="Folder to write the bundle to; it is installed if left out.")
    ] = None,
    *,
    name: Annotated[str | None, typer.Option(help="Name of the bundle; the checkpoint folder's if left out.")] = None,
    force: Force = False,
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
    check: Annotated[
        bool, typer.Option("--check", help="Compare every file of the bundle with the checkpoint, and print a table.")
    ] = False,
    audio: Audio = None,
    text: Spoken = None,
    language: Language = "en",
) -> None:
    """Convert an official checkpoint folder; needs neither torch nor the network.

    --audio, --text and --language are what is compared with, as in `model check`; they imply --check.

    qwen-asr-plugin model convert Qwen3-ASR-0.6B --aligner Qwen3-ForcedAligner-0.6B --quant q8_0

    qwen-asr-plugin model convert Qwen3-ASR-0.6B ./qwen3-asr-0.6b --check --audio clip.mp3 --text clip.txt
    """
    from qwen_asr_model import convert_checkpoint
    from qwen_asr_model.store import Source, build_bundle

    speech = read_speech(audio, text, language)  # before the long work
    chosen = name or checkpoint.resolve().name.lower()
    with step_bar() as progress:

        def write(folder: Path) -> Path:
            return convert_checkpoint(
                checkpoint,
                folder,
                name=chosen,
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

        if out is None:
            source = Source(kind="convert", source=str(checkpoint.resolve()))
            out = build_bundle(chosen, lambda folder: write(folder / "bundle"), source, replace=force)
        else:
            write(out)
    show_overview(out)
    if check or audio is not None or text is not None:
        parts = against_checkpoint(out, checkpoint, aligner=aligner, speech=speech)
        stderr.print(check_table(parts))


model_app.command("check")(check_model)


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
    as_checkpoint: Annotated[
        str | None,
        typer.Option("--as-checkpoint", help="Write a checkpoint instead, of the official layout: nested or flat."),
    ] = None,
) -> None:
    """Make a bundle of random weights with the exact architecture, for tests and benchmarks. It recognises nothing.

    qwen-asr-plugin model synth --size 0.6b
    """
    from qwen_asr_model.synth import synthesize, synthesize_checkpoint

    out = out or Path(f"random-{size.lower()}")
    if as_checkpoint is not None:
        say(str(synthesize_checkpoint(size, out, seed=seed, layout=as_checkpoint)))
        return
    with step_bar() as progress:
        synthesize(size, out, precisions=_list(precision), quants=_list(quant), seed=seed, progress=progress)
    show_overview(out)


model_app.command()(show)


@model_app.command()
@translate_errors
def verify(bundle: Bundle = None, *, as_json: AsJson = False) -> None:
    """Compare every file of a model with its checksum: the manifest's, and the one noted when it was installed."""
    from qwen_asr_model import open_any, verify_bundle
    from qwen_asr_model.store import named_bundle, verify_installed

    folder = named_bundle(bundle)
    opened = open_any(folder)
    with TransferBar().shown() as bar:
        noted = verify_installed(folder, progress=bar.update)
        listed = all(entry.sha256 for entry in opened.files)
        if listed or not noted:
            verify_bundle(opened)
    if as_json:
        facts = {"path": str(folder), "manifest": listed, "installed": noted, "files": len(opened.files)}
        say(json.dumps(facts, indent=2))
        return
    as_what = " and ".join(["its manifest says"] * listed + ["it was when it was installed"] * noted)
    say(f"{folder}: every file is as {as_what}.")


def _installed(path: Path, *, as_json: bool) -> None:
    from qwen_asr_model import describe_bundle

    facts: dict[str, Any] = {"name": path.name, **describe_bundle(path)}
    if as_json:
        say(json.dumps({**facts, "name": path.name}, indent=2, default=str))
        return
    stderr.print(Text(f"Installed {path.name}, {megabytes(facts['total_bytes'])}: {path}"), soft_wrap=True)
    if facts["family"] == "qwen3-asr":
        stderr.print(Text(f"Use it with --model-dir {path.name}"), soft_wrap=True)
    else:
        stderr.print(Text(f"It is a forced aligner: name {path.name} where an aligner is asked for."), soft_wrap=True)


def _settings(*, offline: bool, mirrors: list[str] | None, timeout: float = 60.0) -> DownloadSettings:
    from qwen_asr_model.download import DownloadSettings

    return DownloadSettings.from_environment(offline=offline, mirrors=mirrors or (), read_timeout_s=timeout)


def _list(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part.strip().lower() for part in text.split(",") if part.strip()))
