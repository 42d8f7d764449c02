# SPDX-License-Identifier: Apache-2.0
"""What a loaded model says of itself, as a message and as an object."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .recognizer import LoadedModel

__all__ = ["EngineInfo", "describe_model"]


@dataclass(frozen=True, kw_only=True)
class EngineInfo:
    """What was loaded.

    Attributes:
        model: Name of the bundle.
        languages: ISO codes the bundle recognises.
        max_chunk_seconds: Longest chunk it takes.
        aligner: Name and quantisation of the forced aligner, empty where word times are estimated.
        precision: Encoder precision.
        quant: Decoder quantisation.
        library: libllama's provider and version.
        onnx_provider: Execution provider the encoder runs on.
        device: Device the decoder runs on.
        lanes: Chunks recognised at the same time.
        threads_per_lane: Threads each of them uses.
        load_seconds: Time to open and load everything.
        configuration: Why this library, lanes and threads: ``default``, ``options`` or ``tuned DATE``.
        warnings: What is not as it was asked for, in words for the user.
    """

    model: str
    languages: tuple[str, ...]
    max_chunk_seconds: float
    aligner: str
    precision: str
    quant: str
    library: str
    onnx_provider: str
    device: str
    lanes: int
    threads_per_lane: int
    load_seconds: float
    configuration: str = "default"
    warnings: tuple[str, ...] = ()

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> EngineInfo:
        """Make it of what `describe_model` returned, perhaps in another process.

        Raises:
            TypeError: A value is missing, or there is one too many.
        """
        lists = {name: tuple(values.get(name, ())) for name in ("languages", "warnings")}
        return cls(**{**values, **lists})


def describe_model(model: LoadedModel) -> dict[str, Any]:
    """Return what `EngineInfo` holds, in JSON types only."""
    return {
        "model": model.bundle.name,
        "languages": list(model.bundle.languages),
        "max_chunk_seconds": model.max_chunk_seconds,
        "aligner": "" if model.aligner is None else f"{model.aligner.files.name} {model.aligner.files.quant}",
        "precision": model.bundle.precision,
        "quant": model.bundle.quant,
        "library": model.library,
        "onnx_provider": model.encoder.provider,
        "device": model.decoder.device.name,
        "lanes": model.lanes,
        "threads_per_lane": model.threads_per_lane,
        "load_seconds": model.load_seconds,
        "configuration": model.configuration,
        "warnings": list(model.warnings),
    }
