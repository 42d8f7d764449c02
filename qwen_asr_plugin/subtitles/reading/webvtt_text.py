# SPDX-License-Identifier: Apache-2.0
"""The text of WebVTT cues: tags, character references and times inside it (sections 6.4 and 6.5)."""

from __future__ import annotations

import re
from typing import Final

from .document import OddityLog
from .markup import report_entities, tidy, unescape
from .times import clock_ms

__all__ = ["plain_webvtt"]

_TOKEN: Final = re.compile(r"<([^>]*)(>?)|[^<]+")
_TIME: Final = re.compile(r"(?:(\d{2,9}):)?([0-5]\d):([0-5]\d)\.(\d{3})")
_TAGS: Final = frozenset(("c", "i", "b", "u", "ruby", "rt", "v", "lang"))
# A voice may go on to the end of the cue, and a ruby text ends with its ruby.
_NEED_NO_END: Final = frozenset(("v", "rt"))


def plain_webvtt(raw: str, line: int, start_ms: int, end_ms: int, oddities: OddityLog) -> str:
    """Return what a viewer reads, without the ruby annotations, and take down what is odd.

    Args:
        raw: The cue's text.
        line: Where it begins.
        start_ms: Start of the cue, for the times inside the text.
        end_ms: Its end.
        oddities: Where to take down what is odd.
    """
    if not any(char in raw for char in "<&"):
        return tidy(raw, line, oddities)
    parts: list[str] = []
    stack: list[str] = []
    before_ms = start_ms
    for token in _TOKEN.finditer(raw):
        if not token[0].startswith("<"):
            report_entities(token[0], line, oddities, escaped=True)
            if "rt" not in stack:
                parts.append(unescape(token[0]))
            continue
        if not token[2]:
            oddities.add(line, "unclosed-tag", f"{token[0][:40]!r} has no closing bracket.")
        inside = token[1]
        if inside[:1].isascii() and inside[:1].isdigit():
            before_ms = _inline_time(inside, line, (before_ms, end_ms), oddities)
        elif inside.startswith("/"):
            _end_tag(inside[1:].strip(), stack, line, oddities)
        else:
            _start_tag(inside, stack, line, oddities)
    for name in stack:
        if name not in _NEED_NO_END:
            oddities.add(line, "unclosed-tag", f"<{name}> is not closed.")
    return tidy("".join(parts), line, oddities)


def _inline_time(text: str, line: int, limits: tuple[int, int], oddities: OddityLog) -> int:
    found = _TIME.fullmatch(text)
    ms = clock_ms(*found.groups(default="")) if found else -1
    if limits[0] < ms < limits[1]:
        return ms
    oddities.add(line, "bad-inline-time", f"{text[:40]!r} inside the text has no effect.")
    return limits[0]


def _start_tag(inside: str, stack: list[str], line: int, oddities: OddityLog) -> None:
    name = re.split(r"[. \t\n\f]", inside, maxsplit=1)[0]
    if name not in _TAGS or (name == "rt" and "ruby" not in stack):
        if name or inside:
            oddities.add(line, "unknown-tag", f"<{inside[:40]}> is no WebVTT tag here.")
        return
    stack.append(name)


def _end_tag(name: str, stack: list[str], line: int, oddities: OddityLog) -> None:
    if stack and stack[-1] == name:
        stack.pop()
    elif name == "ruby" and stack[-2:] == ["ruby", "rt"]:
        del stack[-2:]
    else:
        oddities.add(line, "misnested-tag", f"</{name[:40]}> ends a tag that is not the innermost one.")
