# SPDX-License-Identifier: Apache-2.0
"""Fixtures for the audio room: a clip of human speech and ways to cut it up."""

from __future__ import annotations

import wave
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

Samples = npt.NDArray[np.float32]


@pytest.fixture(scope="session")
def human_speech() -> Samples:
    """Eleven seconds of one speaker, see data/README.md."""
    with wave.open(str(Path(__file__).parent / "data" / "jfk.wav")) as clip:
        assert (clip.getframerate(), clip.getnchannels(), clip.getsampwidth()) == (16_000, 1, 2)
        return np.frombuffer(clip.readframes(clip.getnframes()), dtype="<i2").astype(np.float32) / 32768


@pytest.fixture(scope="session")
def in_blocks() -> Callable[..., Iterator[Samples]]:
    def cut(samples: Samples, size: int = 16_000) -> Iterator[Samples]:
        return (samples[first : first + size] for first in range(0, len(samples), size))

    return cut
