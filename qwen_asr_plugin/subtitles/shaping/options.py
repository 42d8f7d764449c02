# SPDX-License-Identifier: Apache-2.0
"""What of a text is shaped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

__all__ = ["CHINESE", "ChineseScript", "ShapingOptions"]

ChineseScript = Literal["simplified", "traditional"]

CHINESE: Final = frozenset({"zh", "yue"})
"""ISO codes of the languages whose numerals and script are Chinese; Japanese, which shares the signs, is none."""


@dataclass(frozen=True, kw_only=True)
class ShapingOptions:
    """What of a text is shaped.

    Attributes:
        itn: Write Chinese numerals as digits (inverse text normalisation), in Chinese and Cantonese only.
        script: Write Chinese and Cantonese in this script; None leaves it as recognised. Needs the package ``opencc``.
        remove_fillers: Leave out hesitations such as "um", in the languages that have a list of them.
    """

    itn: bool = True
    script: ChineseScript | None = None
    remove_fillers: bool = False
