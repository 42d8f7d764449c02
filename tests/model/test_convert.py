# SPDX-License-Identifier: Apache-2.0
"""Conversion as a whole: all or nothing, the same bytes every time."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qwen_asr_model import (
    CheckpointError,
    ConversionError,
    convert,
    convert_checkpoint,
    open_bundle,
    renew,
    synthesize,
    verify_bundle,
)
from qwen_asr_model.synth import SIZES, synthetic_checkpoint


def digest(folder: Path) -> dict[str, str]:
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.iterdir()}


def test_progress_names_every_file(tiny_folder: Path, tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    convert_checkpoint(tiny_folder, tmp_path / "out", progress=lambda *step: seen.append(step))
    assert seen == [
        ("qwen3_asr_encoder_frontend.int8.onnx", 0, 3),
        ("qwen3_asr_encoder_backend.int8.onnx", 1, 3),
        ("qwen3_asr_llm.q8_0.gguf", 2, 3),
        ("bundle.json", 3, 3),
    ]
    assert open_bundle(tmp_path / "out").name == "out"


def test_conversion_is_deterministic(tiny_folder: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        convert_checkpoint(tiny_folder, tmp_path / name, name="same", precisions=["int8", "int4"])
    assert digest(tmp_path / "a") == digest(tmp_path / "b")


def test_a_failure_leaves_nothing(tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(convert, "write_llm", fail)
    with pytest.raises(ConversionError, match="No space left"):
        convert_checkpoint(tiny_folder, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_failure_leaves_the_old_bundle(tiny_folder: Path, bundle_copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = digest(bundle_copy)

    def fail(*_: Any, **__: Any) -> None:
        raise CheckpointError("broken")

    monkeypatch.setattr(convert, "write_backend", fail)
    with pytest.raises(CheckpointError):
        convert_checkpoint(tiny_folder, bundle_copy)
    assert digest(bundle_copy) == before
    assert [folder.name for folder in bundle_copy.parent.iterdir()] == ["bundle"]


def test_an_old_bundle_is_replaced_and_strangers_stay(tiny_folder: Path, bundle_copy: Path) -> None:
    (bundle_copy / "notes.txt").write_text("mine")
    convert_checkpoint(tiny_folder, bundle_copy, precisions=["fp16"], quants=["q4_1"])
    assert sorted(file.name for file in bundle_copy.iterdir()) == [
        "bundle.json",
        "notes.txt",
        "qwen3_asr_encoder_backend.fp16.onnx",
        "qwen3_asr_encoder_frontend.fp16.onnx",
        "qwen3_asr_llm.q4_1.gguf",
    ]
    verify_bundle(open_bundle(bundle_copy))


def test_other_folders_are_left_alone(tiny_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ConversionError, match="something else"):
        convert_checkpoint(tiny_folder, tmp_path)
    with pytest.raises(ConversionError, match="something else"):
        convert_checkpoint(tiny_folder, tmp_path / "thesis.txt")
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize(
    "arguments",
    [
        {"precisions": []},
        {"precisions": ["int8", "int8"]},
        {"precisions": ["int3"]},
        {"quants": ["q9"]},
        {"quants": []},
    ],
)
def test_bad_choices(tiny_folder: Path, tmp_path: Path, arguments: dict[str, Any]) -> None:
    with pytest.raises(ConversionError, match="Known: "):
        convert_checkpoint(tiny_folder, tmp_path / "out", **arguments)
    assert list(tmp_path.iterdir()) == []


def test_synthetic_bundles(tmp_path: Path, tools: Any) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        synthesize("tiny", tmp_path / name, precisions=["fp32"], quants=["q4_0"], seed=seed)
    assert digest(tmp_path / "a") == digest(tmp_path / "b")
    assert digest(tmp_path / "a") != digest(tmp_path / "c")
    bundle = open_bundle(tmp_path / "a")
    assert bundle.name == "synthetic-tiny"
    mel = np.random.default_rng(0).normal(0, 0.5, (8, bundle.n_mels, bundle.chunk_frames)).astype(np.float32)
    rows = tools.run_onnx(bundle.encoder_frontend, chunk_mel=mel)
    assert rows.shape == (8, 13, 64)
    out = tools.run_onnx(bundle.encoder_backend, hidden_states=rows.reshape(1, 104, 64))
    assert out.shape == (1, 104, 256)
    assert np.isfinite(out).all()
    assert 0.01 < out.std() < 100
    with pytest.raises(ConversionError, match=r"0\.6B, 1\.7B, tiny, aligner-0\.6B"):
        synthesize("7B", tmp_path / "d")


@pytest.mark.parametrize(
    ("size", "audio", "text"),
    [("0.6B", (18, 896, 14, 3584, 1024), (1024, 3072)), ("1.7B", (24, 1024, 16, 4096, 2048), (2048, 6144))],
)
def test_synthetic_sizes_are_the_official_ones(size: str, audio: tuple[int, ...], text: tuple[int, ...]) -> None:
    found = SIZES[size]
    a, t = found.audio, found.text
    assert (a.layers, a.d_model, a.heads, a.ffn_dim, a.output_dim) == audio
    assert (t.hidden_size, t.intermediate_size) == text
    assert (t.layers, t.heads, t.kv_heads, t.head_dim, t.vocab_size) == (28, 16, 8, 128, 151936)
    assert (a.chunk_rows, a.window_chunks, a.conv_bins) == (13, 8, 16)
    vocabulary = synthetic_checkpoint(size).vocabulary
    assert len(vocabulary.tokens) == len(set(vocabulary.tokens)) == 151936
    for token, number in {"<|endoftext|>": 151643, "<|im_end|>": 151645, "<|audio_pad|>": 151676}.items():
        assert vocabulary.tokens[number] == token
    assert vocabulary.tokens[151704] == "<asr_text>"
    assert vocabulary.eos_id == 151645


def test_renewal_makes_the_package_bundle(
    tiny_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert renew.main([str(tiny_folder), "--out", str(tmp_path / "demo-en")]) == 0
    bundle = open_bundle(tmp_path / "demo-en")
    assert (bundle.name, bundle.max_chunk_seconds, bundle.languages) == ("demo-en", 20.0, ("en",))
    assert (bundle.precisions, bundle.quants) == (("int4",), ("q5_0",))
    assert "MB" in capsys.readouterr().out
    assert renew.main([str(tmp_path / "nowhere")]) == 1
    assert "no such folder" in capsys.readouterr().err


def test_a_checkpoint_is_never_overwritten(tiny_folder: Path) -> None:
    with pytest.raises(ConversionError, match="something else"):
        synthesize("tiny", tiny_folder)
    assert (tiny_folder / "config.json").is_file()
    assert not list(tiny_folder.parent.glob(".*.partial"))
