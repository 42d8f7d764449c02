# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E501, RUF001
import importlib.util
import sys
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qwen_asr_plugin.alignment import TimedWord, split_words
from qwen_asr_plugin.subtitles.shaping import ShapingOptions, check_shaping, shape_words
from subtitle_hooks import RequestError

STANDARD = ShapingOptions()
FILLERS = ShapingOptions(remove_fillers=True)


def words_of(text):
    return [
        TimedWord(text=unit, start_ms=100 * at, end_ms=100 * at + 80, estimated=True)
        for at, unit in enumerate(split_words(text))
    ]


def shaped(text, language="zh", options=STANDARD):
    return "".join(word.text for word in shape_words(words_of(text), language, options))


KINDS = {
    "digits": "幺九二点幺六八点幺点幺=192.168.1.1 二零零八=2008 零零八=008 二〇二五=2025",
    "values": "一百二十三=123 一千零五=1005 一万五千=15000 两千零二十四=2024 一百二=120 一万二=12000 三百五十万=350万 二十三=23",
    "big values": "三亿=3亿 一亿二千万=1亿2000万 一百万=100万 一千二百三十四万五千六百七十八=12345678",
    "decimals": "三点一四=3.14 零点五=0.5 二十三点五=23.5 三点五万=3.5万 九点五分=9.5分",
    "per cent": "百分之三点五=3.5% 百分之五十=50% 百分之一百=100% 千分之三=3‰",
    "fractions": "三分之二=2/3 十分之一=1/10",
    "ratios": "五十比三十=50:30 三比二=3:2",
    "times": "十点三十分=10:30 九点五分二十秒=09:05:20 三点十五分=03:15 八点零五分=08:05",
    "dates": "二零二五年十月一号=2025年10月1号 二月十四日=2月14日 九月=9月",
    "ranges": "三五百人=300~500人 十五六个=15~16个 四十五六万=45~46万 一百六七=160~170 五六十=50~60 三四十万=30~40万 "
    "两三百块=200~300块",
    "in a row": "十五十六十七=15 16 17 一百零一一百零二=101 102",
    "units": "二十千克=20kg 六十千米每小时=60km/h 三克=3g 三十克=30g 五百克=500g 两千人=2000人 五千米=5千米 五块五=5块5 三天=3天",
    "left alone": "一=一 二=二 零=零 三=三 一个=一个 两个=两个 第一=第一 第三=第三 万一=万一 几百人=几百人 十几个=十几个 "
    "百分之百=百分之百 百分之几=百分之几 八点半=八点半 三点=三点 一万人=一万人 一千米=一千米 十分好=十分好 周三人=周三人 "
    "三比二大=三比二大 七八个=七八个 两点一刻=两点一刻",
    "idioms": "五四运动=五四运动 一点一滴=一点一滴 十二五=十二五 十万八千里=十万八千里 三三两两=三三两两 二百五=二百五 "
    "二百五十=250",
    "traditional": "兩千零二十四=2024 三點一四=3.14 三百萬=300萬 一億二千萬=1億2000萬",
}


@pytest.mark.parametrize("kind", KINDS)
def test_numerals_alone_and_in_a_sentence(kind):
    for case in KINDS[kind].replace("15 16 17", "15_16_17").replace("101 102", "101_102").split():
        spoken, written = case.replace("_", " ").split("=")
        assert shaped(spoken) == written
        assert shaped(f"他说，{spoken}。") == f"他说，{written}。"


def test_words_of_one_number_become_one_word_and_the_others_stay():
    before = words_of("我有二十三本书。")
    after = shape_words(before, "zh", ShapingOptions())
    assert [word.text for word in after] == ["我", "有", "23", "本", "书。"]
    assert (after[2].start_ms, after[2].end_ms) == (before[2].start_ms, before[4].end_ms)
    assert after[0] is before[0]
    assert after[-1] is before[-1]


