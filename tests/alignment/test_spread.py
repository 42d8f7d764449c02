# SPDX-License-Identifier: Apache-2.0
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwen_asr_plugin.alignment.spread import MAX_SILENCE_MS, spread
from qwen_asr_plugin.audio import SpeechSpan

COLLAPSED_MS = 40


def make_spans(*pairs):
    return [SpeechSpan(start_ms=start, end_ms=end) for start, end in pairs]


def spread_over(times, *spans, weights=None, start_ms=0, end_ms=10_000):
    return spread(times, weights or [1.0] * len(times), make_spans(*spans), start_ms=start_ms, end_ms=end_ms)


@pytest.mark.parametrize(
    ("times", "spans", "placed"),
    [
        pytest.param([(100, 500), (500, 900)], [(0, 1000)], [(100, 500), (500, 900)], id="good words stay"),
        pytest.param([(100, 500), (800, 1200)], [(2000, 3000)], [(100, 400), (800, 1100)], id="words outside speech"),
        pytest.param([(400, 400), (900, 1200)], [(0, 2000)], [(400, 570), (900, 1200)], id="average length"),
        pytest.param([(400, 400), (480, 900)], [(0, 2000)], [(400, 480), (480, 900)], id="up to the next word"),
        pytest.param([(400, 400), (400, 900)], [(0, 2000)], [(360, 400), (400, 900)], id="back as rounding explains"),
        pytest.param([(0, 380), (400, 400), (400, 900)], [(0, 2000)], [(0, 380), (380, 400), (400, 900)], id="little"),
        pytest.param([(0, 400), (400, 400), (400, 900)], [(0, 2000)], [(0, 400), (400, 400), (400, 900)], id="no room"),
        pytest.param([(400, 400)] * 2 + [(480, 900)], [(0, 2000)], [(400, 440), (440, 480), (480, 900)], id="share"),
        pytest.param([(600, 600)] * 3, [(0, 600)], [(294, 396), (396, 498), (498, 600)], id="back"),
        pytest.param([(400, 400), (480, 480)], [(0, 2000)], [(400, 480), (480, 650)], id="two instants"),
        pytest.param([(500, 500)], [(0, 400), (700, 2000)], [(700, 870)], id="never in silence"),
        pytest.param([(500, 500)], [(0, 190), (810, 2000)], [(500, 500)], id="speech too far away"),
        pytest.param([(500, 500)] * 3, [(500, 600), (800, 2000)], [(500, 600), (870, 1040), (1040, 1210)], id="gap"),
        pytest.param([(500, 500)] * 3, [(500, 600), (901, 2000)], [(500, 533), (533, 567), (567, 600)], id="pause"),
        pytest.param([(100, 2000)], [(200, 500), (900, 1700)], [(900, 2000)], id="most speech, later"),
        pytest.param([(100, 2000)], [(200, 1200), (1700, 1800)], [(100, 1200)], id="most speech, earlier"),
        pytest.param([(0, 2000)], [(200, 600), (1500, 1900)], [(0, 600)], id="as much speech in both"),
        pytest.param([(0, 2000)], [(0, 1900), (100, 200)], [(0, 2000)], id="speech in speech"),
        pytest.param([(0, 2000)], [(301, 500), (700, 1900)], [(301, 2000)], id="lead too long"),
        pytest.param([(0, 2000)], [(50, 500), (750, 1600)], [(0, 1600)], id="short gap inside stays"),
        pytest.param([(0, 999)], [(0, 200), (450, 600), (700, 999)], [(450, 999)], id="gaps add up"),
        pytest.param([(0, 900), (900, 900)], [(0, 500), (850, 2000)], [(0, 500), (900, 1070)], id="cut, then spread"),
        pytest.param([(0, 900)], [(300, 310)], [(0, 310)], id="lead fits"),
        pytest.param([(0, 900)], [(400, 410)], [(400, 480)], id="a click"),
        pytest.param([(0, 900)], [(895, 910)], [(820, 900)], id="a click at the end"),
        pytest.param([(5, 5)], [], [(5, 175)], id="no spans: all is speech"),
    ],
)  # fmt: skip
def test_examples(times, spans, placed):
    assert spread_over(times, *spans) == placed


