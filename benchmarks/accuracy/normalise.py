# SPDX-License-Identifier: Apache-2.0
"""The one text normalisation behind every word error rate of this project.

Rule: Unicode NFKC; lower case; typographic apostrophes become ``'``; an apostrophe stays only between two
letters or digits (``don't``, not ``'tis`` or ``days'``); every other character that is neither letter, digit nor
mark becomes a space, so ``twelve-cylinder`` is two words. Numbers and spellings are left as they are.
"""

import re
import unicodedata

_APOSTROPHES = str.maketrans({"\N{RIGHT SINGLE QUOTATION MARK}": "'", "\N{MODIFIER LETTER APOSTROPHE}": "'"})
_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")


def normalise(text: str) -> str:
    """Return ``text`` as lower-case words separated by single spaces.

    Args:
        text: Any text.

    Returns:
        The words of ``text``; empty where it holds none.
    """
    folded = unicodedata.normalize("NFKC", text).translate(_APOSTROPHES).lower()
    return " ".join(_WORD.findall(folded))
