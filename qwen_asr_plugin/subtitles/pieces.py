# SPDX-License-Identifier: Apache-2.0
"""The pieces a cue is set from: words without the white space around them, cut where they are wider than a line."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from qwen_asr_plugin.alignment import is_mark

from .width import WidthRule, text_width

__all__ = ["Piece", "collapse_space", "is_non_starter", "join_pieces", "wrap_word"]

# No-break spaces are kept: they hold together what they stand between.
_SPACE: Final = re.compile(r"[^\S\u00a0\u2007\u202f]+")
# C0 and C1 controls and the byte order mark are no text, and subtitle formats cannot hold them.
_CONTROL: Final = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f\ufeff]")
# Closing marks and signs that go on with the sound before (JIS X 4051, the cl-02 to cl-07, cl-09 to cl-11 classes).
_NON_STARTERS: Final = frozenset(
    ",.;:!?%)]}»”’…‰℃、。，．；：！？％）］｝」』】〕〉》〙〗・〜～ー々ゝゞヽヾ"  # noqa: RUF001
    "ぁぃぅぇぉっゃゅょゎゕゖァィゥェォッャュョヮヵヶｧｨｩｪｫｬｭｮｯｰ､｡｣؟،؛।॥"
)
# A word wider than a line is cut behind one of these where that fills at least half of the line.
_WORD_SEAMS: Final = frozenset("/-_.?&=@:")


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A word, or a part of a word too wide for a line, ready to be set.

    Attributes:
        text: Without white space around it, inner white space collapsed.
        space_before: Whether a space stands between it and the piece before it on a line.
        continues: Whether it goes on with the word of the piece before.
        start_ms: Integer milliseconds on the media clock, not before the piece before it.
        end_ms: Not before `start_ms`.
        width: Width of the text by the rule of the norm.
        estimated: See `TimedWord`.
        repaired: See `TimedWord`.
    """

    text: str
    space_before: bool
    continues: bool
    start_ms: int
    end_ms: int
    width: float
    estimated: bool = False
    repaired: bool = False


def collapse_space(text: str) -> str:
    """Write every run of white space as one space, none at the ends; take control characters out.

    No-break spaces stay what they are, except at the ends.
    """
    return _SPACE.sub(" ", _CONTROL.sub("", _SPACE.sub(" ", text))).strip()


def is_non_starter(char: str) -> bool:
    """Say whether no line may begin with `char`: closing punctuation, small kana, length and iteration marks."""
    return char in _NON_STARTERS


def wrap_word(text: str, max_width: float, rule: WidthRule = "columns") -> list[str]:
    """Cut a word that is wider than a line into slices that fit.

    A cut is made behind a ``/``, a hyphen or the like if that leaves the slice half full, else as late as possible;
    between characters as they are seen, and not before a closing mark, unless there is no such place in the line.

    Args:
        text: The word.
        max_width: Width of a line; at least that of one character.
        rule: How widths are counted.

    Returns:
        The slices; put together they are `text`.
    """
    slices = []
    begin = 0
    seam = good_seam = 0  # the last place where a cut harms no combined character, and the last behind a mark
    width = 0.0
    for at, char in enumerate(text):
        if at > begin and not is_mark(char) and text[at - 1] != "\u200d" and char not in _NON_STARTERS:
            seam = at
            if text[at - 1] in _WORD_SEAMS and width * 2 >= max_width:
                good_seam = at
        width += text_width(char, rule)
        while width > max_width and at > begin:  # twice where a cut far ahead leaves too much
            cut = next(place for place in (good_seam, seam, at) if place > begin)
            slices.append(text[begin:cut])
            begin = cut
            width = text_width(text[begin : at + 1], rule)
    slices.append(text[begin:])
    return slices


def join_pieces(pieces: Iterable[Piece]) -> str:
    """Write pieces on one line."""
    text = ""
    for piece in pieces:
        text += (" " if text and piece.space_before else "") + piece.text
    return text
