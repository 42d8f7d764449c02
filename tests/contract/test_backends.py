# SPDX-License-Identifier: Apache-2.0
"""The contract kit, run against the backends of this repository; the rules themselves are in the kit.

Any other installed backend: ``pytest -p subtitle_hooks.testing --subtitle-backend NAME --subtitle-media FILE``.
"""

from __future__ import annotations

import importlib.util
import wave
from pathlib import Path

from subtitle_hooks.testing import FakeBackend
from subtitle_hooks.testing.contract import BackendContract

ROOT = Path(__file__).parents[2]


def example_backend():
    file = ROOT / "docs" / "examples" / "example-backend" / "example_backend.py"
    spec = importlib.util.spec_from_file_location("example_backend", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class TestFakeBackend(BackendContract):
    plugin = FakeBackend(seconds_per_segment=0.05)
    # It makes its segments without looking into the file.
    undetected_media = frozenset({"letter", "cut header", "cut sound", "cut video", "silent video", "missing track"})


class TestExampleBackend(BackendContract):
    """It times a text over a recording, so that a text has to lie beside every file."""

    plugin = example_backend()
    # It reads the header only, which still tells the full length.
    undetected_media = frozenset({"cut sound"})

    def make_media(self, folder, stem):
        path = folder / f"{stem}.wav"
        with wave.open(str(path), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(16000)
            file.writeframes(bytes(320_000))
        path.with_suffix(".txt").write_text("One two three. Four five six. Seven eight nine.", encoding="utf-8")
        return path


class TestQwenAsr(BackendContract):
    """Our own, as installed."""

    backend = "qwen-asr"
    media = ROOT / "tests" / "samples" / "sample.mp4"
