# SPDX-License-Identifier: Apache-2.0
"""The ONNX graphs against the encoder's definition."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest

from qwen_asr_model import ConversionError, _onnx_file
from qwen_asr_model._encoder import write_backend, write_frontend
from qwen_asr_model._onnx_file import Graph
from qwen_asr_model._precisions import make_precision, quantise_blocks, quantise_rows
from qwen_asr_model.checkpoint import Checkpoint, read_checkpoint
from qwen_asr_model.synth import synthetic_checkpoint

# Relative error of the output. Measured on the weights here: 5e-7, 5e-7 (bfloat16 weights of this size fit float16
# exactly), 0.023, 0.13; the frontend alone 0.002 in int8 and int4, whose one product has 8 bits in both.
BOUNDS = {"fp32": 1e-5, "fp16": 1e-5, "int8": 0.04, "int4": 0.2}


def relative_error(found: np.ndarray, wanted: np.ndarray) -> float:
    return float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))


@pytest.fixture(scope="module")
def from_folder(tiny_folder: Path) -> Checkpoint:
    """The checkpoint as converted: its weights are cut to bfloat16."""
    return read_checkpoint(tiny_folder)


def mel_chunks(chunks: int, frames: int) -> np.ndarray:
    random = np.random.default_rng(chunks * 1000 + frames)
    return random.normal(0, 0.5, (chunks, 128, frames)).astype(np.float32)


@pytest.mark.parametrize("precision", BOUNDS)
@pytest.mark.parametrize(("chunks", "frames"), [(1, 100), (3, 100), (2, 37)])
def test_frontend_computes_the_definition(
    whole_bundle: Path, from_folder: Checkpoint, tools: SimpleNamespace, precision: str, chunks: int, frames: int
) -> None:
    mel = mel_chunks(chunks, frames)
    found = tools.run_onnx(whole_bundle / f"qwen3_asr_encoder_frontend.{precision}.onnx", chunk_mel=mel)
    reference = tools.ReferenceEncoder(from_folder)
    wanted = np.stack([reference.frontend(chunk) for chunk in mel])
    assert found.dtype == np.float32
    assert found.shape == wanted.shape
    assert relative_error(found, wanted) < BOUNDS[precision]
    if precision == "fp32":
        np.testing.assert_allclose(found, wanted, atol=1e-4)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("frames", [1, 2, 7, 8, 9, 16, 17, 50, 99])
def test_a_chunk_may_have_any_length(
    whole_bundle: Path, from_folder: Checkpoint, tools: SimpleNamespace, precision: str, frames: int
) -> None:
    mel = mel_chunks(1, frames)
    found = tools.run_onnx(whole_bundle / f"qwen3_asr_encoder_frontend.{precision}.onnx", chunk_mel=mel)
    wanted = tools.ReferenceEncoder(from_folder).frontend(mel[0])
    assert found.shape == (1, -(-frames // 8), from_folder.config.audio.d_model)
    assert relative_error(found[0], wanted) < BOUNDS[precision]


@pytest.mark.parametrize("precision", BOUNDS)
@pytest.mark.parametrize(("batch", "time"), [(1, 1), (2, 26), (1, 104)])
def test_backend_computes_the_definition(
    whole_bundle: Path, from_folder: Checkpoint, tools: SimpleNamespace, precision: str, batch: int, time: int
) -> None:
    rows = np.random.default_rng(7).normal(0, 1, (batch, time, from_folder.config.audio.d_model)).astype(np.float32)
    found = tools.run_onnx(whole_bundle / f"qwen3_asr_encoder_backend.{precision}.onnx", hidden_states=rows)
    reference = tools.ReferenceEncoder(from_folder)
    wanted = np.stack([reference.backend(window) for window in rows])
    assert found.dtype == np.float32
    assert found.shape == wanted.shape
    assert relative_error(found, wanted) < BOUNDS[precision]
    if precision == "fp32":
        np.testing.assert_allclose(found, wanted, atol=1e-4)


def test_windows_of_a_batch_do_not_see_each_other(whole_bundle: Path, tools: SimpleNamespace) -> None:
    backend = whole_bundle / "qwen3_asr_encoder_backend.fp32.onnx"
    rows = np.random.default_rng(3).normal(0, 1, (2, 20, 96)).astype(np.float32)
    together = tools.run_onnx(backend, hidden_states=rows)
    apart = np.concatenate([tools.run_onnx(backend, hidden_states=rows[i : i + 1]) for i in range(2)])
    np.testing.assert_allclose(together, apart, atol=1e-5)


@pytest.mark.parametrize("part", ["frontend", "backend"])
@pytest.mark.parametrize("precision", BOUNDS)
def test_the_onnx_checker_accepts_the_file(whole_bundle: Path, part: str, precision: str) -> None:
    model = onnx.load(whole_bundle / f"qwen3_asr_encoder_{part}.{precision}.onnx")
    onnx.checker.check_model(model)
    assert not any(tensor.external_data for tensor in model.graph.initializer)


def test_smaller_precisions_make_smaller_files(whole_bundle: Path) -> None:
    sizes = [(whole_bundle / f"qwen3_asr_encoder_backend.{name}.onnx").stat().st_size for name in BOUNDS]
    assert sizes == sorted(sizes, reverse=True)


def test_int8_products_of_neighbours_fit_in_16_bits() -> None:
    random = np.random.default_rng(0)
    matrix = random.normal(0, 1, (50, 33)).astype(np.float32)
    matrix[0] = 1
    matrix[1] = 0
    levels, scale = quantise_rows(matrix)
    for sign in (1, -1):
        wide = np.maximum(sign * levels.astype(np.int32), 0)
        assert (255 * (wide[:, 1:] + wide[:, :-1]) <= 32767).all()
    # Half a step is the most that rounding may cost.
    assert (np.abs(levels * scale[:, None] - matrix) <= scale[:, None] * 0.5001).all()
    assert np.abs(levels[2:]).max(axis=1).min() >= 63


def test_int4_blocks_unpack_to_the_matrix() -> None:
    matrix = np.random.default_rng(0).normal(0, 1, (5, 70)).astype(np.float32)
    matrix[2, :32] = 0
    packed, scales = quantise_blocks(matrix, 4, 32)
    assert packed.shape == (5, 3, 16)
    levels = np.stack([packed & 15, packed >> 4], axis=-1).reshape(5, 3, 32).astype(np.float32) - 8
    restored = (levels * scales.reshape(5, 3, 1)).reshape(5, 96)[:, :70]
    limit = np.repeat(np.abs(scales.reshape(5, 3)), 32, axis=1)[:, :70]
    # The far end of the range, +8, is clipped to +7: a whole step there, half a step elsewhere.
    assert (np.abs(restored - matrix) <= limit * 1.0001).all()
    assert relative_error(restored, matrix) < 0.1


def test_int8_blocks_unpack_to_the_matrix() -> None:
    matrix = np.random.default_rng(0).normal(0, 1, (5, 300)).astype(np.float32)
    matrix[2, :128] = 0
    levels, scales = quantise_blocks(matrix, 8, 128)
    assert levels.shape == (5, 3, 128)
    steps = scales.reshape(5, 3, 1)
    restored = ((levels.astype(np.float32) - 128) * steps).reshape(5, 384)[:, :300]
    limit = np.repeat(np.abs(steps[..., 0]), 128, axis=1)[:, :300]
    # +128 is clipped to +127: a whole step at the far end of the range, half a step elsewhere.
    assert (np.abs(restored - matrix) <= limit * 1.0001).all()
    assert relative_error(restored, matrix) < 0.01


def test_int4_keeps_the_first_and_last_products_and_attention_in_8_bits(whole_bundle: Path, tiny: Checkpoint) -> None:
    stored = {}
    for part in ("frontend", "backend"):
        model = onnx.load(whole_bundle / f"qwen3_asr_encoder_{part}.int4.onnx")
        for node in model.graph.node:
            if node.op_type == "MatMulNBits":
                attributes = {a.name: a.i for a in node.attribute}
                stored[node.input[1].removesuffix(".weight")] = (attributes["bits"], attributes["block_size"])
    wide = {name for name, kind in stored.items() if kind[0] == 8}
    assert {name for name in wide if stored[name] == (8, 128)} == {"conv_out", "proj1", "proj2"}
    assert all("self_attn" in name for name in wide if stored[name] == (8, 32))  # 96 columns are no whole 128
    narrow = {f"layers.{layer}.{name}" for layer in range(tiny.config.audio.layers) for name in ("fc1", "fc2")}
    assert {name for name, kind in stored.items() if kind == (4, 32)} == stored.keys() - wide == narrow


def test_int4_scales_are_searched_for() -> None:
    matrix = np.random.default_rng(5).normal(0, 1, (300, 256)).astype(np.float32)
    packed, scales = quantise_blocks(matrix, 4, 32)
    levels = np.stack([packed & 15, packed >> 4], axis=-1).reshape(300, 8, 32).astype(np.float32) - 8
    found = (levels * scales.reshape(300, 8, 1)).reshape(300, 256)
    blocks = matrix.reshape(300, 8, 32)
    largest = np.take_along_axis(blocks, np.abs(blocks).argmax(axis=2)[..., None], axis=2)
    plain = np.clip(np.rint(blocks / largest * -8), -8, 7) * largest / -8
    # Measured: 0.086 and 0.082. In every block at least as good, up to the rounding of the error itself.
    assert relative_error(found, matrix) < 0.96 * relative_error(plain.reshape(300, 256), matrix)
    errors = [((way.reshape(blocks.shape) - blocks) ** 2).sum(axis=2) for way in (found, plain)]
    assert (errors[0] <= errors[1] * 1.0001).all()
    again = quantise_blocks(matrix, 4, 32)
    assert np.array_equal(again[0], packed)
    assert np.array_equal(again[1], scales)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("sizes", [{}, {"d_model": 256, "heads": 4, "layers": 8, "ffn_dim": 1024}])
def test_quantised_encoders_stay_close_whatever_the_weights(
    tmp_path: Path, tools: SimpleNamespace, tiny: Checkpoint, seed: int, sizes: dict[str, int]
) -> None:
    checkpoint = synthetic_checkpoint(replace(tiny.config, audio=replace(tiny.config.audio, **sizes)), seed=seed)
    mel = mel_chunks(3, 100)
    outputs = {}
    for name in ("fp32", "int8", "int4"):
        front, back = tmp_path / f"{name}.front.onnx", tmp_path / f"{name}.back.onnx"
        write_frontend(checkpoint, make_precision(name), front)
        write_backend(checkpoint, make_precision(name), back)
        rows = np.concatenate([tools.run_onnx(front, chunk_mel=mel[i : i + 1])[0] for i in range(3)])
        outputs[name] = tools.run_onnx(back, hidden_states=rows[None]).ravel()

    def cosine(name: str) -> float:
        a, b = outputs[name], outputs["fp32"]
        return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))

    assert cosine("int8") >= 0.999
    assert cosine("int4") >= 0.98


def test_a_file_beyond_protobuf_is_refused_before_anything_is_written(
    tiny: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_onnx_file, "MAX_BYTES", 100_000)
    with pytest.raises(ConversionError, match="smaller precision"):
        write_backend(tiny, make_precision("fp32"), tmp_path / "backend.onnx")
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(ConversionError, match="int8"):
        make_precision("int3")


def test_fp16_refuses_values_it_cannot_hold(tiny: Checkpoint, tmp_path: Path) -> None:
    class Loud:
        def __contains__(self, name: str) -> bool:
            return name in tiny.tensors

        def shape(self, name: str) -> tuple[int, ...]:
            return tiny.tensors.shape(name)

        def load(self, name: str) -> np.ndarray:
            return tiny.tensors.load(name) + (1e5 if "conv_out" in name else 0)

        def blocks(self, name: str) -> Iterator[np.ndarray]:
            yield self.load(name)

    loud = Checkpoint(config=tiny.config, vocabulary=tiny.vocabulary, tensors=Loud())
    with pytest.raises(ConversionError, match="conv_out"):
        write_frontend(loud, make_precision("fp16"), tmp_path / "frontend.onnx")


def test_two_weights_of_one_name_are_refused() -> None:
    graph = Graph("twice")
    graph.store("w", np.float32, (1,), lambda: np.zeros(1, np.float32))
    with pytest.raises(ValueError, match="two weights"):
        graph.store("w", np.float32, (1,), lambda: np.zeros(1, np.float32))
