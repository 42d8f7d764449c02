# SPDX-License-Identifier: Apache-2.0
"""Writes a checkpoint folder as the official ones are laid out, one block of one tensor at a time."""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ._shapes import tensor_shapes
from .checkpoint import HEAD_NAME, Checkpoint, flat_name
from .config import ModelConfig
from .errors import ConversionError
from .vocabulary import END_OF_TURN, TokenType, Vocabulary

__all__ = ["LAYOUTS", "write_checkpoint"]

LAYOUTS = ("nested", "flat")
SHARD_BYTES = 4_000_000_000
"""Largest file of weights; what is larger goes into shards, as the official 1.7B does."""


def write_checkpoint(
    checkpoint: Checkpoint, folder: Path, *, layout: str = "nested", shard_bytes: int = SHARD_BYTES
) -> Path:
    """Write a checkpoint folder in bfloat16.

    Args:
        checkpoint: What to write.
        folder: An empty folder, or one that is not there yet.
        layout: ``"nested"`` as the authors publish it, or ``"flat"`` as the ``-hf`` repositories do.
        shard_bytes: Largest file of weights.

    Returns:
        The folder.

    Raises:
        ConversionError: The layout is unknown, something is in the folder, or it cannot be written.
    """
    if layout not in LAYOUTS:
        raise ConversionError(f"unknown layout {layout!r}.", hint=f"Known: {', '.join(LAYOUTS)}.")
    flat = layout == "flat"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise ConversionError("something is already there.", path=folder, hint="Name a new folder.")
        config = _flat_config(checkpoint.config) if flat else _nested_config(checkpoint.config)
        _write_json(folder / "config.json", config)
        _write_tokenizer(folder, checkpoint.vocabulary, whole=flat)
        _write_weights(folder, checkpoint, flat=flat, shard_bytes=shard_bytes)
    except OSError as error:
        raise ConversionError(f"cannot be written ({error.strerror}).", path=folder) from error
    return folder


def _nested_config(config: ModelConfig) -> dict[str, Any]:
    thinker: dict[str, Any] = {
        "model_type": "qwen3_asr",
        "audio_config": {
            **_audio(config),
            "encoder_attention_heads": config.audio.heads,
            "model_type": "qwen3_asr_audio",
        },
        "text_config": {
            **_text(config),
            "rope_theta": config.text.rope_theta,
            "rope_scaling": {
                "interleaved": True,
                "mrope_interleaved": True,
                "mrope_section": list(config.text.mrope_section),
                "rope_type": "default",
                "type": "default",
            },
        },
    }
    root: dict[str, Any] = {
        "architectures": ["Qwen3ASRForConditionalGeneration"],
        "model_type": "qwen3_asr",
        "support_languages": list(config.languages),
        "thinker_config": thinker,
    }
    if config.aligner is not None:
        thinker |= {"model_type": "qwen3_forced_aligner", "classify_num": config.aligner.classes}
        root |= {
            "timestamp_token_id": config.aligner.timestamp_id,
            "timestamp_segment_time": config.aligner.class_ms,
        }
    return root


def _flat_config(config: ModelConfig) -> dict[str, Any]:
    root: dict[str, Any] = {
        "architectures": ["Qwen3ASRForConditionalGeneration"],
        "model_type": "qwen3_asr",
        "audio_config": {
            **_audio(config),
            "num_attention_heads": config.audio.heads,
            "num_key_value_heads": config.audio.heads,
            "max_position_embeddings": config.audio.chunk_rows,
            "model_type": "qwen3_asr_encoder",
        },
        "text_config": {
            **_text(config),
            "model_type": "qwen3",
            "rope_parameters": {"rope_theta": config.text.rope_theta, "rope_type": "default"},
        },
        "tie_word_embeddings": config.text.tied,
    }
    if config.aligner is not None:
        root |= {
            "architectures": ["Qwen3ASRForTokenClassification"],
            "id2label": {str(number): f"LABEL_{number}" for number in range(config.aligner.classes)},
            "timestamp_segment_time": config.aligner.class_ms,
        }
    return root


def _audio(config: ModelConfig) -> dict[str, Any]:
    audio = config.audio
    return {
        "activation_function": "gelu",
        "d_model": audio.d_model,
        "downsample_hidden_size": audio.conv_channels,
        "encoder_ffn_dim": audio.ffn_dim,
        "encoder_layers": audio.layers,
        "n_window": audio.n_window,
        "n_window_infer": audio.n_window_infer,
        "num_mel_bins": audio.n_mels,
        "output_dim": audio.output_dim,
    }


