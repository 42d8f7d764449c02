# SPDX-License-Identifier: Apache-2.0
"""The one cost function of the cue builder. ``docs/cues.md`` explains every term with examples.

The cost of a transcript is the sum over its cues of

* `CUE`, so that there are no more cues than needed;
* `END` times the price of the seam it ends at (`SEAM`), less the longer the pause there;
* `LINE` times the price of the seams its lines end at, and `UNEVEN` for lines of different widths;
* `FULL` times its fill squared, which is least for cues of even width;
* `UNREAD` for every second that is missing for reading it at the speed of the norm;
* `SHORT` times how much it falls short of twice the minimum duration;
* `LATE` for every second it begins after its first word, when the cue before it needs its minimum duration;
* `SHARED` for every sentence that ends inside it, more behind a pause, and `TORN` if it holds such an end together
  with a part of a sentence.

All terms are 0 or more, so a partial sum is a lower bound.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from .seams import Seam

__all__ = ["CUE", "END", "FULL", "LATE", "LINE", "SEAM", "SHARED", "SHORT", "TOP_HEAVY", "TORN", "UNEVEN", "UNREAD"]

SEAM: Final[Mapping[Seam, float]] = {
    Seam.SENTENCE: 0.0,
    Seam.CLAUSE: 0.2,
    Seam.OPENING: 0.6,
    Seam.LEADING: 0.8,
    Seam.PLAIN: 1.4,
    Seam.TIGHT: 3.0,
    Seam.UNIT: 6.0,
    Seam.INSIDE: 12.0,
}
CUE: Final = 2.0
END: Final = 2.0
LINE: Final = 1.0
UNEVEN: Final = 2.0
TOP_HEAVY: Final = 0.1
FULL: Final = 0.8
UNREAD: Final = 1.0
SHORT: Final = 1.5
LATE: Final = 8.0
SHARED: Final = 3.2
TORN: Final = 3.0
