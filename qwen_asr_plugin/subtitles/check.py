# SPDX-License-Identifier: Apache-2.0
"""Measures cues against a norm: the milliseconds and characters that are really there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final, Protocol

from .norms import Norm
from .reading import ODDITY_KINDS, Severity, SubtitleDocument
from .width import text_width

__all__ = ["RULES", "TimedText", "Violation", "check_cues", "check_document"]

_ASS_BRACES: Final = {0xFF5B: "{", 0xFF5D: "}"}

RULES: Final[dict[str, tuple[Severity, str]]] = {
    "balance": ("warning", "one line of a cue is less than half as wide as another"),
    "chars-per-line": ("error", "a line is too wide"),
    "chars-per-second": ("warning", "a cue is too fast to be read"),
    "empty": ("error", "a cue has no text"),
    "end-before-start": ("error", "a cue ends when or before it starts"),
    "lines": ("error", "a cue has too many lines"),
    "max-duration": ("error", "a cue is shown too long"),
    "min-duration": ("error", "a cue is shown too short"),
    "min-gap": ("error", "the next cue follows too closely"),
    "order": ("error", "a cue starts before the one in front of it in the file"),
    "overlap": ("error", "a cue starts while another one is shown"),
}
"""Severity and meaning of the rules every format is checked by; `ODDITY_KINDS` has those of the file itself."""

_MIN_BALANCE: Final = 0.5


class TimedText(Protocol):
    """What can be checked: a `Cue` of a file, a `subtitle_hooks.Segment`."""

    @property
    def start_ms(self) -> int:
        """Start in milliseconds."""

    @property
    def end_ms(self) -> int | None:
        """End in milliseconds, None where nobody said it."""

    @property
    def text(self) -> str:
        """Visible text, lines separated by line feeds."""


@dataclass(frozen=True, kw_only=True)
class Violation:
    """One departure from the norm or from the format.

    Attributes:
        rule: A key of `RULES` or of `ODDITY_KINDS`.
        severity: Whether it breaks a hard rule (``error``), is worth a look (``warning``) or harmless (``note``).
        cue: Position of the cue, from 1; None where it concerns no cue.
        line: Line of the file, from 1; None where unknown.
        value: What was measured: milliseconds, lines, width in units of the norm, or characters per second.
        limit: What the norm allows.
        message: One sentence.
    """

    rule: str
    severity: Severity
    cue: int | None
    line: int | None
    value: float | None
    limit: float | None
    message: str


def check_cues(
    cues: Sequence[TimedText], norm: Norm, *, resolution_ms: int = 1, has_lines: bool = True
) -> list[Violation]:
    """Check cues against a norm.

    Args:
        cues: In the order of the file.
        norm: The limits; those that are None are not checked.
        resolution_ms: Smallest difference in time their format can say. A duration or gap that misses its limit by
            less cannot be written better and counts as kept.
        has_lines: Whether their format can break lines. Otherwise a text may fill all lines of the norm.

    Returns:
        Violations in the order of the cues.
    """
    slack_ms = resolution_ms - 1
    if not has_lines and norm.max_lines is not None and norm.max_chars_per_line is not None:
        # Where the lines were joined, a space may stand.
        whole = norm.max_lines * norm.max_chars_per_line + norm.max_lines - 1
        norm = replace(norm, max_lines=1, max_chars_per_line=whole)
    found = [_of_one(number, cue, norm, slack_ms) for number, cue in enumerate(cues, start=1)]
    for number, violation in _between(cues, norm, slack_ms):
        found[number - 1].append(violation)
    return [violation for violations in found for violation in violations]


def check_document(document: SubtitleDocument, norm: Norm) -> list[Violation]:
    """Check a file: its cues against a norm, and what was odd about the file itself.

    Returns:
        Violations in the order of their lines; what concerns the whole file comes first.
    """
    violations = [
        Violation(
            rule=oddity.kind,
            severity=ODDITY_KINDS[oddity.kind][0],
            cue=None,
            line=oddity.line,
            value=None,
            limit=None,
            message=oddity.message,
        )
        for oddity in document.oddities
    ]
    cues = document.cues
    if document.format == "ass":  # it cannot hold a brace: the full-width one stands for it, and counts as it
        cues = tuple(replace(cue, text=cue.text.translate(_ASS_BRACES)) for cue in cues)
    violations += check_cues(cues, norm, resolution_ms=document.resolution_ms, has_lines=document.has_lines)
    return sorted(violations, key=lambda violation: (violation.line or 0, violation.cue or 0))


def _violation(
    rule: str, number: int, cue: TimedText, value: float | None, limit: float | None, message: str
) -> Violation:
    return Violation(
        rule=rule,
        severity=RULES[rule][0],
        cue=number,
        line=getattr(cue, "line", None),
        value=value,
        limit=limit,
        message=message,
    )


def _of_one(number: int, cue: TimedText, norm: Norm, slack_ms: int) -> list[Violation]:
    return [
        _violation(rule, number, cue, value, limit, message)
        for rule, value, limit, message in (*_times(cue, norm, slack_ms), *_texts(cue, norm))
    ]


_Finding = tuple[str, float | None, float | None, str]


def _times(cue: TimedText, norm: Norm, slack_ms: int) -> Iterator[_Finding]:
    if cue.end_ms is None:
        return
    duration = cue.end_ms - cue.start_ms
    if duration <= 0:
        yield "end-before-start", duration, 0, f"It ends at {cue.end_ms} ms and starts at {cue.start_ms} ms."
        return
    if duration < norm.min_duration_ms - slack_ms:
        yield (
            "min-duration",
            duration,
            norm.min_duration_ms,
            f"Shown for {duration} ms; at least {norm.min_duration_ms} ms are needed.",
        )
    if norm.max_duration_ms is not None and duration > norm.max_duration_ms + slack_ms:
        yield (
            "max-duration",
            duration,
            norm.max_duration_ms,
            f"Shown for {duration} ms; at most {norm.max_duration_ms} ms are allowed.",
        )
    if norm.chars_per_second is not None:
        speed = sum(text_width(line, norm.width) for line in cue.text.split("\n")) * 1000 / duration
        if speed > norm.chars_per_second:
            yield (
                "chars-per-second",
                round(speed, 2),
                norm.chars_per_second,
                f"{speed:.1f} characters per second; readers manage {norm.chars_per_second:g}.",
            )


def _texts(cue: TimedText, norm: Norm) -> Iterator[_Finding]:
    if not cue.text.strip():
        yield "empty", 0, None, "There is no text to be seen."
        return
    lines = cue.text.split("\n")
    widths = [text_width(line, norm.width) for line in lines]
    if norm.max_lines is not None and len(lines) > norm.max_lines:
        yield "lines", len(lines), norm.max_lines, f"{len(lines)} lines; at most {norm.max_lines} are allowed."
    limit = norm.max_chars_per_line
    if limit is not None:
        for at, width in enumerate(widths, start=1):
            if width > limit:
                yield "chars-per-line", width, limit, f"Line {at} is {width:g} wide; at most {limit} are allowed."
    if len(widths) > 1 and min(widths) < _MIN_BALANCE * max(widths):
        share = round(min(widths) / max(widths), 2)
        yield "balance", share, _MIN_BALANCE, f"Its lines are {' and '.join(f'{width:g}' for width in widths)} wide."


def _between(cues: Sequence[TimedText], norm: Norm, slack_ms: int) -> Iterator[tuple[int, Violation]]:
    """Check the order in the file, and gaps in the order of time.

    Overlaps are measured against what ends last of all cues before, since a short cue may lie inside a long one.
    """
    for number, (before, cue) in enumerate(pairwise(cues), start=2):
        if cue.start_ms < before.start_ms:
            message = f"It starts at {cue.start_ms} ms, before the cue in front of it ({before.start_ms} ms)."
            yield number, _violation("order", number, cue, cue.start_ms, before.start_ms, message)
    latest_ms: int | None = None
    latest = 0
    for number in sorted(range(1, len(cues) + 1), key=lambda number: cues[number - 1].start_ms):
        cue = cues[number - 1]
        if latest:
            if latest_ms is None or cue.start_ms < latest_ms:
                until = "has no end" if latest_ms is None else f"ends at {latest_ms} ms"
                message = f"It starts at {cue.start_ms} ms while cue {latest} is shown, which {until}."
                overlap = None if latest_ms is None else latest_ms - cue.start_ms
                yield number, _violation("overlap", number, cue, overlap, 0, message)
            elif cue.start_ms - latest_ms < norm.min_gap_ms - slack_ms:
                gap = cue.start_ms - latest_ms
                message = f"It follows cue {latest} after {gap} ms; at least {norm.min_gap_ms} ms are needed."
                yield number, _violation("min-gap", number, cue, gap, norm.min_gap_ms, message)
        if not latest or (latest_ms is not None and (cue.end_ms is None or max(cue.end_ms, cue.start_ms) >= latest_ms)):
            latest = number
            latest_ms = None if cue.end_ms is None else max(cue.end_ms, cue.start_ms)
