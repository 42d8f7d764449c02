# SPDX-License-Identifier: Apache-2.0
"""File names that mean the same on every system: what Windows, macOS and Linux all take, and keep as it is."""

from __future__ import annotations

import re
import unicodedata

__all__ = ["name_fault", "same_name_key"]

_RESERVED = re.compile(r"(?:CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|(?:COM|LPT)[0-9¹²³])", re.IGNORECASE)
_FORBIDDEN = re.compile(r'[<>:"|?*\\/\x00-\x1f\x7f]')
_LONGEST_BYTES = 255


def name_fault(name: str) -> str:
    """Return what is wrong with the name of one file or folder, or nothing.

    The rules are those of Windows (reserved device names, forbidden letters, no dot or blank at the end), and the 255
    bytes of most file systems.
    """
    if name in ("", ".", ".."):
        return "is no name"
    found = _FORBIDDEN.search(name)
    if found:
        return f"has the letter {found[0]!r}"
    if name[-1] in ". ":
        return "ends with a dot or a blank"
    if _RESERVED.fullmatch(name.split(".", 1)[0].rstrip(" ")):
        return "is the name of a device on Windows"
    if len(name.encode("utf-8", "surrogateescape")) > _LONGEST_BYTES:
        return "is too long"
    return ""


def same_name_key(name: str) -> str:
    """Return a key that is equal for names which some file system takes for one: case and accents are folded."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
