# SPDX-License-Identifier: Apache-2.0
"""How much this process insists on processor time."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import Final

__all__ = ["let_others_go_first"]

_NICENESS: Final = 10
"""Half-way to the end of the scale: a tenth of the share of an ordinary process where both want a core."""


def let_others_go_first() -> None:
    """Lower the priority of this process, all of its threads and those to come."""
    if sys.platform == "win32":
        import psutil

        psutil.Process().nice(psutil.BELOW_NORMAL_PRIORITY_CLASS)
        return
    lower = os.nice(_NICENESS)
    if sys.platform == "linux":  # where that was the calling thread alone, and libraries have threads of their own
        for task in Path("/proc/self/task").iterdir():
            with contextlib.suppress(OSError):  # ended meanwhile
                os.setpriority(os.PRIO_PROCESS, int(task.name), lower)
