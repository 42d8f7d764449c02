# SPDX-License-Identifier: Apache-2.0


from qwen_asr_plugin.alignment import TimedWord
from qwen_asr_plugin.subtitles import CueBuilder, get_norm, text_width

NORM = get_norm("default")


def build(*calls, language="en", end_ms=None):
    """Cues of words given in one or more calls."""
    builder = CueBuilder(NORM)
    segments = [segment for words in calls for segment in builder.add(words, language)]
    return segments + builder.finish(end_ms=end_ms)


def texts(segments):
    return [segment.text for segment in segments]


def times(segments):
    return [(segment.start_ms, segment.end_ms) for segment in segments]


def test_one_cue_per_sentence(spoken):
    words = spoken("Mr. Smith came at 10:30 with 3.14 pies. He left the U.S.A. for good.", 500)
    segments = build(words)
    assert texts(segments) == ["Mr. Smith came at 10:30 with 3.14 pies.", "He left the U.S.A. for good."]
    assert [segment.start_ms for segment in segments] == [500, next(w.start_ms for w in words if w.text == "He ")]


def test_pause_splits_a_sentence_and_nothing_is_shown_before_it_is_said(spoken):
    segments = build(spoken("I think", 1000), spoken("we should go.", 3000))
    assert texts(segments) == ["I think", "we should go."]
    assert times(segments) == [(1000, 1833), (3000, 3867)]


def test_sentence_over_a_chunk_border_is_one_cue(spoken):
    segments = build(spoken("I think that", 1000), spoken("we should go. Now it is late.", 1800))
    assert texts(segments) == ["I think that we should go.", "Now it is late."]


def test_chinese_chunks_are_joined_without_a_space(spoken):
    assert texts(build(spoken("我想", 0), spoken("我们走吧。", 300), language="zh")) == ["我想我们走吧。"]


def test_a_sentence_too_short_to_be_read_shares_a_cue_over_a_short_pause_only(spoken):
    text = "Well, I do not know about that."
    assert texts(build(spoken("No. Yes.", 1000), spoken(text, 1600))) == [f"No. Yes. {text}"]
    assert texts(build(spoken("No.", 0), spoken("Yes.", 500))) == ["No.", "Yes."]
    assert texts(build(spoken("That is enough.", 0), spoken("No.", 950))) == ["That is enough.", "No."]


def test_sentences_that_share_a_cue_get_a_line_each(spoken):
    segments = build(spoken("Oh, go on!", 0), spoken("I have told you three times not to stay.", 650))
    assert texts(segments) == ["Oh, go on!\nI have told you three times not to stay."]


def test_a_short_sentence_is_not_shown_with_half_of_the_next(spoken):
    text = "I have told you so often that you should not stay in this house any longer than you must tonight."
    assert texts(build(spoken("No!", 0, ms_per_char=100), spoken(text, 520)))[0] == "No!"


def test_long_sentence_is_cut_at_its_clauses(spoken):
    text = (
        "They didn't fly high, but Glenn Tropile had never flown at all, "
        "and the two or three hundred feet of air beneath made him faint and queasy."
    )
    assert texts(build(spoken(text))) == [
        "They didn't fly high,\nbut Glenn Tropile had never flown at all,",
        "and the two or three hundred feet\nof air beneath made him faint and queasy.",
    ]


def test_lines_do_not_end_with_an_article(spoken):
    for line in "\n".join(texts(build(spoken("This is the story of a man who had bought the house on a hill.")))).split(
        "\n"
    ):
        assert line.rsplit(" ", 1)[-1] not in {"a", "the", "of", "on", "who"}


def test_full_width_characters_count_twice(spoken):
    segments = build(spoken("今天天气很好我们一起去公园散步然后再去吃饭最后回家看电影睡觉" * 2 + "。"), language="zh")
    lines = [line for text in texts(segments) for line in text.split("\n")]
    assert all(text_width(line) <= 42 for line in lines)
    assert len(lines) == 4
    assert "".join(lines) == "今天天气很好我们一起去公园散步然后再去吃饭最后回家看电影睡觉" * 2 + "。"


