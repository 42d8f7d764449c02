# SPDX-License-Identifier: Apache-2.0
"""``qwen-asr-plugin native``: build libllama for this computer, look at the build, remove it, test any library."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from qwen_asr_plugin.errors import translate_errors

from .console import say, stderr

if TYPE_CHECKING:
    from qwen_asr_native.building import InstalledBuild
    from qwen_asr_native.building.cmake_build import Progress as Steps
    from qwen_asr_native.providers import Candidate

__all__ = ["native_app"]

native_app = typer.Typer(
    no_args_is_help=True,
    help="Build libllama, the library the language model runs in, for exactly this computer; test any build of it.\n\n"
    "The wheels of ik-llama-cpp-python are made for every processor with AVX2. A library built here uses all that this "
    "processor has, and can use its GPU. It is tried before the installed packages, right after --libllama.",
)

AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]


@native_app.command()
@translate_errors
def build(
    source: Annotated[
        str,
        typer.Argument(
            help="A source folder of llama.cpp or ik_llama.cpp; a folder or a source distribution (.tar.gz) that "
            "contains one; or llama-cpp-python or ik-llama-cpp-python, with or without ==VERSION, to be downloaded "
            "with pip."
        ),
    ] = "llama-cpp-python",
    *,
    metal: Annotated[bool, typer.Option("--metal", help="For Apple's GPUs.")] = False,
    cuda: Annotated[bool, typer.Option("--cuda", help="For NVIDIA GPUs; needs the CUDA toolkit.")] = False,
    vulkan: Annotated[bool, typer.Option("--vulkan", help="For GPUs by Vulkan; needs the Vulkan SDK.")] = False,
    blas: Annotated[bool, typer.Option("--blas", help="Matrix products by the system's BLAS.")] = False,
    portable: Annotated[
        bool, typer.Option("--portable", help="For any processor of this kind, not only this one; slower.")
    ] = False,
    jobs: Annotated[int | None, typer.Option("--jobs", "-j", min=1, help="Compilers at once; all processors.")] = None,
    build_dir: Annotated[Path | None, typer.Option(help="Folder to build in; it is kept.")] = None,
    keep_build: Annotated[bool, typer.Option("--keep-build", help="Keep the build folder in the data folder.")] = False,
    define: Annotated[
        list[str] | None, typer.Option("--define", "-D", help="NAME=VALUE for cmake; repeatable.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Build libllama from source, verify it, and use it from then on.

    Needs a C++ compiler and about 10 minutes on two processor cores; cmake and ninja are installed into a folder of
    our own where they are missing. Nothing changes until the new library has passed: its structs are verified and a
    tiny model is run on it. Stopped with Ctrl-C, the same command goes on from there.

    QWEN_ASR_DATA_DIR names another folder for the library, the logs and the build.

    [bold]Examples[/bold]

    qwen-asr-plugin native build

    qwen-asr-plugin native build ik-llama-cpp-python==0.1.5

    qwen-asr-plugin native build ./llama.cpp --vulkan -D GGML_OPENMP=OFF
    """
    from qwen_asr_native.building import BuildOptions, build_library

    options = BuildOptions(
        metal=metal, cuda=cuda, vulkan=vulkan, blas=blas, portable=portable, define=tuple(define or ())
    )
    with _bar() as progress:
        try:
            built = build_library(
                source,
                options=options,
                jobs=jobs,
                build_dir=build_dir,
                keep_build=keep_build,
                say=_tell,
                progress=progress,
            )
        except KeyboardInterrupt:
            _tell("Stopped; the library in use is as it was. The same command goes on from there.")
            raise typer.Exit(130) from None
    if as_json:
        say(json.dumps(_facts(built), indent=2))


@native_app.command("list")
@translate_errors
def show(*, as_json: AsJson = False) -> None:
    """Show the library that was built here: where it is, from which source, with which options and compiler.

    Exit status 0 also when there is none.
    """
    from qwen_asr_native.building import installed_build

    built = installed_build()
    if as_json:
        say(json.dumps(None if built is None else _facts(built), indent=2))
    elif built is None:
        stderr.print("No library has been built here. `qwen-asr-plugin native build` builds one.", soft_wrap=True)
    else:
        table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
        for name, value in _facts(built).items():
            if name == "files":
                value = [f"{file} {facts['size'] / 1e6:.1f} MB" for file, facts in value.items()]
            text = "\n".join(value) if isinstance(value, list) else str(value)
            table.add_row(Text(name, style="bold"), Text(text or "-", overflow="fold"))
        stderr.print(table)


