# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: RUF001
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwen_asr_plugin.alignment.weights import speech_weight


@pytest.mark.parametrize(
    ("shorter", "longer"),
    [
        ("a", "strength"),
        ("made", "maddening"),
        ("walk", "nitroglycerine"),
        ("5", "57"),
        ("1000", "1984"),
        ("it", "BBC"),
        ("he", "%"),
        ("好", "你好"),
        ("か", "から"),
        ("пар", "параллель"),
        ("가", "안녕하세요"),
    ],
)
def test_what_takes_longer_to_say_weighs_more(shorter, longer):
    assert speech_weight(shorter) < speech_weight(longer)


@pytest.mark.parametrize(("word", "same"), [("été", "ete"), ("don’t", "dont"), ("(word),", "word"), ("Ünö", "ünö")])
def test_accents_and_punctuation_take_no_time(word, same):
    assert speech_weight(word) == speech_weight(same)


def test_hangul_counts_syllables():
    assert speech_weight("안녕하세요") == pytest.approx(5)


@given(st.text(max_size=30))
def test_every_text_has_a_weight(word):
    assert 0.5 <= speech_weight(word) < 100
