# SPDX-License-Identifier: Apache-2.0
"""How good a place between two words is for a line or a cue to end: punctuation, small words, names, numbers."""

from __future__ import annotations

import enum
import re
import unicodedata
from functools import lru_cache
from typing import Final

from qwen_asr_plugin.alignment import Boundary, boundary_after, is_mark
from qwen_asr_plugin.alignment.scripts import is_character_script

from .pieces import Piece, is_non_starter
from .seam_words import CHINESE, JAPANESE_PARTICLES, LEADING_VOWELS, SMALL_WORDS, SmallWords

__all__ = ["Seam", "judge_seam"]


class Seam(enum.IntEnum):
    """What lies between two pieces, the best place for a break first.

    Attributes:
        SENTENCE: A sentence ends.
        CLAUSE: A clause ends, or another part set off by punctuation; in Thai and its neighbours, a space.
        OPENING: A conjunction or a relative word follows.
        LEADING: A preposition follows, or a phrase ends behind a particle.
        PLAIN: Nothing known.
        TIGHT: The words belong together: article and noun, pronoun or auxiliary and verb, preposition and noun; in
            scripts without spaces, most likely the inside of a word.
        UNIT: Parts of a name or a number, a number and its unit, an abbreviated title and its name, a Latin run in a
            Chinese or Japanese text.
        INSIDE: The inside of a word wider than a line, or a place where the next line would begin with a closing
            mark or a small kana (kinsoku).
    """

    SENTENCE = 0
    CLAUSE = 1
    OPENING = 2
    LEADING = 3
    PLAIN = 4
    TIGHT = 5
    UNIT = 6
    INSIDE = 7


# In these, words with spaces between them are a foreign name or term.
_DENSE: Final = frozenset(("zh", "yue", "ja"))
_APOSTROPHES: Final = re.compile(r"['\u2019]")
_FIRST_PERSON: Final = re.compile(r"I(?:['\u2019]\w+)?$")


def judge_seam(before: Piece, after: Piece, language: str | None) -> Seam:
    """Judge the place between two neighbouring pieces.

    Args:
        before: The piece that would end a line.
        after: The piece that would begin the next.
        language: ISO 639-1 code; English tables are used where it is None.

    Returns:
        The kind of the seam.
    """
    if after.continues or is_non_starter(after.text[0]):
        return Seam.INSIDE
    boundary = boundary_after(before.text, after.text, language)
    if boundary is Boundary.SENTENCE:
        return Seam.SENTENCE
    if boundary is Boundary.CLAUSE:
        return Seam.CLAUSE
    return _between(before.text, after.text, language, spaced=after.space_before)


@lru_cache(maxsize=16384)
def _between(before: str, after: str, language: str | None, *, spaced: bool) -> Seam:
    left = _core(before)
    right = _core(after)
    if not left or not right:
        return Seam.PLAIN
    if is_character_script(left[0]) or is_character_script(left[-1]) or is_character_script(right[0]):
        return _between_signs(left, right, language, spaced=spaced)
    if language in _DENSE:
        return Seam.UNIT
    if (number := _between_numbers(before, left, right)) is not None:
        return number
    if _is_name(left) and _is_name(right):
        return Seam.UNIT
    table = SMALL_WORDS.get(language or "en")
    return _between_words(left.lower(), right.lower(), table) if table is not None else Seam.PLAIN


def _between_words(first: str, second: str, table: SmallWords) -> Seam:
    if second in table.bound:
        return Seam.TIGHT
    # "d'une" binds like "une", and leads like "d'".
    tail, head = _APOSTROPHES.split(first)[-1], _APOSTROPHES.split(second)[0]
    opens = second in table.opening or (head != second and head in table.opening)
    leads = second in table.leading or (head != second and head in table.leading)
    if first in table.leading or first in table.opening or (tail != first and _binds(tail, table)):
        return Seam.TIGHT
    if first in table.binding:
        # A pronoun may be an object, too ("he saw her | in the house"), so before a preposition nothing is known.
        return Seam.PLAIN if opens or leads else Seam.TIGHT
    if opens:
        return Seam.OPENING
    return Seam.LEADING if leads else Seam.PLAIN


def _core(text: str) -> str:
    """Take punctuation and symbols off both ends; marks above and below letters stay."""
    begin, end = 0, len(text)
    while begin < end and unicodedata.category(text[begin])[0] in "PSZC":
        begin += 1
    while end > begin and unicodedata.category(text[end - 1])[0] in "PSZC":
        end -= 1
    return text[begin:end]


def _binds(word: str, table: SmallWords) -> bool:
    return word in table.binding or word in table.leading or word in table.opening


def _between_numbers(before: str, left: str, right: str) -> Seam | None:
    """Judge what stands at a number or behind an abbreviation; None if there is neither."""
    if before.endswith(".") and not right[0].islower():
        return Seam.UNIT
    if left[-1].isdigit():
        # What has two letters behind a number is a unit.
        return Seam.UNIT if right[0].isdigit() or len(right) <= 2 else Seam.TIGHT
    return Seam.TIGHT if right[0].isdigit() and before.endswith(("$", "€", "£", "#", "№", "§")) else None


def _is_name(word: str) -> bool:
    return word[0].isupper() and not _FIRST_PERSON.match(word)


def _between_signs(left: str, right: str, language: str | None, *, spaced: bool) -> Seam:
    """Judge a seam at a sign of a script that puts no spaces between words."""
    before = next((char for char in reversed(left) if not is_mark(char)), left[-1])
    after = right[0]
    if spaced:
        # Thai, Lao, Khmer and Burmese put a space between phrases.
        return Seam.CLAUSE if is_character_script(before) and not _is_cjk(before) else Seam.PLAIN
    if before.isdigit() or (after.isdigit() and before in CHINESE.counters):
        return Seam.UNIT
    if not (_is_cjk(before) and _is_cjk(after)):
        # A vowel that is written before its consonant begins a syllable, and so may begin a word.
        is_inside = is_character_script(before) and is_character_script(after) and after not in LEADING_VOWELS
        return Seam.TIGHT if is_inside else Seam.PLAIN
    if language == "ja" or _is_kana(before) or _is_kana(after):
        return _between_japanese(before, after)
    return _between_chinese(before, after)


def _between_japanese(before: str, after: str) -> Seam:
    if before in CHINESE.numerals or (after == "間" and before in CHINESE.counters):
        return Seam.UNIT
    if before in JAPANESE_PARTICLES and not _is_hiragana(after):
        return Seam.LEADING
    if _is_hiragana(before) and not _is_hiragana(after):
        return Seam.PLAIN
    return Seam.TIGHT


def _between_chinese(before: str, after: str) -> Seam:
    if before in CHINESE.numerals and (after in CHINESE.numerals or after in CHINESE.counters):
        return Seam.UNIT
    if before + after in CHINESE.words or after in CHINESE.bound or before in CHINESE.binding:
        return Seam.TIGHT
    if after in CHINESE.opening or before in CHINESE.ending:
        return Seam.LEADING
    return Seam.PLAIN


def _is_cjk(char: str) -> bool:
    return unicodedata.east_asian_width(char) in "WFH"


def _is_hiragana(char: str) -> bool:
    return "\u3041" <= char <= "\u309f"


def _is_kana(char: str) -> bool:
    return "\u3041" <= char <= "\u30ff"
