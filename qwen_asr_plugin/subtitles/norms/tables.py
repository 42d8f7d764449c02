# SPDX-License-Identifier: Apache-2.0
"""The norms this project knows, as data. ``docs/cues.md`` names the sources and what each number means."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from .norm import Norm

__all__ = ["NORMS"]

# Netflix Timed Text Style Guides, by language: characters of a line, characters per second of adult programmes.
# English: article 217350977; Simplified Chinese: 215986007; Japanese: 215767517; Korean: 216001127. The reading speeds
# that the articles leave out are those of Subtitle Edit's Netflix quality check (libse, NetflixQualityController).
_CHINESE: Final = {"max_chars_per_line": 16, "width": "characters", "chars_per_second": 9}
_NETFLIX_LANGUAGES: Final[Mapping[str, Mapping[str, Any]]] = {
    "en": {"chars_per_second": 20},
    "zh": _CHINESE,
    "yue": _CHINESE,
    # Half-width characters count half. Four characters a second is a speed for edited translations.
    "ja": {"max_chars_per_line": 13, "width": "cjk", "chars_per_second": 4},
    # Latin letters, spaces and punctuation count half.
    "ko": {"max_chars_per_line": 16, "width": "cjk", "chars_per_second": 12},
    "th": {"max_chars_per_line": 35},
    "ar": {"chars_per_second": 20},
    "hi": {"chars_per_second": 22},
}
# General Requirements (article 215758617): 5/6 s to 7 s, two lines, two frames between cues. Timing guidelines: a cue
# may stay 12 frames after its last word, and gaps of 3 to 11 frames are closed. Frames at 24 per second.
_NETFLIX: Final[Mapping[str, Any]] = {}

# Speech as it is said, for any screen: the numbers of Netflix, with Japanese at the speed and width that its guide has
# for subtitles in the language of the programme, and Latin letters in Chinese lines counted as wide as they are.
_DEFAULT_LANGUAGES: Final[Mapping[str, Mapping[str, Any]]] = {
    **_NETFLIX_LANGUAGES,
    "zh": {**_CHINESE, "width": "cjk"},
    "yue": {**_CHINESE, "width": "cjk"},
    "ja": {"max_chars_per_line": 16, "width": "cjk", "chars_per_second": 7},
}

# BBC Subtitle Guidelines: two lines of 37 characters (teletext, and the rule of thumb for fixed-width type online);
# 160 to 180 words per minute, 180 words of 5.7 characters with their space being 17 characters per second (section
# 4.1); about 1 s for a word, 7 to 8 s for two full lines; a pause is shown if it is 1 s long, shorter ones are closed
# (4.5), up to 1.5 s after the speech (5.2).
_BBC: Final[Mapping[str, Any]] = {
    "max_chars_per_line": 37,
    "min_duration_ms": 1000,
    "max_duration_ms": 8000,
    "min_gap_ms": 0,
    "max_extension_ms": 1500,
    "close_gap_ms": 1000,
    "split_pause_ms": 1000,
}

# TED Translators cheat sheet: 1 to 7 s, 21 characters per second, two lines of 42, and no cue that ends one sentence
# and begins another. It leaves other scripts than Latin to the people of a language; these have the Netflix numbers.
_TED: Final[Mapping[str, Any]] = {"min_duration_ms": 1000, "chars_per_second": 21}
_TED_LANGUAGES: Final = {code: numbers for code, numbers in _NETFLIX_LANGUAGES.items() if "width" in numbers}

# A cue for every sentence with the times of its words, for programs that do their own layout.
_RAW: Final[Mapping[str, Any]] = {
    "max_lines": None,
    "max_chars_per_line": None,
    "min_duration_ms": 1,
    "max_duration_ms": None,
    "min_gap_ms": 0,
    "max_extension_ms": 0,
    "close_gap_ms": 0,
    "chars_per_second": None,
    "split_pause_ms": 2000,
}


def _family(
    name: str, common: Mapping[str, Any], languages: Mapping[str, Mapping[str, Any]] = MappingProxyType({})
) -> Norm:
    variants = {
        code: Norm(name=f"{name}-{code}", language=code, **{**common, **numbers}) for code, numbers in languages.items()
    }
    return Norm(name=name, variants=MappingProxyType(variants), **common)


NORMS: Final[Mapping[str, Norm]] = MappingProxyType(
    {
        norm.name: norm
        for norm in (
            _family("default", {}, _DEFAULT_LANGUAGES),
            _family("netflix", _NETFLIX, _NETFLIX_LANGUAGES),
            _family("bbc", _BBC),
            _family("ted", _TED, _TED_LANGUAGES),
            _family("raw", _RAW),
        )
    }
)
"""Every norm by its name, the one for languages without numbers of their own; the others are in its `variants`."""
