# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: RUF001
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwen_asr_plugin.alignment import split_words

# Letters, digits, marks, punctuation and spaces of many scripts, the odd ones more often than by chance.
ODD = (
    " \t\n\u00a0\u2007\u3000.,!?…-–—:;'\"“”«»¿¡()[]「」、。，！·・"
    "3059aBéßñжש你好のカーッทเ\u0e35가\u0301\u200d\ufe0f😀🏽₂%$"
)
TEXTS = st.text(st.one_of(st.sampled_from(ODD), st.characters()), max_size=80)


@pytest.mark.parametrize(
    ("text", "units"),
    [
        ("", []),
        (" \n\u00a0", []),
        ("Hello, world.", ["Hello, ", "world."]),
        ("  Hello\n\nworld \n", ["  Hello\n\n", "world \n"]),
        (
            "Pi is 3.14, at 10:30 in the U.S.A.: https://example.org/a?b=c.",
            ["Pi ", "is ", "3.14, ", "at ", "10:30 ", "in ", "the ", "U.S.A.: ", "https://example.org/a?b=c."],
        ),
        ("“Well-known,” he (word(s)) said", ["“Well-known,” ", "he ", "(word(s)) ", "said"]),
        ("你好，世界。", ["你", "好，", "世", "界。"]),
        ("他说：“3.14元”吗？", ["他", "说：", "“3.14", "元”", "吗？"]),
        ("我用iPhone手机，2023年", ["我", "用", "iPhone", "手", "机，", "2023", "年"]),
        ("Tom，hello 3，000人", ["Tom，", "hello ", "3，000", "人"]),
        ("スーパーで買った。", ["スー", "パー", "で", "買っ", "た。"]),
        ("안녕하세요 여러분.", ["안녕하세요 ", "여러분."]),
        ("เมือง", ["เมื", "อ", "ง"]),
        ("Quoi ? « Oui » – dit-il.", ["Quoi ? ", "« Oui » – ", "dit-il."]),
        ("10\u00a0000 fois\u00a0!", ["10\u00a0000 ", "fois\u00a0!"]),
        ("- Hi. - Yes - no.", ["- Hi. ", "- Yes - ", "no."]),
        ("...", ["..."]),
        ("¿ Qué ?", ["¿ Qué ?"]),
        ("100 % sure 😀 ok", ["100 % ", "sure ", "😀 ", "ok"]),
    ],
)
def test_units(text, units):
    assert list(split_words(text)) == units


@given(TEXTS)
def test_units_give_the_text_back(text):
    units = split_words(text)
    assert "".join(units) == (text if text.strip() else "")
    assert all(unit.strip() for unit in units)


@given(TEXTS)
def test_no_unit_has_words_on_both_sides_of_a_space(text):
    for unit in split_words(text):
        parts = re.split(r"[^\S\u00a0\u2007\u202f]+", unit)
        assert sum(any(char.isalnum() for char in part) for part in parts) <= 1
