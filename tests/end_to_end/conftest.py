# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from subtitle_hooks import Segment, SubtitleHost, SubtitleRequest


def _module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def wrong_words() -> Callable[[str, str], float]:
    """Word error rate of a text against a reference, normalised as all of this project's figures are."""
    import jiwer

    rules = Path(__file__).parents[2] / "benchmarks" / "accuracy" / "normalise.py"
    normalise = _module(rules).normalise
    return lambda reference, heard: jiwer.wer(normalise(reference), normalise(heard))


@pytest.fixture(scope="session")
def host() -> SubtitleHost:
    return SubtitleHost()


@pytest.fixture(scope="session")
def subtitles(host) -> Callable[..., list[Segment]]:
    """Make subtitles through the hook, as a host does."""

    def make(media: Path, **fields: object) -> list[Segment]:
        with host.generate(SubtitleRequest(media=media, **fields), backend="qwen-asr") as transcript:
            return list(transcript)

    return make
