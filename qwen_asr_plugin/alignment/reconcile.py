# SPDX-License-Identifier: Apache-2.0
"""Which units of an aligner belong to which word of the text as punctuated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from .units import Unit
from .words import split_words

__all__ = ["WordUnits", "reconcile"]


@dataclass(frozen=True, kw_only=True)
class WordUnits:
    """A word and the units in it.

    Attributes:
        text: Slice of the text, with punctuation and white space as `split_words` gives them to a word.
        first: Index of its first unit.
        last: Index after its last unit; equal to `first` where nothing in the word can be said (an emoji).
    """

    text: str
    first: int
    last: int


def reconcile(text: str, units: Sequence[Unit]) -> tuple[WordUnits, ...]:
    """Cut a text into words that hold whole units.

    Words are those of `split_words`, joined where a unit reaches into the next one ("天気" is two words there, and
    one unit of Japanese). So every rule about punctuation and white space is the one of `split_words`, and the texts
    of the words, put together, are `text`.

    Args:
        text: What was recognised.
        units: Its units, see `align_units`.

    Returns:
        The words in order; every unit is in exactly one. Empty when `text` is blank.

    Raises:
        ValueError: The units are not in order, or not of this text.
    """
    _check(text, units)
    pieces = split_words(text)
    words = []
    begin = first = at = 0
    for end in accumulate(map(len, pieces)):
        while at < len(units) and units[at].begin < end:
            at += 1
        if at and units[at - 1].end > end:
            continue
        words.append(WordUnits(text=text[begin:end], first=first, last=at))
        begin, first = end, at
    return tuple(words)


def _check(text: str, units: Sequence[Unit]) -> None:
    begin = end = 0
    for unit in units:
        if not (begin <= unit.begin < unit.end <= len(text) and end <= unit.end) or text[unit.begin].isspace():
            raise ValueError(f"The unit {unit.text!r} at {unit.begin} to {unit.end} does not belong here.")
        begin, end = unit.begin, unit.end
