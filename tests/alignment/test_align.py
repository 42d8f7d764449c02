# SPDX-License-Identifier: Apache-2.0
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qwen_asr_plugin.alignment import align_units, align_words
from qwen_asr_plugin.audio import SpeechSpan


def make_spans(*pairs):
    return [SpeechSpan(start_ms=start, end_ms=end) for start, end in pairs]


def aligned(text, slots, *spans, language="en", start_ms=0, end_ms=10_000):
    words = align_words(text, align_units(text, language), slots, make_spans(*spans), start_ms=start_ms, end_ms=end_ms)
    return [(word.text, word.start_ms, word.end_ms, word.estimated, word.repaired) for word in words]


def test_predicted_times_are_taken_as_they_are():
    assert aligned("Hello, world.", [80, 400, 480, 960], start_ms=1000) == [
        ("Hello, ", 1080, 1400, False, False),
        ("world.", 1480, 1960, False, False),
    ]


def test_times_out_of_order_are_repaired():
    assert aligned("One two three", [80, 400, 8000, 720, 800, 960]) == [
        ("One ", 80, 400, False, False),
        ("two ", 400, 720, False, True),
        ("three", 800, 960, False, False),
    ]


def test_collapsed_and_stretched_words_are_repaired():
    assert aligned("One two three", [80, 400, 480, 480, 800, 4000], (0, 1200), (3000, 3100)) == [
        ("One ", 80, 400, False, False),
        ("two ", 480, 675, False, True),
        ("three", 800, 1200, False, True),
    ]


def test_a_word_spans_its_units():
    assert aligned("학교에서 공부!", [80, 240, 240, 640, 720, 960], language="ko") == [
        ("학교에서 ", 80, 640, False, False),
        ("공부!", 720, 960, False, False),
    ]


def test_a_word_without_units_is_estimated():
    assert aligned("😀 ok 😀.", [400, 640]) == [
        ("😀 ", 360, 400, True, False),
        ("ok ", 400, 640, False, False),
        ("😀.", 640, 725, True, False),
    ]
    assert aligned("...", [], (500, 2000), start_ms=500) == [("...", 500, 585, True, False)]


def test_times_after_the_chunk_end_with_it():
    assert aligned("One two", [80, 400, 480, 2000], end_ms=960)[-1] == ("two", 480, 960, False, True)


def test_blank_text():
    assert aligned(" ", []) == []


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="2 units need 4 times, not 2"):
        aligned("One two", [80, 400])
    with pytest.raises(ValueError, match="before it begins"):
        aligned("One", [80, 400], start_ms=10, end_ms=9)


SIGNS = " \n.,!?-'“”「」、。abcdé你好のカー한국שمے\u0301\u3099\u200d😀½㍿%39"


@settings(deadline=None)  # nagisa takes seconds to load
@given(
    text=st.text(st.one_of(st.sampled_from(SIGNS), st.characters(exclude_categories=["Cs"])), max_size=40),
    language=st.sampled_from(["en", "zh", "ko", "ja", None]),
    spans=st.lists(st.tuples(st.integers(-500, 9000), st.integers(1, 3000)), max_size=6),
    start=st.integers(0, 2000),
    length=st.integers(0, 6000),
    data=st.data(),
)
def test_laws(text, language, spans, start, length, data):
    units = align_units(text, language)
    slots = data.draw(
        st.lists(st.integers(0, 80).map(lambda at: at * 80), min_size=2 * len(units), max_size=2 * len(units))
    )
    in_order = data.draw(st.booleans())
    words = align_words(
        text,
        units,
        sorted(slots) if in_order else slots,
        make_spans(*((begin, begin + size) for begin, size in spans)),
        start_ms=start,
        end_ms=start + length,
    )
    assert "".join(word.text for word in words).encode() == (text if text.strip() else "").encode()
    last = start
    for word in words:
        assert isinstance(word.start_ms, int)
        assert isinstance(word.end_ms, int)
        assert last <= word.start_ms <= word.end_ms <= start + length
        last = word.end_ms
        assert not (word.estimated and word.repaired)
        if not word.estimated and not word.repaired:
            assert {word.start_ms - start, word.end_ms - start} <= set(slots)
