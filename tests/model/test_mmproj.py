# SPDX-License-Identifier: Apache-2.0
"""Pairs made for llama.cpp become bundles."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from qwen_asr_model import (
    BundleNotFoundError,
    CheckpointError,
    ConversionError,
    GgufDamagedError,
    WrongModelError,
    convert_checkpoint,
    find_pair,
    import_pair,
    open_bundle,
    verify_bundle,
)
from qwen_asr_model.checkpoint import Checkpoint, read_checkpoint


@pytest.fixture(scope="module")
def checkpoint(tiny_folder: Path) -> Checkpoint:
    return read_checkpoint(tiny_folder)


@pytest.fixture(scope="module")
def pair(checkpoint: Checkpoint, foreign: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pair with nothing lost. Do not write into it."""
    folder = tmp_path_factory.mktemp("pair")
    foreign.write_text_model(checkpoint, folder / "Qwen3-ASR-tiny-F16.gguf")
    foreign.write_mmproj(checkpoint, folder / "mmproj-Qwen3-ASR-tiny-F16.gguf")
    return folder


@pytest.fixture
def copy(pair: Path, tmp_path: Path) -> tuple[Path, Path]:
    return find_pair(shutil.copytree(pair, tmp_path / "pair"))


def encode(folder: Path, tools: SimpleNamespace, precision: str) -> np.ndarray:
    bundle = open_bundle(folder, precision=precision)
    mel = np.random.default_rng(1).normal(0, 0.5, (3, 128, 100)).astype(np.float32)
    rows = tools.run_onnx(bundle.encoder_frontend, chunk_mel=mel)
    return tools.run_onnx(bundle.encoder_backend, hidden_states=rows.reshape(1, -1, rows.shape[2]))


def test_the_encoder_is_that_of_the_checkpoint(
    pair: Path, whole_bundle: Path, tmp_path: Path, tools: SimpleNamespace
) -> None:
    out = import_pair(*find_pair(pair), tmp_path / "out", precisions=["fp32", "int8"])
    bundle = open_bundle(out)
    verify_bundle(bundle)
    assert (bundle.precision, bundle.quant, bundle.window_chunks) == ("fp32", "f16", 8)
    # The same tokens, so a forced aligner fits; only the padding entries are spelled otherwise.
    assert bundle.tokenizer_sha256 == open_bundle(whole_bundle).tokenizer_sha256
    assert bundle.llm.read_bytes() == find_pair(pair)[0].read_bytes()
    for precision in ("fp32", "int8"):
        wanted = encode(whole_bundle, tools, precision)
        # The kernels of the convolutions have 16 bits in these files; bfloat16 weights of this size fit exactly.
        np.testing.assert_allclose(encode(out, tools, precision), wanted, atol=1e-5)


@pytest.mark.parametrize(("matrices", "cosine"), [("F16", 0.99999), ("Q8_0", 0.999)])
def test_other_types_of_encoder(
    pair: Path,
    whole_bundle: Path,
    checkpoint: Checkpoint,
    foreign: ModuleType,
    tmp_path: Path,
    tools: SimpleNamespace,
    matrices: str,
    cosine: float,
) -> None:
    mmproj = tmp_path / "mmproj.gguf"
    foreign.write_mmproj(checkpoint, mmproj, matrices=matrices)
    out = import_pair(find_pair(pair)[0], mmproj, tmp_path / "out", precisions=["fp32"])
    found, wanted = (encode(folder, tools, "fp32").ravel() for folder in (out, whole_bundle))
    assert found @ wanted / np.linalg.norm(found) / np.linalg.norm(wanted) > cosine


def test_the_engine_says_the_same(
    demo_checkpoints: tuple[Path, Path], foreign: ModuleType, tmp_path: Path, transcribe: Any
) -> None:
    checkpoint = read_checkpoint(demo_checkpoints[0])
    foreign.write_text_model(checkpoint, tmp_path / "text.gguf")
    foreign.write_mmproj(checkpoint, tmp_path / "mmproj.gguf")
    imported = import_pair(tmp_path / "text.gguf", tmp_path / "mmproj.gguf", tmp_path / "out", precisions=["fp32"])
    converted = convert_checkpoint(demo_checkpoints[0], tmp_path / "own", precisions=["fp32"], quants=["f16"])
    texts = transcribe(imported)
    assert texts == transcribe(converted)
    assert all(len(text) > 20 for text in texts)


def test_a_folder_with_a_pair_says_what_to_do(pair: Path) -> None:
    with pytest.raises(BundleNotFoundError, match="model add"):
        open_bundle(pair)


def test_what_is_no_pair(copy: tuple[Path, Path], tmp_path: Path) -> None:
    llm, mmproj = copy
    with pytest.raises(BundleNotFoundError, match="0 text models and 0 mmproj"):
        find_pair(tmp_path / "nowhere")
    with pytest.raises(WrongModelError, match=llm.name):
        import_pair(llm, llm, tmp_path / "out")
    with pytest.raises(WrongModelError, match="clip"):
        import_pair(mmproj, mmproj, tmp_path / "out")
    with pytest.raises(ConversionError, match="int3"):
        import_pair(llm, mmproj, tmp_path / "out", precisions=["int3"])
    llm.unlink()
    with pytest.raises(BundleNotFoundError, match="0 text models and 1 mmproj"):
        find_pair(llm.parent)
    assert not (tmp_path / "out").exists()


def test_another_projector(copy: tuple[Path, Path], checkpoint: Checkpoint, foreign: ModuleType) -> None:
    foreign.write_mmproj(checkpoint, copy[1], projector="qwen2a")
    with pytest.raises(WrongModelError, match="qwen2a"):
        import_pair(*copy, copy[0].parent / "out")


@pytest.mark.parametrize(
    ("old", "new", "error", "message"),
    [
        (b"a.post_ln.weight", b"a.past_ln.weight", CheckpointError, r"a\.post_ln\.weight"),
        (b"clip.audio.block_count", b"clip.audio.block_caunt", GgufDamagedError, "block_count cannot be None"),
        (b"a.conv2d.1.weight", b"a.conv2d.9.weight", GgufDamagedError, r"a\.conv2d\.1\.weight"),
    ],
)
def test_damaged_encoders(
    copy: tuple[Path, Path], old: bytes, new: bytes, error: type[Exception], message: str
) -> None:
    data = copy[1].read_bytes()
    assert old in data
    copy[1].write_bytes(data.replace(old, new))
    with pytest.raises(error, match=message):
        import_pair(*copy, copy[0].parent / "out")
    assert sorted(file.name for file in copy[0].parent.iterdir()) == sorted(file.name for file in copy)


def test_parts_of_two_models(copy: tuple[Path, Path], foreign: ModuleType, demo_checkpoints: tuple[Path, Path]) -> None:
    foreign.write_mmproj(read_checkpoint(demo_checkpoints[0]), copy[1])
    with pytest.raises(WrongModelError, match=r"reads rows of 256 numbers.*writes 512"):
        import_pair(*copy, copy[0].parent / "out")
