# SPDX-License-Identifier: Apache-2.0
"""How wide a text is, by each of the rules that subtitle norms count with."""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from typing import Final, Literal, get_args

__all__ = ["WIDTH_RULES", "WidthRule", "text_width"]

WidthRule = Literal["columns", "cjk", "characters"]
"""How a line is measured, see `text_width`."""

WIDTH_RULES: Final[tuple[WidthRule, ...]] = get_args(WidthRule)
_INVISIBLE_CATEGORIES: Final = frozenset(("Mn", "Me", "Cc", "Cf"))


def text_width(text: str, rule: WidthRule = "columns") -> float:
    """Measure one line of text. Invisible and combining characters have no width by any rule.

    What is wide follows Unicode Standard Annex 11 (East Asian Width, classes W and F).

    Args:
        text: A line without line breaks.
        rule: ``columns`` counts a wide character 2 and any other 1, like a terminal; ``cjk`` counts them 1 and 0.5,
            as the Netflix guides for Japanese and Korean do; ``characters`` counts every character 1.

    Returns:
        The width in units of the rule; a whole number, or a multiple of 0.5 for ``cjk``.
    """
    if text.isascii() and text.isprintable():
        return len(text) / 2 if rule == "cjk" else len(text)
    if rule == "characters":
        return sum(_columns(char) > 0 for char in text)
    columns = sum(map(_columns, text))
    return columns / 2 if rule == "cjk" else columns


@lru_cache(maxsize=4096)
def _columns(char: str) -> int:
    if unicodedata.category(char) in _INVISIBLE_CATEGORIES:
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1
