# SPDX-License-Identifier: Apache-2.0
"""The files a transcript can be written to, as text."""

from .info import TranscriptInfo
from .render import FORMATS, render

__all__ = ["FORMATS", "TranscriptInfo", "render"]
