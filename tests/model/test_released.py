# SPDX-License-Identifier: Apache-2.0
"""Bundles in the form the ancestor project released: other graphs, padded heads, no manifest."""

from __future__ import annotations

import shutil
import struct
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import gguf
import numpy as np
import pytest

from qwen_asr_model import (
    BundleFileMissingError,
    GgufDamagedError,
    TextTable,
    WrongModelError,
    convert_checkpoint,
    find_aligner,
    find_bundle,
    open_aligner,
    open_any,
    open_bundle,
)
from qwen_asr_model.checkpoint import read_checkpoint
from qwen_asr_model.synth import SIZES, synthetic_checkpoint


@pytest.fixture(scope="module")
def own(demo_checkpoints: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Our conversion of the same."""
    return convert_checkpoint(
        demo_checkpoints[0],
        tmp_path_factory.mktemp("own") / "own",
        precisions=["int4"],
        quants=["q4_k"],
        aligner=demo_checkpoints[1],
    )


@pytest.fixture
def copy(released_bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(released_bundle, tmp_path / "copy"))


def test_what_nothing_says_is_found_out(released_bundle: Path, demo_checkpoints: tuple[Path, Path]) -> None:
    config = read_checkpoint(demo_checkpoints[1]).config
    assert config.aligner is not None
    bundle = open_bundle(released_bundle)
    assert (bundle.precision, bundle.quant, bundle.n_mels, bundle.chunk_frames) == ("int4", "q4_k", 128, 100)
    aligner = bundle.aligner
    assert aligner is not None
    assert aligner.llm == aligner.text == released_bundle / "qwen3_aligner_llm.q4_k.gguf"
    assert not aligner.shares_encoder
    # Where the padding of the head begins.
    assert (aligner.classes, aligner.class_ms) == (config.aligner.classes, 80)
    assert aligner.timestamp_id == config.aligner.timestamp_id
    assert aligner.max_chunk_seconds == 80.0
    assert len(bundle.files) == 6
    assert open_aligner(released_bundle) == aligner
    assert find_bundle(released_bundle) == find_aligner(released_bundle) == released_bundle


def test_an_aligner_alone(copy: Path) -> None:
    for file in copy.glob("qwen3_asr_*"):
        file.unlink()
    assert open_any(copy) == open_aligner(copy)
    assert find_aligner(copy.parent) == copy
    with pytest.raises(WrongModelError, match="only a forced aligner"):
        open_bundle(copy)
    (copy / "qwen3_aligner_encoder_backend.int4.onnx").unlink()
    with pytest.raises(BundleFileMissingError, match=r"qwen3_aligner_encoder_backend\.int4\.onnx"):
        open_aligner(copy)


def test_text_rows_come_from_the_decoder_file(released_bundle: Path, demo_checkpoints: tuple[Path, Path]) -> None:
    weights = read_checkpoint(demo_checkpoints[1]).tensors.load("thinker.model.embed_tokens.weight")
    tokens = [4000, 5, 17]
    rows = TextTable(open_aligner(released_bundle).text).rows(tokens)
    assert np.linalg.norm(rows - weights[tokens]) < 0.1 * np.linalg.norm(weights[tokens])


def test_the_same_text_and_times(released_bundle: Path, own: Path, transcribe: Any) -> None:
    texts, times = transcribe(released_bundle, times=True)
    wanted, wanted_times = transcribe(own, times=True)
    assert texts == wanted
    differences = np.abs(np.concatenate(times) - np.concatenate(wanted_times))
    # One class is 80 ms; the two round the same weights to 4 bits in different ways.
    assert (differences <= 80).mean() > 0.9
    assert np.median(differences) == 0


@pytest.mark.parametrize(("quant", "classes"), [("", 512), ("q8_0", 511), ("q6_k", 300), ("q4_k_m", 1)])
def test_padding_is_found_in_every_type(foreign: ModuleType, tmp_path: Path, quant: str, classes: int) -> None:
    config = SIZES["aligner-tiny"]
    assert config.aligner is not None
    checkpoint = synthetic_checkpoint(replace(config, aligner=replace(config.aligner, classes=classes)))
    foreign.write_released(checkpoint, tmp_path, quant=quant)
    assert open_aligner(tmp_path).classes == classes


def test_files_of_two_models(copy: Path, foreign: ModuleType) -> None:
    foreign.write_released(synthetic_checkpoint("tiny"), copy.parent / "other")
    name = "qwen3_asr_llm.q4_k.gguf"
    shutil.copy(copy.parent / "other" / name, copy)
    with pytest.raises(WrongModelError, match=rf"{name}.*reads rows of 256 numbers.*_backend.* writes 512"):
        open_bundle(copy)
    name = "qwen3_asr_encoder_backend.int4.onnx"
    shutil.copy(copy.parent / "other" / name, copy)
    with pytest.raises(WrongModelError, match=rf"{name}: reads rows of 64 numbers.*_frontend.* writes 384"):
        open_bundle(copy)


def test_an_aligner_that_is_none(copy: Path) -> None:
    shutil.copy(copy / "qwen3_asr_llm.q4_k.gguf", copy / "qwen3_aligner_llm.q4_k.gguf")
    data = (copy / "qwen3_aligner_llm.q4_k.gguf").read_bytes()
    (copy / "qwen3_aligner_llm.q4_k.gguf").write_bytes(data.replace(b"<timestamp>", b"<timestomp>"))
    with pytest.raises(WrongModelError, match="no <timestamp>"):
        open_aligner(copy)


def test_special_tokens_must_be_there_exactly_once(copy: Path) -> None:
    file = copy / "qwen3_asr_llm.q4_k.gguf"
    data = file.read_bytes()
    file.write_bytes(data.replace(b"<|audio_start|>", b"<|audio_st4rt|>"))
    with pytest.raises(WrongModelError, match=r"llm\.q4_k\.gguf: its vocabulary has no <\|audio_start\|>"):
        open_bundle(copy)
    tokens = gguf.GGUFReader(copy / "qwen3_aligner_llm.q4_k.gguf").fields["tokenizer.ggml.tokens"].contents()
    twice = next(token.encode() for token in tokens if len(token.encode()) == len("<|im_end|>") and token.isalpha())
    length = struct.pack("<Q", len(twice))
    assert data.count(length + twice) == 1
    file.write_bytes(data.replace(length + twice, length + b"<|im_end|>"))
    with pytest.raises(GgufDamagedError, match=r"llm\.q4_k\.gguf: the vocabulary has '<\|im_end\|>' twice"):
        open_bundle(copy)


def test_a_head_of_nothing_but_padding(foreign: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = synthetic_checkpoint("aligner-tiny")
    real = type(checkpoint.tensors).load

    def load(self: Any, name: str) -> np.ndarray:
        return np.full(self.shape(name), -100, np.float32) if "lm_head" in name else real(self, name)

    monkeypatch.setattr(type(checkpoint.tensors), "load", load)
    foreign.write_released(checkpoint, tmp_path, quant="")
    with pytest.raises(GgufDamagedError, match="no rows but padding"):
        open_aligner(tmp_path)
