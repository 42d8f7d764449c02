# SPDX-License-Identifier: Apache-2.0
"""Names under which media files and users know the languages that can be recognised."""

from __future__ import annotations

from typing import Final

__all__ = ["same_language"]

_NAMES: Final[tuple[tuple[str, ...], ...]] = (
    ("zh", "zho", "chi", "cmn", "chinese", "mandarin"),
    ("en", "eng", "english"),
    ("yue", "zh-yue", "cantonese"),
    ("ar", "ara", "arb", "arabic"),
    ("de", "deu", "ger", "german"),
    ("fr", "fra", "fre", "french"),
    ("es", "spa", "spanish", "castilian"),
    ("pt", "por", "portuguese"),
    ("id", "ind", "in", "indonesian"),
    ("it", "ita", "italian"),
    ("ko", "kor", "korean"),
    ("ru", "rus", "russian"),
    ("th", "tha", "thai"),
    ("vi", "vie", "vietnamese"),
    ("ja", "jpn", "japanese"),
    ("tr", "tur", "turkish"),
    ("hi", "hin", "hindi"),
    ("ms", "msa", "may", "zsm", "malay"),
    ("nl", "nld", "dut", "dutch", "flemish"),
    ("sv", "swe", "swedish"),
    ("da", "dan", "danish"),
    ("fi", "fin", "finnish"),
    ("pl", "pol", "polish"),
    ("cs", "ces", "cze", "czech"),
    ("fil", "tl", "tgl", "filipino", "tagalog"),
    ("fa", "fas", "per", "pes", "persian", "farsi"),
    ("el", "ell", "gre", "greek"),
    ("ro", "ron", "rum", "mo", "mol", "romanian"),
    ("hu", "hun", "hungarian"),
    ("mk", "mkd", "mac", "macedonian"),
)
"""One row a language: ISO 639-1, 639-2/T, 639-2/B, 639-3 of the main variety, withdrawn codes, English names."""

_ROW: Final = {name: row[0] for row in _NAMES for name in row}


def same_language(left: str, right: str) -> bool:
    """Say whether two language tags mean the same language, whatever standard each follows; regions are ignored."""
    return _canonical(left) == _canonical(right)


def _canonical(tag: str) -> str:
    name = tag.strip().lower().replace("_", "-")
    return _ROW.get(name) or _ROW.get(name.partition("-")[0], name.partition("-")[0])
