# SPDX-License-Identifier: Apache-2.0
"""Reading checkpoints: safetensors, configuration, tokenizer, and what is said when they are broken."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from qwen_asr_model import CheckpointError
from qwen_asr_model._shapes import tensor_shapes
from qwen_asr_model.checkpoint import Checkpoint, read_checkpoint
from qwen_asr_model.safetensors import open_safetensors, read_header
from qwen_asr_model.vocabulary import TokenType, byte_alphabet


@pytest.fixture
def folder(tiny_folder: Path, tmp_path: Path) -> Path:
    """A checkpoint that a test may damage."""
    return Path(shutil.copytree(tiny_folder, tmp_path / "checkpoint"))


@pytest.mark.parametrize("dtype", ["BF16", "F16", "F32"])
def test_values_of_every_type(tmp_path: Path, tools: SimpleNamespace, dtype: str) -> None:
    values = np.array([[1.0, -0.5, 3.0], [0.0, 65280.0, -(2.0**-10)]], np.float32)
    tools.write_safetensors(tmp_path / "model.safetensors", {"a": values, "b": values[0]}, dtype)
    store = open_safetensors(tmp_path)
    assert store.shape("a") == (2, 3)
    assert "b" in store
    assert "c" not in store
    np.testing.assert_array_equal(store.load("a"), values)
    np.testing.assert_array_equal(store.load("b"), values[0])
    assert store.load("a").dtype == np.float32


def test_shards_hold_the_same_as_one_file(tiny: Checkpoint, tmp_path: Path, tools: SimpleNamespace) -> None:
    whole = read_checkpoint(tools.write_checkpoint(tmp_path / "one", tiny, dtype="F32"))
    parts = read_checkpoint(tools.write_checkpoint(tmp_path / "three", tiny, dtype="F32", shards=3))
    for name in tensor_shapes(tiny.config):
        np.testing.assert_array_equal(parts.tensors.load(name), whole.tensors.load(name))
        np.testing.assert_array_equal(parts.tensors.load(name), tiny.tensors.load(name))


def test_configuration_is_read_back(tiny: Checkpoint, tiny_folder: Path) -> None:
    found = read_checkpoint(tiny_folder)
    assert found.config.audio == tiny.config.audio
    assert found.config.text == tiny.config.text
    assert found.config.languages == ("English", "German", "Klingon")
    assert found.vocabulary.tokens[: len(byte_alphabet())] == tiny.vocabulary.tokens[:256]


def test_a_missing_shard_is_named(tiny: Checkpoint, tmp_path: Path, tools: SimpleNamespace) -> None:
    folder = tools.write_checkpoint(tmp_path / "two", tiny, shards=2)
    (folder / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(CheckpointError, match="model-00002-of-00002"):
        read_checkpoint(folder)


def test_an_index_may_not_reach_outside(tiny: Checkpoint, tmp_path: Path, tools: SimpleNamespace) -> None:
    folder = tools.write_checkpoint(tmp_path / "two", tiny, shards=2)
    index = folder / "model.safetensors.index.json"
    index.write_text(index.read_text().replace("model-00002", "../model-00002"))
    with pytest.raises(CheckpointError, match="outside its folder"):
        read_checkpoint(folder)


def test_an_index_that_names_the_wrong_shard(tiny: Checkpoint, tmp_path: Path, tools: SimpleNamespace) -> None:
    folder = tools.write_checkpoint(tmp_path / "two", tiny, shards=2)
    index = folder / "model.safetensors.index.json"
    table = json.loads(index.read_text())
    name = next(iter(table["weight_map"]))
    table["weight_map"][name] = "model-00002-of-00002.safetensors"
    index.write_text(json.dumps(table))
    with pytest.raises(CheckpointError, match="where the index says"):
        read_checkpoint(folder)


@pytest.mark.parametrize("keep", [0, 5, 200, 0.5, 0.999])
def test_truncation_is_found_before_any_weight_is_read(folder: Path, keep: float) -> None:
    file = folder / "model.safetensors"
    data = file.read_bytes()
    file.write_bytes(data[: keep if isinstance(keep, int) else int(len(data) * keep)])
    with pytest.raises(CheckpointError, match=r"model\.safetensors.*(cut off|too short)"):
        read_checkpoint(folder)


def rewrite_header(file: Path, change: Callable[[dict[str, Any]], None]) -> None:
    data = file.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    change(header)
    text = json.dumps(header).encode()
    file.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length :])


NORM = "thinker.model.norm.weight"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda header: header[NORM].update(shape=[3]), "bytes for shape"),
        (lambda header: header[NORM].update(dtype="I64"), "stored as I64"),
        (lambda header: header[NORM].pop("data_offsets"), "malformed"),
        (lambda header: header[NORM].update(data_offsets=[2, 514]), "overlaps"),
        (lambda header: header[NORM].update(data_offsets=[10**9, 10**9 + 512]), "cut off"),
        (lambda header: header.pop(NORM), None),
    ],
)
def test_corrupt_headers(folder: Path, change: Callable[[dict[str, Any]], None], message: str | None) -> None:
    file = folder / "model.safetensors"
    rewrite_header(file, change)
    if message is None:
        with pytest.raises(CheckpointError, match=f"no tensor {NORM}"):
            read_checkpoint(folder).load(NORM, (256,))
        return
    with pytest.raises(CheckpointError, match=message):
        read_header(file)


def test_other_files_are_not_taken_for_safetensors(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"PK\x03\x04" + bytes(range(256)) * 4)
    with pytest.raises(CheckpointError, match="not a safetensors file"):
        read_header(file)
    file.write_bytes(struct.pack("<Q", 4) + b"[12]")
    with pytest.raises(CheckpointError, match="not a safetensors file"):
        read_header(file)


def test_values_that_are_not_numbers_are_refused(tmp_path: Path, tools: SimpleNamespace) -> None:
    values = np.array([1, np.nan], np.float32)
    tools.write_safetensors(tmp_path / "model.safetensors", {"a": values}, "BF16")
    with pytest.raises(CheckpointError, match="not finite"):
        open_safetensors(tmp_path).load("a")


def test_a_tensor_of_another_shape_is_refused(tiny: Checkpoint) -> None:
    with pytest.raises(CheckpointError, match="shape"):
        tiny.load(NORM, (7,))


def change_json(file: Path, path: str, value: Any) -> None:
    table = json.loads(file.read_text())
    *parents, last = path.split("/")
    inner = table
    for parent in parents:
        inner = inner[parent]
    if value is None:
        del inner[last]
    else:
        inner[last] = value
    file.write_text(json.dumps(table))


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("thinker_config", None, "thinker_config"),
        ("thinker_config/audio_config", 3, "not a table"),
        ("thinker_config/audio_config/d_model", None, "audio_config.d_model"),
        ("thinker_config/audio_config/d_model", "wide", "cannot be 'wide'"),
        ("thinker_config/audio_config/encoder_attention_heads", 5, "5 heads"),
        ("thinker_config/audio_config/n_window_infer", 50, "shorter than a chunk"),
        ("thinker_config/audio_config/activation_function", "relu", "only 'gelu'"),
        ("thinker_config/audio_config/output_dim", 99, "encoder rows have 99"),
        ("thinker_config/text_config/attention_bias", True, "attention_bias"),
        ("thinker_config/text_config/rope_theta", -1, "rope_theta"),
        ("thinker_config/text_config/rope_scaling", None, "rope_scaling"),
        ("thinker_config/text_config/rope_scaling/mrope_section", [1, 2, 3], "do not add up"),
        ("thinker_config/text_config/rope_scaling/mrope_section", "24", "mrope_section"),
        ("thinker_config/text_config/num_key_value_heads", 3, "cannot share"),
        ("thinker_config/model_type", "qwen3_forced_aligner", "timestamp_segment_time"),
    ],
)
def test_unusable_configurations(folder: Path, path: str, value: Any, message: str) -> None:
    change_json(folder / "config.json", path, value)
    with pytest.raises(CheckpointError, match=message) as caught:
        read_checkpoint(folder)
    assert "config.json" in str(caught.value)


def test_an_aligner_is_read_back(tiny_aligner: Checkpoint, aligner_folder: Path) -> None:
    found = read_checkpoint(aligner_folder).config
    assert found.aligner == tiny_aligner.config.aligner
    assert found.aligner is not None
    assert (found.aligner.classes, found.aligner.class_ms) == (300, 80)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("timestamp_segment_time", 12.5, "timestamp_segment_time cannot be 12.5"),
        ("timestamp_token_id", None, "timestamp_token_id"),
        ("timestamp_token_id", 7, "is 7, but the tokenizer has <timestamp> at 511"),
        ("thinker_config/classify_num", 0, "classify_num"),
    ],
)
def test_unusable_aligners(aligner_folder: Path, tmp_path: Path, path: str, value: Any, message: str) -> None:
    folder = Path(shutil.copytree(aligner_folder, tmp_path / "checkpoint"))
    change_json(folder / "config.json", path, value)
    with pytest.raises(CheckpointError, match=message) as caught:
        read_checkpoint(folder)
    assert "config.json" in str(caught.value)


def test_a_vocabulary_is_known_by_what_it_spells(tiny: Checkpoint) -> None:
    vocabulary = tiny.vocabulary
    padded = replace(vocabulary, tokens=(*vocabulary.tokens, "[PAD]"), types=(*vocabulary.types, TokenType.UNUSED))
    assert padded.digest() == vocabulary.digest()
    for other in (
        replace(vocabulary, merges=vocabulary.merges[1:]),
        replace(vocabulary, tokens=(*vocabulary.tokens[:-1], "<other>")),
        replace(vocabulary, types=(*vocabulary.types[:-1], TokenType.CONTROL)),
    ):
        assert other.digest() != vocabulary.digest()


@pytest.mark.parametrize("name", ["config.json", "vocab.json", "merges.txt", "tokenizer_config.json"])
def test_missing_and_broken_files_are_named(folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"\xff{")
    with pytest.raises(CheckpointError, match=name):
        read_checkpoint(folder)
    (folder / name).unlink()
    with pytest.raises(CheckpointError, match=name):
        read_checkpoint(folder)


def test_a_folder_without_weights(folder: Path, tmp_path: Path) -> None:
    (folder / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"no model\.safetensors"):
        read_checkpoint(folder)
    with pytest.raises(CheckpointError, match="no such folder"):
        read_checkpoint(tmp_path / "nowhere")


def test_token_ids_beyond_the_table(folder: Path) -> None:
    change_json(folder / "vocab.json", "A", 5000)
    with pytest.raises(CheckpointError, match="'A' has id 5000"):
        read_checkpoint(folder)


def test_a_tokenizer_without_the_end_of_turn(folder: Path) -> None:
    file = folder / "tokenizer_config.json"
    file.write_text(file.read_text().replace("<|im_end|>", "<|other|>"))
    with pytest.raises(CheckpointError, match="im_end"):
        read_checkpoint(folder)


def test_ids_without_a_spelling_are_filled(folder: Path) -> None:
    change_json(folder / "vocab.json", "A", None)
    vocabulary = read_checkpoint(folder).vocabulary
    number = byte_alphabet().index("A")
    assert vocabulary.tokens[number] == f"[PAD{number}]"
    assert vocabulary.types[number] == 5


def test_merges_with_the_character_of_a_hash_are_kept(folder: Path) -> None:
    file = folder / "merges.txt"
    file.write_text("#version: 0.2\n# #\na b\r\n", encoding="utf-8", newline="")
    assert read_checkpoint(folder).vocabulary.merges == ("# #", "a b")
    file.write_text("abc\n")
    with pytest.raises(CheckpointError, match="merge rule"):
        read_checkpoint(folder)


def test_the_byte_alphabet_is_a_bijection() -> None:
    alphabet = byte_alphabet()
    assert len(set(alphabet)) == 256
    assert alphabet[ord("A")] == "A"
    assert alphabet[ord(" ")] == "\u0120"
    assert alphabet[ord("\n")] == "\u010a"
