# SPDX-License-Identifier: Apache-2.0
"""Shapes the words of a transcript before cues are built from them."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from qwen_asr_plugin.alignment import TimedWord
from subtitle_hooks import RequestError

from .edits import apply_edits
from .fillers import FILLER_LANGUAGES, find_fillers
from .itn import find_numerals
from .options import CHINESE, ChineseScript, ShapingOptions

__all__ = ["check_shaping", "shape_words"]

_TABLES: Final[dict[ChineseScript, str]] = {"simplified": "t2s", "traditional": "s2t"}


def check_shaping(options: ShapingOptions) -> None:
    """Make sure before the long work that `shape_words` can do what is asked.

    Raises:
        RequestError: Script conversion is asked for, and the package for it is not installed.
    """
    if options.script is not None:
        _converter(options.script)


def shape_words(words: Sequence[TimedWord], language: str | None, options: ShapingOptions) -> list[TimedWord]:
    """Write numerals, script and hesitations as asked; what nothing is asked about stays character by character.

    Words that are written as one (二 十 三: 23) become one word with the time of them all.

    Args:
        words: Words of one stretch of speech in time order; their texts put together are its text.
        language: Their ISO code; None where unknown, which leaves them as they are.
        options: What to shape.

    Returns:
        Words in the same order, with times of the words given.

    Raises:
        RequestError: As for `check_shaping`.
    """
    shaped = list(words)
    if options.remove_fillers and language in FILLER_LANGUAGES:
        shaped = apply_edits(shaped, find_fillers(_text(shaped), language))
    if language in CHINESE:
        if options.itn:
            shaped = apply_edits(shaped, find_numerals(_text(shaped)))
        if options.script is not None:
            shaped = _converted(shaped, _converter(options.script))
    return shaped


def _text(words: Sequence[TimedWord]) -> str:
    return "".join(word.text for word in words)


def _converted(words: Sequence[TimedWord], convert: Callable[[str], str]) -> list[TimedWord]:
    before = _text(words)
    after = convert(before)
    texts: list[str] = []
    if len(after) == len(before):  # what a sign becomes depends on its neighbours
        at = 0
        for word in words:
            texts.append(after[at : at + len(word.text)])
            at += len(word.text)
    else:
        texts = [convert(word.text) for word in words]
    return [
        word if word.text == text else replace(word, text=text) for word, text in zip(words, texts, strict=True) if text
    ]


@functools.lru_cache(maxsize=2)
def _converter(script: ChineseScript) -> Callable[[str], str]:
    try:
        opencc = importlib.import_module("opencc")
    except ImportError as error:
        raise RequestError(
            "Conversion between simplified and traditional Chinese needs the package opencc, which is not installed.",
            hint="pip install 'qwen-asr-plugin[chinese]'",
        ) from error
    convert: Callable[[str], str] = opencc.OpenCC(_TABLES[script]).convert
    return convert
