# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import functools
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from qwen_asr_model import Bundle, convert_checkpoint, open_bundle
from qwen_asr_plugin.media import choose_track, find_ffmpeg, open_audio, probe

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def golden_folder() -> Path:
    return HERE


def _program(name: str) -> ModuleType:
    """Return a program of this folder as a module."""
    spec = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def packing() -> ModuleType:
    """The program `pack_checkpoint.py`."""
    return _program("pack_checkpoint")


@pytest.fixture(scope="session")
def random_aligner(packing: ModuleType) -> ModuleType:
    """The program `random_aligner.py`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "pack_checkpoint", packing)
        return _program("random_aligner")


@pytest.fixture(scope="session")
def unpacked(packing: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoints the golden files were made from: official layout, float16. Do not write into it."""
    folder = tmp_path_factory.mktemp("golden") / "unpacked"
    packing.unpack(HERE / "checkpoint", folder)
    return folder


@pytest.fixture(scope="session")
def reference_checkpoint(packing: ModuleType, unpacked: Path) -> Path:
    """The recogniser among them."""
    return unpacked / packing.RECOGNISER


@pytest.fixture(scope="session")
def reference_aligner(packing: ModuleType, unpacked: Path) -> Path:
    """The forced aligner among them."""
    return unpacked / packing.ALIGNER


@pytest.fixture(scope="session")
def reference_bundle(
    reference_checkpoint: Path, reference_aligner: Path, tmp_path_factory: pytest.TempPathFactory
) -> Bundle:
    """Both, converted without loss beyond float16; the aligner's decoder in smaller and larger types, too."""
    out = tmp_path_factory.mktemp("golden") / "bundle"
    convert_checkpoint(
        reference_checkpoint,
        out,
        precisions=("fp32",),
        quants=("f16",),
        aligner=reference_aligner,
        aligner_quants=("f16", "f32", "q8_0"),
    )
    return open_bundle(out)


@pytest.fixture(scope="session")
def samples(speech_folder: Path) -> Callable[[str], np.ndarray]:
    """Read a speech clip by its stem: float32 ``[samples]``, 16 kHz."""

    @functools.cache
    def read(stem: str) -> np.ndarray:
        found = probe(speech_folder / f"{stem}.flac", find_ffmpeg())
        with open_audio(found, choose_track(found), find_ffmpeg()) as stream:
            return np.concatenate(list(stream))

    return read
