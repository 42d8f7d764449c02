# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import numpy as np
import pytest

from qwen_asr_plugin.audio import HOP_SAMPLES, MEL_BANDS, log_mel
from qwen_asr_plugin.audio.log_mel import mel_filters


def naive_log_mel(samples):
    """The same formula from its definition: a discrete Fourier transform by matrix, one frame at a time."""
    padded = np.pad(samples.astype(np.float64), 200, mode="reflect")
    n = np.arange(400)
    window = np.sin(np.pi * n / 400) ** 2
    transform = np.exp(-2j * np.pi * np.outer(n, np.arange(201)) / 400)
    filters = naive_filters().T
    frames = []
    for t in range(len(samples) // 160):
        power = np.abs((padded[160 * t : 160 * t + 400] * window) @ transform) ** 2
        frames.append(np.log10(np.maximum(filters @ power, 1e-10)))
    logs = np.array(frames).T
    return (np.maximum(logs, logs.max() - 8) + 4) / 4


def naive_filters():
    def hertz(mel):
        return mel * 200 / 3 if mel < 15 else 1000 * math.exp((mel - 15) * math.log(6.4) / 27)

    top = 15 + 27 * math.log(8) / math.log(6.4)
    edges = [hertz(top * i / 129) for i in range(130)]
    bank = np.zeros((201, 128))
    for band in range(128):
        low, centre, high = edges[band : band + 3]
        for k in range(201):
            f = 40.0 * k
            slope = (f - low) / (centre - low) if f < centre else (high - f) / (high - centre)
            bank[k, band] = max(0.0, slope) * 2 / (high - low)
    return bank


def test_filters_follow_the_definition():
    np.testing.assert_allclose(mel_filters(), naive_filters(), atol=1e-12)
    assert not mel_filters().flags.writeable


@pytest.mark.parametrize("seconds", [0.5, 2.003])
def test_speech_gives_what_the_definition_gives(human_speech, seconds):
    clip = human_speech[4_000 : 4_000 + int(seconds * 16_000)]
    np.testing.assert_allclose(log_mel(clip), naive_log_mel(clip), atol=1e-5)


def test_more_than_one_batch_of_frames(human_speech):
    clip = human_speech[: 16_000 * 6]
    np.testing.assert_allclose(log_mel(clip), naive_log_mel(clip), atol=1e-5)


@pytest.mark.parametrize("length", [0, 1, 159, 160, 199, 200, 201, 319, 320, 16_000, 16_159])
def test_one_frame_per_whole_hop(length):
    mel = log_mel(np.full(length, 0.1, dtype=np.float32))
    assert mel.shape == (MEL_BANDS, length // HOP_SAMPLES)
    assert mel.dtype == np.float32
    assert np.isfinite(mel).all()


def test_silence_is_the_floor():
    assert np.unique(log_mel(np.zeros(16_000, dtype=np.float32))) == pytest.approx((-10 + 4) / 4)


def test_the_loudest_moment_counts_only_if_its_frame_is_kept():
    """The last, partial hop belongs to no frame, so a click in it must not raise the floor of the others."""
    quiet = np.random.default_rng(0).normal(0, 1e-5, 16_000 + 159).astype(np.float32)
    clicked = quiet.copy()
    clicked[-1] = 1.0
    before = log_mel(quiet)[:, :-2]
    np.testing.assert_allclose(log_mel(clicked)[:, :-2], before, atol=1e-6)
