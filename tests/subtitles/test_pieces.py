# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: RUF001
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from qwen_asr_plugin.subtitles import text_width
from qwen_asr_plugin.subtitles.pieces import collapse_space, wrap_word


@pytest.mark.parametrize(
    ("text", "width"),
    [
        ("", 0),
        ("abc", 3),
        ("你好", 4),
        ("ｱ", 1),
        ("Ａ", 2),
        ("한글", 4),
        ("e\u0301", 1),
        ("a\u200bb", 2),
        ("，", 2),
        ("“", 1),
    ],
)
def test_width(text, width):
    assert text_width(text) == width


@pytest.mark.parametrize(
    ("text", "rule", "width"),
    [
        ("你好 ok", "columns", 7),
        ("你好 ok", "cjk", 3.5),
        ("你好 ok", "characters", 5),
        ("ab", "cjk", 1),
        ("한국어 ", "cjk", 3.5),
        ("ｱ", "cjk", 0.5),
        ("e\u0301", "characters", 1),
    ],
)
def test_width_rules(text, rule, width):
    assert text_width(text, rule) == width


def test_collapse_space():
    assert collapse_space("  a \n\t b\u00a0? \u3000") == "a b\u00a0?"
    assert collapse_space("\x00a\x1fb\ufeff") == "a b"


def test_wrap_keeps_marks_with_their_letter():
    assert wrap_word("abcde\u0301f", 5) == ["abcde\u0301", "f"]
    assert wrap_word("一二三", 5) == ["一二", "三"]
    assert wrap_word("abc", 3) == ["abc"]


def test_wrap_prefers_the_seams_of_a_url_and_spares_closing_marks():
    assert wrap_word("example.org/path-to", 16) == ["example.org/", "path-to"]
    assert wrap_word("一二三四。", 8) == ["一二三", "四。"]
    assert wrap_word("一二三四", 3, "cjk") == ["一二三", "四"]


@given(st.text(min_size=1, max_size=60), st.integers(2, 10))
@example(":0\u4e00", 2)
def test_wrap_laws(text, width):
    slices = wrap_word(text, width)
    assert "".join(slices) == text
    assert all(part and text_width(part) <= width for part in slices)
