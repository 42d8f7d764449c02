# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from qwen_asr_model import Bundle, convert_checkpoint, open_bundle

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def golden_folder() -> Path:
    return HERE


@pytest.fixture(scope="session")
def packing() -> ModuleType:
    """The program `pack_checkpoint.py`, as a module."""
    spec = importlib.util.spec_from_file_location("pack_checkpoint", HERE / "pack_checkpoint.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def reference_checkpoint(packing: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint the golden files were made from: official layout, float16. Do not write into it."""
    folder = tmp_path_factory.mktemp("golden") / "checkpoint"
    packing.unpack(HERE / "checkpoint", folder)
    return folder


@pytest.fixture(scope="session")
def reference_bundle(reference_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """That checkpoint, converted without loss beyond float16."""
    out = tmp_path_factory.mktemp("golden") / "bundle"
    return open_bundle(convert_checkpoint(reference_checkpoint, out, precisions=("fp32",), quants=("f16",)))
