# SPDX-License-Identifier: Apache-2.0
"""Readable cues from timed words, and the files they are written to."""

from .cues import CueBuilder
from .formats import FORMATS, TranscriptInfo, render
from .layout import text_width
from .norm import NORMS, Norm, get_norm

__all__ = ["FORMATS", "NORMS", "CueBuilder", "Norm", "TranscriptInfo", "get_norm", "render", "text_width"]
