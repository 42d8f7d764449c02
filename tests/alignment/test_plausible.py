# SPDX-License-Identifier: Apache-2.0
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwen_asr_plugin.alignment import TimedWord, is_plausible, silent_share
from qwen_asr_plugin.audio import SpeechSpan


def make_words(*pairs):
    return [TimedWord(text="x ", start_ms=start, end_ms=end, estimated=False) for start, end in pairs]


def make_spans(*pairs):
    return [SpeechSpan(start_ms=start, end_ms=end) for start, end in pairs]


@pytest.mark.parametrize(
    ("words", "spans", "share"),
    [
        ([(0, 1000)], [(0, 1000)], 0.0),
        ([(0, 500)], [(0, 1000)], 0.5),
        ([(250, 500), (500, 750)], [(0, 1000)], 0.5),
        ([(0, 400), (700, 1000)], [(0, 1000)], 0.0),  # a gap of 300 ms counts as said
        ([(0, 400), (701, 1000)], [(0, 1000)], 0.301),
        ([(400, 600)], [(0, 500), (500, 1000)], 0.8),  # a word over two spans
        ([(2000, 3000)], [(0, 1000)], 1.0),  # said where nobody speaks
        ([(0, 800), (200, 900)], [(0, 1000)], 0.1),  # counted once
        ([(500, 500)], [(0, 1000)], 1.0),  # no length
        ([], [(0, 1000)], 1.0),
        ([(0, 1000)], [], 0.0),
        ([], [], 0.0),
    ],
)
def test_share_of_speech_without_a_word(words, spans, share):
    assert silent_share(make_words(*words), make_spans(*spans)) == pytest.approx(share)


@pytest.mark.parametrize(
    ("words", "spans", "plausible"),
    [
        ([(0, 7010)], [(0, 10_000)], True),  # three tenths
        ([(0, 6990)], [(0, 10_000)], False),
        ([(0, 201)], [(0, 600)], True),  # 400 ms are spared
        ([(0, 199)], [(0, 600)], False),
        ([], [(0, 400)], True),
        ([], [(0, 401)], False),
        ([(0, 1000)], [], True),
        # Words squeezed into the first half of each sentence.
        ([(0, 1000), (1000, 2000), (5000, 7000)], [(0, 4000), (5000, 9000)], False),
        # One unrecognised word in a sentence.
        ([(0, 1000), (1500, 4000)], [(0, 4000)], True),
    ],
)
def test_what_is_plausible(words, spans, plausible):
    assert is_plausible(make_words(*words), make_spans(*spans)) is plausible


def in_order(limit, size):
    """Times in order: pairs of begin and end that do not overlap."""
    times = st.lists(st.integers(0, limit), max_size=2 * size).map(sorted)
    return times.map(lambda found: list(zip(found[::2], found[1::2], strict=False)))


@given(words=in_order(9000, 12), spans=in_order(9000, 6), later=st.integers(0, 10**7))
def test_laws(words, spans, later):
    share = silent_share(make_words(*words), make_spans(*spans))
    assert -1e-9 <= share <= 1
    # The same at any time of the day.
    moved = [[(begin + later, end + later) for begin, end in pairs] for pairs in (words, spans)]
    assert silent_share(make_words(*moved[0]), make_spans(*moved[1])) == pytest.approx(share)
    # A word more never makes it worse, and words over all of the speech are as good as can be.
    for dropped in range(len(words)):
        fewer = make_words(*words[:dropped], *words[dropped + 1 :])
        if dropped in (0, len(words) - 1):
            assert silent_share(fewer, make_spans(*spans)) >= share - 1e-9
    assert silent_share(make_words(*spans), make_spans(*spans)) == pytest.approx(0)
    assert is_plausible(make_words(*spans), make_spans(*spans))
