# SPDX-License-Identifier: Apache-2.0
"""WebVTT (``.vtt``)."""

from __future__ import annotations

from collections.abc import Sequence

from subtitle_hooks import Segment

from .clock import clock
from .info import TranscriptInfo
from .shown import shown

__all__ = ["render_webvtt"]


def render_webvtt(segments: Sequence[Segment], _: TranscriptInfo) -> str:
    """WebVTT (https://www.w3.org/TR/webvtt1/); ``&``, ``<`` and ``>`` are escaped, and with them ``-->``."""
    blocks = ["WEBVTT\n"]
    for cue in shown(segments, "WebVTT"):
        text = "\n".join(cue.lines).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        blocks.append(f"\n{clock(cue.start_ms)} --> {clock(cue.end_ms)}\n{text}\n")
    return "".join(blocks)
