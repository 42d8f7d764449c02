# SPDX-License-Identifier: Apache-2.0
"""Log-mel spectrogram as the Qwen3-ASR audio encoder was trained on.

The formula is that of Whisper's feature extractor with 128 mel bands: centred STFT with a periodic Hann window of 400
samples every 160, power spectrum, Slaney mel filters with area normalisation over 0 to 8000 Hz, ``log10``, floor at 8
below the maximum of the clip, then ``(x + 4) / 4``.
"""

from __future__ import annotations

import functools
import math
from typing import Final

import numpy as np
import numpy.typing as npt

__all__ = ["HOP_SAMPLES", "MEL_BANDS", "log_mel", "mel_filters"]

HOP_SAMPLES: Final = 160
"""Samples per frame: 10 ms at 16 kHz."""

MEL_BANDS: Final = 128

_SAMPLE_RATE_HZ: Final = 16_000
_FFT_SAMPLES: Final = 400
_BINS: Final = _FFT_SAMPLES // 2 + 1
_BATCH_FRAMES: Final = 512
"""Frames transformed at once: 1.6 MB of float64, which stays in the cache."""


def log_mel(samples: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Compute the log-mel spectrogram of one clip.

    Args:
        samples: float32 of shape ``[n]``, 16 kHz mono.

    Returns:
        float32 of shape ``[128, n // 160]``; no frames for fewer than 160 samples. Clips of up to 200 samples, which
        the reflection at the edges needs more than, are extended by silence first.
    """
    frames = samples.shape[0] // HOP_SAMPLES
    if frames == 0:
        return np.zeros((MEL_BANDS, 0), dtype=np.float32)
    half = _FFT_SAMPLES // 2
    padded = np.pad(samples, (0, max(0, half + 1 - samples.shape[0])))
    padded = np.pad(padded, half, mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, _FFT_SAMPLES)[::HOP_SAMPLES][:frames]
    window, filters = _hann(), mel_filters()
    mel = np.empty((frames, MEL_BANDS), dtype=np.float64)
    for first in range(0, frames, _BATCH_FRAMES):
        batch = slice(first, first + _BATCH_FRAMES)
        spectrum = np.fft.rfft(windows[batch] * window, axis=1)
        mel[batch] = (spectrum.real**2 + spectrum.imag**2) @ filters
    np.log10(np.maximum(mel, 1e-10, out=mel), out=mel)
    np.maximum(mel, mel.max() - 8.0, out=mel)
    return np.ascontiguousarray(((mel + 4.0) / 4.0).T, dtype=np.float32)


@functools.lru_cache(maxsize=1)
def mel_filters() -> npt.NDArray[np.float64]:
    """Return the filter bank, float64 of shape ``[201, 128]``, read-only.

    Slaney's mel scale is linear below 1000 Hz (200/3 Hz per mel) and logarithmic above (a factor 6.4 per 27 mel); each
    triangle has the area norm ``2 / (f[i + 2] - f[i])``.
    """
    linear_hz, knee_hz, log_step = 200.0 / 3.0, 1000.0, math.log(6.4) / 27.0
    knee = knee_hz / linear_hz
    top = knee + math.log(_SAMPLE_RATE_HZ / 2 / knee_hz) / log_step
    mels = np.linspace(0.0, top, MEL_BANDS + 2)
    edges = np.where(mels < knee, mels * linear_hz, knee_hz * np.exp(log_step * (mels - knee)))
    bins = np.linspace(0.0, _SAMPLE_RATE_HZ / 2, _BINS)[:, None]
    rising = (bins - edges[:-2]) / np.diff(edges)[:-1]
    falling = (edges[2:] - bins) / np.diff(edges)[1:]
    filters: npt.NDArray[np.float64] = np.maximum(0.0, np.minimum(rising, falling)) * (2.0 / (edges[2:] - edges[:-2]))
    filters.setflags(write=False)
    return filters


@functools.lru_cache(maxsize=1)
def _hann() -> npt.NDArray[np.float64]:
    """Periodic Hann window: the last sample of the symmetric window of 401 is left out."""
    window = 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(_FFT_SAMPLES) / _FFT_SAMPLES)
    window.setflags(write=False)
    return window
