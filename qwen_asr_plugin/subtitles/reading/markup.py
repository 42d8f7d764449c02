# SPDX-License-Identifier: Apache-2.0
"""Tags and character references in cue texts: what a viewer sees, and what is odd about them."""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Iterator
from html.entities import html5
from typing import Final

from .document import OddityLog

__all__ = ["plain_subrip", "report_entities", "tidy", "unescape"]

_TAG: Final = re.compile(r"<(/?)([A-Za-z][A-Za-z0-9]*)((?:[ \t.=][^<>\n]*)?)>")
_OVERRIDE: Final = re.compile(r"\{[ ]?\\[^{}\n]*\}")
_ENTITY: Final = re.compile(r"&(?:#\d{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_AMPERSAND: Final = re.compile(r"&(?=[#A-Za-z])([#A-Za-z][A-Za-z0-9]{0,31}|#)(;?)")
_SUBRIP_TAGS: Final = frozenset(("b", "i", "u", "s", "font"))
# Tags of relatives of SubRip; nobody means to show them.
_OTHER_TAGS: Final = frozenset(("bold", "italic", "underline", "strike", "c", "v", "lang", "ruby", "rt", "span", "br"))
# Python refuses to convert numbers of thousands of digits.
_ENDLESS_NUMBER: Final = re.compile(r"&#[xX]?[0-9A-Fa-f]{100,};?")
_BIDI_OVERRIDES: Final = ("\u202d", "\u202e")
_SEPARATORS: Final = ("\u2028", "\u2029", "\x85")
_CONTROLS: Final = re.compile(r"[\x01-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f]")


def unescape(text: str) -> str:
    """Decode character references as HTML does, those without a semicolon too."""
    return html.unescape(_ENDLESS_NUMBER.sub("\ufffd", text))


def report_entities(text: str, line: int | None, oddities: OddityLog, *, escaped: bool) -> None:
    """Take down ampersands that begin no complete character reference.

    Args:
        text: A text with its character references.
        line: Where it stands.
        oddities: Where to take down what is odd.
        escaped: Whether the format wants every ampersand escaped; otherwise only those that nearly are a reference
            count, so that "AT&T" is no oddity.
    """
    for found in _AMPERSAND.finditer(text):
        name, semicolon = found[1], found[2]
        whole = bool(semicolon) and (name.startswith("#") or f"{name};" in html5)
        if not whole and (escaped or semicolon or name.startswith("#") or name in html5 or f"{name};" in html5):
            oddities.add(line, "bad-entity", f"{found[0]!r} is no complete character reference.")


def plain_subrip(raw: str, line: int | None, oddities: OddityLog) -> str:
    """Return what a viewer sees of a SubRip text, and take down what players treat differently."""
    if "{" in raw and _OVERRIDE.search(raw):
        oddities.add(line, "override-tag")
    text = _OVERRIDE.sub("", raw)
    if "<" in text:
        text = "".join(_without_tags(text, line, oddities))
    if "&" in text:
        if _ENTITY.search(text):
            oddities.add(line, "entity")
        report_entities(text, line, oddities, escaped=False)
        text = _ENTITY.sub(lambda found: html.unescape(found[0]), text)
    return tidy(text, line, oddities)


def _without_tags(text: str, line: int | None, oddities: OddityLog) -> Iterator[str]:
    at = 0
    still_open: Counter[str] = Counter()
    for found in _TAG.finditer(text):
        name = found[2].lower()
        if name not in _SUBRIP_TAGS:
            oddities.add(line, "unknown-tag", f"SubRip has no tag {found[0]!r}.")
        if name not in _SUBRIP_TAGS and name not in _OTHER_TAGS:
            continue  # a name in angle brackets, perhaps: it stays visible
        yield text[at : found.start()]
        at = found.end()
        if not found[1]:
            still_open[name] += name != "br"
        elif still_open[name]:
            still_open[name] -= 1
        else:
            oddities.add(line, "misnested-tag", f"{found[0]!r} ends a tag that is not open.")
    yield text[at:]
    for name in +still_open:
        oddities.add(line, "unclosed-tag", f"<{name}> is not closed.")


def tidy(text: str, line: int | None, oddities: OddityLog) -> str:
    """Take control characters out of a visible text and blank lines off its ends; report what it holds."""
    if _CONTROLS.search(text):
        oddities.add(line, "control-character")
        text = _CONTROLS.sub("", text)
    if "\ufeff" in text:
        oddities.add(line, "inner-bom")
        text = text.replace("\ufeff", "")
    if any(char in text for char in _BIDI_OVERRIDES):
        oddities.add(line, "bidi-override")
    if any(char in text for char in _SEPARATORS):
        oddities.add(line, "line-separator")
    return "\n".join(part.strip() for part in text.split("\n")).strip("\n")
