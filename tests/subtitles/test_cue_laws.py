# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: RUF001
"""Laws that hold for cues of any words: Latin, Han, kana, Hangul, Thai, Arabic, mixed; of any length and order."""

import random
import re
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qwen_asr_plugin.alignment import TimedWord
from qwen_asr_plugin.subtitles import NORMS, CueBuilder, Norm, get_norm

TINY = Norm(name="tiny", max_lines=3, max_chars_per_line=8, min_duration_ms=500, max_duration_ms=900, min_gap_ms=40)
WIDE = Norm(name="wide", max_lines=None, max_chars_per_line=20, max_duration_ms=None)
LONG = Norm(name="long", max_lines=1, max_chars_per_line=None, max_duration_ms=3000)
ALL_NORMS = [*NORMS.values(), TINY, WIDE, LONG]
LANGUAGES = ["en", "de", "fr", "zh", "ja", "ko", "th", "ar", "hi", None]

ODD = " \n\u00a0.,!?…-–:'\"“”()。，！「」09aBéß你好のカーッทเ\u0e49한\u0627\u064e\u0301\u200d😀\x00\ufeff"
PLAIN = (
    "the a house of incomprehensibilities Mr. done. why? well, 3.14 10:30 U.S.A. https://example.org/a/very/long/path "
    "und No. New York «Oui !» 10\u202f000 你 好， 吗？ 2024 年 の カー ッ です。 영화를 보았습니다. เพื่ อน ที่ "
    "قال الرئيس؟ भाषण में है।"
)
WORDS = PLAIN.split(" ")


@st.composite
def timed_words(draw, spaces=(" ", " ", "")):
    at = draw(st.integers(0, 5000))
    words = []
    texts = st.one_of(st.text(st.sampled_from(ODD), min_size=1, max_size=12), st.sampled_from(WORDS), st.just("x" * 90))
    for text in draw(st.lists(texts, max_size=60)):
        # Mostly one after the other, but also at once, overlapping, out of order, after a silence.
        start = max(0, at + draw(st.sampled_from([0, 0, 0, 0, 20, 100, 400, 700, 5000, -300, -4000])))
        at = start + draw(st.sampled_from([0, 0, 30, 200, 350, 350, 900, 9000]))
        space = draw(st.sampled_from(spaces))
        words.append(TimedWord(text=text + space, start_ms=start, end_ms=at, estimated=True))
    return words


def build(words, norm, language, *, step=None):
    builder = CueBuilder(norm)
    segments = []
    for at in range(0, len(words), step or max(1, len(words))):
        segments += builder.add(words[at : at + (step or len(words))], language)
    return segments + builder.finish()


def squeeze(text):
    return re.sub(r"[\s\x00-\x1f\ufeff]", "", text)


def check_hard_rules(segments, norm, language):
    for segment in segments:
        lines = segment.text.split("\n")
        assert all(line == line.strip() != "" for line in lines)
        assert norm.max_lines is None or len(lines) <= norm.max_lines
        assert norm.max_chars_per_line is None or max(map(norm.text_width, lines)) <= norm.max_chars_per_line
        length_ms = segment.end_ms - segment.start_ms
        assert length_ms >= norm.min_duration_ms
        assert norm.max_duration_ms is None or length_ms <= norm.max_duration_ms
        assert (type(segment.start_ms), type(segment.end_ms)) == (int, int)
        assert segment.language == language
    for first, second in pairwise(segments):
        assert second.start_ms - first.end_ms >= norm.min_gap_ms


def check_starts(segments, words, norm):
    """No cue begins before its first word; later than it only to leave the one before its minimum duration."""
    earliest, latest, position, now, wrapped = {}, {}, 0, 0, 0
    for word in words:
        if squeeze(word.text):
            now = max(now, word.start_ms)
            earliest[position], latest[position] = now, max(now, wrapped)
            position += len(squeeze(word.text))
            # The parts of a word wider than a line share its time, even if the next word begins within it.
            if norm.max_chars_per_line is not None and norm.text_width(word.text) > norm.max_chars_per_line:
                wrapped = max(wrapped, word.end_ms)
    position, ready = 0, 0
    for segment in segments:
        if position in earliest:  # a cue may begin inside a word wider than a line
            assert max(earliest[position], ready) <= segment.start_ms <= max(latest[position], ready)
        position += len(squeeze(segment.text))
        ready = segment.start_ms + norm.min_duration_ms + norm.min_gap_ms


