# SPDX-License-Identifier: Apache-2.0
"""How long a word takes to say, in syllables, judged from its spelling.

Only ratios matter: the caller scales the weights to the speech time there is. One unit is an average syllable
(about 0.17 s in read English). For alphabets the weight is half syllables, half letters, since consonant clusters
take time too; a least-squares fit to the word lengths of 24 read clips gives both about equal shares.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from .scripts import is_character_script

__all__ = ["speech_weight"]

_PER_SYLLABLE: Final = 0.4
_PER_LETTER: Final = 0.25
# Scripts that write each syllable, or each consonant with the vowel understood, in units per letter.
_PER_SIGN: Final = 1.0
_PER_KANA: Final = 0.7
_PER_CONSONANT_LETTER: Final = 0.5
_PER_DIGIT: Final = 1.6  # "twenty", "hundred", "two": a digit and its power of ten
_PER_ZERO: Final = 0.5  # zeros mostly only choose the power of ten
_PER_SPELLED_LETTER: Final = 1.0
_PER_SYMBOL: Final = 2.0  # "percent", "dollars", "and"
_MINIMUM: Final = 0.5

_VOWELS: Final = frozenset("aeiouyæøœıаеиоуыэюяіїєαεηιουωөү")  # noqa: RUF001
_RUN: Final = re.compile(r"[^\W\d_]+|\d+|[^\w\s]", re.UNICODE)
_SPOKEN_SYMBOLS: Final = frozenset("%&@€$£¥₩₹+=°#")
_APOSTROPHES: Final = frozenset("'’")  # noqa: RUF001
_ACRONYM_LENGTH: Final = 5


def speech_weight(word: str) -> float:
    """Estimate how many syllables long a word is.

    Args:
        word: One unit of `split_words`; punctuation in it takes no time.

    Returns:
        Syllables, at least 0.5.
    """
    # Decomposed, so that accented vowels count as vowels and Hangul shows its syllables.
    plain = "".join(
        char
        for char in unicodedata.normalize("NFD", word)
        if char not in _APOSTROPHES and unicodedata.category(char)[0] != "M"
    )
    return max(_MINIMUM, sum(_run_weight(run) for run in _RUN.findall(plain)))


def _run_weight(run: str) -> float:
    first = run[0]
    if first.isdigit():
        zeros = sum(unicodedata.digit(char, 1) == 0 for char in run)
        return _PER_DIGIT * (len(run) - zeros) + _PER_ZERO * zeros
    if not first.isalpha():
        return _PER_SYMBOL if first in _SPOKEN_SYMBOLS else 0.0
    if is_character_script(first) or "HANGUL" in unicodedata.name(first, ""):
        return sum(_sign_weight(char) for char in run)
    letters = [char for char in run.lower() if char.isalpha()]
    if not any(char in _VOWELS for char in letters):
        spelled = run.isupper() and len(run) <= _ACRONYM_LENGTH
        return len(letters) * (_PER_SPELLED_LETTER if spelled else _PER_CONSONANT_LETTER)
    return _PER_SYLLABLE * _syllables("".join(letters)) + _PER_LETTER * len(letters)


def _sign_weight(char: str) -> float:
    name = unicodedata.name(char, "")
    if "KATAKANA" in name or "HIRAGANA" in name:
        return _PER_KANA
    if name.startswith("CJK"):
        return _PER_SIGN
    # NFD takes Hangul syllables apart; the vowel stands for the syllable.
    if name.startswith("HANGUL"):
        return _PER_SIGN if "JUNGSEONG" in name else 0.0
    return _PER_CONSONANT_LETTER


def _syllables(letters: str) -> int:
    """Count groups of vowels; a last silent ``e`` of an English or French word is none."""
    count = 0
    in_vowel = False
    for char in letters:
        count += char in _VOWELS and not in_vowel
        in_vowel = char in _VOWELS
    if count > 1 and letters.endswith("e") and letters[-2] not in _VOWELS and not letters.endswith("le"):
        count -= 1
    return max(1, count)
