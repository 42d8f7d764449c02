# SPDX-License-Identifier: Apache-2.0
"""When every word is said: words on the text as punctuated, with times."""

from .align import align_words
from .boundaries import Boundary, boundary_after
from .estimate import estimate_words
from .plausible import is_plausible, silent_share
from .repair import repair_times
from .scripts import is_mark, needs_space_between
from .units import Unit, align_units, units_notice
from .words import TimedWord, split_words

__all__ = [
    "Boundary",
    "TimedWord",
    "Unit",
    "align_units",
    "align_words",
    "boundary_after",
    "estimate_words",
    "is_mark",
    "is_plausible",
    "needs_space_between",
    "repair_times",
    "silent_share",
    "split_words",
    "units_notice",
]
