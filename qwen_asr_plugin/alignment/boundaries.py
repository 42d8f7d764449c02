# SPDX-License-Identifier: Apache-2.0
"""What ends after a word: a sentence, a clause, or nothing, judged from the punctuated text alone."""

from __future__ import annotations

import enum
import re
import unicodedata
from typing import Final

from .lexicon import ABBREVIATIONS, ENGLISH_OPENERS, ENGLISH_TIGHT, NUMBER_ABBREVIATIONS, ORDINAL_STOP_LANGUAGES
from .scripts import is_punctuation

__all__ = ["Boundary", "boundary_after"]


class Boundary(enum.IntEnum):
    """What ends between a word and the next, in order of strength.

    Attributes:
        TIGHT: Nothing; the word belongs to what follows (an article, a preposition...). Known for English only.
        NONE: Nothing.
        PHRASE: A phrase; the next word opens another. Known for English only.
        CLAUSE: A clause, or another part set off by punctuation.
        SENTENCE: A sentence.
    """

    TIGHT = 0
    NONE = 1
    PHRASE = 2
    CLAUSE = 3
    SENTENCE = 4


# Full stops of all scripts in use by the supported languages.
_FINAL: Final = frozenset("。｡．।॥۔؟።፧။។⸮")  # noqa: RUF001
_EXCLAMATIONS: Final = frozenset("!?！？‼⁇⁈⁉")  # noqa: RUF001
_CLAUSE: Final = frozenset(",;:—–―，；：、､،؛·፣፤၊")  # noqa: RUF001
_CLOSING_CATEGORIES: Final = frozenset(("Pe", "Pf"))
_CLOSING_QUOTES: Final = frozenset("\"'”’»«“")  # noqa: RUF001
_DOTTED: Final = re.compile(r"(?:\w\.)+\w?", re.UNICODE)
# Longer numbers than this are years and end sentences.
_ORDINAL_DIGITS: Final = 2
_ENGLISH: Final = frozenset(("en", None))
_NUMBER: Final = re.compile(r"\d+")


def boundary_after(word: str, following: str | None, language: str | None = None) -> Boundary:
    """Judge what ends after a word.

    A full stop ends a sentence unless the word is an abbreviation (``Mr.``, ``U.S.A.``, ``e.g.``, an initial) or an
    ordinal number (``3. Oktober``, ``3. dubna``). ``!``, ``?`` and an ellipsis end a sentence unless the next word goes
    on in lower case (``"What?" he said``), then they end a clause.

    Args:
        word: The word with its punctuation.
        following: The word after it; None at the end of the text.
        language: ISO 639-1 code of the text; decides whether a stop after a number makes it an ordinal, and whether
            English phrases are looked for (also where it is None).

    Returns:
        The strongest thing that ends there.
    """
    core = _strip_closing(word)
    if not core:
        return Boundary.NONE
    last = core[-1]
    goes_on = following is not None and _begins_lower(following)
    if last in _FINAL:
        return Boundary.SENTENCE
    if last in _EXCLAMATIONS or last == "…" or core.endswith(".."):
        return Boundary.CLAUSE if goes_on else Boundary.SENTENCE
    if last == ".":
        return (
            Boundary.NONE
            if _stop_belongs_to_word(core, following, goes_on=goes_on, language=language)
            else Boundary.SENTENCE
        )
    if last in _CLAUSE or core.endswith(("--", " -")):
        return Boundary.CLAUSE
    return _phrase_boundary(word, following) if language in _ENGLISH else Boundary.NONE


def _phrase_boundary(word: str, following: str | None) -> Boundary:
    if word.strip().lower() in ENGLISH_TIGHT:
        return Boundary.TIGHT
    if following is None:
        return Boundary.NONE
    if following.strip().lower() in ENGLISH_OPENERS:
        return Boundary.PHRASE
    if word[:1].isupper() and following[:1].isupper():
        return Boundary.TIGHT  # most likely two parts of a name
    return Boundary.NONE


def _strip_closing(word: str) -> str:
    end = len(word)
    while end and (
        word[end - 1].isspace()
        or word[end - 1] in _CLOSING_QUOTES
        or unicodedata.category(word[end - 1]) in _CLOSING_CATEGORIES
    ):
        end -= 1
    return word[:end]


def _begins_lower(word: str) -> bool:
    letter = next((char for char in word if not char.isspace() and not is_punctuation(char)), "")
    return letter.islower()


def _stop_belongs_to_word(core: str, following: str | None, *, goes_on: bool, language: str | None) -> bool:
    begin = 0
    while begin < len(core) and (core[begin].isspace() or is_punctuation(core[begin])):
        begin += 1
    name = core[begin:-1].rstrip()
    if _NUMBER.fullmatch(name):
        is_ordinal = language in ORDINAL_STOP_LANGUAGES and len(name) <= _ORDINAL_DIGITS
        return goes_on or (is_ordinal and following is not None)
    # "I" is a word, other single capitals are initials; at the end of the text the stop may as well end a sentence.
    if _DOTTED.fullmatch(name + ".") and not name.isdigit():
        return following is not None and name != "I"
    if name.lower() in NUMBER_ABBREVIATIONS and following is not None:
        return following.lstrip()[:1].isdigit()
    return name.lower() in ABBREVIATIONS