@pytest.mark.parametrize("language", ["ja", "en", None])
def test_only_chinese_text_is_touched(language):
    before = words_of("二〇二五年、三百円。")
    assert shape_words(before, language, ShapingOptions(script="simplified")) == before


def test_cantonese_is_chinese_and_off_is_off():
    assert shaped("三百二十", "yue") == "320"
    assert shaped("三百二十", options=ShapingOptions(itn=False)) == "三百二十"


@pytest.mark.parametrize(
    ("language", "spoken", "written"),
    [
        ("en", "Um, so I went, uh, home, um.", "So I went, home."),
        ("en", "Uh, um, well. Hmm. Uh-huh, the umbrella. Hm?", "Well. Hmm. Uh-huh, the umbrella. Hm?"),
        ("en", "He hummed. Um. Then he left.", "He hummed. Then he left."),
        ("en", "So, uh, um. Right.", "So. Right."),
        ("zh", "嗯，今天，呃，很好。嗯。呃逆", "今天，很好。嗯。呃逆"),
        ("ja", "えーと、今日は、あのー、いい天気です。あのひと", "今日は、いい天気です。あのひと"),
        ("de", "Ähm, das ist äh gut. Er kam um acht.", "Das ist gut. Er kam um acht."),
        ("fr", "Euh, je ne sais pas, euh.", "Je ne sais pas."),
        ("es", "Eh, este libro. ¿Eh?", "Este libro. ¿Eh?"),
        ("ko", "음, 네.", "음, 네."),
    ],
)
def test_fillers(language, spoken, written):
    assert shaped(spoken, language, FILLERS) == written
    assert shaped(spoken, language) == spoken


def test_profanity_stays():
    assert shaped("Well, shit, um, no.", "en", FILLERS) == "Well, shit, no."


NUMERALS = st.text("零〇一二三四五六七八九十百千万亿点分之比几年月日号个克米第块，。 a1", max_size=30)
ENGLISH = st.lists(
    st.sampled_from(["um", "Um,", "uh.", "uh,", "Hm?", "I", "you,", "went.", "the umbrella,"]), max_size=14
)


@settings(deadline=None, max_examples=250)
@given(text=NUMERALS | ENGLISH.map(" ".join), language=st.sampled_from(["zh", "en"]))
def test_laws(text, language):
    before = words_of(text)
    after = shape_words(before, language, FILLERS)
    for left, right in pairwise(after):
        assert left.end_ms <= right.start_ms
    for word in after:
        assert word.text
        assert word.start_ms in {old.start_ms for old in before}
        assert word.end_ms in {old.end_ms for old in before}
    if language == "zh":  # nothing but numerals and units of weight changes
        changeable = set("零〇一二三四五六七八九十百千万亿点分之比克米0123456789.:~/%‰kg ")

        def rest(words):
            return [sign for word in words for sign in word.text if sign not in changeable]

        assert rest(after) == rest(before)
    else:

        def plain(words):
            found = "".join(word.text for word in words).lower().replace(",", " ").replace(".", " ").split()
            return [word for word in found if word not in {"um", "uh"}]

        assert plain(after) == plain(before)


@pytest.mark.skipif(importlib.util.find_spec("opencc") is None, reason="opencc is not installed")
def test_scripts():
    assert shaped("头发和皇后", options=ShapingOptions(script="traditional")) == "頭髮和皇后"
    before = words_of("頭髮，三百。")
    after = shape_words(before, "zh", ShapingOptions(script="simplified"))
    assert [word.text for word in after] == ["头", "发，", "300。"]


def test_without_opencc_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "opencc", None)
    from qwen_asr_plugin.subtitles.shaping import shape

    shape._converter.cache_clear()
    with pytest.raises(RequestError, match=r"qwen-asr-plugin\[chinese\]"):
        check_shaping(ShapingOptions(script="simplified"))
    check_shaping(ShapingOptions())
