# SPDX-License-Identifier: Apache-2.0
"""Forced aligners: converted, opened, and computed by libllama."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gguf
import numpy as np
import pytest

import qwen_asr_native
from qwen_asr_model import (
    BundleFileMissingError,
    BundleNotFoundError,
    ConversionError,
    GgufDamagedError,
    ManifestError,
    PrecisionNotFoundError,
    TextTable,
    WrongModelError,
    convert_checkpoint,
    describe_bundle,
    find_aligner,
    find_bundle,
    open_aligner,
    open_any,
    open_bundle,
    renew,
    synthesize,
    verify_bundle,
)
from qwen_asr_model._llm import write_llm
from qwen_asr_model.checkpoint import Checkpoint
from qwen_asr_model.convert import Part, write_bundle
from qwen_asr_model.synth import SIZES, synthetic_checkpoint

LIBRARIES = [report.name for report in qwen_asr_native.diagnose() if report.verified]


def change_manifest(folder: Path, name: str, value: Any) -> None:
    file = folder / "bundle.json"
    table = json.loads(file.read_text())
    if value is None:
        del table["aligner"][name]
    else:
        table["aligner"][name] = value
    file.write_text(json.dumps(table))


@pytest.fixture
def pair_copy(pair_bundle: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(pair_bundle, tmp_path / "pair"))


@pytest.fixture(scope="module")
def alone(aligner_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that holds only the aligner. Do not write into it."""
    out = tmp_path_factory.mktemp("bundles") / "alone"
    return convert_checkpoint(aligner_folder, out, precisions=["int8"], quants=["q8_0"])


def test_one_bundle_holds_both_and_the_encoder_once(pair_bundle: Path, tiny: Checkpoint) -> None:
    bundle = open_bundle(pair_bundle)
    aligner = bundle.aligner
    assert aligner is not None
    assert aligner.shares_encoder
    assert (aligner.encoder_frontend, aligner.encoder_backend) == (bundle.encoder_frontend, bundle.encoder_backend)
    assert aligner.llm.name == "qwen3_aligner_llm.q5_0.gguf"
    assert aligner.text.name == "qwen3_aligner_text.q8_0.gguf"
    assert aligner.quants == ("q5_0", "f16", "q4_0")
    assert (aligner.classes, aligner.class_ms, aligner.max_chunk_seconds) == (300, 80, 16.0)
    assert aligner.languages == ("en", "de")
    for number, token in (
        (aligner.timestamp_id, "<timestamp>"),
        (aligner.audio_start_id, "<|audio_start|>"),
        (aligner.audio_end_id, "<|audio_end|>"),
    ):
        assert tiny.vocabulary.tokens[number] == token
    assert aligner.tokenizer_sha256 == bundle.tokenizer_sha256 != ""
    # Two graphs in two precisions, one decoder, three of the aligner with two text tables.
    assert len(bundle.files) == 4 + 1 + 3 + 2
    verify_bundle(bundle)


def test_the_text_table_follows_the_decoder(pair_bundle: Path) -> None:
    for quant, text in (("f16", "f16"), ("q4_0", "q8_0")):
        aligner = open_bundle(pair_bundle, precision="fp32", aligner_quant=quant).aligner
        assert aligner == open_aligner(pair_bundle, precision="fp32", quant=quant)
        assert aligner is not None
        assert (aligner.llm.name, aligner.text.name) == (
            f"qwen3_aligner_llm.{quant}.gguf",
            f"qwen3_aligner_text.{text}.gguf",
        )
        assert aligner.encoder_backend.name == "qwen3_asr_encoder_backend.fp32.onnx"
    with pytest.raises(PrecisionNotFoundError, match="no aligner quant 'q8_0'"):
        open_bundle(pair_bundle, aligner_quant="q8_0")


def test_another_encoder_is_stored_beside(tiny: Checkpoint, tmp_path: Path) -> None:
    other = synthetic_checkpoint(replace(SIZES["aligner-tiny"], audio=tiny.config.audio), seed=1)

    def part(checkpoint: Checkpoint) -> Part:
        return Part(checkpoint=checkpoint, quants=("q8_0",), languages=(), max_chunk_seconds=30)

    out = write_bundle(
        part(tiny), tmp_path / "out", aligner=part(other), name="two", precisions=["int8"], licence="CC0-1.0"
    )
    bundle = open_bundle(out)
    aligner = bundle.aligner
    assert aligner is not None
    assert not aligner.shares_encoder
    assert aligner.encoder_backend.name == "qwen3_aligner_encoder_backend.int8.onnx"
    assert aligner.encoder_backend.read_bytes() != bundle.encoder_backend.read_bytes()
    longer = replace(SIZES["aligner-tiny"], audio=replace(tiny.config.audio, n_window=100))
    with pytest.raises(ConversionError, match="cut audio differently"):
        write_bundle(
            part(tiny),
            tmp_path / "out",
            aligner=part(synthetic_checkpoint(longer)),
            name="two",
            precisions=["int8"],
            licence="CC0-1.0",
        )
    assert open_bundle(out) == bundle


