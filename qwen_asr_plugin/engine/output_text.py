# SPDX-License-Identifier: Apache-2.0
"""From what the model wrote to language and text, as the official package does it."""

from __future__ import annotations

from typing import Final

from qwen_asr_plugin.languages import try_iso_code

__all__ = ["ASR_TEXT_TAG", "collapse_repetitions", "parse_output"]

ASR_TEXT_TAG: Final = "<asr_text>"

_REPEAT_LIMIT: Final = 20
_MAX_PATTERN: Final = 20


def parse_output(raw: str, forced_language: str | None = None) -> tuple[str | None, str]:
    """Return (ISO code or None, text) from the raw output of one chunk.

    The trained form is ``language English<asr_text>TEXT``, or ``language None<asr_text>`` where nobody speaks; with a
    forced language the prompt already holds everything up to the tag and the output is the text alone.
    """
    raw = collapse_repetitions(raw.strip())
    if forced_language is not None:
        return forced_language, raw.strip()
    meta, tag, text = raw.partition(ASR_TEXT_TAG)
    if not tag:
        return None, raw.strip()
    if "language none" in meta.lower():
        return None, text.strip()
    for line in meta.splitlines():
        words = line.strip()
        if words.lower().startswith("language "):
            return try_iso_code(words[len("language ") :]), text.strip()
    return None, text.strip()


def collapse_repetitions(text: str, limit: int = _REPEAT_LIMIT) -> str:
    """Collapse what a looping model repeats more often than people do.

    Same two passes as the official post-processing: a character more than `limit` times in a row becomes one; a pattern
    of up to 20 characters at least `limit` times in a row becomes one.
    """
    return _collapse_patterns(_collapse_characters(text, limit), limit)


def _collapse_characters(text: str, limit: int) -> str:
    kept: list[str] = []
    at = 0
    while at < len(text):
        end = at + 1
        while end < len(text) and text[end] == text[at]:
            end += 1
        kept.append(text[at] if end - at > limit else text[at:end])
        at = end
    return "".join(kept)


def _collapse_patterns(text: str, limit: int) -> str:
    kept: list[str] = []
    at = 0
    while len(text) - at >= 2 * limit:
        for size in range(1, _MAX_PATTERN + 1):
            pattern = text[at : at + size]
            end = at + size
            while text.startswith(pattern, end):
                end += size
            if (end - at) // size >= limit:
                kept.append(pattern)
                at = end
                break
        else:
            kept.append(text[at])
            at += 1
    return "".join(kept) + text[at:]
