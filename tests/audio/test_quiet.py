# SPDX-License-Identifier: Apache-2.0
"""Where a recording is cut in two."""

from __future__ import annotations

import numpy as np
import pytest

from qwen_asr_plugin.audio import find_speech, quiet_place

RATE = 16_000


@pytest.fixture(scope="module")
def talk(human_speech):
    """Speech without a pause, silence for `pause` seconds, the same speech again, as often as there are pauses."""
    span = max(find_speech([human_speech]), key=lambda one: one.end_ms - one.start_ms)
    words = human_speech[span.start_ms * 16 : span.end_ms * 16]

    def make(*pauses: float) -> tuple[np.ndarray, list[tuple[int, int]]]:
        parts, rests = [words], []
        for pause in pauses:
            start_ms = sum(map(len, parts)) // 16
            parts += [np.zeros(int(pause * RATE), dtype=np.float32), words]
            rests.append((start_ms, start_ms + int(pause * 1000)))
        return np.concatenate(parts), rests

    return make


def inside(place_ms, rest):
    return rest[0] <= place_ms <= rest[1]


def test_the_longest_pause_is_taken(talk):
    samples, (first, second) = talk(0.8, 0.4)
    assert inside(quiet_place(samples, second[1] + 500), first)
    assert inside(quiet_place(samples, second[0] - 300), first)


def test_of_long_pauses_the_last(talk):
    samples, (first, second) = talk(1.6, 1.3)
    assert inside(quiet_place(samples, second[1] + 500), second)
    assert inside(quiet_place(samples, second[0] - 300), first)


def test_a_pause_that_the_place_lies_in(talk):
    samples, (pause,) = talk(1.0)
    for latest_ms in (pause[0] + 300, pause[1] - 100):
        place_ms = quiet_place(samples, latest_ms)
        assert inside(place_ms, pause)
        assert place_ms <= latest_ms


def test_a_pause_after_the_place_is_none(talk):
    samples, (pause,) = talk(1.0)
    assert quiet_place(samples, pause[0] - 500) <= pause[0] - 500


def test_the_same_place_every_time(talk):
    samples, (_, second) = talk(0.8, 0.4)
    assert len({quiet_place(samples, second[1]) for _ in range(3)}) == 1


def test_without_a_pause_the_quietest_moment(talk):
    samples, _ = talk()
    quiet = samples.copy()
    quiet[12_000:14_000] *= 0.01  # 125 ms, too short for a pause
    assert 750 <= quiet_place(quiet, len(quiet) // 16) <= 875


def test_where_nobody_speaks_the_place_itself():
    assert quiet_place(np.zeros(6 * RATE, dtype=np.float32), 5000) == 5000
    assert quiet_place(np.zeros(2 * RATE, dtype=np.float32), 5000) == 2000
    assert quiet_place(np.zeros(100, dtype=np.float32), 5) == 5