def test_an_aligner_alone(alone: Path, pair_bundle: Path) -> None:
    aligner = open_aligner(alone)
    assert not aligner.shares_encoder
    assert aligner.encoder_frontend.name == "qwen3_aligner_encoder_frontend.int8.onnx"
    assert (aligner.precisions, aligner.quants, aligner.max_chunk_seconds) == (("int8",), ("q8_0",), 180.0)
    # So that a recogniser from elsewhere can lend its tokenizer.
    assert aligner.tokenizer_sha256 == open_bundle(pair_bundle).tokenizer_sha256
    assert open_any(alone) == aligner
    verify_bundle(aligner)
    with pytest.raises(WrongModelError, match="only a forced aligner"):
        open_bundle(alone)


def test_descriptions_are_json(alone: Path, pair_bundle: Path, whole_bundle: Path) -> None:
    table = json.loads(json.dumps(describe_bundle(alone)))
    assert (table["family"], table["classes"], len(table["files"])) == ("qwen3-forced-aligner", 300, 4)
    table = json.loads(json.dumps(describe_bundle(pair_bundle)))
    assert table["family"] == "qwen3-asr"
    assert table["aligner"]["quants"] == ["q5_0", "f16", "q4_0"]
    assert describe_bundle(whole_bundle)["aligner"] is None


def test_a_bundle_without_an_aligner(whole_bundle: Path) -> None:
    assert open_bundle(whole_bundle).aligner is None
    assert "aligner" not in json.loads((whole_bundle / "bundle.json").read_text())
    with pytest.raises(BundleNotFoundError, match="no forced aligner"):
        open_aligner(whole_bundle)


def test_recogniser_and_aligner_side_by_side_are_told_apart(
    alone: Path, whole_bundle: Path, pair_bundle: Path, tmp_path: Path
) -> None:
    for name, folder in (("aligner", alone), ("asr", whole_bundle)):
        shutil.copytree(folder, tmp_path / "models" / name)
    assert find_bundle(tmp_path / "models") == tmp_path / "models" / "asr"
    assert find_aligner(tmp_path / "models") == tmp_path / "models" / "aligner"
    assert find_aligner(alone) == alone
    assert find_aligner(pair_bundle) == find_bundle(pair_bundle) == pair_bundle
    shutil.copytree(pair_bundle, tmp_path / "models" / "pair")
    with pytest.raises(BundleNotFoundError, match="Name one of: aligner, pair"):
        find_aligner(tmp_path / "models")
    with pytest.raises(BundleNotFoundError, match="no forced aligner"):
        open_aligner(find_aligner(whole_bundle))


@pytest.mark.parametrize("name", ["qwen3_aligner_llm.q5_0.gguf", "qwen3_aligner_text.q8_0.gguf"])
def test_damage_is_found_when_the_bundle_is_opened(pair_copy: Path, name: str) -> None:
    file = pair_copy / name
    data = file.read_bytes()
    file.write_bytes(data[:-1])
    with pytest.raises(GgufDamagedError, match=f"{name}: cut off"):
        open_bundle(pair_copy)
    file.write_bytes(b"junk" + data[4:])
    with pytest.raises(GgufDamagedError, match=name):
        open_bundle(pair_copy)
    file.unlink()
    with pytest.raises(BundleFileMissingError, match=name):
        open_bundle(pair_copy)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("classes", None, r"aligner\.classes"),
        ("class_ms", 0, r"aligner\.class_ms"),
        ("shares_encoder", "yes", r"aligner\.shares_encoder"),
        ("shares_encoder", False, None),
        ("classes", 301, "does not fit"),
    ],
)
def test_unusable_manifests(pair_copy: Path, name: str, value: Any, message: str | None) -> None:
    change_manifest(pair_copy, name, value)
    # Without files of its own, an encoder that is not shared is a precision that is not there.
    error = PrecisionNotFoundError if message is None else ManifestError
    with pytest.raises(error, match=message):
        open_bundle(pair_copy)


def test_two_of_a_kind_are_refused(tiny_folder: Path, aligner_folder: Path, tmp_path: Path) -> None:
    for first, second in ((tiny_folder, tiny_folder), (aligner_folder, aligner_folder), (aligner_folder, tiny_folder)):
        with pytest.raises(ConversionError, match="one recogniser and one forced aligner"):
            convert_checkpoint(first, tmp_path / "out", aligner=second)
    with pytest.raises(ConversionError, match="q9"):
        convert_checkpoint(tiny_folder, tmp_path / "out", aligner=aligner_folder, aligner_quants=["q9"])
    assert list(tmp_path.iterdir()) == []


