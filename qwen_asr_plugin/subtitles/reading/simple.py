# SPDX-License-Identifier: Apache-2.0
"""Formats of one line per cue (LRC, TSV, MicroDVD) and this project's own JSON."""

from __future__ import annotations

import json
import re
from fractions import Fraction
from itertools import pairwise
from typing import Any, Final

from .document import CueList, OddityLog, SubtitleDocument, split_lines
from .markup import tidy
from .times import clock_ms, round_ms

__all__ = ["read_json", "read_lrc", "read_microdvd", "read_tsv"]

_LRC_TIME: Final = re.compile(r"\[(\d{1,6}):(\d{1,2})(?:[.:](\d{1,9}))?\]", re.ASCII)
_LRC_TAG: Final = re.compile(r"\[([A-Za-z#]{1,20}):(.*)\]")
_LRC_WORD: Final = re.compile(r"<\d{1,6}:\d{1,2}(?:[.:]\d{1,9})?>", re.ASCII)
_LRC_RESOLUTION_MS: Final = 10
_TSV: Final = re.compile(r"(-?\d{1,12})\t(-?\d{1,12})\t(.*)", re.ASCII)
_MICRODVD: Final = re.compile(r"\{(\d{1,9})\}\{(\d{0,9})\}(.*)", re.ASCII)
_MICRODVD_TAG: Final = re.compile(r"\{[A-Za-z]:[^{}]*\}")
_FILM_RATE: Final = Fraction(24000, 1001)


def read_lrc(text: str, encoding: str, oddities: OddityLog) -> SubtitleDocument:
    """Read LRC: a line is shown until the next time of the file, and a time without text ends the one before."""
    shown: list[tuple[int, int, str, str]] = []
    offset_ms = 0
    for number, line in enumerate(split_lines(text.replace("\x00", "\ufffd")), start=1):
        line = line.strip()
        times = []
        at = 0
        while found := _LRC_TIME.match(line, at):
            minutes, seconds, fraction = found.groups(default="")
            times.append(clock_ms("", minutes, seconds, fraction))
            if len(fraction) != 2:
                oddities.add(number, "odd-fraction", f"{found[0]!r} is not written as [mm:ss.xx].")
            at = found.end()
        rest = line[at:]
        if times:
            plain = tidy(_LRC_WORD.sub("", rest), number, oddities)
            shown += [(ms, number, plain, rest) for ms in times]
        elif tag := _LRC_TAG.fullmatch(rest):
            if tag[1].lower() == "offset" and re.fullmatch(r"[+-]?\d{1,9}", tag[2].strip(), re.ASCII):
                offset_ms = int(tag[2])
                oddities.add(number, "offset", f"Every time is {offset_ms} ms earlier than it is written.")
        elif rest:
            oddities.add(number, "stray-text")
    shown.sort(key=lambda entry: entry[0])
    cues = CueList()
    ends = _next_later([entry[0] for entry in shown])
    for (ms, number, plain, raw), end_ms in zip(shown, ends, strict=True):
        if plain:
            if end_ms is None:
                oddities.add(number, "no-end")
            cues.add(number, ms - offset_ms, None if end_ms is None else end_ms - offset_ms, plain, raw)
    return SubtitleDocument(
        format="lrc",
        encoding=encoding,
        cues=cues.finish(),
        oddities=oddities.finish(),
        has_lines=False,
        resolution_ms=_LRC_RESOLUTION_MS,
    )


def read_tsv(text: str, encoding: str, oddities: OddityLog) -> SubtitleDocument:
    """Read tab-separated values: start and end in milliseconds, then the text; a header line is skipped."""
    cues = CueList()
    for number, line in enumerate(split_lines(text.replace("\x00", "\ufffd")), start=1):
        found = _TSV.fullmatch(line)
        if found:
            for ms in found.groups()[:2]:
                if ms.startswith("-"):
                    oddities.add(number, "negative-time")
            cues.add(number, int(found[1]), int(found[2]), tidy(found[3], number, oddities), found[3])
        elif line.strip() and not (number == 1 and line.lower().startswith("start\t")):
            oddities.add(number, "unreadable-timing", f"{line[:60]!r} has not the form start, end, text.")
    return SubtitleDocument(
        format="tsv", encoding=encoding, cues=cues.finish(), oddities=oddities.finish(), has_lines=False
    )


def read_microdvd(text: str, encoding: str, oddities: OddityLog) -> SubtitleDocument:
    """Read MicroDVD: times are frames; a first cue at frame 1 whose text is a number says how many a second has."""
    cues = CueList()
    rate = None
    for number, line in enumerate(split_lines(text.replace("\x00", "\ufffd")), start=1):
        found = _MICRODVD.fullmatch(line.strip())
        if not found:
            if line.strip():
                oddities.add(number, "unreadable-timing", f"{line[:60]!r} has not the form {{start}}{{end}}text.")
            continue
        start, end, raw = found.groups()
        if rate is None and re.fullmatch(r"\d{1,3}(\.\d{1,6})?", raw, re.ASCII) and Fraction(raw) and int(start) <= 1:
            rate = Fraction(raw)
            continue
        if rate is None:
            rate = _FILM_RATE
            oddities.add(number, "no-frame-rate", "The file does not say its frame rate; 23.976 was taken.")
        if not end:
            oddities.add(number, "no-end")
        plain = tidy(_MICRODVD_TAG.sub("", raw).replace("|", "\n"), number, oddities)
        end_ms = round_ms(int(end) / rate) if end else None
        cues.add(number, round_ms(int(start) / rate), end_ms, plain, raw)
    if len(cues):
        oddities.add(None, "frame-times")
    return SubtitleDocument(
        format="microdvd",
        encoding=encoding,
        cues=cues.finish(),
        oddities=oddities.finish(),
        resolution_ms=int(1000 / (rate or _FILM_RATE)) + 1,
    )


def read_json(text: str, encoding: str, oddities: OddityLog) -> SubtitleDocument:
    """Read this project's JSON transcript."""
    cues = CueList()
    for number, segment in enumerate(_segments(text, oddities), start=1):
        fields = segment if isinstance(segment, dict) else {}
        start_ms, end_ms, raw = (fields.get(name) for name in ("start_ms", "end_ms", "text"))
        if type(start_ms) is int and type(end_ms) is int and isinstance(raw, str):
            cues.add(None, start_ms, end_ms, tidy(raw, None, oddities), raw)
        else:
            oddities.add(None, "unreadable-timing", f"Segment {number} has no start_ms, end_ms and text.")
    return SubtitleDocument(format="json", encoding=encoding, cues=cues.finish(), oddities=oddities.finish())


def _segments(text: str, oddities: OddityLog) -> list[Any]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        line = error.lineno if isinstance(error, json.JSONDecodeError) else None
        oddities.add(line, "not-well-formed", "This is no complete JSON document.")
        return []
    segments = document.get("segments") if isinstance(document, dict) else None
    if not isinstance(segments, list):
        oddities.add(None, "missing-section", 'There is no list "segments".')
        return []
    return segments


def _next_later(times: list[int]) -> list[int | None]:
    """For sorted times, the next later one of each."""
    ends: list[int | None] = [None] * len(times)
    for at, (first, second) in reversed(list(enumerate(pairwise(times)))):
        ends[at] = second if second > first else ends[at + 1]
    return ends
