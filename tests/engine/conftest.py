# SPDX-License-Identifier: Apache-2.0
"""What the tests of the worker process share."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

import numpy as np
import psutil
import pytest

from qwen_asr_plugin.audio import SpeechChunk, SpeechSpan
from qwen_asr_plugin.engine import shut_down
from qwen_asr_plugin.media import choose_track, find_ffmpeg, open_audio, probe


def _as_chunk(samples: np.ndarray, index: int) -> SpeechChunk:
    end = len(samples) // 16
    span = SpeechSpan(start_ms=0, end_ms=end)
    return SpeechChunk(index=index, start_ms=0, end_ms=end, samples=samples, spans=(span,))


@pytest.fixture(scope="session")
def noise() -> Callable[..., SpeechChunk]:
    """Make a chunk of quiet noise, which the number fixes."""

    def make(index: int = 0, seconds: float = 4.0) -> SpeechChunk:
        samples = np.random.default_rng(index).normal(0, 0.01, int(seconds * 16000)).astype(np.float32)
        return _as_chunk(samples, index)

    return make


@pytest.fixture(scope="session")
def speech(speech_folder) -> list[SpeechChunk]:
    """Chunks in which somebody speaks."""
    chunks = []
    for name in ("29-hibari", "06-espeak", "35-flite", "timed-09", "austen-0880", "26-espeak"):
        found = probe(speech_folder / f"{name}.flac", find_ffmpeg())
        with open_audio(found, choose_track(found), find_ffmpeg()) as stream:
            chunks.append(_as_chunk(np.concatenate(list(stream)), len(chunks)))
    return chunks


@pytest.fixture(autouse=True, scope="module")
def no_worker_of_other_tests() -> None:
    """These tests count processes; tests of other rooms leave a warm engine."""
    shut_down()


@pytest.fixture(scope="session")
def workers() -> Callable[[], list[psutil.Process]]:
    """Return the worker processes of this process, dead ones that nobody has waited for among them."""

    def find() -> list[psutil.Process]:
        found = []
        for process in psutil.Process().children():
            with contextlib.suppress(psutil.NoSuchProcess):
                if process.status() == psutil.STATUS_ZOMBIE or "qwen_asr_plugin.engine.worker" in " ".join(
                    process.cmdline()
                ):
                    found.append(process)
        return found

    return find


@pytest.fixture(scope="session")
def gone() -> Callable[[int, float], bool]:
    """Wait until there is no process of that number; one that only waits to be waited for counts as gone."""

    def wait(pid: int, seconds: float) -> bool:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with contextlib.suppress(psutil.NoSuchProcess):
                if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                    time.sleep(0.02)
                    continue
            return True
        return False

    return wait
