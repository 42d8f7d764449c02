# SPDX-License-Identifier: Apache-2.0
"""What the engine says about one chunk."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields

from qwen_asr_plugin.audio import SpeechSpan

__all__ = ["AlignedUnit", "Recognition", "WorkTimes"]


@dataclass(frozen=True, kw_only=True)
class WorkTimes:
    """Seconds and token counts of the engine's stages; times of parallel lanes add up.

    Attributes:
        encoder_seconds: Log-mel and audio encoder.
        prefill_seconds: Prompt and audio rows into the KV cache.
        generation_seconds: Token by token decoding.
        alignment_seconds: The forced aligner's pass, waiting for its memory included.
        prefill_tokens: Positions prefilled, audio rows included.
        generation_tokens: Tokens generated, the stop token included.
        retries: Decoding attempts beyond the first (loop guard).
    """

    encoder_seconds: float = 0.0
    prefill_seconds: float = 0.0
    generation_seconds: float = 0.0
    alignment_seconds: float = 0.0
    prefill_tokens: int = 0
    generation_tokens: int = 0
    retries: int = 0

    @classmethod
    def sum(cls, times: Iterable[WorkTimes]) -> WorkTimes:
        """Add up many."""
        listed = list(times)
        return cls(**{f.name: sum(getattr(t, f.name) for t in listed) for f in fields(cls)})


@dataclass(frozen=True, kw_only=True)
class AlignedUnit:
    """One unit of the text as the forced aligner sees it, and its times as the model says them, unrepaired.

    Attributes:
        begin: Index into the text of its first character.
        end: Index after its last character.
        start_ms: Milliseconds from the start of the chunk.
        stop_ms: Milliseconds from the start of the chunk; may be before `start_ms`.
    """

    begin: int
    end: int
    start_ms: int
    stop_ms: int


@dataclass(frozen=True, kw_only=True)
class Recognition:
    """The text of one speech chunk.

    Attributes:
        index: Number of the chunk within the media file.
        start_ms: Start of the chunk on the media clock.
        end_ms: End of the chunk on the media clock.
        spans: Where speech is inside the chunk.
        text: Recognised text with punctuation, stripped; empty where nobody speaks.
        language: ISO code the model named (or was told), None where it named none.
        aligned: Units with the times of the forced aligner; None where none was used.
        times: What it cost.
        context_cut: The context was longer than the model copes with, and only its beginning was used.
    """

    index: int
    start_ms: int
    end_ms: int
    spans: tuple[SpeechSpan, ...]
    text: str
    language: str | None
    aligned: tuple[AlignedUnit, ...] | None = None
    times: WorkTimes = field(default_factory=WorkTimes)
    context_cut: bool = False
