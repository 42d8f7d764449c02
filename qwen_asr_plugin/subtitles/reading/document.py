# SPDX-License-Identifier: Apache-2.0
"""What a subtitle file says: cues with the times as written, and what was odd about it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from .kinds import ODDITY_KINDS, Severity

__all__ = ["Cue", "CueList", "Oddity", "OddityLog", "SubtitleDocument", "split_lines"]

_LINE_END: Final = re.compile(r"\r\n|\n|\r")
_NO_SETTINGS: Final[Mapping[str, str]] = MappingProxyType({})
# More of one kind than this are only counted: a broken file must not fill the memory.
_MAX_PER_KIND: Final = 500


def split_lines(text: str) -> list[str]:
    """Split at CR LF, LF and CR; nothing else ends a line, and a last line break begins no further line."""
    lines = _LINE_END.split(text)
    if lines[-1] == "":
        lines.pop()
    return lines


@dataclass(frozen=True, kw_only=True)
class Cue:
    r"""One cue of a file.

    Attributes:
        number: Position in the file, from 1.
        line: Line of the file its times stand on, from 1; None where the format has no lines.
        start_ms: Integer milliseconds as the file says them; frames and ticks are rounded to the nearest.
        end_ms: May lie before `start_ms`, since nothing is repaired; None where the file does not say it.
        text: What a viewer sees: no tags, character references decoded, lines separated by ``\n``.
        raw: The text as the file has it.
        identifier: Cue identifier, or the number written in the file; empty without one.
        settings: Format-specific settings that have an effect, such as ``align``.
    """

    number: int
    line: int | None
    start_ms: int
    end_ms: int | None
    text: str
    raw: str
    identifier: str = ""
    settings: Mapping[str, str] = field(default_factory=lambda: _NO_SETTINGS)


@dataclass(frozen=True, kw_only=True)
class Oddity:
    """Something about a file that players may stumble over.

    Attributes:
        line: Line of the file, from 1; None where it concerns the whole file.
        kind: A key of `ODDITY_KINDS`.
        message: What was found, one sentence.
    """

    line: int | None
    kind: str
    message: str

    @property
    def severity(self) -> Severity:
        """How much it matters."""
        return ODDITY_KINDS[self.kind][0]


@dataclass(frozen=True, kw_only=True)
class SubtitleDocument:
    """A file that was read.

    Attributes:
        format: ``srt``, ``vtt``, ``ass``, ``ttml``, ``lrc``, ``tsv``, ``microdvd`` or ``json``.
        encoding: Python's name of the encoding its text was decoded with.
        cues: In the order of the file.
        oddities: In the order of their lines.
        has_lines: Whether the format can break lines; otherwise players do.
        resolution_ms: Smallest difference in time the format can say, rounded up to a millisecond.
        regions: WebVTT regions by their identifier, with their settings.
    """

    format: str
    encoding: str
    cues: tuple[Cue, ...]
    oddities: tuple[Oddity, ...] = ()
    has_lines: bool = True
    resolution_ms: int = 1
    regions: Mapping[str, Mapping[str, str]] = field(default_factory=lambda: MappingProxyType({}))


class OddityLog:
    """Collects oddities; of each kind the first few hundred, and how many more there were."""

    def __init__(self) -> None:
        self._found: list[Oddity] = []
        self._counts: Counter[str] = Counter()

    def add(self, line: int | None, kind: str, message: str = "") -> None:
        """Take down one oddity; without a message, the meaning of its kind is the message."""
        meaning = ODDITY_KINDS[kind][1]
        self._counts[kind] += 1
        if self._counts[kind] <= _MAX_PER_KIND:
            self._found.append(Oddity(line=line, kind=kind, message=message or f"{meaning[0].upper()}{meaning[1:]}."))

    def finish(self) -> tuple[Oddity, ...]:
        """Return everything found, in the order of the lines; what concerns the whole file comes first."""
        more = [
            Oddity(line=None, kind=kind, message=f"{count - _MAX_PER_KIND} more of this kind are not listed.")
            for kind, count in self._counts.items()
            if count > _MAX_PER_KIND
        ]
        return tuple(sorted(self._found + more, key=lambda oddity: oddity.line or 0))


class CueList:
    """Collects the cues of a file and numbers them."""

    def __init__(self) -> None:
        self._cues: list[Cue] = []

    def add(
        self,
        line: int | None,
        start_ms: int,
        end_ms: int | None,
        text: str,
        raw: str,
        *,
        identifier: str = "",
        settings: Mapping[str, str] = _NO_SETTINGS,
    ) -> None:
        """Take down the next cue."""
        self._cues.append(
            Cue(
                number=len(self._cues) + 1,
                line=line,
                start_ms=start_ms,
                end_ms=end_ms,
                text=text,
                raw=raw,
                identifier=identifier,
                settings=settings,
            )
        )

    def __len__(self) -> int:
        return len(self._cues)

    def finish(self) -> tuple[Cue, ...]:
        """Return the cues."""
        return tuple(self._cues)
