# SPDX-License-Identifier: Apache-2.0
"""The sizes of a checkpoint, read from its ``config.json``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ._json import read_json
from .errors import CheckpointError

__all__ = ["AlignerConfig", "AudioConfig", "ModelConfig", "TextConfig", "conv_length", "read_config"]


def conv_length(length: int) -> int:
    """Return how many positions three convolutions of kernel 3, stride 2, padding 1 leave of ``length``.

    Each leaves ``ceil(length / 2)``; frames become rows and mel bins become features by the same rule.
    """
    return -(-length // 8)


@dataclass(frozen=True, kw_only=True)
class AudioConfig:
    """Sizes of the audio encoder.

    Attributes:
        n_mels: Mel bins of the input.
        d_model: Width of the encoder.
        layers: Transformer layers.
        heads: Attention heads.
        ffn_dim: Width of the feed-forward layer.
        output_dim: Width of the output rows, equal to the hidden size of the language model.
        conv_channels: Channels of the three convolutions.
        n_window: Half the frames of a chunk.
        n_window_infer: Frames of an attention window.
    """

    n_mels: int
    d_model: int
    layers: int
    heads: int
    ffn_dim: int
    output_dim: int
    conv_channels: int
    n_window: int
    n_window_infer: int

    @property
    def chunk_frames(self) -> int:
        """Mel frames that go through the convolutions together."""
        return 2 * self.n_window

    @property
    def chunk_rows(self) -> int:
        """Encoder rows of a whole chunk."""
        return conv_length(self.chunk_frames)

    @property
    def window_chunks(self) -> int:
        """Chunks of an attention window."""
        return self.n_window_infer // self.chunk_frames

    @property
    def conv_bins(self) -> int:
        """Mel bins left after the convolutions."""
        return conv_length(self.n_mels)


@dataclass(frozen=True, kw_only=True)
class TextConfig:
    """Sizes of the language model.

    Attributes:
        vocab_size: Rows of the embedding table.
        hidden_size: Width.
        intermediate_size: Width of the feed-forward layer.
        layers: Transformer layers.
        heads: Query heads.
        kv_heads: Key and value heads.
        head_dim: Width of a head.
        context_length: Positions the model was made for.
        rms_norm_eps: Epsilon of the RMS norms.
        rope_theta: Base of the rotary embedding.
        mrope_section: Rotary pairs per position axis (time, height, width).
        tied: Whether the output matrix is the embedding table.
    """

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    context_length: int
    rms_norm_eps: float
    rope_theta: float
    mrope_section: tuple[int, ...]
    tied: bool


@dataclass(frozen=True, kw_only=True)
class AlignerConfig:
    """What a forced aligner has instead of a vocabulary to speak with: classes of time.

    Attributes:
        classes: Rows of the head; class ``i`` means ``i * class_ms``.
        class_ms: Milliseconds between two classes.
        timestamp_id: Token at whose position the head is read; negative: the tokenizer knows.
    """

    classes: int
    class_ms: int
    timestamp_id: int


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """A whole checkpoint's configuration.

    Attributes:
        audio: The audio encoder.
        text: The language model.
        languages: English names of the languages it was trained for, as the checkpoint spells them.
        aligner: The classes of a forced aligner; None for a recogniser.
    """

    audio: AudioConfig
    text: TextConfig
    languages: tuple[str, ...] = ()
    aligner: AlignerConfig | None = None


def read_config(file: Path) -> ModelConfig:
    """Read ``config.json`` of an official checkpoint of either layout, see `read_checkpoint`.

    Args:
        file: The file.

    Returns:
        Its sizes.

    Raises:
        CheckpointError: The file is missing, not JSON, lacks a field, or describes another architecture.
    """
    fields = _Fields(read_json(file), file)
    if "thinker_config" not in fields.values and "audio_config" in fields.values:
        config = _flat(fields)
    else:
        thinker = fields.table("thinker_config")
        # The official code tells the two apart by this part of the name, too.
        is_aligner = "forced_aligner" in str(thinker.values.get("model_type", ""))
        languages = fields.values.get("support_languages")
        config = ModelConfig(
            audio=_audio(thinker.table("audio_config")),
            text=_text(thinker.table("text_config")),
            languages=tuple(map(str, languages)) if isinstance(languages, list) else (),
            aligner=_aligner(fields, thinker) if is_aligner else None,
        )
    if config.audio.output_dim != config.text.hidden_size:
        raise CheckpointError(
            f"encoder rows have {config.audio.output_dim} values, the language model wants {config.text.hidden_size}.",
            path=file,
        )
    return config


# What the flat layout need not write: the defaults of its configuration classes in transformers 5.
_FLAT_AUDIO = {"num_mel_bins": 128, "n_window": 50, "n_window_infer": 800, "downsample_hidden_size": 480}
_FLAT_AUDIO_NAMES = {
    "num_hidden_layers": "encoder_layers",
    "hidden_size": "d_model",
    "num_attention_heads": "encoder_attention_heads",
    "intermediate_size": "encoder_ffn_dim",
}
_FLAT_CLASS_MS = 80


def _flat(root: _Fields) -> ModelConfig:
    """The configuration of a ``-hf`` repository."""
    text = root.table("text_config")
    rope = text.values.get("rope_parameters") or text.values.get("rope_scaling") or {}
    theta = rope.get("rope_theta") if isinstance(rope, Mapping) else None
    values: dict[str, Any] = {"tie_word_embeddings": root.values.get("tie_word_embeddings", False), **text.values}
    values.setdefault("rope_theta", theta)
    # The sections are left out there: they have no effect.
    half = values["head_dim"] // 2 if isinstance(values.get("head_dim"), int) else 0
    values["rope_scaling"] = {"mrope_section": [half]}
    audio: dict[str, Any] = {**_FLAT_AUDIO, "output_dim": values.get("hidden_size")}
    for name, value in root.table("audio_config").values.items():
        audio[_FLAT_AUDIO_NAMES.get(name, name)] = value
    architectures = root.values.get("architectures")
    is_aligner = "TokenClassification" in str(architectures) or "num_labels" in root.values
    return ModelConfig(
        audio=_audio(root.replaced("audio_config", audio)),
        text=_text(root.replaced("text_config", values)),
        aligner=_flat_aligner(root) if is_aligner else None,
    )


def _flat_aligner(root: _Fields) -> AlignerConfig:
    labels = root.values.get("id2label")
    classes = (
        len(labels) if isinstance(labels, Mapping) and "num_labels" not in root.values else root.count("num_labels")
    )
    return AlignerConfig(
        classes=classes,
        class_ms=root.count("timestamp_segment_time") if "timestamp_segment_time" in root.values else _FLAT_CLASS_MS,
        timestamp_id=root.count("timestamp_token_id") if "timestamp_token_id" in root.values else -1,
    )


class _Fields:
    """Typed access to one JSON table; says which field of which file is wrong."""

    def __init__(self, values: Any, file: Path, where: str = "") -> None:
        if not isinstance(values, Mapping):
            raise CheckpointError(f"{where or 'the root'} is not a table.", path=file)
        self.values: Mapping[str, Any] = values
        self._file = file
        self._where = where

    def table(self, name: str) -> _Fields:
        return _Fields(self._get(name), self._file, f"{self._where}{name}.")

    def replaced(self, name: str, values: Mapping[str, Any]) -> _Fields:
        """An inner table with other values."""
        return _Fields(values, self._file, f"{self._where}{name}.")

    def count(self, name: str) -> int:
        value = self._get(name)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise self.wrong(name, value)
        return value

    def number(self, name: str) -> float:
        value = self._get(name)
        if not isinstance(value, (int, float)) or isinstance(value, bool) or value <= 0:
            raise self.wrong(name, value)
        return float(value)

    def counts(self, name: str) -> tuple[int, ...]:
        value = self._get(name)
        if not isinstance(value, list) or not all(isinstance(n, int) and n >= 0 for n in value):
            raise self.wrong(name, value)
        return tuple(value)

    def must_be(self, name: str, wanted: object) -> None:
        if self.values.get(name, wanted) != wanted:
            raise CheckpointError(
                f"{self._where}{name} is {self.values[name]!r}, only {wanted!r} can be converted.", path=self._file
            )

    def unusable(self, what: str) -> CheckpointError:
        return CheckpointError(f"{self._where.rstrip('.')}: {what}.", path=self._file)

    def _get(self, name: str) -> Any:
        try:
            return self.values[name]
        except KeyError:
            raise CheckpointError(
                f"no field {self._where}{name}.", path=self._file, hint="Is it a Qwen3-ASR checkpoint?"
            ) from None

    def wrong(self, name: str, value: object) -> CheckpointError:
        return CheckpointError(f"field {self._where}{name} cannot be {value!r}.", path=self._file)


def _audio(fields: _Fields) -> AudioConfig:
    fields.must_be("activation_function", "gelu")
    config = AudioConfig(
        n_mels=fields.count("num_mel_bins"),
        d_model=fields.count("d_model"),
        layers=fields.count("encoder_layers"),
        heads=fields.count("encoder_attention_heads"),
        ffn_dim=fields.count("encoder_ffn_dim"),
        output_dim=fields.count("output_dim"),
        conv_channels=fields.count("downsample_hidden_size"),
        n_window=fields.count("n_window"),
        n_window_infer=fields.count("n_window_infer"),
    )
    if config.d_model % config.heads or config.d_model % 2:
        raise fields.unusable(f"width {config.d_model} cannot be split into {config.heads} heads")
    if config.window_chunks < 1:
        raise fields.unusable("an attention window is shorter than a chunk")
    return config


def _aligner(root: _Fields, thinker: _Fields) -> AlignerConfig:
    step = root.number("timestamp_segment_time")
    if not step.is_integer():
        raise root.wrong("timestamp_segment_time", step)
    return AlignerConfig(
        classes=thinker.count("classify_num"), class_ms=int(step), timestamp_id=root.count("timestamp_token_id")
    )


def _text(fields: _Fields) -> TextConfig:
    fields.must_be("hidden_act", "silu")
    fields.must_be("attention_bias", False)  # noqa: FBT003 - a value of the file, not a switch
    config = TextConfig(
        vocab_size=fields.count("vocab_size"),
        hidden_size=fields.count("hidden_size"),
        intermediate_size=fields.count("intermediate_size"),
        layers=fields.count("num_hidden_layers"),
        heads=fields.count("num_attention_heads"),
        kv_heads=fields.count("num_key_value_heads"),
        head_dim=fields.count("head_dim"),
        context_length=fields.count("max_position_embeddings"),
        rms_norm_eps=fields.number("rms_norm_eps"),
        rope_theta=fields.number("rope_theta"),
        mrope_section=fields.table("rope_scaling").counts("mrope_section"),
        tied=bool(fields.values.get("tie_word_embeddings", False)),
    )
    if config.heads % config.kv_heads:
        raise fields.unusable(f"{config.heads} query heads cannot share {config.kv_heads} key heads")
    if not 1 <= len(config.mrope_section) <= 4 or sum(config.mrope_section) != config.head_dim // 2:
        raise fields.unusable(
            f"rope sections {config.mrope_section} do not add up to half of head_dim {config.head_dim}"
        )
    return config
