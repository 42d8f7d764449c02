# SPDX-License-Identifier: Apache-2.0
"""What a character is, for cutting text into words: its writing system, and whether it is punctuation.

The ranges are the blocks of the Unicode Character Database (Blocks.txt).
"""

from __future__ import annotations

import unicodedata
from bisect import bisect_right
from typing import Final

__all__ = ["is_character_script", "is_glue", "is_mark", "is_opening", "is_punctuation", "needs_space_between"]

# First and last code point of the writing systems that put no space between words.
_CHARACTER_BLOCKS: Final = (
    (0x0E01, 0x0EDF),  # Thai, Lao
    (0x1000, 0x109F),  # Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x2E80, 0x2FDF),  # CJK radicals
    (0x3005, 0x3007),  # iteration mark, ideographic zero
    (0x3041, 0x30FF),  # Hiragana, Katakana
    (0x3100, 0x312F),  # Bopomofo
    (0x31A0, 0x31BF),  # Bopomofo extended
    (0x31F0, 0x31FF),  # Katakana phonetic extensions
    (0x3400, 0x4DBF),  # Han, extension A
    (0x4E00, 0x9FFF),  # Han
    (0xF900, 0xFAFF),  # Han, compatibility
    (0xFF66, 0xFF9F),  # half-width Katakana
    (0x20000, 0x323AF),  # Han, extensions B to H
)
_BLOCK_STARTS: Final = tuple(first for first, _ in _CHARACTER_BLOCKS)

# Thai and Lao vowels that are written before the consonant they belong to.
_LEADING_VOWELS: Final = frozenset("\u0e40\u0e41\u0e42\u0e43\u0e44\u0ec0\u0ec1\u0ec2\u0ec3\u0ec4")
# Small kana and the length mark belong to the sound before them and may not begin a line (JIS X 4051).
_TRAILING_LETTERS: Final = frozenset("ぁぃぅぇぉっゃゅょゎァィゥェォッャュョヮヵヶーｧｨｩｪｫｬｭｮｯｰ々ゝゞヽヾ")
_ZERO_WIDTH_JOINER: Final = "\u200d"
_OPENING_CATEGORIES: Final = frozenset(("Ps", "Pi"))


def is_character_script(char: str) -> bool:
    """Say whether `char` is a letter of a writing system without spaces between words (Han, kana, Thai...)."""
    code = ord(char)
    if code < _BLOCK_STARTS[0]:
        return False
    _, last = _CHARACTER_BLOCKS[bisect_right(_BLOCK_STARTS, code) - 1]
    return code <= last and unicodedata.category(char)[0] in "LN"


def is_punctuation(char: str) -> bool:
    """Say whether `char` is punctuation (Unicode category P)."""
    return unicodedata.category(char)[0] == "P"


def is_opening(char: str) -> bool:
    """Say whether `char` is an opening bracket or quotation mark, which belongs to the word after it."""
    return char in "¿¡" or unicodedata.category(char) in _OPENING_CATEGORIES


def is_mark(char: str) -> bool:
    """Say whether `char` only changes the one before it (combining marks, joiners, variation selectors)."""
    return char == _ZERO_WIDTH_JOINER or unicodedata.category(char)[0] == "M"


def is_glue(before: str, after: str) -> bool:
    """Say whether two neighbouring characters are one written sign or one sound and must stay together."""
    return is_mark(after) or before == _ZERO_WIDTH_JOINER or before in _LEADING_VOWELS or after in _TRAILING_LETTERS


def needs_space_between(before: str, after: str) -> bool:
    """Say whether two texts put side by side need a space between them.

    They do unless one of them is empty or blank at the seam, or the characters that meet belong to a writing system
    without spaces.
    """
    if not before or not after or before[-1].isspace() or after[0].isspace():
        return False
    return not (_closes_up(before[-1]) or _closes_up(after[0]))


def _closes_up(char: str) -> bool:
    if is_punctuation(char):
        return unicodedata.east_asian_width(char) in "WF"
    return is_character_script(char)