def _text(config: ModelConfig) -> dict[str, Any]:
    text = config.text
    return {
        "attention_bias": False,
        "head_dim": text.head_dim,
        "hidden_act": "silu",
        "hidden_size": text.hidden_size,
        "intermediate_size": text.intermediate_size,
        "max_position_embeddings": text.context_length,
        "num_attention_heads": text.heads,
        "num_hidden_layers": text.layers,
        "num_key_value_heads": text.kv_heads,
        "rms_norm_eps": text.rms_norm_eps,
        "tie_word_embeddings": text.tied,
        "vocab_size": text.vocab_size,
    }


def _write_tokenizer(folder: Path, vocabulary: Vocabulary, *, whole: bool) -> None:
    kinds = list(zip(vocabulary.tokens, vocabulary.types, strict=True))
    plain = {spelling: number for number, (spelling, kind) in enumerate(kinds) if kind == TokenType.NORMAL}
    added = [
        {"id": number, "content": spelling, "special": kind == TokenType.CONTROL}
        for number, (spelling, kind) in enumerate(kinds)
        if kind in (TokenType.CONTROL, TokenType.USER_DEFINED)
    ]
    padding = None if vocabulary.padding_id is None else vocabulary.tokens[vocabulary.padding_id]
    settings: dict[str, Any] = {"eos_token": END_OF_TURN, "pad_token": padding, "tokenizer_class": "Qwen2Tokenizer"}
    if whole:
        model = {"type": "BPE", "vocab": plain, "merges": [rule.split(" ") for rule in vocabulary.merges]}
        _write_json(folder / "tokenizer.json", {"version": "1.0", "added_tokens": added, "model": model})
    else:
        _write_json(folder / "vocab.json", plain)
        merges = "".join(f"{line}\n" for line in ("#version: 0.2", *vocabulary.merges))
        (folder / "merges.txt").write_text(merges, encoding="utf-8", newline="\n")
        settings["added_tokens_decoder"] = {str(entry.pop("id")): entry for entry in ({**entry} for entry in added)}
    _write_json(folder / "tokenizer_config.json", settings)


def _write_json(file: Path, value: Any) -> None:
    file.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8", newline="\n")


def _write_weights(folder: Path, checkpoint: Checkpoint, *, flat: bool, shard_bytes: int) -> None:
    shapes = tensor_shapes(checkpoint.config)
    if checkpoint.config.text.tied and HEAD_NAME in checkpoint.tensors:
        shapes.pop(HEAD_NAME, None)
    shards: list[list[str]] = [[]]
    filled = 0
    for name, shape in shapes.items():
        size = 2 * math.prod(shape)
        if shards[-1] and filled + size > shard_bytes:
            shards.append([])
            filled = 0
        shards[-1].append(name)
        filled += size
    aligner = checkpoint.config.aligner is not None
    outside = {name: flat_name(name, is_aligner=aligner) if flat else name for name in shapes}
    weight_map: dict[str, str] = {}
    for number, names in enumerate(shards):
        several = len(shards) > 1
        file = f"model-{number + 1:05}-of-{len(shards):05}.safetensors" if several else "model.safetensors"
        weight_map |= {outside[name]: file for name in names}
        with (folder / file).open("wb") as stream:
            _write_shard(stream, checkpoint, names, outside)
    if len(shards) > 1:
        total = sum(2 * math.prod(shape) for shape in shapes.values())
        index = {"metadata": {"total_size": total}, "weight_map": weight_map}
        _write_json(folder / "model.safetensors.index.json", index)


def _write_shard(stream: BinaryIO, checkpoint: Checkpoint, names: list[str], outside: dict[str, str]) -> None:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name in names:
        shape = checkpoint.tensors.shape(name)
        end = at + 2 * math.prod(shape)
        header[outside[name]] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [at, end]}
        at = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    stream.write(struct.pack("<Q", len(text)) + text)
    for name in names:
        for values in checkpoint.tensors.blocks(name):
            stream.write(_to_bfloat16(values).tobytes())


def _to_bfloat16(values: np.ndarray[Any, np.dtype[np.float32]]) -> np.ndarray[Any, np.dtype[np.uint16]]:
    """The upper halves of the values' bits, rounded to nearest, ties to even."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    rounded = bits + np.uint32(0x7FFF) + (bits >> np.uint32(16) & np.uint32(1))
    upper: np.ndarray[Any, np.dtype[np.uint16]] = (rounded >> np.uint32(16)).astype("<u2")
    return upper
