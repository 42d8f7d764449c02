# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: RUF001
"""Hesitations that readers do not miss."""

from __future__ import annotations

import re
from typing import Final

from .edits import Edit

__all__ = ["FILLER_LANGUAGES", "find_fillers"]

# Per language: sounds of hesitation; then sounds that can also be an answer, and are kept where they are one.
_SOUNDS: Final = {
    "en": ("u+m+|u+h+|u+h+m+|e+r+m+|a+hm+", "h+m+|m{2,}"),
    "de": ("ä+h+|ä+h+m+|ö+h+|ö+h+m+", "h+m+|m{2,}"),
    "fr": ("e+u+h+|h+e+u+", "h+u*m+|m{2,}"),
    "es": ("e+h*m+|e{2,}h*", "e+h|h+m+|m{2,}"),
    "zh": ("呃+|唔+", "嗯|额"),
    "ja": ("え+[えーっ〜]*と[おーぉ〜]*|あの[うー〜]+|え[ー〜]+|ん[ー〜]+", "う[ー〜]+ん?"),
}
_NO_SPACES: Final = frozenset({"zh", "ja"})
_PAUSE: Final = ",，、…"
_END: Final = ".。!！?？"
# Where a filler may begin and end: a part of a word or of a compound (uh-huh) is none.
_SPACED: Final = r"(?P<open>(?:^|(?<=\s)))(?P<sound>{})(?P<mark>[,…]|\.{{3}}|[.!?])?(?=\s|$)(?P<space>\s*)"
_SOLID: Final = (
    r"(?P<open>^|(?<=[\s，、。！？…,.!?]))(?P<sound>{})(?:(?P<mark>[，、…,。.！!？?])|(?=\s|$))(?P<space>\s*)"
)

FILLER_LANGUAGES: Final = frozenset(_SOUNDS)
"""ISO codes of the languages that have a list."""


def _compile(language: str, sounds: str) -> re.Pattern[str]:
    return re.compile((_SOLID if language in _NO_SPACES else _SPACED).format(sounds), re.IGNORECASE)


_ALL: Final = {language: _compile(language, "|".join(sounds)) for language, sounds in _SOUNDS.items()}
_ANSWERS: Final = {language: re.compile(sounds[1], re.IGNORECASE) for language, sounds in _SOUNDS.items()}


def find_fillers(text: str, language: str) -> list[Edit]:
    """Find hesitations that stand as words of their own, with the comma and space after them.

    A question ("Hm?") stays, and so does a sound that is a whole sentence and may be an answer ("Mm.", "嗯。"). Where a
    filler ends a sentence, the mark goes to the word before; where it begins one, the next word gets the capital.

    Args:
        text: The words' joined text.
        language: One of `FILLER_LANGUAGES`.

    Returns:
        The changes in the order of the text, never two at the same place.
    """
    edits: list[Edit] = []
    capital_at = -1
    for match in _ALL[language].finditer(text):
        begin, end = match.start("sound"), match.end()
        mark = match["mark"] or ""
        before = text[:begin].rstrip()
        opens = not before or before[-1] in _END or begin == capital_at
        closes = mark in _END and mark != ""
        if mark in ("?", "？") or (opens and (closes or not mark) and _ANSWERS[language].fullmatch(match["sound"])):
            continue
        if closes and not opens:
            end = match.end("mark") - 1  # the mark stays, on the word before
            cut = len(before) - (before[-1] in _PAUSE)
            if edits and edits[-1].end > cut:
                cut = edits.pop().begin
                cut = len(text[:cut].rstrip().rstrip(_PAUSE))
            edits.append(Edit(begin=cut, end=end, text=""))
            continue
        edits.append(Edit(begin=begin, end=end, text=""))
        was_capital = match["sound"][0].isupper() or begin == capital_at
        if opens and not closes and was_capital and text[end : end + 1].islower():
            capital_at = end
            if not _ALL[language].match(text, end):
                edits[-1] = Edit(begin=begin, end=end + 1, text=text[end].upper())
    return edits
