# SPDX-License-Identifier: Apache-2.0
"""The units a forced aligner puts times on, cut as in the code it was trained with (package qwen-asr 0.0.6).

A unit is spelled with letters, numbers and ASCII apostrophes only; everything else is left out of it. Most languages
are cut at white space, with every CJK ideograph a unit of its own. Japanese is cut into words by `nagisa`, Korean
words are cut in two after their longest beginning that is in a dictionary. Every unit knows which part of the text it
stands for, so that nothing has to be searched for afterwards.
"""

from __future__ import annotations

import functools
import importlib
import importlib.resources
import importlib.util
import re
import unicodedata
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

__all__ = ["Unit", "align_units", "units_notice"]

_PIECE: Final = re.compile(r"\S+")

# First and last code point of what the official code takes for a CJK ideograph (not the whole of Unicode's).
_IDEOGRAPHS: Final = (
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B820, 0x2CEAF),
)
_IDEOGRAPH_STARTS: Final = tuple(first for first, _ in _IDEOGRAPHS)

# Letters that may follow any Japanese letter: length marks, iteration marks, half-width voicing marks.
_CONTINUING: Final = frozenset("ーｰ々ゝゞヽヾﾞﾟ")
# Unicode blocks; what is in none of them and no ideograph is Latin, a number...
_KANA: Final = ((0x3041, 0x309F, "hiragana"), (0x30A1, 0x30FF, "katakana"), (0x31F0, 0x31FF, "katakana"),
                (0xFF66, 0xFF9D, "katakana"))  # fmt: skip

_Tagger = Callable[[str], Sequence[str]]


@dataclass(frozen=True, kw_only=True)
class Unit:
    """One unit and the part of the text it stands for.

    Attributes:
        text: What the aligner is given; not empty.
        begin: Index into the text of its first character.
        end: Index after its last one, greater than `begin`. Characters that are not in `text` may lie between.
    """

    text: str
    begin: int
    end: int


def align_units(text: str, language: str | None) -> list[Unit]:
    """Cut a text into the units of the aligner.

    Args:
        text: Any text.
        language: ISO 639-1 code of the text, None where unknown.

    Returns:
        Units in text order. Their parts of the text do not overlap, except where `nagisa` cuts inside one sign
        ("㍿" is two words): then both stand for that sign. Empty where nothing can be said ("...").

    Japanese without `nagisa` is cut where the script changes (ideographs, Hiragana, Katakana, others) and at
    punctuation; `units_notice` tells.
    """
    if language == "ja":
        tagger = _japanese_tagger()
        units = _tagged_units(text, tagger) if tagger else None
        return list(_script_units(text)) if units is None else units
    if language == "ko":
        return list(_korean_units(text))
    return list(_spaced_units(text))


def units_notice(language: str | None) -> str | None:
    """Say what the user should know about how texts in `language` are cut, to be logged once.

    Returns:
        A message if a package is missing, and the times are less exact for it; otherwise None.
    """
    if language == "ja" and importlib.util.find_spec("nagisa") is None:
        return (
            "Japanese words get less exact times, because the package nagisa is not installed. "
            "Install it with: pip install 'qwen-asr-plugin[japanese]'"
        )
    return None


def _is_kept(char: str) -> bool:
    return char == "'" or unicodedata.category(char)[0] in "LN"


def _is_ideograph(char: str) -> bool:
    code = ord(char)
    at = bisect_right(_IDEOGRAPH_STARTS, code) - 1
    return at >= 0 and code <= _IDEOGRAPHS[at][1]


def _unit(text: str, begin: int, end: int) -> Unit | None:
    """Make a unit of ``text[begin:end]``, None if nothing of it is kept."""
    kept = [at for at in range(begin, end) if _is_kept(text[at])]
    if not kept:
        return None
    return Unit(text="".join(text[at] for at in kept), begin=kept[0], end=kept[-1] + 1)