def test_the_vocabulary_of_the_decoder_is_the_time(tiny_aligner: Checkpoint, tmp_path: Path) -> None:
    file = tmp_path / "aligner.gguf"
    for quant, head in (("f32", "F32"), ("q4_0", "F16")):
        write_llm(tiny_aligner, quant, file, name="a model", licence="Apache-2.0")
        reader = gguf.GGUFReader(file)
        tokens = reader.fields["tokenizer.ggml.tokens"].contents()
        assert (tokens[0], tokens[1], tokens[-1], len(tokens)) == ("<0 ms>", "<80 ms>", "<23920 ms>", 300)
        found = {tensor.name: tensor for tensor in reader.tensors}
        assert "output.weight" not in found
        table = found["token_embd.weight"]
        assert table.tensor_type.name == head
        wanted = tiny_aligner.tensors.load("thinker.lm_head.weight")
        np.testing.assert_allclose(gguf.quants.dequantize(table.data, table.tensor_type), wanted, atol=1e-3)


def test_rows_of_the_text_table(pair_bundle: Path, alone: Path, tiny_aligner: Checkpoint) -> None:
    weights = tiny_aligner.tensors.load("thinker.model.embed_tokens.weight")
    tokens = [511, 0, 3, 511, 510, 3]
    for aligner, bound in ((open_aligner(pair_bundle, quant="f16"), 0.005), (open_aligner(alone), 0.02)):
        table = TextTable(aligner.text)
        assert (table.n_tokens, table.width) == (512, 256)
        rows = table.rows(tokens)
        assert (rows.dtype, rows.shape) == (np.float32, (6, 256))
        # The checkpoint on disk is bfloat16.
        assert np.linalg.norm(rows - weights[tokens]) < bound * np.linalg.norm(weights[tokens])
        assert table.rows([]).shape == (0, 256)
        for wrong in ([512], [-1]):
            with pytest.raises(ValueError, match="0 to 511"):
                table.rows(wrong)


def test_a_text_table_that_got_shorter(pair_copy: Path) -> None:
    table = TextTable(open_aligner(pair_copy).text)
    table.file.write_bytes(table.file.read_bytes()[:-500])
    with pytest.raises(GgufDamagedError, match="cut off"):
        table.rows([511])
    table.file.unlink()
    with pytest.raises(GgufDamagedError, match="cannot be read"):
        table.rows([0])


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize(("quant", "bound"), [("f32", 0.001), ("f16", 0.002), ("q8_0", 0.03), ("q4_k", 0.2)])
def test_libllama_computes_the_classes(
    tiny_aligner: Checkpoint, tmp_path: Path, tools: SimpleNamespace, library: str, quant: str, bound: float
) -> None:
    file = tmp_path / "aligner.gguf"
    write_llm(tiny_aligner, quant, file, name="a model", licence="Apache-2.0")
    rows = np.random.default_rng(0).normal(0, 1, (40, 256)).astype(np.float32)
    wanted = tools.ReferenceDecoder(tiny_aligner).scores(rows)
    slots = np.array([0, 7, 20, 21, 39])
    with qwen_asr_native.Model(qwen_asr_native.load_library(library), file) as model:
        assert model.n_vocab == 300
        with qwen_asr_native.Context(model, n_ctx=64) as context:
            scores = context.score_embeddings(rows, 0, slots)
    assert np.linalg.norm(scores - wanted[slots]) < bound * np.linalg.norm(wanted[slots])
    if quant in ("f32", "f16"):
        np.testing.assert_array_equal(scores.argmax(1), wanted[slots].argmax(1))


def test_synthetic_aligners(tmp_path: Path) -> None:
    bundle = open_bundle(synthesize("tiny", tmp_path / "both", quants=["q4_0"], aligner="aligner-tiny"))
    assert bundle.aligner is not None
    assert bundle.aligner.shares_encoder
    assert open_aligner(synthesize("Aligner-Tiny", tmp_path / "alone")).classes == 300
    with pytest.raises(ConversionError, match="one recogniser and one forced aligner"):
        synthesize("tiny", tmp_path / "wrong", aligner="tiny")


def test_the_synthetic_size_is_the_official_one() -> None:
    config = SIZES["aligner-0.6B"]
    audio, text = config.audio, config.text
    assert (audio.layers, audio.d_model, audio.heads, audio.ffn_dim, audio.output_dim) == (24, 1024, 16, 4096, 1024)
    assert (text.hidden_size, text.intermediate_size, text.layers, text.vocab_size) == (1024, 3072, 28, 152064)
    assert config.aligner is not None
    assert (config.aligner.classes, config.aligner.class_ms, config.aligner.timestamp_id) == (5000, 80, 151705)


def test_renewal_takes_the_aligner_along(tiny_folder: Path, aligner_folder: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        command = [str(tiny_folder), "--aligner", str(aligner_folder), "--out", str(tmp_path / name)]
        assert renew.main(command) == 0
    aligner = open_bundle(tmp_path / "a").aligner
    assert aligner is not None
    assert (aligner.quants, aligner.max_chunk_seconds, aligner.shares_encoder) == (("q8_0",), 16.0, True)
    files = sorted(file.name for file in (tmp_path / "a").iterdir())
    assert [(tmp_path / "a" / name).read_bytes() for name in files] == [
        (tmp_path / "b" / name).read_bytes() for name in files
    ]
