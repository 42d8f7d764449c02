# SPDX-License-Identifier: Apache-2.0
"""Text that no format can take for something else, without losing a visible character."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

__all__ = ["WORD_JOINER", "clean_line", "clean_lines"]

WORD_JOINER: Final = "\u2060"
"""Has no width and forbids no more than a line break; put into a sequence, it ends its special meaning."""

_LINE_BREAK: Final = re.compile(r"\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")
# C0 and C1 controls and DEL, the byte order mark, and the two code points XML has no place for.
_FORBIDDEN: Final = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f\ufeff\ufffe\uffff]")
_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")
# Embeddings and isolates with what ends them; overrides, which show other words than those that are there.
_POP_EMBEDDING: Final = "\u202c"
_POP_ISOLATE: Final = "\u2069"
_ENDS: Final = {
    "\u202a": _POP_EMBEDDING,
    "\u202b": _POP_EMBEDDING,
    "\u2066": _POP_ISOLATE,
    "\u2067": _POP_ISOLATE,
    "\u2068": _POP_ISOLATE,
}
_OVERRIDES: Final = ("\u202d", "\u202e")
_BIDI: Final = re.compile(r"[\u202a-\u202e\u2066-\u2069]")
_INVISIBLE: Final = frozenset(("Cc", "Cf", "Zs", "Zl", "Zp"))


def clean_lines(text: str) -> list[str]:
    """Split a cue's text into lines that every format can hold.

    Every character that some program takes for a line break is one; blank lines go, tabs become spaces, control
    characters go, lone surrogates (which UTF-8 cannot encode) become U+FFFD.

    Returns:
        Lines without surrounding white space; none when nothing visible is left.
    """
    return [line for part in _LINE_BREAK.split(text) if (line := clean_line(part))]


def clean_line(text: str) -> str:
    """Clean one line, see `clean_lines`; empty when nothing in it is visible.

    Marks of direction (U+200E, U+200F, U+061C) stay, and so do embeddings and isolates, which keep mixed scripts in
    order; they are closed where they are open at the end of the line, since a line is a paragraph of its own. Overrides
    go: no speech needs them, and they can show other words than those that are there.
    """
    text = _SURROGATE.sub("\ufffd", _FORBIDDEN.sub("", text.replace("\t", " "))).strip()
    if _BIDI.search(text):
        text = _balance(text)
    return text if any(unicodedata.category(char) not in _INVISIBLE for char in text) else ""


def _balance(text: str) -> str:
    kept: list[str] = []
    open_ends: list[str] = []
    for char in text:
        if char in _OVERRIDES:
            open_ends.append("")  # what ends it goes, too
        elif char in _ENDS:
            open_ends.append(_ENDS[char])
            kept.append(char)
        elif char == _POP_ISOLATE:
            if _POP_ISOLATE in open_ends:  # closes every embedding inside it
                while open_ends.pop() != _POP_ISOLATE:
                    pass
                kept.append(char)
        elif char == _POP_EMBEDDING:
            if open_ends and open_ends[-1] != _POP_ISOLATE:
                kept.append(open_ends.pop())
        else:
            kept.append(char)
    return "".join(kept + open_ends[::-1])