@settings(deadline=None, max_examples=600)
@given(timed_words(), st.sampled_from(ALL_NORMS), st.sampled_from(LANGUAGES))
def test_hard_rules_hold_and_no_character_is_lost(words, family, language):
    norm = family.for_language(language)
    segments = build(words, family, language)
    assert squeeze("".join(segment.text for segment in segments)) == squeeze("".join(word.text for word in words))
    check_hard_rules(segments, norm, language)
    check_starts(segments, words, norm)


@settings(deadline=None, max_examples=300)
@given(timed_words(spaces=(" ",)), st.sampled_from(ALL_NORMS), st.sampled_from(LANGUAGES), st.integers(1, 9))
def test_how_words_arrive_changes_nothing(words, norm, language, step):
    assert build(words, norm, language, step=step) == build(words, norm, language)


@settings(deadline=None, max_examples=200)
@given(timed_words(), timed_words(), st.sampled_from(ALL_NORMS), st.sampled_from(LANGUAGES))
def test_what_is_out_is_never_revised(words, more, norm, language):
    builder, longer = CueBuilder(norm), CueBuilder(norm)
    early = builder.add(words, language)
    whole = longer.add(words, language) + longer.add(more, language) + longer.finish()
    assert whole[: len(early)] == early


@settings(deadline=None, max_examples=200)
@given(timed_words(), timed_words(), st.sampled_from(LANGUAGES), st.sampled_from(LANGUAGES))
def test_each_language_gets_its_norm(words, more, first, second):
    family = get_norm("netflix")
    builder = CueBuilder(family)
    segments = builder.add(words, first) + builder.add(more, second) + builder.finish()
    text = "".join(word.text for word in [*words, *more])
    assert squeeze("".join(segment.text for segment in segments)) == squeeze(text)
    for segment in segments:
        check_hard_rules([segment], family.for_language(segment.language), segment.language)
    assert all(after.start_ms - before.end_ms >= 83 for before, after in pairwise(segments))


VOICES = {
    "en": "and then the old man went into a house with Mr. Smith, who had never seen 3.14 or 10:30 before. Really? No!",
    "zh": "今 天 天 气 很 好， 我 们 在 2024 年 去 公 园 散 步。",
    "ja": "昨 日 は 友 達 と 一 緒 に 映 画 を 見 ま し た。 カー ト も、",
    "th": "เมื่ อ วา น นี้ ผม ไป ดู หนั ง กั บ เพื่ อน ",
    "ar": "قال الرئيس مساء أمس في خطاب طويل أمام البرلمان إنه لن يترشح، نعم.",
    "mixed": "他 用 iPhone 看 New York 的 video, سلام. のテスト ok? 😀 한국어",
}


@pytest.mark.parametrize("voice", VOICES)
def test_hard_rules_in_long_transcripts(voice):
    """350 transcripts of up to 200 words for each of six kinds of text, 2 100 together."""
    language = None if voice == "mixed" else voice
    units = VOICES[voice].split(" ")
    space = " " if voice in {"en", "ar", "mixed"} else ""
    for seed in range(350):
        rng = random.Random(f"{voice}{seed}")
        at, words = 0, []
        for _ in range(rng.randrange(1, 200)):
            at = max(0, at + rng.choice((0, 0, 0, 0, 10, 80, 350, 650, 3000, -200)))
            length = rng.choice((0, 40, 120, 200, 250, 300, 450, 8000 if rng.random() < 0.1 else 60))
            text = rng.choice(units) + ("x" * 70 if rng.random() < 0.01 else "") + space
            words.append(TimedWord(text=text, start_ms=at, end_ms=at + length, estimated=True))
            at += length
        family = rng.choice(ALL_NORMS)
        norm = family.for_language(language)
        segments = build(words, family, language, step=rng.randrange(1, 30))
        assert squeeze("".join(segment.text for segment in segments)) == squeeze("".join(word.text for word in words))
        check_hard_rules(segments, norm, language)
        check_starts(segments, words, norm)


@pytest.mark.parametrize("gap_ms", [600, 650, 3000])
@settings(deadline=None)
@given(before=st.lists(st.sampled_from(WORDS), min_size=1, max_size=8))
def test_no_cue_holds_a_long_pause(gap_ms, before):
    words = [
        TimedWord(text=text + " ", start_ms=200 * at, end_ms=200 * at + 200, estimated=True)
        for at, text in enumerate(before)
    ]
    start = 200 * len(before) + gap_ms
    after = TimedWord(text="after", start_ms=start, end_ms=start + 300, estimated=True)
    assert build([*words, after], get_norm("default"), "en")[-1].text == "after"
