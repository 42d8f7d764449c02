# SPDX-License-Identifier: Apache-2.0
"""The text of a transcript as readers expect it written: numerals, script, filler words. Times are kept."""

from .options import ShapingOptions
from .shape import check_shaping, shape_words

__all__ = ["ShapingOptions", "check_shaping", "shape_words"]
