# SPDX-License-Identifier: Apache-2.0
"""Random weights of an official shape, in the form of every contender, all from one checkpoint; made once."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from qwen_asr_model import convert_checkpoint, synthesize_checkpoint
from qwen_asr_model.checkpoint import read_checkpoint

__all__ = ["BUNDLED", "PRECISIONS", "QUANTS", "SHAPES", "Models", "prepare"]

BUNDLED = "bundled"
"""What the model that comes with the product is called beside the shapes."""
SHAPES = ("0.6B", "1.7B", "tiny")
PRECISIONS = ("int8", "int4", "fp32")
QUANTS = ("q4_k", "q4_0", "q8_0")
CHUNK_SECONDS = 30.0

_FOREIGN = Path(__file__).resolve().parents[2] / "tests" / "model" / "foreign_models.py"
# What the official processor wants to know and the converter does not: the frontend's settings and the prompt.
_PREPROCESSOR = {
    "feature_extractor_type": "WhisperFeatureExtractor",
    "feature_size": 128,
    "sampling_rate": 16000,
    "hop_length": 160,
    "n_fft": 400,
    "chunk_length": 30,
    "padding_side": "right",
    "padding_value": 0.0,
    "return_attention_mask": True,
    "dither": 0.0,
}
_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n"
    "{% if message.content is string %}{{ message.content }}{% else %}"
    "{% for part in message.content %}"
    "{% if part.type == 'audio' %}<|audio_start|><|audio_pad|><|audio_end|>{% else %}{{ part.text }}{% endif %}"
    "{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@dataclass(frozen=True, kw_only=True)
class Models:
    """Where the forms of one shape are.

    Attributes:
        shape: Name of the shape.
        folder: The folder of all of them.
        checkpoint: The official layout, for the official package; all others are made of it.
        bundle: Our bundle, with a forced aligner of the 0.6B shape beside it.
        released: The ancestor's released form.
        text: The text model as llama.cpp's converter writes it, q4_k_m.
        mmproj: The audio encoder for it, q8_0.
    """

    shape: str
    folder: Path

    @property
    def checkpoint(self) -> Path:
        """See `Models`."""
        return self.folder / "checkpoint"

    @property
    def bundle(self) -> Path:
        """See `Models`."""
        return self.folder / "bundle"

    @property
    def released(self) -> Path:
        """See `Models`."""
        return self.folder / "released"

    @property
    def text(self) -> Path:
        """See `Models`."""
        return self.folder / "llama.cpp" / "text.q4_k_m.gguf"

    @property
    def mmproj(self) -> Path:
        """See `Models`."""
        return self.folder / "llama.cpp" / "mmproj.q8_0.gguf"


def prepare(cache: Path, shape: str, *, again: bool = False) -> Models:
    """Make what is not there yet; a form appears whole or not at all.

    Args:
        cache: Folder for all shapes.
        shape: One of `SHAPES`.
        again: Make our own bundle even if it is there.
    """
    models = Models(shape=shape, folder=cache / shape)
    if again:
        shutil.rmtree(models.bundle, ignore_errors=True)
    aligner = "aligner-tiny" if shape == "tiny" else "aligner-0.6B"
    aligner_checkpoint = cache / aligner
    _make(models.checkpoint, lambda folder: _checkpoint(shape, folder))
    if not models.bundle.exists():
        _make(aligner_checkpoint, lambda folder: _checkpoint(aligner, folder))
    _make(models.bundle, lambda folder: _bundle(models, aligner_checkpoint, folder))
    _make(models.released, lambda folder: _foreign().write_released(read_checkpoint(models.checkpoint), folder))
    _make(models.text.parent, lambda folder: _pair(models, folder))
    return models


def _make(folder: Path, write: Callable[[Path], None]) -> None:
    if folder.exists():
        return
    print(f"making {folder.parent.name}/{folder.name} ...", file=sys.stderr, flush=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    write(part)
    part.rename(folder)


def _checkpoint(shape: str, folder: Path) -> None:
    synthesize_checkpoint(shape, folder)
    settings = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    ids = {entry["content"]: int(number) for number, entry in settings["added_tokens_decoder"].items()}
    settings["extra_special_tokens"] = {
        "audio_token": "<|audio_pad|>",
        "audio_bos_token": "<|audio_start|>",
        "audio_eos_token": "<|audio_end|>",
    }
    generation = {"eos_token_id": ids["<|im_end|>"], "pad_token_id": ids["<|endoftext|>"], "do_sample": False}
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config["thinker_config"] |= {
        f"audio_{name}token_id": ids[f"<|audio_{token}|>"]
        for name, token in (("", "pad"), ("start_", "start"), ("end_", "end"))
    }
    for name, values in {
        "config.json": config,
        "tokenizer_config.json": settings,
        "generation_config.json": generation,
        "preprocessor_config.json": _PREPROCESSOR,
        "chat_template.json": {"chat_template": _TEMPLATE},
    }.items():
        (folder / name).write_text(json.dumps(values, indent=1), encoding="utf-8")


def _bundle(models: Models, aligner: Path, folder: Path) -> None:
    convert_checkpoint(
        models.checkpoint,
        folder,
        name=f"synthetic-{models.shape}",
        precisions=PRECISIONS,
        quants=QUANTS,
        aligner=aligner,
        aligner_quants=("q4_k",),
        max_chunk_seconds=CHUNK_SECONDS,
        licence="CC0-1.0",
        progress=lambda name, done, count: print(f"  {done} of {count}: {name}", file=sys.stderr, flush=True),
    )


def _pair(models: Models, folder: Path) -> None:
    folder.mkdir()
    foreign, checkpoint = _foreign(), read_checkpoint(models.checkpoint)
    foreign.write_text_model(checkpoint, folder / models.text.name, quant="q4_k_m")
    foreign.write_mmproj(checkpoint, folder / models.mmproj.name, matrices="Q8_0")


def _foreign() -> ModuleType:
    """The writers of other programs' forms that the tests have."""
    spec = importlib.util.spec_from_file_location("foreign_models", _FOREIGN)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
