# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from qwen_asr_plugin.audio.onsets import earlier_starts

RATE = 16_000


def _scene(*pieces, background=0.0, seed=3):
    """Noise bursts: (seconds, amplitude) one after the other."""
    noise = np.random.default_rng(seed)
    parts = [noise.normal(0, amplitude + background, int(seconds * RATE)) for seconds, amplitude in pieces]
    return np.concatenate(parts).astype(np.float32)


@pytest.mark.parametrize("background", [0.0, 0.003])
def test_a_soft_beginning_belongs_to_the_speech(background):
    sound = _scene((0.5, 0), (0.2, 0.02), (0.8, 0.1), (0.5, 0), background=background)
    (start,) = earlier_starts(sound, [(int(0.7 * RATE), int(1.5 * RATE))])
    assert abs(start - 0.5 * RATE) <= 320


def test_a_short_closure_is_bridged_and_a_pause_is_not():
    bridged = _scene((0.5, 0), (0.1, 0.1), (0.03, 0), (0.87, 0.1))
    assert earlier_starts(bridged, [(int(0.63 * RATE), len(bridged))])[0] <= 0.52 * RATE
    apart = _scene((0.5, 0), (0.1, 0.1), (0.1, 0), (0.8, 0.1))
    assert earlier_starts(apart, [(int(0.7 * RATE), len(apart))])[0] >= 0.69 * RATE


def test_steady_noise_moves_nothing_and_spans_never_meet():
    sound = _scene((3.0, 0.1))
    spans = [(RATE, 2 * RATE), (int(2.2 * RATE), 3 * RATE)]
    starts = earlier_starts(sound, spans)
    assert starts == [first for first, _ in spans]
    loud = _scene((0.2, 0), (1.8, 0.1))
    starts = earlier_starts(loud, [(4000, 16_000), (17_000, 32_000)])
    assert starts[1] >= 16_000


def test_odd_input():
    assert earlier_starts(np.zeros(100, np.float32), [(0, 100)]) == [0]
    assert earlier_starts(np.zeros(RATE, np.float32), []) == []
    assert earlier_starts(np.zeros(RATE, np.float32), [(0, RATE)]) == [0]
