# SPDX-License-Identifier: Apache-2.0
"""JSON (``.json``), described by docs/transcript.schema.json."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import asdict
from typing import Final

from subtitle_hooks import Segment

from .info import TranscriptInfo

__all__ = ["render_json"]

_VERSION: Final = 1
_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")


def render_json(segments: Sequence[Segment], info: TranscriptInfo) -> str:
    """JSON (RFC 8259), version 1 of this project's schema.

    An object with ``version`` (1), ``backend``, ``model``, ``language``, ``duration_ms``, ``statistics`` (an object of
    numbers and texts) and ``segments``: a list of objects with ``start_ms`` and ``end_ms`` (integers on the media
    clock), ``text`` (lines separated by a line feed) and ``language``. What is unknown is null. A reader must ignore
    names it does not know; a change that breaks readers raises ``version``. Texts are as they are in the segments,
    since JSON can hold any.
    """
    document = {
        "version": _VERSION,
        "backend": info.backend,
        "model": info.model,
        "language": info.language,
        "duration_ms": info.duration_ms,
        "statistics": {name: _finite(value) for name, value in info.statistics.items()},
        "segments": [asdict(segment) for segment in segments],
    }
    text = json.dumps(document, ensure_ascii=False, indent=2)
    return _SURROGATE.sub("\ufffd", text) + "\n"


def _finite(value: float | str) -> float | str | None:
    """JSON has no infinity and no NaN."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
