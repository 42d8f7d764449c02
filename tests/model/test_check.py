# SPDX-License-Identifier: Apache-2.0
"""A conversion compared with its checkpoint, by numbers."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from qwen_asr_model import CheckpointError, ConversionError, check_conversion, convert_checkpoint, open_bundle
from qwen_asr_model._reference import ReferenceDecoder, ReferenceEncoder
from qwen_asr_model.checkpoint import Checkpoint, read_checkpoint
from qwen_asr_model.synth import synthetic_checkpoint

# Cosine of the encoder's output that each precision must reach.
COSINES = {"fp32": 0.9999999, "fp16": 0.9999999, "int8": 0.999, "int4": 0.98}


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a.ravel() @ b.ravel() / np.linalg.norm(a) / np.linalg.norm(b))


@pytest.mark.parametrize("frames", [37, 100, 250, 950])
def test_the_reference_is_the_definition(tiny_folder: Path, tools: SimpleNamespace, frames: int) -> None:
    checkpoint = read_checkpoint(tiny_folder)
    mel = np.random.default_rng(frames).normal(0, 0.5, (128, frames)).astype(np.float32)
    ours, slow = ReferenceEncoder(checkpoint), tools.ReferenceEncoder(checkpoint)
    rows = ours.rows(mel)
    padded = mel if frames < 100 else np.pad(mel, ((0, 0), (0, -frames % 100)))
    wanted = np.concatenate([slow.frontend(padded[:, at : at + 100]) for at in range(0, frames, 100)])
    full, rest = divmod(frames, 100)
    wanted = wanted[: 13 * full + -(-rest // 8)]
    np.testing.assert_allclose(rows, wanted, atol=2e-5)
    windows = [slow.backend(wanted[at : at + 104]) for at in range(0, len(wanted), 104)]
    np.testing.assert_allclose(ours.encode(rows), np.concatenate(windows), atol=1e-4)


def test_the_reference_decoder_is_the_definition(tiny_aligner: Checkpoint, tools: SimpleNamespace) -> None:
    rows = np.random.default_rng(0).normal(0, 1, (40, 256)).astype(np.float32)
    wanted = tools.ReferenceDecoder(tiny_aligner).scores(rows)
    found = ReferenceDecoder(tiny_aligner).scores(rows, np.array([0, 17, 39]))
    np.testing.assert_allclose(found, wanted[[0, 17, 39]], atol=1e-4)
    table = tiny_aligner.tensors.load("thinker.model.embed_tokens.weight")
    np.testing.assert_array_equal(ReferenceDecoder(tiny_aligner).embed([5, 0, 511, 5]), table[[5, 0, 511, 5]])


def test_every_file_is_compared(pair_bundle: Path, tiny_folder: Path, aligner_folder: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    checks = check_conversion(
        pair_bundle, tiny_folder, aligner=aligner_folder, text="abc", progress=lambda *step: seen.append(step)
    )
    assert [(check.part, check.variant) for check in checks] == [
        ("encoder_frontend", "int8"),
        ("encoder", "int8"),
        ("encoder_frontend", "fp32"),
        ("encoder", "fp32"),
        ("llm", "q8_0"),
        ("aligner_llm", "q5_0"),
        ("aligner_llm", "f16"),
        ("aligner_llm", "q4_0"),
    ]
    assert [(name, done) for name, done, _ in seen][2] == ("qwen3_asr_llm.q8_0.gguf", 2)
    found = {(check.part, check.variant): check for check in checks}
    assert found["encoder", "fp32"].max_error < 1e-4
    llm = found["llm", "q8_0"]
    assert llm.cosine > 0.999
    assert llm.reference_loss is not None
    assert llm.loss == pytest.approx(llm.reference_loss, abs=0.05)
    # Random weights: every token is as likely as any other.
    assert llm.reference_loss == pytest.approx(np.log(512), abs=1)
    exact = found["aligner_llm", "f16"]
    assert (exact.cosine > 0.99999, exact.same_choice) == (True, 1.0)
    assert exact.cosine > found["aligner_llm", "q4_0"].cosine > 0.95


@pytest.mark.parametrize(
    ("seed", "sizes"),
    [
        (0, {}),
        (1, {}),
        (2, {"d_model": 256, "heads": 4, "layers": 4, "ffn_dim": 1024, "conv_channels": 16}),
    ],
)
def test_every_precision_of_random_checkpoints(
    tiny: Checkpoint, tmp_path: Path, tools: SimpleNamespace, seed: int, sizes: dict[str, int]
) -> None:
    config = replace(tiny.config, audio=replace(tiny.config.audio, **sizes))
    checkpoint = synthetic_checkpoint(config, seed=seed)
    folder = tools.write_checkpoint(tmp_path / "checkpoint", checkpoint)
    out = convert_checkpoint(folder, tmp_path / "out", precisions=list(COSINES), quants=["q6_k", "q5_k"])
    checks = check_conversion(out, folder)
    found = {check.variant: check.cosine for check in checks if check.part == "encoder"}
    assert list(found) == list(COSINES)
    for precision, wanted in COSINES.items():
        assert found[precision] >= wanted, precision
    assert all(check.cosine > 0.99 for check in checks if check.part == "llm")


def test_a_trained_checkpoint_and_what_it_hears(
    demo_checkpoints: tuple[Path, Path], tmp_path: Path, speech: tuple
) -> None:
    mel, text = speech
    out = convert_checkpoint(
        demo_checkpoints[0], tmp_path / "out", precisions=["int4", "int8"], quants=["q8_0", "q4_k"]
    )
    checks = {
        (check.part, check.variant): check for check in check_conversion(out, demo_checkpoints[0], mel=mel, text=text)
    }
    assert checks["encoder", "int8"].cosine >= 0.999
    assert checks["encoder", "int4"].cosine >= 0.98
    good, small = checks["llm", "q8_0"], checks["llm", "q4_k"]
    assert good.reference_loss is not None
    assert good.loss is not None
    assert small.loss is not None
    # It knows these words: far below the 8.3 nats of guessing among 4096 tokens.
    assert good.reference_loss < 2
    assert abs(good.loss - good.reference_loss) < 0.02
    assert abs(small.loss - small.reference_loss) < 0.3
    wrong = check_conversion(out, demo_checkpoints[0], mel=mel, text="Nobody has said anything like this.")
    assert wrong[-1].reference_loss > good.reference_loss + 2


def test_an_aligner_alone(aligner_folder: Path, tmp_path: Path) -> None:
    out = convert_checkpoint(aligner_folder, tmp_path / "out", precisions=["fp32"], quants=["f16"])
    checks = check_conversion(out, aligner_folder)
    assert [check.part for check in checks] == ["aligner_encoder_frontend", "aligner_encoder", "aligner_llm"]
    assert all(check.cosine > 0.99999 for check in checks)


def test_damage_shows(bundle_copy: Path, tiny_folder: Path) -> None:
    file = open_bundle(bundle_copy, precision="fp32").encoder_backend
    data = bytearray(file.read_bytes())
    values = np.frombuffer(data, np.uint8, offset=len(data) // 2, count=4096)
    data[len(data) // 2 : len(data) // 2 + 4096] = bytes(values[::-1] & 0xBF)
    file.write_bytes(data)
    checks = {(check.part, check.variant): check for check in check_conversion(bundle_copy, tiny_folder)}
    assert not checks["encoder", "fp32"].cosine > 0.9999
    assert checks["encoder", "fp16"].cosine > 0.99999


def test_what_does_not_belong_together(
    whole_bundle: Path, aligner_folder: Path, tmp_path: Path, tiny_folder: Path
) -> None:
    with pytest.raises(ConversionError, match="no conversion of this checkpoint"):
        check_conversion(whole_bundle, aligner_folder)
    with pytest.raises(ConversionError, match=r"must be \[128, frames\]"):
        check_conversion(whole_bundle, tiny_folder, mel=np.zeros((80, 100), np.float32))
    with pytest.raises(CheckpointError, match="no such folder"):
        check_conversion(whole_bundle, tmp_path / "nowhere")
    other = shutil.copytree(tiny_folder, tmp_path / "other")
    config = (other / "config.json").read_text().replace('"encoder_layers": 2', '"encoder_layers": 3')
    (other / "config.json").write_text(config)
    with pytest.raises(CheckpointError, match="no tensor"):
        check_conversion(whole_bundle, other)
