# SPDX-License-Identifier: Apache-2.0
"""Places in a recording where it can be cut without cutting a word."""

from __future__ import annotations

import itertools
from typing import Final

import numpy as np
import numpy.typing as npt

from qwen_asr_plugin.audio.voice_activity import FRAME_SAMPLES, find_speech

__all__ = ["quiet_place", "quietest_moment"]

_PER_MS: Final = 16
"""Samples per millisecond. Every cut is a multiple of it, so that all times are exact."""

_WINDOW: Final = 100 * _PER_MS
_GOOD_PAUSE_MS: Final = 1000
"""A pause this long is as good a place to cut as any longer one."""

_SHORTEST_PAUSE_MS: Final = 4 * FRAME_SAMPLES // _PER_MS
_SETTLING_MS: Final = 10 * FRAME_SAMPLES // _PER_MS
"""In the middle of speech the voice activity model needs some frames until it hears it."""


def quietest_moment(samples: npt.NDArray[np.float32]) -> int:
    """Return the quietest position: least sum of ``|x|`` over 100 ms, least ``|x|`` in it.

    Args:
        samples: float32 of shape ``[n]``, 16 kHz, longer than 100 ms.

    Returns:
        Index into the samples.
    """
    loudness = np.abs(samples, dtype=np.float64)
    sums = np.cumsum(np.concatenate(([0.0], loudness)))
    window = int(np.argmin(sums[_WINDOW:] - sums[:-_WINDOW]))
    return window + int(np.argmin(loudness[window : window + _WINDOW]))


def quiet_place(samples: npt.NDArray[np.float32], latest_ms: int) -> int:
    """Return where to cut: the middle of the longest pause before `latest_ms`, the quietest moment where there is none.

    Pauses of a second and more are equally good; of equally good ones the last is taken.

    Args:
        samples: float32 of shape ``[n]``, 16 kHz mono; some of it should come after `latest_ms`, which tells a pause
            there from the short rests inside speech.
        latest_ms: Milliseconds from the first sample, greater than 0.

    Returns:
        Milliseconds from the first sample, at most `latest_ms` and at most the length.
    """
    length_ms = len(samples) // _PER_MS
    latest_ms = min(latest_ms, length_ms)
    spans = [(span.start_ms, span.end_ms) for span in find_speech([samples])]
    if not spans:
        return latest_ms
    best, place_ms = 0, None
    for (_, stop_ms), (resumed_ms, _) in itertools.pairwise([(0, 0), *spans, (length_ms, length_ms)]):
        pause_ms = min(resumed_ms - stop_ms, _GOOD_PAUSE_MS)
        shortest_ms = _SHORTEST_PAUSE_MS if stop_ms else _SETTLING_MS
        if stop_ms < latest_ms and pause_ms >= max(shortest_ms, best):
            best, place_ms = pause_ms, min((stop_ms + resumed_ms) // 2, latest_ms)
    if place_ms is None and latest_ms * _PER_MS > _WINDOW:
        place_ms = quietest_moment(samples[: latest_ms * _PER_MS]) // _PER_MS
    return latest_ms if place_ms is None else place_ms
