# SPDX-License-Identifier: Apache-2.0
"""Subtitle files of any format and origin, read as they are: nothing is repaired, everything odd is reported."""

from .document import Cue, Oddity, SubtitleDocument
from .kinds import ODDITY_KINDS, Severity
from .reader import parse_subtitles, read_subtitles

__all__ = ["ODDITY_KINDS", "Cue", "Oddity", "Severity", "SubtitleDocument", "parse_subtitles", "read_subtitles"]
