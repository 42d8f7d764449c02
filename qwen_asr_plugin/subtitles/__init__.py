# SPDX-License-Identifier: Apache-2.0
"""Readable cues from timed words, and the files they are written to."""

from .cues import CueBuilder
from .formats import FORMATS, TranscriptInfo, render
from .norms import NORMS, Norm, get_norm
from .width import WIDTH_RULES, WidthRule, text_width

__all__ = [
    "FORMATS",
    "NORMS",
    "WIDTH_RULES",
    "CueBuilder",
    "Norm",
    "TranscriptInfo",
    "WidthRule",
    "get_norm",
    "render",
    "text_width",
]
