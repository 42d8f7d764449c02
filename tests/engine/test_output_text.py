# SPDX-License-Identifier: Apache-2.0
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwen_asr_plugin.engine.output_text import collapse_repetitions, parse_output


@pytest.mark.parametrize(
    ("raw", "language", "text"),
    [
        ("language English<asr_text>Hello there.", "en", "Hello there."),
        ("language Chinese<asr_text>你好。", "zh", "你好。"),
        ("LANGUAGE german<asr_text> Guten Tag. ", "de", "Guten Tag."),
        ("language None<asr_text>", None, ""),
        ("language None<asr_text>something", None, "something"),
        ("no tag at all", None, "no tag at all"),
        ("language Klingon<asr_text>nuqneH", None, "nuqneH"),
        ("", None, ""),
        ("language English<asr_text>a <asr_text> b", "en", "a <asr_text> b"),
    ],
)
def test_output_is_parsed_as_the_official_package_does(raw, language, text):
    assert parse_output(raw) == (language, text)


def test_with_a_forced_language_everything_is_text():
    assert parse_output("language English is spoken here", "en") == ("en", "language English is spoken here")


@pytest.mark.parametrize(
    ("looped", "repaired"),
    [
        ("ha" + "a" * 30 + "!", "ha!"),
        ("no " * 25 + "that is all", "no that is all"),
        ("a" * 20, "a" * 20),  # twenty is what people may do
        ("yes, " * 19, "yes, " * 19),
        ("x" * 21, "x"),
        ("start " + "the end of it. " * 40, "start the end of it. "),
    ],
)
def test_only_what_repeats_more_than_twenty_times_is_collapsed(looped, repaired):
    assert collapse_repetitions(looped) == repaired


@given(st.text(alphabet="ab c", max_size=300))
def test_collapsing_is_stable_and_never_adds(text):
    once = collapse_repetitions(text)
    assert len(once) <= len(text)
    assert set(once) <= set(text)


@given(st.lists(st.sampled_from(["one", "two", "three", "four", "five", "six"]), max_size=30, unique=True))
def test_text_without_loops_is_left_alone(words):
    text = " ".join(words)
    assert collapse_repetitions(text) == text
