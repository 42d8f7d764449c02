# SPDX-License-Identifier: Apache-2.0
"""How words fill the lines of a cue."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from qwen_asr_plugin.alignment import Boundary, is_mark

from .norm import Norm

__all__ = ["LineFill", "Piece", "break_cost", "break_lines", "collapse_space", "join_pieces", "text_width", "wrap_word"]

# No-break spaces are kept: they hold together what they stand between.
_SPACE: Final = re.compile(r"[^\S\u00a0\u2007\u202f]+")
# C0 and C1 controls and the byte order mark are no text, and subtitle formats cannot hold them.
_CONTROL: Final = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f\ufeff]")
_INVISIBLE_CATEGORIES: Final = frozenset(("Mn", "Me", "Cc", "Cf"))

# Cost of a break, 1 being a break between two plain words. Sentences that share a cue get a line each, balanced or not.
_BREAK_COST: Final = {
    Boundary.TIGHT: 2.5,
    Boundary.NONE: 1.0,
    Boundary.PHRASE: 0.6,
    Boundary.CLAUSE: 0.3,
    Boundary.SENTENCE: -2.0,
}
_INSIDE_WORD_COST: Final = 4.0
# How much a line may deviate from the mean (in full lines, squared) for a better break.
_BALANCE_COST: Final = 7.0


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A word, or a part of a word too wide for a line, ready to be set.

    Attributes:
        text: Without white space around it, inner white space collapsed.
        space_before: Whether a space stands between it and the piece before it on a line.
        continues: Whether it goes on with the word of the piece before.
        start_ms: Integer milliseconds on the media clock.
        end_ms: Not before `start_ms`.
        language: Language of the text, None where unknown.
    """

    text: str
    space_before: bool
    continues: bool
    start_ms: int
    end_ms: int
    language: str | None

    @cached_property
    def width(self) -> int:
        """Columns of the text."""
        return text_width(self.text)


def text_width(text: str) -> int:
    """Count the columns of a text: wide and full-width characters two, invisible and combining ones none.

    Widths are those of Unicode Standard Annex 11 (East Asian Width).
    """
    if text.isascii() and text.isprintable():
        return len(text)
    return sum(_char_width(char) for char in text)


def _char_width(char: str) -> int:
    if unicodedata.category(char) in _INVISIBLE_CATEGORIES:
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def collapse_space(text: str) -> str:
    """Write every run of white space as one space, none at the ends; take control characters out.

    No-break spaces stay what they are, except at the ends.
    """
    return _SPACE.sub(" ", _CONTROL.sub("", _SPACE.sub(" ", text))).strip()


def wrap_word(text: str, max_width: int) -> list[str]:
    """Cut a word that is wider than a line into slices that fit, between characters as they are seen if possible."""
    slices = []
    begin = width = 0
    seam = 0  # the last place where a cut harms no combined character
    for at, char in enumerate(text):
        if at > begin and not is_mark(char) and text[at - 1] != "\u200d":
            seam = at
        width += _char_width(char)
        if width > max_width and at > begin:
            cut = seam if seam > begin else at
            slices.append(text[begin:cut])
            begin = cut
            width = text_width(text[begin : at + 1])
    slices.append(text[begin:])
    return slices


class LineFill:
    """Fills lines greedily, which finds the fewest lines; tells when the next piece needs one too many."""

    def __init__(self, norm: Norm) -> None:
        self._norm = norm
        self._lines = 0
        self._column = 0

    def add(self, piece: Piece) -> bool:
        """Set one more piece; False when the cue has no room for it."""
        column = self._column + piece.space_before + piece.width
        if not self._lines or column > self._norm.max_chars_per_line:
            self._lines += 1
            column = piece.width
        self._column = column
        return self._lines <= self._norm.max_lines

    @property
    def lines(self) -> int:
        """How many lines the pieces need so far."""
        return self._lines


def join_pieces(pieces: Sequence[Piece]) -> str:
    """Write pieces on one line."""
    if not pieces:
        return ""
    return pieces[0].text + "".join((" " if piece.space_before else "") + piece.text for piece in pieces[1:])


def break_cost(end: Boundary, after: Piece) -> float:
    """Price of a break before a piece, given what ends there: least after a sentence, most inside a word."""
    return _INSIDE_WORD_COST if after.continues else _BREAK_COST[end]


def break_lines(pieces: Sequence[Piece], ends: Sequence[Boundary], norm: Norm) -> list[str]:
    """Break the pieces of one cue into the fewest lines, balanced, at the best places.

    Args:
        pieces: n pieces that fit into one cue.
        ends: What ends after each of them; n values.
        norm: Width of a line.

    Returns:
        The lines, none wider than `Norm.max_chars_per_line`.
    """
    fill = LineFill(norm)
    for piece in pieces:
        fill.add(piece)
    count = fill.lines
    if count <= 1:
        return [join_pieces(pieces)]
    total = len(pieces)
    widths = [0]
    for piece in pieces:
        widths.append(widths[-1] + piece.space_before + piece.width)
    ideal = widths[-1] / count

    # best[at]: cheapest way to set pieces[:at] into the lines so far, and where the last of these begins.
    best: dict[int, tuple[float, list[int]]] = {0: (0.0, [])}
    for line in range(1, count + 1):
        longer: dict[int, tuple[float, list[int]]] = {}
        for begin, (cost, begins) in best.items():
            for end in range(begin + 1, total + 1):
                width = widths[end] - widths[begin] - pieces[begin].space_before
                if width > norm.max_chars_per_line:
                    break
                if (end == total) != (line == count):
                    continue
                price = cost + _BALANCE_COST * ((width - ideal) / norm.max_chars_per_line) ** 2
                if end < total:
                    price += break_cost(ends[end - 1], pieces[end])
                if end not in longer or price < longer[end][0]:
                    longer[end] = (price, [*begins, begin])
        best = longer
    begins = best[total][1]
    return [join_pieces(pieces[begin:end]) for begin, end in zip(begins, [*begins[1:], total], strict=True)]
