# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: RUF001
from itertools import accumulate

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from qwen_asr_plugin.alignment import Unit, align_units, split_words
from qwen_asr_plugin.alignment.reconcile import reconcile

ODD = (
    " \t\n\u00a0\u2007\u3000.,!?…-–'’“”«»¿()「」、。，！・3059aBéßñж你好々〇のカーッﾞ한국ㅋเ\u0e35ש\u05b8م\u064e\u202e"
    "\u0301\u3099\u1161\u11ab\u200d\ufe0f😀🏽👩₂½㍿㌔İ%$"
)
TEXTS = st.text(st.one_of(st.sampled_from(ODD), st.characters(exclude_categories=["Cs"])), max_size=60)
CODES = st.sampled_from(["en", "zh", "ko", "ja", None])


def words_of(text, language=None, units=None):
    units = align_units(text, language) if units is None else units
    return [(word.text, [unit.text for unit in units[word.first : word.last]]) for word in reconcile(text, units)]


@pytest.mark.parametrize(
    ("text", "language", "words"),
    [
        ("", "en", []),
        (" \n", "en", []),
        ("...", "en", [("...", [])]),
        ("It's 3.14!", "en", [("It's ", ["It's"]), ("3.14!", ["314"])]),
        ("“Well-known,” he (word(s)) said", None,
         [("“Well-known,” ", ["Wellknown"]), ("he ", ["he"]), ("(word(s)) ", ["words"]), ("said", ["said"])]),
        ("10\u00a0000 fois\u00a0!", "fr", [("10\u00a0000 ", ["10", "000"]), ("fois\u00a0!", ["fois"])]),
        ("你好，iPhone手机。", "zh",
         [("你", ["你"]), ("好，", ["好"]), ("iPhone", ["iPhone"]), ("手", ["手"]), ("机。", ["机"])]),
        ("Tom，hello 3，000人", "zh", [("Tom，hello ", ["Tomhello"]), ("3，000", ["3000"]), ("人", ["人"])]),
        ("학교에서 공부!", "ko", [("학교에서 ", ["학교", "에서"]), ("공부!", ["공부"])]),
        ("Sure 😀 ok 👩\u200d👧.", "en", [("Sure ", ["Sure"]), ("😀 ", []), ("ok ", ["ok"]), ("👩\u200d👧.", [])]),
        ("שלום, עולם!", None, [("שלום, ", ["שלום"]), ("עולם!", ["עולם"])]),
    ],
)  # fmt: skip
def test_words_hold_their_units(text, language, words):
    assert words_of(text, language) == words


def test_a_unit_joins_the_words_it_reaches_over():
    units = [Unit(text="今日", begin=1, end=3), Unit(text="は", begin=3, end=4), Unit(text="天気", begin=5, end=7)]
    assert words_of("「今日は、天気」だ", units=units) == [
        ("「今日", ["今日"]), ("は、", ["は"]), ("天気」", ["天気"]), ("だ", []),
    ]  # fmt: skip


def test_units_of_one_sign_are_in_one_word():
    units = [Unit(text="株式", begin=0, end=1), Unit(text="会社", begin=0, end=1), Unit(text="が", begin=1, end=2)]
    assert words_of("㍿が", units=units) == [("㍿", ["株式", "会社"]), ("が", ["が"])]


@pytest.mark.parametrize("parts", [[(0, 0)], [(1, 4)], [(1, 2), (0, 1)], [(0, 2), (1, 1)], [(0, 3), (1, 2)], [(-1, 1)]])
def test_units_of_another_text_are_refused(parts):
    with pytest.raises(ValueError, match="does not belong"):
        reconcile("abc", [Unit(text="x", begin=begin, end=end) for begin, end in parts])


def test_units_of_a_blank_text_are_refused():
    with pytest.raises(ValueError, match="does not belong"):
        reconcile("  ", [Unit(text="x", begin=0, end=1)])


def check_laws(text, units):
    words = reconcile(text, units)
    assert "".join(word.text for word in words).encode() == (text if text.strip() else "").encode()
    assert [word.first for word in words] == [0, *(word.last for word in words)][: len(words)]
    assert (words[-1].last if words else 0) == len(units)
    ends = list(accumulate(len(word.text) for word in words))
    assert set(ends) <= set(accumulate(map(len, split_words(text)))), "one rule for punctuation"
    for word, end in zip(words, ends, strict=True):
        for unit in units[word.first : word.last]:
            assert end - len(word.text) <= unit.begin < unit.end <= end
    kept = set(ends)
    for end in accumulate(map(len, split_words(text))):
        assert end in kept or any(unit.begin < end < unit.end for unit in units), "no word is joined without need"


@settings(deadline=None)  # nagisa takes seconds to load
@given(TEXTS, CODES)
@example("한국어 日本語 English, 👩\u200d👩\u200d👧 שָׁלוֹם e\u0301", "ja")
def test_laws(text, language):
    check_laws(text, align_units(text, language))


@given(TEXTS, st.data())
def test_laws_hold_for_any_units_of_the_text(text, data):
    """Not only those we cut: overlapping ones and ones over many words too."""
    if not text.strip():
        return
    ranges = st.tuples(st.integers(0, len(text) - 1), st.integers(1, 12))
    pairs = sorted(data.draw(st.lists(ranges, max_size=12)))
    units, last = [], 0
    for begin, length in pairs:
        last = max(last, min(len(text), begin + length))
        if not text[begin].isspace():
            units.append(Unit(text="x", begin=begin, end=last))
    check_laws(text, units)