def test_word_longer_than_a_line_is_wrapped_whole(spoken):
    url = "https://example.org/" + "abcdefghij" * 12
    segments = build(spoken(f"See {url} now."))
    lines = [line for text in texts(segments) for line in text.split("\n")]
    assert all(text_width(line) <= 42 for line in lines)
    assert "".join(lines).replace(" ", "") == f"See{url}now."


def test_end_waits_for_the_reader_but_not_into_the_next_cue(spoken):
    quick = spoken("This was said in no time at all, I tell you.", 1000, ms_per_char=25)
    spoken_end = quick[-1].end_ms
    assert times(build(quick)) == [(1000, spoken_end + 500)]
    assert times(build(quick, end_ms=spoken_end + 50)) == [(1000, spoken_end + 50)]
    segments = build(quick, spoken("And then he went on and on about it.", spoken_end + 300))
    assert segments[0].end_ms == segments[1].start_ms - 83


def test_minimum_duration_goes_before_the_end_of_the_media(spoken):
    assert times(build(spoken("No.", 1000), end_ms=1200)) == [(1000, 1833)]


def test_flicker_between_cues_is_closed(spoken):
    first = spoken("He spoke slowly and with great care.", 0, ms_per_char=80)
    gap = first[-1].end_ms + 450
    segments = build(first, spoken("Then he was silent for a long time.", gap))
    assert segments[0].end_ms == gap - 83


def test_cues_come_out_as_soon_as_they_are_settled(spoken):
    builder = CueBuilder(NORM)
    assert builder.add(spoken("The first sentence is here.", 0), "en") == []
    assert texts(builder.add(spoken("The second one follows.", 3000), "en")) == ["The first sentence is here."]
    assert texts(builder.add(spoken("And a third.", 6000), "en")) == ["The second one follows."]
    assert texts(builder.finish()) == ["And a third."]
    assert builder.finish() == []


def test_without_a_pause_a_cue_is_settled_one_full_cue_later(spoken):
    builder = CueBuilder(NORM)
    waiting = 0
    for word in spoken("This is what he said to me on that day. " * 20):
        waiting += len(word.text)
        for segment in builder.add([word], "en"):
            waiting -= len(segment.text) + 1
        assert waiting <= 2 * 84


def test_memory_stays_bounded_without_punctuation(spoken):
    builder = CueBuilder(NORM)
    waiting = 0
    for at in range(400):
        waiting += len("word ")
        for segment in builder.add(spoken("word ", at * 300), "en"):
            waiting -= len(segment.text) + 1
        assert waiting <= 6 * 84
    assert " ".join(texts(builder.finish())).count("word") <= 100


def test_language_change_splits_and_is_kept(spoken):
    builder = CueBuilder(NORM)
    builder.add(spoken("Well then", 0), "en")
    segments = builder.add(spoken("on y va.", 600), "fr") + builder.finish()
    assert [(segment.text, segment.language) for segment in segments] == [("Well then", "en"), ("on y va.", "fr")]


def test_words_without_length_are_all_shown_one_cue_after_the_other():
    words = [TimedWord(text=f"Sentence number {n}. ", start_ms=5000, end_ms=5000, estimated=False) for n in range(9)]
    segments = build(words)
    assert "".join(segment.text for segment in segments).count("Sentence") == 9
    assert segments[0].start_ms == 5000
    assert all(segment.end_ms - segment.start_ms >= 833 for segment in segments)
    assert len(segments) == 3


def test_a_word_that_reaches_into_the_next_gives_way():
    words = [
        TimedWord(text="One ", start_ms=0, end_ms=9000, estimated=False),
        TimedWord(text="two. ", start_ms=400, end_ms=700, estimated=False),
        TimedWord(text="Three.", start_ms=2000, end_ms=2300, estimated=False),
    ]
    assert [(segment.text, segment.start_ms) for segment in build(words)] == [("One two.", 0), ("Three.", 2000)]


def test_nothing_from_nothing():
    assert build() == []
    assert build([TimedWord(text=" \n", start_ms=0, end_ms=10, estimated=True)]) == []
