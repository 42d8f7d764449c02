# SPDX-License-Identifier: Apache-2.0
"""``qwen-asr-plugin check``: measure subtitle files of any origin against a norm."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from qwen_asr_plugin.languages import try_iso_code
from qwen_asr_plugin.subtitles import NORMS, get_norm
from subtitle_hooks import SubtitleError

from .console import say, show_error

if TYPE_CHECKING:
    from qwen_asr_plugin.subtitles.check import Violation
    from qwen_asr_plugin.subtitles.reading import SubtitleDocument

__all__ = ["check"]

_BROKEN: Final = 3
_SEVERAL_REASONS: Final = 9


@dataclass(frozen=True, kw_only=True)
class _Report:
    path: Path
    norm: str
    document: SubtitleDocument
    violations: list[Violation]


def check(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="SRT, WebVTT, ASS, TTML, LRC, TSV, JSON...")],
    *,
    norm: Annotated[
        str, typer.Option("--norm", "-n", help=f"{', '.join(sorted(NORMS))}, with a language (netflix-ja), or a .toml.")
    ] = "default",
    language: Annotated[
        str | None,
        typer.Option("--language", "-l", help="Language of the subtitles; else as the file name says (x.ja.srt)."),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings count, too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only what counts, and the last line.")] = False,
) -> int:
    """Check subtitle files, made by this program or not, against a norm.

    Each finding is one line: file, line, severity, cue, rule, what was measured and what is allowed. Times are those
    that stand in the file, to the millisecond; nothing is repaired before it is measured.

    [bold]Errors[/bold] are order, overlap, lines, characters per line, durations, gaps, empty cues, and whatever makes
    players lose text. [bold]Warnings[/bold] are reading speed, unbalanced lines, and what players read differently;
    they count with --strict. [bold]Notes[/bold] never count.

    Exit status: 0 when every file keeps the norm, 3 when one does not; when a file cannot be read, the code of that
    error (docs/errors.md), or 9 for several.

    [bold]Examples[/bold]

    qwen-asr-plugin check film.en.srt

    qwen-asr-plugin check *.srt *.vtt --norm netflix-en --strict

    qwen-asr-plugin check film.ja.ass --norm netflix --json
    """
    from qwen_asr_plugin.subtitles.check import check_document
    from qwen_asr_plugin.subtitles.reading import read_subtitles

    reports: list[_Report] = []
    codes: set[int] = set()
    for path in files:
        try:
            document = read_subtitles(path)
        except SubtitleError as error:
            show_error(error)
            codes.add(error.code)
            continue
        rules = get_norm(norm, language or _language_of(path))
        reports.append(
            _Report(path=path, norm=rules.name, document=document, violations=check_document(document, rules))
        )
    counting = ("error", "warning") if strict else ("error",)
    broken = [report for report in reports if any(found.severity in counting for found in report.violations)]
    if as_json:
        say(json.dumps([_as_json(report, report not in broken) for report in reports], indent=2))
    else:
        _print(reports, counting if quiet else ("error", "warning", "note"))
    if codes:
        return codes.pop() if len(codes) == 1 else _SEVERAL_REASONS
    return _BROKEN if broken else 0


def _language_of(path: Path) -> str | None:
    """Take the language from a name such as ``film.en.srt`` or ``film.en.sdh.srt``."""
    for tag in reversed(path.stem.split(".")[1:]):
        if code := try_iso_code(tag):
            return code
    return None


def _as_json(report: _Report, kept: bool) -> dict[str, object]:
    return {
        "file": str(report.path),
        "format": report.document.format,
        "encoding": report.document.encoding,
        "cues": len(report.document.cues),
        "norm": report.norm,
        "kept": kept,
        "violations": [asdict(violation) for violation in report.violations],
    }


def _print(reports: list[_Report], shown: tuple[str, ...]) -> None:
    counts: Counter[str] = Counter()
    for report in reports:
        for found in report.violations:
            counts[found.severity] += 1
            if found.severity in shown:
                place = f"{report.path}:{found.line}" if found.line else f"{report.path}"
                cue = f"cue {found.cue}: " if found.cue else ""
                say(f"{place}: {found.severity} [{found.rule}] {cue}{found.message}")
    if reports:
        cues = sum(len(report.document.cues) for report in reports)
        norms = ", ".join(dict.fromkeys(report.norm for report in reports))
        numbers = ", ".join(f"{counts[severity]} {severity}s" for severity in ("error", "warning", "note"))
        say(f"{len(reports)} files, {cues} cues, norm {norms}: {numbers}.")
