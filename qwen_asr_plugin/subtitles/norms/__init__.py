# SPDX-License-Identifier: Apache-2.0
"""Subtitle norms: the numbers cues have to obey, as data."""

from .loading import get_norm
from .norm import Norm
from .tables import NORMS

__all__ = ["NORMS", "Norm", "get_norm"]
