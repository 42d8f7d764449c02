# SPDX-License-Identifier: Apache-2.0
"""A tiny random model in two architectures, the installed libraries, and a compiler for made-up ones."""

from __future__ import annotations

import ctypes
import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from numpy.typing import NDArray

from qwen_asr_native import Library, Model, load_library
from qwen_asr_native.layouts import Layout

EMBD, HEADS, KV_HEADS, HEAD, FFN, LAYERS, TRAINED = 256, 4, 2, 64, 512, 2, 512
SECTIONS = [12, 10, 10, 0]
LONG_TOKEN = "<|" + "x" * 100 + "|>"
CONTROL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|audio_pad|>", LONG_TOKEN]
USER_DEFINED = ["<asr_text>"]
MERGES = ["h e", "l l", "he ll", "hell o", "Ġ w", "o r"]


@dataclass(frozen=True, kw_only=True)
class TinyModel:
    """A GGUF file and the weights in it."""

    path: Path
    architecture: str
    weights: dict[str, NDArray[np.float32]]
    tokens: list[str]

    def rows(self, ids: list[int]) -> NDArray[np.float32]:
        return np.ascontiguousarray(self.weights["token_embd.weight"][ids])


def _byte_alphabet() -> list[str]:
    """The 256 letters GPT-2 writes bytes with: printable Latin-1 as itself, the rest from code point 256 on."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = iter(range(256, 512))
    return [chr(byte if byte in printable else next(others)) for byte in range(256)]


def _weights(tokens: int) -> dict[str, NDArray[np.float32]]:
    generator = np.random.default_rng(20260101)

    def random(*shape: int) -> NDArray[np.float32]:
        return (generator.standard_normal(shape) / np.sqrt(shape[-1])).astype(np.float32)

    def norm(width: int) -> NDArray[np.float32]:
        return (1 + 0.1 * generator.standard_normal(width)).astype(np.float32)

    weights = {"token_embd.weight": random(tokens, EMBD) * 16, "output_norm.weight": norm(EMBD)}
    for layer in range(LAYERS):
        weights |= {
            f"blk.{layer}.attn_norm.weight": norm(EMBD),
            f"blk.{layer}.attn_q.weight": random(HEADS * HEAD, EMBD),
            f"blk.{layer}.attn_k.weight": random(KV_HEADS * HEAD, EMBD),
            f"blk.{layer}.attn_v.weight": random(KV_HEADS * HEAD, EMBD),
            f"blk.{layer}.attn_output.weight": random(EMBD, HEADS * HEAD),
            f"blk.{layer}.attn_q_norm.weight": norm(HEAD),
            f"blk.{layer}.attn_k_norm.weight": norm(HEAD),
            f"blk.{layer}.ffn_norm.weight": norm(EMBD),
            f"blk.{layer}.ffn_gate.weight": random(FFN, EMBD),
            f"blk.{layer}.ffn_up.weight": random(FFN, EMBD),
            f"blk.{layer}.ffn_down.weight": random(EMBD, FFN),
        }
    return weights


def write_model(path: Path, architecture: str, *, without: tuple[str, ...] = ()) -> TinyModel:
    letters = _byte_alphabet()
    merged = ["".join(merge.split()) for merge in MERGES]
    tokens = [*letters, *merged, *CONTROL, *USER_DEFINED]
    types = [gguf.TokenType.NORMAL] * (len(letters) + len(merged))
    types += [gguf.TokenType.CONTROL] * len(CONTROL) + [gguf.TokenType.USER_DEFINED] * len(USER_DEFINED)
    weights = _weights(len(tokens))
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_name("tiny random model for tests")
    writer.add_block_count(LAYERS)
    writer.add_context_length(TRAINED)
    writer.add_embedding_length(EMBD)
    writer.add_feed_forward_length(FFN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_key_length(HEAD)
    writer.add_value_length(HEAD)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_freq_base(1e6)
    if architecture == "qwen3vl" and "sections" not in without:
        writer.add_rope_dimension_sections(SECTIONS)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges(MERGES)
    writer.add_eos_token_id(tokens.index("<|im_end|>"))
    writer.add_bool("tokenizer.ggml.add_bos_token", val=False)
    for name, values in weights.items():
        if name not in without:
            writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return TinyModel(path=path, architecture=architecture, weights=weights, tokens=tokens)


@pytest.fixture(scope="session")
def model_writer() -> Callable[..., TinyModel]:
    return write_model


@pytest.fixture(scope="session", params=["qwen3vl", "qwen3"])
def tiny(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> TinyModel:
    return write_model(tmp_path_factory.mktemp("tiny") / f"{request.param}.gguf", request.param)


@pytest.fixture(scope="session", params=["ik-llama-cpp-python", "xllamacpp"])
def library(request: pytest.FixtureRequest) -> Library:
    module = {"ik-llama-cpp-python": "ik_llama_cpp", "xllamacpp": "xllamacpp"}[request.param]
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"{request.param} is not installed")
    return load_library(request.param)


@pytest.fixture
def model(library: Library, tiny: TinyModel) -> Iterator[Model]:
    with Model(library, tiny.path) as loaded:
        yield loaded


@pytest.fixture(scope="session")
def reference(tiny: TinyModel) -> Callable[[list[int]], NDArray[np.float64]]:
    """The model in numpy: logits after the last token, shape (tokens,)."""

    def forward(ids: list[int]) -> NDArray[np.float64]:
        w = {name: value.astype(np.float64) for name, value in tiny.weights.items()}
        x = w["token_embd.weight"][ids]
        angles = np.arange(len(ids))[:, None] * 1e6 ** -(np.arange(HEAD // 2) / (HEAD // 2))
        if tiny.architecture == "qwen3vl":
            angles[:, _fourth_section()] = 0  # those pairs take their position from the fourth row, which is 0

        def rms(values: NDArray[np.float64], weight: NDArray[np.float64]) -> NDArray[np.float64]:
            return values / np.sqrt((values**2).mean(-1, keepdims=True) + 1e-6) * weight

        def heads(values: NDArray[np.float64], count: int, norm: NDArray[np.float64]) -> NDArray[np.float64]:
            values = rms(values.reshape(len(ids), count, HEAD), norm).transpose(1, 0, 2)
            first, second = np.split(values, 2, axis=-1)
            cos, sin = np.cos(angles), np.sin(angles)
            return np.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)

        mask = np.triu(np.full((len(ids), len(ids)), -np.inf), 1)
        for layer in range(LAYERS):
            block = {name.split(".", 2)[2]: value for name, value in w.items() if name.startswith(f"blk.{layer}.")}
            h = rms(x, block["attn_norm.weight"])
            q = heads(h @ block["attn_q.weight"].T, HEADS, block["attn_q_norm.weight"])
            k = heads(h @ block["attn_k.weight"].T, KV_HEADS, block["attn_k_norm.weight"])
            v = (h @ block["attn_v.weight"].T).reshape(len(ids), KV_HEADS, HEAD).transpose(1, 0, 2)
            k, v = (np.repeat(value, HEADS // KV_HEADS, axis=0) for value in (k, v))
            scores = np.exp(q @ k.transpose(0, 2, 1) / np.sqrt(HEAD) + mask)
            attended = (scores / scores.sum(-1, keepdims=True)) @ v
            x = x + attended.transpose(1, 0, 2).reshape(len(ids), -1) @ block["attn_output.weight"].T
            h = rms(x, block["ffn_norm.weight"])
            gate = h @ block["ffn_gate.weight"].T
            x = x + (gate / (1 + np.exp(-gate)) * (h @ block["ffn_up.weight"].T)) @ block["ffn_down.weight"].T
        return rms(x[-1], w["output_norm.weight"]) @ w["token_embd.weight"].T

    return forward


def _fourth_section() -> list[int]:
    """Rotary pairs that interleaved M-RoPE gives to the fourth section."""
    rows = [
        0 if s % 3 == 0 and s < 3 * SECTIONS[0] else s % 3 if s < 3 * SECTIONS[s % 3] else 3 for s in range(HEAD // 2)
    ]
    return [pair for pair, row in enumerate(rows) if row == 3]


_C_TYPES = {
    ctypes.c_int32: "int32_t",
    ctypes.c_uint32: "uint32_t",
    ctypes.c_float: "float",
    ctypes.c_uint8: "uint8_t",
    ctypes.c_void_p: "void *",
    ctypes.c_size_t: "size_t",
}
_FUNCTIONS = {
    "model_params": "llama_model_default_params",
    "context_params": "llama_context_default_params",
    "quantize_params": "llama_model_quantize_default_params",
    "batch": "llama_batch_get_one",
}


@pytest.fixture(scope="session")
def struct_source() -> Callable[[Layout], str]:
    """C source of a function that returns a layout's defaults, compiled as the real library would be."""

    def source(layout: Layout) -> str:
        members = "".join(f"    {_C_TYPES[field.ctype]} {field.name};\n" for field in layout.fields)
        values = ", ".join(f".{field.name} = {_literal(field)}" for field in layout.fields)
        name = f"struct {layout.kind}"
        return (
            f"{name} {{\n{members}}};\n"
            f"{name} {_FUNCTIONS[layout.kind]}(void) {{\n    {name} r = {{ {values} }};\n    return r;\n}}\n"
        )

    return source


def _literal(field: Any) -> str:
    value = field.defaults.start if isinstance(field.defaults, range) else field.defaults[0]
    return f"(void *) {value}" if field.ctype is ctypes.c_void_p else repr(value)


@pytest.fixture
def compile_library(tmp_path: Path) -> Callable[[str], Path]:
    """Make a shared library from C source."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None or sys.platform == "win32":
        pytest.skip("needs a C compiler")

    def build(source: str, name: str = "libllama") -> Path:
        file = tmp_path / f"{name}.c"
        file.write_text(f"#include <stddef.h>\n#include <stdint.h>\n#include <stdlib.h>\n{source}", encoding="utf-8")
        target = tmp_path / f"{name}{'.dylib' if sys.platform == 'darwin' else '.so'}"
        subprocess.run([compiler, "-shared", "-fPIC", "-O2", "-o", str(target), str(file)], check=True)
        return target

    return build
