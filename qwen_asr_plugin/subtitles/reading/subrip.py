# SPDX-License-Identifier: Apache-2.0
"""SubRip as it is found: nothing repaired silently, since a repair hides what a player would stumble over.

There is no standard; the reading follows what players agree on. A cue starts at a timing line, its text goes on to the
next number or timing line, and what stands in between without times is reported.
"""

from __future__ import annotations

import re
from typing import Final

from .document import CueList, OddityLog, SubtitleDocument, split_lines
from .markup import plain_subrip
from .times import clock_ms

__all__ = ["read_subrip"]

_TIME: Final = r"(-?)[ \t]*(?:(\d{1,6}):)?(\d{1,6}):(\d{1,6})(?:([.,])(\d{1,9}))?"
_TIMING: Final = re.compile(rf"[ \t]*{_TIME}[ \t]*-->[ \t]*{_TIME}(?:[ \t]+(\S.*))?[ \t]*", re.ASCII)
_NUMBER: Final = re.compile(r"[ \t]*\d{1,9}[ \t]*", re.ASCII)
# A line that means to be a timing line although its times cannot be read.
_ATTEMPT: Final = re.compile(
    r"[ \t]*-?\d{1,9}:\d{1,9}[^-\n]{0,20}-->|[^\d\n]{0,40}-->[ \t]*-?\d{1,9}:\d{1,9}[\d:., \t]*\Z", re.ASCII
)
_COORDINATES: Final = re.compile(r"[XY][12]:-?\d+", re.IGNORECASE)


def read_subrip(text: str, encoding: str, oddities: OddityLog) -> SubtitleDocument:
    """Read SubRip text.

    Args:
        text: The file's text.
        encoding: What it was decoded with.
        oddities: Where to take down what is odd.
    """
    reader = _Reader(split_lines(text.replace("\x00", "\ufffd")), oddities)
    reader.read()
    return SubtitleDocument(format="srt", encoding=encoding, cues=reader.cues.finish(), oddities=oddities.finish())


class _Reader:
    def __init__(self, lines: list[str], oddities: OddityLog) -> None:
        self._lines = lines
        self._oddities = oddities
        self.cues = CueList()
        self._expected: int | None = None

    def read(self) -> None:
        at = 0
        while at < len(self._lines):
            at = self._block(at)

    def _blank(self, at: int) -> bool:
        return at >= len(self._lines) or not self._lines[at].strip()

    def _is_number(self, at: int) -> bool:
        return at < len(self._lines) and _NUMBER.fullmatch(self._lines[at]) is not None

    def _is_timing(self, at: int) -> bool:
        """Whether a line is, or means to be, a timing line."""
        if at >= len(self._lines) or "-->" not in self._lines[at]:
            return False
        line = self._lines[at]
        return _TIMING.fullmatch(line) is not None or _ATTEMPT.match(line) is not None

    def _starts_cue(self, at: int) -> bool:
        if self._is_timing(at):
            return True
        if not self._is_number(at):
            return False
        if self._is_timing(at + 1):
            return True
        # Without times, the number that is due behind a blank line is that of a broken cue; any other is text.
        due = self._expected is None or int(self._lines[at]) == self._expected
        return due and at > 0 and self._blank(at - 1) and (not self._blank(at + 1) or self._nothing_after(at))

    def _nothing_after(self, at: int) -> bool:
        return all(self._blank(later) for later in range(at + 1, len(self._lines)))

    def _block(self, at: int) -> int:
        """Read what starts at line `at` (from 0) and return where the next begins."""
        if self._blank(at):
            return at + 1
        if self._is_timing(at):
            self._oddities.add(at + 1, "missing-number")
            if self._expected is not None:
                self._expected += 1
            return self._cue(at, "")
        if not self._is_number(at):
            end = self._end_of_text(at)
            kind = "missing-timing" if not len(self.cues) and at == 0 else "stray-text"
            self._oddities.add(at + 1, kind)
            return end
        number = self._lines[at].strip()
        if self._is_timing(at + 1):
            self._check_number(at, number)
            return self._cue(at + 1, number)
        if self._nothing_after(at):
            self._oddities.add(at + 1, "file-cut-off", f"The file ends after cue number {number}.")
            return len(self._lines)
        self._check_number(at, number)
        self._oddities.add(at + 1, "missing-timing", f"Cue number {number} has no timing line.")
        return self._end_of_text(at + 1)

    def _check_number(self, at: int, number: str) -> None:
        value = int(number)
        if self._expected is None:
            if value not in (0, 1):
                self._oddities.add(at + 1, "number-order", f"The first cue has the number {value}, not 1.")
        elif value != self._expected:
            self._oddities.add(at + 1, "number-order", f"Cue number {value} where {self._expected} was due.")
        self._expected = value + 1

    def _end_of_text(self, at: int) -> int:
        while at < len(self._lines) and not self._starts_cue(at):
            at += 1
        return at

    def _cue(self, at: int, number: str) -> int:
        first = at if not number else at - 1
        if first > 0 and not self._blank(first - 1):
            self._oddities.add(first + 1, "missing-blank-line")
        end = self._end_of_text(at + 1)
        body = self._lines[at + 1 : end]
        while body and not body[-1].strip():
            body.pop()
        blank_after = end - at - 1 - len(body)
        # A cue without text leaves one more blank line; the last lines of a file may be blank.
        if blank_after > (1 if body else 2) and end < len(self._lines):
            self._oddities.add(end - blank_after + 2, "extra-blank-line")
        found = _TIMING.fullmatch(self._lines[at])
        if not found:
            self._oddities.add(at + 1, "unreadable-timing", f"{self._lines[at].strip()!r} cannot be read.")
            return end
        groups = found.groups(default="")
        start_ms = self._time(groups[:6], at + 1)
        end_ms = self._time(groups[6:12], at + 1)
        rest = groups[12].strip()
        if rest and _COORDINATES.search(rest):
            self._oddities.add(at + 1, "coordinates")
        elif rest:
            self._oddities.add(at + 1, "bad-setting", f"{rest!r} behind the times.")
        self._report_body(body, at + 2)
        # Only the blank lines are left out of the text: they would be shown by few players.
        visible = "\n".join(line for line in body if line.strip())
        text = plain_subrip(visible, at + 2, self._oddities)
        self.cues.add(at + 1, start_ms, end_ms, text, "\n".join(body), identifier=number)
        return end

    def _report_body(self, body: list[str], first_line: int) -> None:
        for offset, line in enumerate(body):
            if not line.strip():
                self._oddities.add(first_line + offset, "blank-line")
            elif "-->" in line:
                self._oddities.add(first_line + offset, "arrow-in-text")

    def _time(self, parts: tuple[str, ...], line: int) -> int:
        sign, hours, minutes, seconds, separator, fraction = parts
        ms = clock_ms(hours, minutes, seconds, fraction)
        if sign:
            self._oddities.add(line, "negative-time")
            ms = -ms
        if not hours:
            self._oddities.add(line, "missing-hours")
        if not fraction:
            self._oddities.add(line, "missing-fraction")
        elif len(fraction) != 3:
            self._oddities.add(line, "odd-fraction", f"A fraction of {len(fraction)} digits instead of 3.")
        if separator == ".":
            self._oddities.add(line, "dot-fraction")
        odd = (hours and len(hours) < 2) or len(minutes) != 2 or len(seconds) != 2
        if odd or int(minutes) > 59 or int(seconds) > 59:
            self._oddities.add(line, "odd-digits")
        elif len(hours) > 2:
            self._oddities.add(line, "long-hours")
        return ms