def test_words_share_by_weight():
    placed = spread_over([(1000, 1000)] * 3 + [(1770, 2000)], (0, 2000), weights=[1, 4, 2, 1])
    assert placed == [(1000, 1110), (1110, 1550), (1550, 1770), (1770, 2000)]


@pytest.mark.parametrize("times", [[(5, 4)], [(0, 5), (4, 9)], [(0, 11)], [(-1, 5)]])
def test_times_out_of_order_are_refused(times):
    with pytest.raises(ValueError, match="not in order"):
        spread_over(times, end_ms=10)


def silence_in(begin, end, spans):
    return end - begin - sum(max(0, min(end, span.end_ms) - max(begin, span.start_ms)) for span in spans)


def run_around(times, at):
    """Where the collapsed words at the instant of this one lie."""
    first = last = at
    while first and times[first][0] - times[first - 1][1] < COLLAPSED_MS > times[first - 1][1] - times[first - 1][0]:
        first -= 1
    while last + 1 < len(times) and all(
        gap < COLLAPSED_MS for gap in (times[last + 1][0] - times[last][1], times[last + 1][1] - times[last + 1][0])
    ):
        last += 1
    return times[first][0], times[last][1]


@st.composite
def chunks(draw):
    """Times on a grid, often at one instant, over speech and pauses."""
    start = draw(st.integers(0, 500))
    steps = draw(st.lists(st.sampled_from([0, 0, 0, 1, 20, 39, 40, 80, 160, 400, 1200]), min_size=2, max_size=24))
    marks = [start + draw(st.integers(0, 600))]
    for step in steps:
        marks.append(marks[-1] + step)
    end = marks[-1] + draw(st.integers(0, 600))
    times = list(zip(marks[::2], marks[1::2], strict=False))
    borders = sorted(draw(st.lists(st.integers(start - 50, end + 50), max_size=10)))
    spans = make_spans(*(pair for pair in zip(borders[::2], borders[1::2], strict=False) if pair[0] < pair[1]))
    weights = draw(st.lists(st.floats(0.5, 9), min_size=len(times), max_size=len(times)))
    return times, weights, spans, start, end


@given(chunks())
def test_laws(chunk):
    times, weights, spans, start, end = chunk
    placed = spread(times, weights, spans, start_ms=start, end_ms=end)
    assert len(placed) == len(times)
    flat = [start, *(at for word in placed for at in word), end]
    assert all(before <= after for before, after in pairwise(flat)), "in order, no overlap, inside the chunk"
    heard = [span for span in spans if span.end_ms > start and span.start_ms < end]
    heard = heard or make_spans((start, end))
    for at, (before, after) in enumerate(zip(times, placed, strict=True)):
        assert isinstance(after[0], int)
        assert isinstance(after[1], int)
        assert silence_in(*after, heard) <= MAX_SILENCE_MS
        if silence_in(*before, heard) <= MAX_SILENCE_MS and before[1] - before[0] >= COLLAPSED_MS:
            assert after == before, "a good word stays as it is"
        if before[1] - before[0] >= COLLAPSED_MS:
            assert before[0] <= after[0] < after[1] <= before[1], "a word is only shortened"
            assert after[1] - after[0] >= min(80, before[1] - before[0])
        elif after != before:
            assert silence_in(*after, heard) == 0, "time is only taken from speech"
            low, high = run_around(times, at)
            assert silence_in(min(after[0], low), low, heard) <= MAX_SILENCE_MS, "a word is not moved over a pause"
            assert silence_in(high, max(after[1], high), heard) <= MAX_SILENCE_MS


@given(chunks())
def test_no_collapsed_word_next_to_free_speech(chunk):
    times, weights, spans, start, end = chunk
    placed = spread(times, weights, spans, start_ms=start, end_ms=end)
    heard = [span for span in spans if span.end_ms > start and span.start_ms < end]
    heard = heard or make_spans((start, end))
    for at, (begin, stop) in enumerate(placed):
        following = placed[at + 1][0] if at + 1 < len(placed) else end
        alone = at == 0 or times[at][0] - times[at - 1][1] >= COLLAPSED_MS
        if begin == stop and begin == times[at][0] and alone:
            assert following == begin or silence_in(begin, begin + 1, heard), "there was time after it"
