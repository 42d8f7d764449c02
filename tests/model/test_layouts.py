# SPDX-License-Identifier: Apache-2.0
"""Checkpoints in all official layouts, written and read back; memory while they are converted."""

from __future__ import annotations

import hashlib
import json
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qwen_asr_model import CheckpointError, ConversionError, convert_checkpoint, synthesize, synthesize_checkpoint
from qwen_asr_model import safetensors as safetensors_module
from qwen_asr_model import synth as synth_module
from qwen_asr_model._checkpoint_writer import write_checkpoint
from qwen_asr_model._llm import write_llm
from qwen_asr_model._shapes import tensor_shapes
from qwen_asr_model.checkpoint import Checkpoint, read_checkpoint
from qwen_asr_model.synth import SIZES, synthetic_checkpoint


def digest(folder: Path) -> dict[str, str]:
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.iterdir()}


def change(file: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    table = json.loads(file.read_text(encoding="utf-8"))
    edit(table)
    file.write_text(json.dumps(table), encoding="utf-8")


@pytest.mark.parametrize("size", ["tiny", "aligner-tiny"])
def test_both_layouts_convert_to_the_same_bytes(size: str, tmp_path: Path) -> None:
    for layout in ("nested", "flat"):
        folder = synthesize_checkpoint(size, tmp_path / layout, layout=layout)
        convert_checkpoint(
            folder, tmp_path / f"{layout}-out", name="same", precisions=["int8", "fp32"], quants=["q4_1"]
        )
    assert {file.name for file in (tmp_path / "flat").iterdir()} == {
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    assert digest(tmp_path / "nested-out") == digest(tmp_path / "flat-out")
    nested, flat = (read_checkpoint(tmp_path / layout) for layout in ("nested", "flat"))
    assert nested.vocabulary == replace(flat.vocabulary, chat_template=nested.vocabulary.chat_template)
    assert nested.config.aligner == flat.config.aligner
    assert nested.config.text == replace(flat.config.text, mrope_section=nested.config.text.mrope_section)


def test_a_written_checkpoint_is_the_synthetic_one(tmp_path: Path) -> None:
    found = read_checkpoint(synthesize_checkpoint("tiny", tmp_path / "a", seed=3))
    wanted = synthetic_checkpoint("tiny", seed=3)
    assert found.config == replace(wanted.config, languages=())
    for name in tensor_shapes(wanted.config):
        # bfloat16 has eight bits, rounded to nearest.
        values = wanted.tensors.load(name)
        assert (np.abs(found.tensors.load(name) - values) <= np.abs(values) * 2.0**-8).all(), name
    synthesize_checkpoint("tiny", tmp_path / "b", seed=3)
    assert digest(tmp_path / "a") == digest(tmp_path / "b")


@pytest.mark.parametrize("layout", ["nested", "flat"])
def test_large_ones_are_written_in_shards(tmp_path: Path, layout: str) -> None:
    checkpoint = synthetic_checkpoint("tiny")
    write_checkpoint(checkpoint, tmp_path / "one", layout=layout)
    write_checkpoint(checkpoint, tmp_path / "many", layout=layout, shard_bytes=500_000)
    shards = sorted(file.name for file in (tmp_path / "many").glob("*.safetensors"))
    assert len(shards) > 2
    assert shards[0] == f"model-00001-of-{len(shards):05}.safetensors"
    one, many = read_checkpoint(tmp_path / "one"), read_checkpoint(tmp_path / "many")
    for name in tensor_shapes(checkpoint.config):
        np.testing.assert_array_equal(one.tensors.load(name), many.tensors.load(name))


def test_the_official_1_7b_has_two_shards() -> None:
    size = sum(2 * np.prod(shape) for shape in tensor_shapes(SIZES["1.7B"]).values())
    assert 4e9 < size < 8e9


def test_what_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ConversionError, match="already there"):
        synthesize_checkpoint("tiny", tmp_path)
    with pytest.raises(ConversionError, match="nested, flat"):
        synthesize_checkpoint("tiny", tmp_path / "new", layout="round")
    with pytest.raises(ConversionError, match=r"already there|cannot be written"):
        synthesize_checkpoint("tiny", tmp_path / "thesis.txt")


@pytest.fixture
def flat(tmp_path: Path) -> Path:
    return synthesize_checkpoint("aligner-tiny", tmp_path / "flat", layout="flat")


@pytest.mark.parametrize(
    "edit",
    [
        # What transformers writes, or leaves out, depending on its version.
        lambda t: t["audio_config"].update(encoder_attention_heads=t["audio_config"].pop("num_attention_heads")),
        lambda t: [
            t["audio_config"].pop(name) for name in ("num_mel_bins", "n_window", "n_window_infer", "output_dim")
        ],
        lambda t: t["text_config"].update(rope_theta=t["text_config"].pop("rope_parameters")["rope_theta"]),
        lambda t: t.update(num_labels=len(t.pop("id2label"))),
        lambda t: t.pop("timestamp_segment_time"),
        lambda t: t.update(timestamp_token_id=511),
    ],
)
def test_spellings_of_the_flat_configuration(flat: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    before = read_checkpoint(flat).config
    change(flat / "config.json", edit)
    assert read_checkpoint(flat).config == before


@pytest.mark.parametrize(
    ("file", "edit", "message"),
    [
        ("config.json", lambda t: t["text_config"].pop("head_dim"), "head_dim"),
        ("config.json", lambda t: t["text_config"].pop("rope_parameters"), "rope_theta"),
        ("config.json", lambda t: t.pop("text_config"), "no field text_config"),
        ("config.json", lambda t: t.update(timestamp_token_id=3), "is 3, but the tokenizer"),
        ("config.json", lambda t: t.pop("id2label"), "num_labels"),
        ("tokenizer.json", lambda t: t.pop("model"), "byte-level BPE"),
        ("tokenizer.json", lambda t: t["model"].update(merges=[["a", "b", "c"]]), "malformed merge rule"),
        ("tokenizer.json", lambda t: t["added_tokens"].append({"id": 9999, "content": "x"}), "has id 9999"),
    ],
)
def test_unusable_flat_checkpoints(
    flat: Path, file: str, edit: Callable[[dict[str, Any]], object], message: str
) -> None:
    change(flat / file, edit)
    with pytest.raises(CheckpointError, match=message) as caught:
        read_checkpoint(flat)
    assert file in str(caught.value)


def test_merges_may_be_written_in_either_way(flat: Path) -> None:
    before = read_checkpoint(flat).vocabulary
    change(flat / "tokenizer.json", lambda t: t["model"].update(merges=[" ".join(r) for r in t["model"]["merges"]]))
    assert read_checkpoint(flat).vocabulary == before


def test_blocks_put_together_are_the_tensor(
    tiny_folder: Path, tiny: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = read_checkpoint(tiny_folder)
    name = "thinker.model.embed_tokens.weight"
    whole = [checkpoint.tensors.load(name) for checkpoint in (stored, tiny)]
    for module in (safetensors_module, synth_module):
        monkeypatch.setattr(module, "_BLOCK_VALUES", 10_000)
    for checkpoint, wanted in zip((stored, tiny), whole, strict=True):
        blocks = list(checkpoint.tensors.blocks(name))
        assert len(blocks) > 10
        np.testing.assert_array_equal(np.concatenate(blocks), wanted)


def test_streaming_gives_the_same_file(tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = read_checkpoint(tiny_folder)
    for quant in ("f32", "f16", "q8_0", "q4_1"):
        write_llm(checkpoint, quant, tmp_path / "whole.gguf", name="a", licence="b")
        with monkeypatch.context() as patch:
            patch.setattr(safetensors_module, "_BLOCK_VALUES", 10_000)
            write_llm(checkpoint, quant, tmp_path / "parts.gguf", name="a", licence="b")
        assert (tmp_path / "parts.gguf").read_bytes() == (tmp_path / "whole.gguf").read_bytes()


def test_a_large_table_is_never_in_memory_as_a_whole(tmp_path: Path) -> None:
    config = SIZES["tiny"]
    # 51 million values: 102 MB in the file, 205 MB as float32.
    large = synthetic_checkpoint(
        replace(
            config,
            audio=replace(config.audio, output_dim=2560),
            text=replace(config.text, vocab_size=20_000, hidden_size=2560, layers=1),
        )
    )
    write_checkpoint(large, tmp_path / "large")
    source = read_checkpoint(tmp_path / "large")
    tracemalloc.start()
    write_llm(source, "q8_0", tmp_path / "large.gguf", name="a", licence="b")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 150e6
    assert (tmp_path / "large.gguf").stat().st_size > 50e6


def test_synthetic_bundle_and_synthetic_checkpoint_belong_together(tmp_path: Path) -> None:
    folder = synthesize_checkpoint("tiny", tmp_path / "checkpoint", seed=5)
    converted = convert_checkpoint(folder, tmp_path / "converted", name="synthetic-tiny", precisions=["int8"])
    direct = synthesize("tiny", tmp_path / "direct", seed=5, precisions=["int8"])
    assert {file.name for file in converted.iterdir()} == {file.name for file in direct.iterdir()}
    for file in converted.glob("*.gguf"):
        assert abs(file.stat().st_size - (direct / file.name).stat().st_size) < 100
