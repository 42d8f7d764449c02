# SPDX-License-Identifier: Apache-2.0
"""Checkpoints to convert, made up on the spot, and encoder and decoder once more in plain numpy to compare with."""

from __future__ import annotations

import importlib.util
import json
import math
import os
import shutil
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
import pytest

from qwen_asr_model._shapes import tensor_shapes
from qwen_asr_model.checkpoint import AUDIO_PREFIX, HEAD_NAME, TEXT_PREFIX, Checkpoint
from qwen_asr_model.synth import SIZES, synthetic_checkpoint


def _erf(x: np.ndarray) -> np.ndarray:
    return np.vectorize(math.erf, otypes=[np.float64])(x)


def _gelu(x: np.ndarray) -> np.ndarray:
    return 0.5 * x * (1 + _erf(x / math.sqrt(2)))


class ReferenceEncoder:
    """The audio encoder as its definition says, in float64, one chunk and one window at a time."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.config = checkpoint.config.audio
        self.tensors = checkpoint.tensors

    def _get(self, name: str) -> np.ndarray:
        return self.tensors.load(AUDIO_PREFIX + name).astype(np.float64)

    def _linear(self, x: np.ndarray, name: str) -> np.ndarray:
        return x @ self._get(f"{name}.weight").T + self._get(f"{name}.bias")

    def _norm(self, x: np.ndarray, name: str) -> np.ndarray:
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
        return scaled * self._get(f"{name}.weight") + self._get(f"{name}.bias")

    def _conv(self, x: np.ndarray, name: str) -> np.ndarray:
        kernel, bias = self._get(f"{name}.weight"), self._get(f"{name}.bias")
        _, height, width = x.shape
        padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
        out = np.empty((len(kernel), -(-height // 2), -(-width // 2)))
        for i in range(out.shape[1]):
            for j in range(out.shape[2]):
                patch = padded[:, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3]
                out[:, i, j] = np.tensordot(kernel, patch, 3) + bias
        return out

    def frontend(self, mel: np.ndarray) -> np.ndarray:
        """``[mels, frames] -> [rows, d_model]``."""
        x = mel[None].astype(np.float64)
        for name in ("conv2d1", "conv2d2", "conv2d3"):
            x = _gelu(self._conv(x, name))
        rows = x.transpose(2, 0, 1).reshape(x.shape[2], -1) @ self._get("conv_out.weight").T
        half = self.config.d_model // 2
        for row in range(len(rows)):
            for i in range(half):
                angle = row * math.exp(-i * math.log(10000) / (half - 1))
                rows[row, i] += math.sin(angle)
                rows[row, half + i] += math.cos(angle)
        return rows

    def backend(self, x: np.ndarray) -> np.ndarray:
        """``[time, d_model] -> [time, output_dim]``."""
        x = x.astype(np.float64)
        heads, width = self.config.heads, self.config.d_model
        for layer in range(self.config.layers):
            at = f"layers.{layer}."
            normal = self._norm(x, f"{at}self_attn_layer_norm")
            q, k, v = (
                self._linear(normal, f"{at}self_attn.{part}_proj").reshape(len(x), heads, -1).transpose(1, 0, 2)
                for part in "qkv"
            )
            scores = q @ k.transpose(0, 2, 1) / math.sqrt(width // heads)
            weights = np.exp(scores - scores.max(-1, keepdims=True))
            weights /= weights.sum(-1, keepdims=True)
            joined = (weights @ v).transpose(1, 0, 2).reshape(len(x), width)
            x = x + self._linear(joined, f"{at}self_attn.out_proj")
            inner = _gelu(self._linear(self._norm(x, f"{at}final_layer_norm"), f"{at}fc1"))
            x = x + self._linear(inner, f"{at}fc2")
        return self._linear(_gelu(self._linear(self._norm(x, "ln_post"), "proj1")), "proj2")


class ReferenceDecoder:
    """The decoder with its head as its definition says, in float64, one sequence at a time."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.config = checkpoint.config.text
        self.tensors = checkpoint.tensors

    def _get(self, name: str) -> np.ndarray:
        return self.tensors.load(f"{TEXT_PREFIX}{name}.weight").astype(np.float64)

    def _norm(self, x: np.ndarray, name: str) -> np.ndarray:
        return x / np.sqrt((x**2).mean(-1, keepdims=True) + self.config.rms_norm_eps) * self._get(name)

    def _rotate(self, x: np.ndarray) -> np.ndarray:
        """``[time, heads, head_dim]``; the three position axes of M-RoPE are equal here, so it is plain RoPE."""
        half = self.config.head_dim // 2
        rates = self.config.rope_theta ** (-np.arange(half) / half)
        angles = (np.arange(len(x))[:, None] * rates)[:, None, :]
        first, second = x[..., :half], x[..., half:]
        sin, cos = np.sin(angles), np.cos(angles)
        return np.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)

    def scores(self, rows: np.ndarray) -> np.ndarray:
        """``[time, hidden] -> [time, rows of the head]``."""
        config, x, time = self.config, rows.astype(np.float64), len(rows)
        for layer in range(config.layers):
            at = f"layers.{layer}."
            normal = self._norm(x, f"{at}input_layernorm")
            q, k, v = (
                (normal @ self._get(f"{at}self_attn.{part}_proj").T).reshape(time, -1, config.head_dim)
                for part in "qkv"
            )
            q, k = (self._rotate(self._norm(p, f"{at}self_attn.{n}_norm")) for p, n in ((q, "q"), (k, "k")))
            k, v = (np.repeat(p, config.heads // config.kv_heads, axis=1) for p in (k, v))
            scores = np.einsum("qhd,khd->hqk", q, k) / math.sqrt(config.head_dim)
            scores[:, np.triu(np.ones((time, time), bool), 1)] = -np.inf
            weights = np.exp(scores - scores.max(-1, keepdims=True))
            weights /= weights.sum(-1, keepdims=True)
            x = x + np.einsum("hqk,khd->qhd", weights, v).reshape(time, -1) @ self._get(f"{at}self_attn.o_proj").T
            normal = self._norm(x, f"{at}post_attention_layernorm")
            gate = normal @ self._get(f"{at}mlp.gate_proj").T
            inner = gate / (1 + np.exp(-gate)) * (normal @ self._get(f"{at}mlp.up_proj").T)
            x = x + inner @ self._get(f"{at}mlp.down_proj").T
        return self._norm(x, "norm") @ self.tensors.load(HEAD_NAME).astype(np.float64).T


def to_bfloat16(values: np.ndarray) -> np.ndarray:
    """The upper halves of the float32 bits, cut off (not rounded): a valid bfloat16."""
    return (np.ascontiguousarray(values, np.float32).view(np.uint32) >> 16).astype(np.uint16)


def write_safetensors(file: Path, tensors: dict[str, np.ndarray], dtype: str) -> None:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    blobs, at = [], 0
    for name, values in tensors.items():
        convert = {"BF16": to_bfloat16, "F16": lambda v: v.astype("<f2"), "F32": lambda v: v.astype("<f4")}[dtype]
        blob = convert(values).tobytes()
        header[name] = {"dtype": dtype, "shape": list(values.shape), "data_offsets": [at, at + len(blob)]}
        blobs.append(blob)
        at += len(blob)
    text = json.dumps(header).encode()
    file.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(blobs))


def write_checkpoint(folder: Path, checkpoint: Checkpoint, *, dtype: str = "BF16", shards: int = 1) -> Path:
    """Write a checkpoint folder as the official ones are laid out."""
    audio, text = checkpoint.config.audio, checkpoint.config.text
    folder.mkdir(parents=True)
    config: dict[str, Any] = {
        "model_type": "qwen3_asr",
        "support_languages": ["English", "German", "Klingon"],
        "thinker_config": {
            "model_type": "qwen3_asr_thinker",
            "audio_config": {
                "num_mel_bins": audio.n_mels,
                "d_model": audio.d_model,
                "encoder_layers": audio.layers,
                "encoder_attention_heads": audio.heads,
                "encoder_ffn_dim": audio.ffn_dim,
                "output_dim": audio.output_dim,
                "downsample_hidden_size": audio.conv_channels,
                "n_window": audio.n_window,
                "n_window_infer": audio.n_window_infer,
                "activation_function": "gelu",
            },
            "text_config": {
                "vocab_size": text.vocab_size,
                "hidden_size": text.hidden_size,
                "intermediate_size": text.intermediate_size,
                "num_hidden_layers": text.layers,
                "num_attention_heads": text.heads,
                "num_key_value_heads": text.kv_heads,
                "head_dim": text.head_dim,
                "hidden_act": "silu",
                "attention_bias": False,
                "max_position_embeddings": text.context_length,
                "rms_norm_eps": text.rms_norm_eps,
                "rope_theta": text.rope_theta,
                "rope_scaling": {"mrope_section": list(text.mrope_section), "interleaved": True},
                "tie_word_embeddings": text.tied,
            },
        },
    }
    if (aligner := checkpoint.config.aligner) is not None:
        config |= {"timestamp_token_id": aligner.timestamp_id, "timestamp_segment_time": aligner.class_ms}
        config["thinker_config"] |= {"model_type": "qwen3_forced_aligner", "classify_num": aligner.classes}
    (folder / "config.json").write_text(json.dumps(config))
    vocabulary = checkpoint.vocabulary
    plain = {spelling: i for i, spelling in enumerate(vocabulary.tokens) if vocabulary.types[i] == 1}
    added = {
        str(i): {"content": spelling, "special": spelling.startswith("<|im")}
        for i, spelling in enumerate(vocabulary.tokens)
        if vocabulary.types[i] in (3, 4)
    }
    (folder / "vocab.json").write_text(json.dumps(plain), encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(vocabulary.merges) + "\n", encoding="utf-8")
    settings = {"added_tokens_decoder": added, "pad_token": "<|endoftext|>", "eos_token": "<|im_end|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    (folder / "chat_template.json").write_text(json.dumps({"chat_template": "{{ a template }}"}))
    tensors = {name: checkpoint.tensors.load(name) for name in tensor_shapes(checkpoint.config)}
    if shards == 1:
        write_safetensors(folder / "model.safetensors", tensors, dtype)
        return folder
    weight_map = {}
    for shard in range(shards):
        file = f"model-{shard + 1:05}-of-{shards:05}.safetensors"
        part = dict(list(tensors.items())[shard::shards])
        write_safetensors(folder / file, part, dtype)
        weight_map.update(dict.fromkeys(part, file))
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return folder


def run_onnx(file: Path, **inputs: np.ndarray) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    (result,) = session.run(None, inputs)
    return result


@pytest.fixture(scope="session")
def tools() -> SimpleNamespace:
    """The helpers above, for the tests."""
    return SimpleNamespace(
        ReferenceDecoder=ReferenceDecoder,
        ReferenceEncoder=ReferenceEncoder,
        run_onnx=run_onnx,
        to_bfloat16=to_bfloat16,
        write_checkpoint=write_checkpoint,
        write_safetensors=write_safetensors,
    )


def _program(file: Path) -> ModuleType:
    """Return a Python file as a module."""
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def foreign() -> ModuleType:
    """``foreign_models.py``: models as others write them."""
    return _program(Path(__file__).parent / "foreign_models.py")


@pytest.fixture(scope="session")
def demo_checkpoints(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The bundled model and its forced aligner as checkpoints, which do understand speech. Do not write into them."""
    golden = Path(__file__).parent.parent / "golden"
    packing = _program(golden / "pack_checkpoint.py")
    folder = tmp_path_factory.mktemp("demo")
    packing.unpack(golden / "checkpoint", folder)
    return folder / packing.RECOGNISER, folder / packing.ALIGNER


@pytest.fixture(scope="session")
def released_bundle(
    demo_checkpoints: tuple[Path, Path], foreign: ModuleType, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """They as the ancestor project released its models, in one folder. Do not write into it."""
    from qwen_asr_model.checkpoint import read_checkpoint

    folder = tmp_path_factory.mktemp("released") / "model"
    for checkpoint in demo_checkpoints:
        foreign.write_released(read_checkpoint(checkpoint), folder)
    return folder


@pytest.fixture
def within() -> Callable[[float], AbstractContextManager[None]]:
    """Measure what happens in a block, and fail where it took longer than some seconds."""

    @contextmanager
    def limit(seconds: float) -> Iterator[None]:
        started = time.monotonic()
        yield
        assert time.monotonic() - started < seconds

    return limit


@pytest.fixture
def small_disk(tmp_path: Path) -> Callable[[int], AbstractContextManager[Path]]:
    """A disk of its own with room for some bytes, for a block; skips where none can be mounted."""
    if sys.platform != "linux" or os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("mounting a small disk needs Linux, root and the program mount")

    @contextmanager
    def disk(size: int) -> Iterator[Path]:
        folder = tmp_path / "disk"
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("mounting is not allowed here")
        try:
            yield folder
        finally:
            subprocess.run(["umount", folder], check=True)

    return disk


def _clip(file: Path) -> np.ndarray:
    from qwen_asr_plugin.media import choose_track, find_ffmpeg, open_audio, probe

    found = probe(file, find_ffmpeg())
    with open_audio(found, choose_track(found), find_ffmpeg()) as stream:
        return np.concatenate(list(stream))


@pytest.fixture(scope="session")
def speech(speech_folder: Path) -> tuple[np.ndarray, str]:
    """Log-mel of a clip, and what is said in it."""
    from qwen_asr_plugin.audio import log_mel

    lines = (speech_folder / "transcripts.tsv").read_text(encoding="utf-8").splitlines()
    texts = {line.split("\t")[0]: line.split("\t")[-1] for line in lines}
    return log_mel(_clip(speech_folder / "05-hibari.flac")), texts["05-hibari.flac"]


@pytest.fixture(scope="session")
def transcribe(speech_folder: Path) -> Callable[..., Any]:
    """What the engine hears in some clips with the bundle in a folder; with ``times``, when it hears it, too."""
    from qwen_asr_plugin.engine.recognizer import load_model
    from qwen_asr_plugin.options import EngineOptions

    clips = [_clip(speech_folder / f"{name}.flac") for name in ("05-hibari", "29-hibari")]

    def run(folder: Path, *, times: bool = False) -> Any:
        model = load_model(EngineOptions(model=folder, lanes=1, threads=1))
        lane = model.recognizer()
        try:
            spoken = [lane.recognize(clip, align=times) for clip in clips]
        finally:
            lane.close()
            model.close()
        texts = [one.text for one in spoken]
        if not times:
            return texts
        return texts, [np.array([(unit.start_ms, unit.stop_ms) for unit in one.aligned]).ravel() for one in spoken]

    return run


@pytest.fixture(scope="session")
def tiny() -> Checkpoint:
    """A random checkpoint, in memory; its sizes are unlike each other, so that no two can be mixed up."""
    config = SIZES["tiny"]
    return synthetic_checkpoint(replace(config, audio=replace(config.audio, conv_channels=6, d_model=96, heads=3)))


@pytest.fixture(scope="session")
def tiny_folder(tiny: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same checkpoint as a bfloat16 folder. Do not write into it."""
    return write_checkpoint(tmp_path_factory.mktemp("checkpoints") / "tiny", tiny)


@pytest.fixture(scope="session")
def tiny_aligner(tiny: Checkpoint) -> Checkpoint:
    """A random forced aligner with the encoder and the vocabulary of ``tiny``."""
    return synthetic_checkpoint(replace(SIZES["aligner-tiny"], audio=tiny.config.audio))


@pytest.fixture(scope="session")
def aligner_folder(tiny_aligner: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same as a bfloat16 folder. Do not write into it."""
    return write_checkpoint(tmp_path_factory.mktemp("checkpoints") / "aligner", tiny_aligner)


@pytest.fixture(scope="session")
def pair_bundle(tiny_folder: Path, aligner_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recogniser and aligner in one bundle. Do not write into it."""
    from qwen_asr_model import convert_checkpoint

    return convert_checkpoint(
        tiny_folder,
        tmp_path_factory.mktemp("bundles") / "pair",
        precisions=["int8", "fp32"],
        quants=["q8_0"],
        aligner=aligner_folder,
        aligner_quants=["q5_0", "f16", "q4_0"],
        aligner_chunk_seconds=16,
    )


@pytest.fixture(scope="session")
def whole_bundle(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every precision and some types, converted from ``tiny_folder``. Do not write into it."""
    from qwen_asr_model import convert_checkpoint

    return convert_checkpoint(
        tiny_folder,
        tmp_path_factory.mktemp("bundles") / "whole",
        name="whole",
        precisions=["int8", "fp32", "fp16", "int4"],
        quants=["q8_0", "f16", "q4_0"],
        max_chunk_seconds=20,
        licence="Apache-2.0",
    )


@pytest.fixture
def bundle_copy(whole_bundle: Path, tmp_path: Path) -> Path:
    """A copy of the bundle that a test may damage."""
    import shutil

    return Path(shutil.copytree(whole_bundle, tmp_path / "bundle"))
