# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: RUF001
import importlib.util
import json
import unicodedata
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from qwen_asr_plugin.alignment import Unit, align_units, units, units_notice

# Language, text and units as the official package cut them.
GOLDEN = json.loads((Path(__file__).parent / "data" / "units_golden.json").read_text(encoding="utf-8"))[1:]
HAS_NAGISA = importlib.util.find_spec("nagisa") is not None
needs_nagisa = pytest.mark.skipif(not HAS_NAGISA, reason="nagisa is not installed")
ODD = (
    " \t\n\u00a0\u2007\u3000\x1c\x85.,!?…-–'’“”«»¿()「」、。，！・3059aBéßñжש你好\U00020bb7㐀豈々〇のカーッﾞﾟゝ"
    "한국ㅋเ\u0e35ガ\u0301\u0323\u3099\u1161\u11ab\u200d\ufe0f😀🏽₂½㍿㌔İ%$"
)
TEXTS = st.text(st.one_of(st.sampled_from(ODD), st.characters(exclude_categories=["Cs"])), max_size=60)
LANGUAGES = ["ko", "zh", "th", None, *(["ja"] if HAS_NAGISA else [])]


def spellings(text, language):
    return [unit.text for unit in align_units(text, language)]


@pytest.fixture
def without_nagisa(monkeypatch):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(units.importlib, "import_module", missing)
    units._japanese_tagger.cache_clear()
    yield
    units._japanese_tagger.cache_clear()


@pytest.mark.parametrize("language", sorted({row[0] for row in GOLDEN} - {"ja"}))
def test_units_are_the_official_ones(language):
    rows = [row for row in GOLDEN if row[0] == language]
    assert [spellings(text, language) for _, text, _ in rows] == [found for *_, found in rows]


@needs_nagisa
def test_japanese_units_are_the_official_ones():
    rows = [row for row in GOLDEN if row[0] == "ja"]
    assert len(rows) > 60
    assert [spellings(text, "ja") for _, text, _ in rows] == [found for *_, found in rows]


def test_unknown_language_is_cut_at_white_space():
    assert spellings("Pi (π) is 3.14, 你好", None) == ["Pi", "π", "is", "314", "你", "好"]


@pytest.mark.parametrize(
    ("text", "language", "parts"),
    [
        (" “3.14”, don't! ", "en", ["3.14", "don't"]),
        ("你3,5好。", "zh", ["你", "3,5", "好"]),
        ("“대한민국의” 수도.", "ko", ["대한민국의", "수도"]),
        ("학교에서!", "ko", ["학교", "에서"]),
    ],
)
def test_units_know_their_part_of_the_text(text, language, parts):
    assert [text[unit.begin : unit.end] for unit in align_units(text, language)] == parts


@needs_nagisa
def test_japanese_units_know_their_part_of_the_text_before_normalisation():
    text = "ｶﾞｲﾄﾞ、㍿か\u3099１２\u3000今日"
    assert [(unit.text, text[unit.begin : unit.end]) for unit in align_units(text, "ja")] == [
        ("ガイド", "ｶﾞｲﾄﾞ"),
        ("株式", "㍿"),
        ("会社", "㍿"),
        ("が", "か\u3099"),
        ("1", "１"),
        ("2", "２"),
        ("今日", "今日"),
    ]


@needs_nagisa
def test_japanese_with_nagisa_needs_no_notice():
    assert units_notice("ja") is None


def test_japanese_without_nagisa_is_cut_by_script(without_nagisa):
    assert spellings("今日はいい天気ですね、はい。スーパーで3.14を、時々ﾃﾞｰﾀ ーバ", "ja") == [
        "今日", "はいい", "天気", "ですね", "はい", "スーパー", "で", "314", "を", "時々", "ﾃﾞｰﾀ", "ーバ",
    ]  # fmt: skip
    assert "nagisa" in units_notice("ja")
    assert units_notice("ko") is None
    assert units_notice(None) is None


def test_words_that_are_not_of_the_text_are_not_used(monkeypatch):
    monkeypatch.setattr(units, "_japanese_tagger", lambda: lambda text: ["天気"])
    assert align_units("今日は", "ja") == [Unit(text="今日", begin=0, end=2), Unit(text="は", begin=2, end=3)]


@settings(deadline=None)  # nagisa takes seconds to load
@given(TEXTS, st.sampled_from(LANGUAGES))
def test_units_spell_the_letters_of_the_text_in_order(text, language):
    found = align_units(text, language)
    spelled = "".join(unit.text for unit in found)
    plain = unicodedata.normalize("NFKC", text).replace("İ", "I") if language == "ja" else text
    assert spelled == "".join(char for char in plain if char == "'" or unicodedata.category(char)[0] in "LN")
    begin = end = 0
    for unit in found:
        assert unit.text
        assert begin <= unit.begin < unit.end <= len(text)
        assert end <= unit.begin or unicodedata.normalize("NFKC", text[unit.begin : end]) != text[unit.begin : end]
        begin, end = unit.begin, unit.end
        if language != "ja":
            part = text[unit.begin : unit.end]
            assert part[0] == unit.text[0]
            assert part[-1] == unit.text[-1]


@given(TEXTS)
def test_script_units_spell_the_letters_of_the_text_in_order(text):
    found = list(units._script_units(text))
    assert "".join(unit.text for unit in found) == "".join(
        char for char in text if char == "'" or unicodedata.category(char)[0] in "LN"
    )
    assert all(one.end <= other.begin for one, other in pairwise(found))


@given(TEXTS)
@example("a\u0315\u0302")  # the second mark belongs to the letter, past the first
def test_normalised_text_knows_where_it_comes_from(text):
    normal, parts = units._normalized(text)
    assert normal == unicodedata.normalize("NFKC", text)
    assert len(parts) == len(normal)
    covered = sorted(set(parts))
    assert [begin for begin, _ in covered] == [0, *(end for _, end in covered)][: len(covered)]
    assert "".join(unicodedata.normalize("NFKC", text[begin:end]) for begin, end in covered) == normal
