# SPDX-License-Identifier: Apache-2.0
"""ISO 639 codes of the language names that official checkpoints list."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["iso_codes"]

# The thirty names of Qwen3-ASR's ``support_languages``.
_CODES = {
    "Arabic": "ar",
    "Cantonese": "yue",
    "Chinese": "zh",
    "Czech": "cs",
    "Danish": "da",
    "Dutch": "nl",
    "English": "en",
    "Filipino": "fil",
    "Finnish": "fi",
    "French": "fr",
    "German": "de",
    "Greek": "el",
    "Hindi": "hi",
    "Hungarian": "hu",
    "Indonesian": "id",
    "Italian": "it",
    "Japanese": "ja",
    "Korean": "ko",
    "Macedonian": "mk",
    "Malay": "ms",
    "Persian": "fa",
    "Polish": "pl",
    "Portuguese": "pt",
    "Romanian": "ro",
    "Russian": "ru",
    "Spanish": "es",
    "Swedish": "sv",
    "Thai": "th",
    "Turkish": "tr",
    "Vietnamese": "vi",
}


def iso_codes(names: Iterable[str]) -> tuple[str, ...]:
    """Return the codes of the names that are known, in the same order; unknown names are left out."""
    return tuple(_CODES[name] for name in names if name in _CODES)
