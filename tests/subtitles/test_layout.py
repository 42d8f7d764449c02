# SPDX-License-Identifier: Apache-2.0
from itertools import accumulate, combinations, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwen_asr_plugin.subtitles.costs import LINE, TOP_HEAVY, UNEVEN
from qwen_asr_plugin.subtitles.layout import best_break, best_breaks

ROOM = 20
WORDS = st.lists(st.tuples(st.integers(1, 9), st.sampled_from([0, 1]), st.sampled_from([0.2, 1.0, 3.0])), min_size=2)


def columns(words):
    sums = [0.0, *accumulate(width + space for width, space, _ in words)]
    return sums, [float(space) for _, space, _ in words], [price for *_, price in words] + [1.0]


def line_widths(sums, spaces, begins, end):
    return [sums[b] - sums[a] - spaces[a] for a, b in pairwise([0, *begins, end])]


@given(WORDS)
def test_the_best_of_all_ways_to_set_two_lines(words):
    sums, spaces, seams = columns(words)
    end = len(words)
    ways = {}
    for at in range(1, end):
        first, second = line_widths(sums, spaces, (at,), end)
        if max(first, second) <= ROOM:
            surplus = (first - second) / ROOM
            ways[at] = LINE * seams[at] + UNEVEN * surplus**2 + (TOP_HEAVY if surplus > 0 else 0)
    if ways:
        cost, place = best_break(sums, spaces, seams, 0, end, range(min(ways), max(ways) + 1), ROOM)
        assert cost == pytest.approx(min(ways.values()))
        assert ways[place] == pytest.approx(cost)


@given(WORDS.filter(lambda words: len(words) <= 12), st.integers(2, 4))
def test_the_best_of_all_ways_to_set_more_lines(words, count):
    sums, spaces, seams = columns(words)
    end = len(words)
    ideal = (sums[end] - spaces[0]) / count
    ways = []
    for begins in combinations(range(1, end), count - 1):
        widths = line_widths(sums, spaces, begins, end)
        if max(widths) <= ROOM:
            ways.append(
                sum(LINE * seams[at] for at in begins) + 2 * UNEVEN * sum(((w - ideal) / ROOM) ** 2 for w in widths)
            )
    if ways:
        cost, begins = best_breaks(sums, spaces, seams, 0, end, count, ROOM)
        assert cost == pytest.approx(min(ways))
        assert len(begins) == count - 1


def test_sentences_get_a_line_each_even_or_not():
    sums, spaces, seams = columns([(3, 0, 0.0), (9, 1, 0.0), (9, 1, 1.4)])
    assert best_break(sums, spaces, seams, 0, 3, range(1, 3), ROOM)[1] == 1
