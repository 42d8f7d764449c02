# SPDX-License-Identifier: Apache-2.0
"""The most memory this process has held at once."""

from __future__ import annotations

import sys
from pathlib import Path

__all__ = ["peak_memory_bytes"]


def peak_memory_bytes() -> int:
    """Return the process's peak resident memory in bytes."""
    if sys.platform == "linux":
        # Not getrusage: its maximum survives exec, so a child starts with its parent's figure.
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    if sys.platform == "win32":
        import psutil

        return int(psutil.Process().memory_info().peak_wset)
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak * 1024)
