# SPDX-License-Identifier: Apache-2.0
"""A bundle whose forced aligner is not wanted: its files may be missing or broken."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import ModuleType

import pytest

from qwen_asr_model import (
    BundleFileDamagedError,
    BundleFileMissingError,
    PrecisionNotFoundError,
    WrongModelError,
    open_aligner,
    open_bundle,
    verify_bundle,
)
from qwen_asr_model.checkpoint import read_checkpoint


@pytest.fixture
def pair_copy(pair_bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(pair_bundle, tmp_path / "pair"))


def test_missing_files(pair_copy: Path) -> None:
    for file in pair_copy.glob("qwen3_aligner_*"):
        file.unlink()
        with pytest.raises(BundleFileMissingError, match="qwen3_aligner"):
            open_bundle(pair_copy)
        with pytest.raises(BundleFileMissingError, match="qwen3_aligner"):
            open_aligner(pair_copy)
    bundle = open_bundle(pair_copy, precision="fp32", aligner=False)
    assert bundle.aligner is None
    assert {entry.role for entry in bundle.files} == {"encoder_frontend", "encoder_backend", "llm"}
    verify_bundle(bundle)


def test_broken_files(pair_copy: Path) -> None:
    for file in pair_copy.glob("qwen3_aligner_*"):
        file.write_bytes(b"?")
    with pytest.raises(BundleFileDamagedError, match="qwen3_aligner"):
        open_bundle(pair_copy)
    assert open_bundle(pair_copy, aligner=False).aligner is None


def test_the_recognisers_own_files_must_be_there_all_the_same(pair_copy: Path) -> None:
    (pair_copy / "qwen3_asr_llm.q8_0.gguf").unlink()
    with pytest.raises(BundleFileMissingError, match=r"qwen3_asr_llm\.q8_0\.gguf"):
        open_bundle(pair_copy, aligner=False)


def test_the_same_bundle_otherwise(pair_bundle: Path) -> None:
    plain, without = open_bundle(pair_bundle), open_bundle(pair_bundle, aligner=False)
    assert plain.aligner is not None
    for name in ("name", "languages", "encoder_backend", "llm", "tokenizer_sha256", "precisions", "quants"):
        assert getattr(without, name) == getattr(plain, name)


def test_a_released_bundle(tiny_folder: Path, aligner_folder: Path, foreign: ModuleType, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    for checkpoint in (tiny_folder, aligner_folder):
        foreign.write_released(read_checkpoint(checkpoint), folder, quant="q8_0")
    assert open_bundle(folder).aligner is not None
    (folder / "qwen3_aligner_encoder_backend.int4.onnx").unlink()
    with pytest.raises(BundleFileMissingError, match="qwen3_aligner_encoder_backend"):
        open_bundle(folder)
    assert open_bundle(folder, aligner=False).aligner is None
    (folder / "qwen3_asr_encoder_backend.int4.onnx").unlink()
    with pytest.raises(BundleFileMissingError, match="qwen3_asr_encoder_backend"):
        open_bundle(folder, aligner=False)


def test_an_aligner_alone_is_no_recogniser(aligner_folder: Path, foreign: ModuleType, tmp_path: Path) -> None:
    foreign.write_released(read_checkpoint(aligner_folder), tmp_path / "model", quant="q8_0")
    with pytest.raises(WrongModelError, match="only a forced aligner"):
        open_bundle(tmp_path / "model", aligner=False)


def test_a_type_that_only_the_aligner_lacks(pair_bundle: Path) -> None:
    with pytest.raises(PrecisionNotFoundError):
        open_bundle(pair_bundle, aligner_quant="q6_k")
    assert open_bundle(pair_bundle, aligner_quant="q6_k", aligner=False).aligner is None