def _cut(text: str, seams: Sequence[int]) -> Iterator[Unit]:
    """Make the units between the seams, n + 1 indices in order."""
    for begin, end in pairwise(seams):
        unit = _unit(text, begin, end)
        if unit:
            yield unit


def _spaced_units(text: str) -> Iterator[Unit]:
    for piece in _PIECE.finditer(text):
        seams = {piece.start(), piece.end()}
        for at in range(piece.start(), piece.end()):
            if _is_ideograph(text[at]):
                seams |= {at, at + 1}
        yield from _cut(text, sorted(seams))


def _script_units(text: str) -> Iterator[Unit]:
    for piece in _PIECE.finditer(text):
        seams = [piece.start()]
        script = ""
        broken = False
        for at in range(piece.start(), piece.end()):
            char = text[at]
            if not _is_kept(char):
                broken = True
                continue
            found = script if script and char in _CONTINUING else _script_of(char)
            # "3.14" is one number, but punctuation between kana or ideographs ends a word.
            if found != script or (broken and found != "other"):
                seams.append(at)
            script = found
            broken = False
        yield from _cut(text, [*seams, piece.end()])


def _script_of(char: str) -> str:
    if _is_ideograph(char):
        return "ideograph"
    code = ord(char)
    return next((name for first, last, name in _KANA if first <= code <= last), "other")


def _korean_units(text: str) -> Iterator[Unit]:
    words, longest = _korean_words()
    for piece in _PIECE.finditer(text):
        begin, end = piece.span()
        stems = range(min(end, begin + longest), begin, -1)
        stem = next((at for at in stems if text[begin:at] in words), end)
        yield from _cut(text, sorted({begin, stem, end}))


@functools.cache
def _korean_words() -> tuple[frozenset[str], int]:
    """Return the dictionary, words of two signs or more, and the length of its longest word."""
    data = importlib.resources.files(__package__) / "data" / "korean_words.txt"
    words = frozenset(data.read_text(encoding="utf-8").split())
    return words, max(map(len, words))


@functools.cache
def _japanese_tagger() -> _Tagger | None:
    try:
        nagisa = importlib.import_module("nagisa")
    except ImportError:
        return None

    def words(text: str) -> Sequence[str]:
        found: list[str] = nagisa.tagging(text).words
        return found

    return words


def _tagged_units(text: str, tagger: _Tagger) -> list[Unit] | None:
    """Lay the words of `nagisa`, which are words of the normalised text, onto the text.

    Returns:
        The units; None if the words are not those of the text.
    """
    normal, starts = _normalized(text)
    # What nagisa does to its input, character by character.
    prepared = normal.replace("İ", "I").replace(" ", "\u3000").rstrip()
    words = tagger(prepared)
    if "".join(words) != prepared:
        return None
    units = []
    at = 0
    for word in words:
        kept = [index for index, char in enumerate(word, start=at) if _is_kept(char)]
        if kept:
            begin, end = starts[kept[0]][0], starts[kept[-1]][1]
            units.append(Unit(text="".join(filter(_is_kept, word)), begin=begin, end=end))
        at += len(word)
    return units


def _normalized(text: str) -> tuple[str, list[tuple[int, int]]]:
    """Bring `text` into Unicode normalisation form NFKC.

    Returns:
        The normalised text, n characters, and for each of them the part of `text` it comes from, begin and end.
    """
    clusters: list[tuple[int, str]] = []
    normals: list[str] = []
    for at, char in enumerate(text):
        normal = unicodedata.normalize("NFKC", char)
        if clusters:
            begin, cluster = clusters[-1]
            joined = unicodedata.normalize("NFKC", cluster + char)
            if unicodedata.combining(normal[0]) or joined != normals[-1] + normal:
                clusters[-1], normals[-1] = (begin, cluster + char), joined
                continue
        clusters.append((at, char))
        normals.append(normal)
    parts = [
        (begin, begin + len(cluster))
        for (begin, cluster), normal in zip(clusters, normals, strict=True)
        for _ in normal
    ]
    return "".join(normals), parts
