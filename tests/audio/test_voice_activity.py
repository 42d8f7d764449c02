# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import itertools

import numpy as np
import pytest

from qwen_asr_plugin.audio import SpeechTracker, find_speech, speech_probabilities

SECOND = 16_000


def test_frames_do_not_depend_on_the_blocks(human_speech, in_blocks):
    clip = human_speech[: 3 * SECOND]
    loud = np.concatenate(([1.0], clip)).astype(np.float32)  # no amplification anywhere
    whole = np.concatenate(list(speech_probabilities(in_blocks(loud))))
    pieces = np.concatenate(list(speech_probabilities(in_blocks(loud, 1_000))))
    assert whole.shape == pieces.shape == (-(-loud.size // 512),)
    np.testing.assert_allclose(whole, pieces, atol=1e-5)


def test_two_streams_do_not_mix(human_speech, in_blocks):
    first = np.concatenate(list(speech_probabilities(in_blocks(human_speech))))
    second = np.concatenate(list(speech_probabilities(in_blocks(human_speech))))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("gain", [1.0, 0.1, 0.01, 0.001])
def test_speech_is_found_however_quiet(human_speech, in_blocks, gain):
    silence = np.zeros(2 * SECOND, dtype=np.float32)
    stream = np.concatenate((silence, human_speech * np.float32(gain), silence))
    spans = list(find_speech(in_blocks(stream), start_ms=500))
    assert sum(span.end_ms - span.start_ms for span in spans) > 6_000
    assert 2_500 <= spans[0].start_ms <= 3_100
    assert 12_800 <= spans[-1].end_ms <= 13_900
    assert all(a.end_ms < b.start_ms for a, b in itertools.pairwise(spans))


def noises():
    random = np.random.default_rng(5)
    n = 10 * SECOND
    t = np.arange(n) / SECOND
    notes = np.repeat(random.choice([262, 294, 330, 349, 392, 440], n // 4_000), 4_000)
    yield "digital silence", np.zeros(n)
    yield "white noise", random.normal(0, 0.1, n)
    yield "faint white noise", random.normal(0, 0.001, n)
    yield "brown noise", np.cumsum(random.normal(0, 0.001, n))
    yield "hum", 0.3 * np.sin(2 * np.pi * 50 * t)
    yield "tone", 0.5 * np.sin(2 * np.pi * 440 * t)
    yield "chord", 0.2 * sum(np.sin(2 * np.pi * f * t) for f in (261.6, 329.6, 392.0))
    yield "melody", 0.4 * np.sin(2 * np.pi * np.cumsum(notes) / SECOND)


@pytest.mark.parametrize(("name", "sound"), list(noises()), ids=lambda value: value if isinstance(value, str) else "")
def test_noise_and_tones_are_not_speech(in_blocks, name, sound):
    assert list(find_speech(in_blocks(sound.astype(np.float32)))) == []


def track(probabilities):
    tracker = SpeechTracker()
    spans = [tracker.push(p) for p in probabilities]
    return [span for span in [*spans, tracker.finish()] if span]


def test_short_pauses_do_not_end_a_span_and_long_ones_do():
    assert track([0, *[0.9] * 6, 0, 0, 0, *[0.9] * 6, *[0] * 9]) == [(1, 16)]
    assert track([0, *[0.9] * 6, 0, 0, 0, 0, *[0.9] * 6, *[0] * 9]) == [(1, 7), (11, 17)]


def test_between_the_thresholds_speech_goes_on_but_does_not_start():
    assert track([0.3] * 20) == []
    assert track([*[0.9] * 3, *[0.3] * 20]) == [(0, 23)]


def test_a_blip_is_noise():
    assert track([0, 0.9, 0.9, 0.9, 0.9, *[0] * 9]) == []
    assert track([0, 0.9, 0.9, 0.9, 0.9, 0.9, *[0] * 9]) == [(1, 6)]


def test_the_end_of_the_stream_ends_the_speech():
    assert track([0.9] * 10) == [(0, 10)]
    assert track([*[0.9] * 10, 0, 0]) == [(0, 10)]


def test_no_audio_no_speech():
    assert list(speech_probabilities([])) == []
    assert list(speech_probabilities([np.zeros(0, dtype=np.float32)])) == []
