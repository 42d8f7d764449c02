# SPDX-License-Identifier: Apache-2.0
"""``qwen-asr-plugin doctor``: is everything there, what to do if it is not, and a report for a bug's description."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from .console import say, stdout
from .doctor_checks import examine, system_facts

__all__ = ["doctor"]

_MARKS = {True: ("ok", "green"), False: ("MISSING", "bold red"), None: ("-", "dim")}


def doctor(
    *,
    model_dir: Annotated[Path | None, typer.Option("--model-dir", "-m", help="Model bundle to look at.")] = None,
    libllama: Annotated[str | None, typer.Option(help="libllama: a provider's name, a file or a folder.")] = None,
    device: Annotated[str | None, typer.Option(help="Device of the decoder to try, as in transcribe.")] = None,
    ffmpeg: Annotated[Path | None, typer.Option(help="Path of the ffmpeg binary.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The same for programs.")] = False,
) -> int:
    """Check ffmpeg, libllama, devices, onnxruntime, the model, the worker process and the plugin's registration.

    Says for each what was found and what to do if it is not well. The report is meant to be pasted into a bug
    report as it is: the home folder is written as ~, nothing else personal is in it.
    Exit status 0 when subtitles can be made, else 1.
    """
    facts = system_facts()
    findings = list(examine(model_dir=model_dir, libllama=libllama, device=device, ffmpeg=ffmpeg))
    well = all(finding.well is not False for finding in findings)
    if as_json:
        report = {"well": well, "system": facts, "findings": [finding.as_dict() for finding in findings]}
        say(json.dumps(_without_home(report), indent=2, ensure_ascii=False))
    else:
        for name, fact in facts.items():
            _line("", "", name, str(_without_home(fact)))
        for finding in findings:
            mark, style = _MARKS[finding.well]
            _line(mark, style, finding.subject, str(_without_home(finding.found)), str(_without_home(finding.advice)))
        _line("", "", "verdict", "subtitles can be made" if well else "subtitles cannot be made: see MISSING above")
    return 0 if well else 1


def _line(mark: str, style: str, subject: str, found: str, advice: str = "") -> None:
    """One finding; not wrapped, so that it survives being pasted."""
    text = Text.assemble((f"{mark:8}", style), (f"{subject:24} ", "bold"), found)
    for line in filter(None, advice.splitlines()):
        text.append(f"\n{'':33}{line}", "yellow")
    stdout.print(text, soft_wrap=True)


def _without_home(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_home(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_without_home(item) for item in value]
    home = os.path.expanduser("~")  # noqa: PTH111 - as text
    if isinstance(value, str) and len(home) > 1:
        return value.replace(home + os.sep, "~" + os.sep)
    return value
