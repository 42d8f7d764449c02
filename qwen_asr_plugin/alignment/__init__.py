# SPDX-License-Identifier: Apache-2.0
"""When every word is said: words on the text as punctuated, with times."""

from .boundaries import Boundary, boundary_after
from .estimate import estimate_words
from .scripts import is_mark, needs_space_between
from .words import TimedWord, split_words

__all__ = [
    "Boundary",
    "TimedWord",
    "boundary_after",
    "estimate_words",
    "is_mark",
    "needs_space_between",
    "split_words",
]
