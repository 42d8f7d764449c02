# SPDX-License-Identifier: Apache-2.0
"""``qwen-asr-plugin doctor``: is everything there, and what to do if it is not."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from qwen_asr_plugin.options import parse_options
from subtitle_hooks import SubtitleError, SubtitleHost

from .console import stderr

__all__ = ["doctor"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One checked thing: `well` is True (good), False (nothing works without it) or None (worth knowing)."""

    subject: str
    well: bool | None
    found: str
    advice: str = ""


def doctor(
    *,
    model_dir: Annotated[Path | None, typer.Option("--model-dir", "-m", help="Model bundle to look at.")] = None,
    libllama: Annotated[str | None, typer.Option(help="libllama: a provider's name, a file or a folder.")] = None,
    ffmpeg: Annotated[Path | None, typer.Option(help="Path of the ffmpeg binary.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> int:
    """Check ffmpeg, libllama, onnxruntime, the model and the plugin's registration.

    Says for each what was found and what to do if it is not well. Exit status 0 when subtitles can be made, else 1.
    """
    findings = [
        Finding(subject="Python", well=True, found=f"{sys.version.split()[0]}, {sys.executable}"),
        *_checked("ffmpeg", lambda: _ffmpeg(ffmpeg)),
        *_checked("libllama", lambda: _libllama(libllama)),
        *_checked("onnxruntime", _onnxruntime),
        *_checked("model bundle", lambda: _bundle(model_dir)),
        *_checked("engine", lambda: _engine(model_dir, libllama)),
        *_checked("plugin", _plugin),
    ]
    if as_json:
        print(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
        for _ in range(3):
            table.add_column(overflow="fold")
        for finding in findings:
            mark = {True: Text("ok", "green"), False: Text("MISSING", "bold red"), None: Text("-", "dim")}[finding.well]
            text = Text(finding.found)
            if finding.advice:
                text.append(f"\n{finding.advice}", style="yellow")
            table.add_row(mark, Text(finding.subject, style="bold"), text)
        stderr.print(table)
    return 0 if all(finding.well is not False for finding in findings) else 1


def _checked(subject: str, check: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    try:
        yield from check()
    except SubtitleError as error:
        yield Finding(subject=subject, well=False, found=f"[{error.code}] {error.what}", advice=error.hint)
    except Exception as error:  # noqa: BLE001 - a doctor reports what it meets
        yield Finding(subject=subject, well=False, found=f"{type(error).__name__}: {error}")


def _ffmpeg(path: Path | None) -> Iterator[Finding]:
    from qwen_asr_plugin.media import find_ffmpeg

    tools = find_ffmpeg(path)
    yield Finding(subject="ffmpeg", well=True, found=f"{tools.source}: {tools.ffmpeg}")
    yield Finding(
        subject="ffprobe",
        well=True if tools.ffprobe else None,
        found=str(tools.ffprobe) if tools.ffprobe else "none; stream facts are read from ffmpeg itself",
    )


def _libllama(choice: str | None) -> Iterator[Finding]:
    from qwen_asr_native import diagnose

    reports = diagnose(choice)
    usable = [report for report in reports if report.verified]
    for report in reports:
        well = True if usable and report is usable[0] else None
        yield Finding(subject=f"libllama: {report.name}", well=well, found=report.describe())
    if not usable:
        yield Finding(
            subject="libllama",
            well=False,
            found="no library that can be used",
            advice="Install one: pip install ik-llama-cpp-python (or xllamacpp).",
        )


def _onnxruntime() -> Iterator[Finding]:
    import onnxruntime

    providers = ", ".join(onnxruntime.get_available_providers())
    yield Finding(subject="onnxruntime", well=True, found=f"{onnxruntime.__version__} with {providers}")


def _bundle(path: Path | None) -> Iterator[Finding]:
    from qwen_asr_model import describe_bundle, find_bundle
    from qwen_asr_plugin.errors import translate_errors

    facts = translate_errors(lambda: describe_bundle(find_bundle(path)))()
    text = ", ".join(f"{name} {value}" for name, value in facts.items() if isinstance(value, str | int | float))
    yield Finding(subject="model bundle", well=True, found=text)


def _engine(model_dir: Path | None, libllama: str | None) -> Iterator[Finding]:
    from qwen_asr_plugin.engine import shared_engine

    options = parse_options({"model": model_dir, "libllama": libllama})
    with shared_engine(options) as engine:
        info = engine.info
        yield Finding(
            subject="engine",
            well=True,
            found=f"{info.model} loaded in a worker process in {info.load_seconds:.2f} s: encoder {info.precision} on "
            f"{info.onnx_provider}, decoder {info.quant}, {info.lanes} lanes of {info.threads_per_lane} threads",
        )


def _plugin() -> Iterator[Finding]:
    host = SubtitleHost()
    names = [backend.name for backend in host.backends()]
    yield Finding(
        subject="plugin",
        well="qwen-asr" in names,
        found=f"version {version('qwen-asr-plugin')}, hosts see the backends: {', '.join(names) or 'none'}",
        advice="" if "qwen-asr" in names else "Install the package (pip install qwen-asr-plugin) in this environment.",
    )
    for broken in host.broken:
        yield Finding(subject="other plugin", well=None, found=str(broken))
