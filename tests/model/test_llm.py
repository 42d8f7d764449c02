# SPDX-License-Identifier: Apache-2.0
"""The GGUF file, read back with the gguf package and loaded by libllama."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import gguf
import numpy as np
import pytest

import qwen_asr_native
from qwen_asr_model import ConversionError
from qwen_asr_model._llm import PLAIN_QUANTS, write_llm
from qwen_asr_model.checkpoint import Checkpoint, read_checkpoint
from qwen_asr_model.synth import synthetic_checkpoint

# Relative error of a matrix of normal random values.
BOUNDS = {"f32": 0, "f16": 1e-3, "bf16": 0.005, "q8_0": 0.01, "q5_1": 0.05, "q5_0": 0.06, "q4_1": 0.1, "q4_0": 0.12}


def write(checkpoint: Checkpoint, quant: str, folder: Path) -> gguf.GGUFReader:
    file = folder / f"model.{quant}.gguf"
    write_llm(checkpoint, quant, file, name="a model", licence="Apache-2.0")
    return gguf.GGUFReader(file)


def tensors(reader: gguf.GGUFReader) -> dict[str, np.ndarray]:
    return {tensor.name: gguf.quants.dequantize(tensor.data, tensor.tensor_type) for tensor in reader.tensors}


def value(reader: gguf.GGUFReader, key: str) -> object:
    return reader.fields[key].contents()


def test_bounds_cover_every_plain_type() -> None:
    assert set(BOUNDS) == set(PLAIN_QUANTS)


@pytest.mark.parametrize("quant", BOUNDS)
def test_every_tensor_keeps_its_values(tiny: Checkpoint, tmp_path: Path, quant: str) -> None:
    found = tensors(write(tiny, quant, tmp_path))
    names = {
        "token_embd": "embed_tokens",
        "output_norm": "norm",
        "blk.1.attn_norm": "layers.1.input_layernorm",
        "blk.1.attn_q": "layers.1.self_attn.q_proj",
        "blk.1.attn_k": "layers.1.self_attn.k_proj",
        "blk.1.attn_v": "layers.1.self_attn.v_proj",
        "blk.1.attn_output": "layers.1.self_attn.o_proj",
        "blk.1.attn_q_norm": "layers.1.self_attn.q_norm",
        "blk.1.attn_k_norm": "layers.1.self_attn.k_norm",
        "blk.1.ffn_norm": "layers.1.post_attention_layernorm",
        "blk.1.ffn_gate": "layers.1.mlp.gate_proj",
        "blk.1.ffn_up": "layers.1.mlp.up_proj",
        "blk.1.ffn_down": "layers.1.mlp.down_proj",
    }
    assert len(found) == 2 + 11 * tiny.config.text.layers
    for ours, theirs in names.items():
        wanted = tiny.tensors.load(f"thinker.model.{theirs}.weight")
        error = np.linalg.norm(found[f"{ours}.weight"] - wanted) / np.linalg.norm(wanted)
        assert error <= (0 if wanted.ndim == 1 else BOUNDS[quant]), ours


def test_metadata(tiny_folder: Path, tmp_path: Path) -> None:
    checkpoint = read_checkpoint(tiny_folder)
    reader = write(checkpoint, "q8_0", tmp_path)
    text = checkpoint.config.text
    wanted = {
        "general.architecture": "qwen3",
        "general.name": "a model",
        "general.license": "Apache-2.0",
        "general.file_type": 7,
        "general.quantization_version": 2,
        "qwen3.block_count": text.layers,
        "qwen3.context_length": text.context_length,
        "qwen3.embedding_length": text.hidden_size,
        "qwen3.feed_forward_length": text.intermediate_size,
        "qwen3.attention.head_count": text.heads,
        "qwen3.attention.head_count_kv": text.kv_heads,
        "qwen3.attention.key_length": text.head_dim,
        "qwen3.attention.value_length": text.head_dim,
        "qwen3.rope.freq_base": 1e6,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "qwen2",
        "tokenizer.ggml.add_bos_token": False,
        "tokenizer.chat_template": "{{ a template }}",
    }
    assert {key: value(reader, key) for key in wanted} == wanted
    assert value(reader, "qwen3.attention.layer_norm_rms_epsilon") == pytest.approx(1e-6)


def test_tokenizer(tiny_folder: Path, tiny: Checkpoint, tmp_path: Path) -> None:
    reader = write(read_checkpoint(tiny_folder), "q8_0", tmp_path)
    tokens, types = value(reader, "tokenizer.ggml.tokens"), value(reader, "tokenizer.ggml.token_type")
    assert isinstance(tokens, list)
    assert isinstance(types, list)
    assert len(tokens) == len(types) == tiny.config.text.vocab_size
    kinds = dict(zip(tokens, types, strict=True))
    assert kinds["<|im_end|>"] == gguf.TokenType.CONTROL
    # Not flagged as special in the checkpoint, but spelled like it.
    assert kinds["<|audio_pad|>"] == gguf.TokenType.CONTROL
    assert kinds["<asr_text>"] == gguf.TokenType.USER_DEFINED
    assert kinds["A"] == gguf.TokenType.NORMAL
    assert tokens[value(reader, "tokenizer.ggml.eos_token_id")] == "<|im_end|>"
    assert tokens[value(reader, "tokenizer.ggml.padding_token_id")] == "<|endoftext|>"
    assert value(reader, "tokenizer.ggml.merges") == list(tiny.vocabulary.merges)


def test_tied_and_untied_heads(tiny: Checkpoint, tmp_path: Path) -> None:
    assert "output.weight" not in tensors(write(tiny, "f32", tmp_path))
    config = replace(tiny.config, text=replace(tiny.config.text, tied=False))
    untied = synthetic_checkpoint(config)
    found = tensors(write(untied, "f32", tmp_path))
    np.testing.assert_array_equal(found["output.weight"], untied.tensors.load("thinker.lm_head.weight"))


def test_rows_that_do_not_fill_blocks_become_f16(tiny: Checkpoint, tmp_path: Path) -> None:
    config = replace(tiny.config, text=replace(tiny.config.text, intermediate_size=200))
    reader = write(synthetic_checkpoint(config), "q8_0", tmp_path)
    kinds = {tensor.name: tensor.tensor_type.name for tensor in reader.tensors}
    assert kinds["blk.0.ffn_down.weight"] == "F16"
    assert kinds["blk.0.ffn_up.weight"] == "Q8_0"


@pytest.mark.parametrize("quant", ["q8_0", "q4_k"])
def test_libllama_loads_it_and_finds_the_special_tokens(tiny: Checkpoint, tmp_path: Path, quant: str) -> None:
    file = tmp_path / "model.gguf"
    write_llm(tiny, quant, file, name="a model", licence="Apache-2.0")
    assert [f.name for f in tmp_path.iterdir()] == ["model.gguf"]
    with qwen_asr_native.Model(qwen_asr_native.load_library(), file) as model:
        assert model.tokenize("<|im_start|>system<|im_end|>", parse_special=True) == [
            tiny.vocabulary.tokens.index(token) for token in ("<|im_start|>", "system", "<|im_end|>")
        ]


def test_q4_k_gives_the_head_four_bits_but_not_that_of_an_aligner(
    tiny: Checkpoint, tiny_aligner: Checkpoint, tmp_path: Path
) -> None:
    heads = []
    for number, checkpoint in enumerate((tiny, tiny_aligner)):
        file = tmp_path / f"{number}.gguf"
        write_llm(checkpoint, "q4_k", file, name="a model", licence="Apache-2.0")
        # Both models multiply by their token table at the end.
        table = next(tensor for tensor in gguf.GGUFReader(file).tensors if tensor.name == "token_embd.weight")
        heads.append(table.tensor_type.name)
    assert heads == ["Q4_K", "Q6_K"]


def test_a_missing_quantiser_is_explained(tiny: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object, **__: object) -> None:
        raise qwen_asr_native.QuantizerNotFoundError("no library can quantize")

    monkeypatch.setattr(qwen_asr_native, "quantize", none, raising=False)
    with pytest.raises(ConversionError, match=r"q4_k.*ik-llama-cpp-python.*q8_0"):
        write_llm(tiny, "q4_k", tmp_path / "model.gguf", name="a model", licence="Apache-2.0")
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_type_is_refused(tiny: Checkpoint, tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match="q9_9"):
        write_llm(tiny, "q9_9", tmp_path / "model.gguf", name="a model", licence="Apache-2.0")