@native_app.command()
@translate_errors
def remove(
    *,
    everything: Annotated[
        bool, typer.Option("--all", help="Also unfinished builds, logs, and cmake and ninja if installed by us.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Remove the library that was built here; the installed packages are used again. Says what was removed."""
    from qwen_asr_native.building import remove_builds

    removed = [str(path) for path in remove_builds(everything=everything)]
    if as_json:
        say(json.dumps({"removed": removed}, indent=2))
        return
    for path in removed:
        stderr.print(Text(f"Removed {path}"), soft_wrap=True)
    if not removed:
        stderr.print("There was nothing to remove.")


@native_app.command("test")
@translate_errors
def examine(
    library: Annotated[
        str | None,
        typer.Argument(help="A provider's name (built, ik-llama-cpp-python ...), a file or a folder; the one in use."),
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Verify the structs of a library, then run a tiny model on it and compare the results with numpy.

    All of it happens in processes of their own, so that no library can do harm.

    qwen-asr-plugin native test ./build/bin
    """
    from qwen_asr_native.probe import verify
    from qwen_asr_native.selftest import run_selftest

    candidate = _candidate(library)
    verdict = verify(candidate.path)
    outcome = run_selftest(candidate.path)
    facts = {
        "provider": candidate.provider,
        "path": str(candidate.path),
        "version": candidate.version or verdict.version,
        "layout": verdict.name,
        "quantizer": "yes" if verdict.quantize_params else f"no: {verdict.quantize_reason}",
        "system": verdict.system,
        "selftest": outcome.as_dict(),
    }
    if as_json:
        say(json.dumps(facts, indent=2))
        return
    say(f"{candidate.path} works.")
    stderr.print(Text(f"provider {candidate.provider} {facts['version']}, layout {verdict.name}"), soft_wrap=True)
    stderr.print(
        f"tiny model: {outcome.difference:.3g} from numpy, {outcome.rows_difference:.3g} between tokens and rows, "
        f"in units of the logits' spread; {outcome.seconds:.1f} s",
        soft_wrap=True,
    )


def _candidate(choice: str | None) -> Candidate:
    """The library to test: what the user named, else the one that would be used."""
    from qwen_asr_native import LibraryNotFoundError, diagnose
    from qwen_asr_native.providers import PROVIDERS, Candidate, explicit_candidate, find

    if choice is None:
        chosen = next((report for report in diagnose() if report.chosen and report.path is not None), None)
        if chosen is None or chosen.path is None:
            raise LibraryNotFoundError(
                "There is no library that can be used; `qwen-asr-plugin doctor` says why. Name one to test it."
            )
        return Candidate(provider=chosen.name, path=chosen.path, version=chosen.version)
    for provider in PROVIDERS:
        if choice == provider.name:
            try:
                return find(provider)
            except LibraryNotFoundError as error:
                raise LibraryNotFoundError(f"{choice}: {error}. {provider.advice}") from error
    return explicit_candidate(choice, "the argument")


def _facts(built: InstalledBuild) -> dict[str, Any]:
    facts = {"folder": str(built.folder), **built.record()}
    facts["changed_files"] = built.changed_files()
    return facts


def _tell(line: str) -> None:
    stderr.print(Text(line), soft_wrap=True)


@contextmanager
def _bar() -> Iterator[Steps]:
    """A progress bar on a terminal, else a line every quarter."""
    bar = Progress(
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
        console=stderr,
        disable=not stderr.is_terminal,
        transient=True,
    )
    task = bar.add_task("", total=None)
    told = 0

    def update(step: str, done: int, total: int) -> None:
        nonlocal told
        bar.update(task, description=step, completed=done, total=total or None)
        quarter = 4 * done // total if total else 0
        if not stderr.is_terminal and quarter > told:
            told = quarter
            _tell(f"{25 * quarter} % ({done} of {total})")

    with bar:
        yield update
