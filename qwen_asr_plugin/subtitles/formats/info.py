# SPDX-License-Identifier: Apache-2.0
"""What is known about a transcript besides its segments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

__all__ = ["TranscriptInfo"]


@dataclass(frozen=True, kw_only=True)
class TranscriptInfo:
    """What is known about a finished transcript besides its segments.

    Attributes:
        backend: Name of the backend that made it.
        model: Name of the model, None where unknown.
        language: ISO code of the dominant language, None where unknown.
        duration_ms: Duration of the part worked on, None where unknown.
        statistics: Flat mapping of names to numbers or short texts.
    """

    backend: str
    model: str | None = None
    language: str | None = None
    duration_ms: int | None = None
    statistics: Mapping[str, float | str] = field(default_factory=lambda: MappingProxyType({}))
