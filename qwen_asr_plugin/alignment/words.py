# SPDX-License-Identifier: Apache-2.0
"""Words with times, and how a text is cut into words.

A word's text is a slice of the recognised text: its letters, the punctuation that belongs to it and the white space
after it (the first word also has the white space the text begins with). So the texts of all words, put together, give
the recognised text back byte for byte.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from .scripts import is_character_script, is_glue, is_opening, is_punctuation

__all__ = ["TimedWord", "split_words"]

# No-break spaces hold together what they stand between ("10 000", French "Quoi ?").
_TOKEN: Final = re.compile(r"\s*(?:[^\s]|[\u00a0\u2007\u202f])+[^\S\u00a0\u2007\u202f]*")
_DASHES: Final = frozenset("-‐‑‒–—―")  # noqa: RUF001
_SENTENCE_MARKS: Final = frozenset(".!?…。！？")  # noqa: RUF001


@dataclass(frozen=True, kw_only=True)
class TimedWord:
    """One word and when it is said.

    Attributes:
        text: Slice of the recognised text, with its punctuation and the white space after it.
        start_ms: Integer milliseconds on the media clock.
        end_ms: Not before `start_ms`; equal to it where an aligner gave the word no length.
        estimated: True when the times come from a model of speaking rates, False when they were measured.
        repaired: True when an aligner measured the word, but its times were impossible and had to be changed.
    """

    text: str
    start_ms: int
    end_ms: int
    estimated: bool
    repaired: bool = False


def split_words(text: str) -> tuple[str, ...]:
    """Cut a text into the units that get a time each.

    White space separates words. Scripts without spaces (Han, kana, Thai, Lao, Khmer, Myanmar) are cut by written
    sign; small kana and length marks stay with the sign before. Punctuation goes with the word it belongs to: opening
    brackets with the next, everything else with the one before, also across a space (French ``Quoi ?``), so that no
    unit is punctuation only unless the whole text is. Numbers, times, URLs and abbreviations stay in one piece.

    Args:
        text: Any text.

    Returns:
        The units; put together they are `text`. Empty when `text` is blank.
    """
    if not text.strip():
        return ()
    pieces = [piece for token in _TOKEN.findall(text) for piece in _split_token(token)]
    units: list[str] = []
    prefix = ""
    for piece in pieces:
        if _has_substance(piece):
            units.append(prefix + piece)
            prefix = ""
        elif not units or prefix or _goes_with_next(piece, units[-1]):
            prefix += piece
        else:
            units[-1] += piece
    if prefix and units:
        units[-1] += prefix
    elif prefix:
        units.append(prefix)
    return tuple(units)


def _split_token(token: str) -> list[str]:
    """Cut one white-space separated token where a sign of a script without spaces begins or ends."""
    pieces = []
    begin = 0
    host = ""  # the last letter or digit before the seam
    for at, (before, after) in enumerate(pairwise(token), start=1):
        if not before.isspace() and not is_punctuation(before) and unicodedata.category(before)[0] != "M":
            host = before
        if host and _is_seam(before, after, host):
            pieces.append(token[begin:at])
            begin = at
            host = ""
    pieces.append(token[begin:])
    return pieces


def _is_seam(before: str, after: str, host: str) -> bool:
    if after.isspace() or is_glue(before, after) or is_opening(before):
        return False
    if is_punctuation(after):
        return is_opening(after) and is_character_script(host)
    if is_character_script(after) or is_character_script(host):
        return True
    # A full-width comma between Latin words ends a word like a comma and a space; between digits it groups them.
    is_full_width = is_punctuation(before) and unicodedata.east_asian_width(before) in "WF"
    return is_full_width and not (host.isdigit() and after.isdigit())


def _has_substance(piece: str) -> bool:
    return any(not char.isspace() and unicodedata.category(char)[0] not in "PMZC" for char in piece)


def _goes_with_next(piece: str, previous: str) -> bool:
    mark = piece.strip()
    if not mark:
        return False
    # A dash after a finished sentence announces the next speaker.
    if all(char in _DASHES for char in mark):
        return previous.rstrip()[-1:] in _SENTENCE_MARKS
    return is_opening(mark[0])
