# SPDX-License-Identifier: Apache-2.0
"""Times as the formats write them."""

from __future__ import annotations

__all__ = ["centiseconds", "clock"]


def clock(ms: int) -> str:
    """Return milliseconds as ``HH:MM:SS.mmm``, hours with as many digits as they need."""
    seconds, ms = divmod(ms, 1000)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{ms:03}"


def centiseconds(start_ms: int, end_ms: int) -> tuple[int, int]:
    """Round to hundredths of a second, halves up, the end at least one hundredth after the start."""
    start = (start_ms + 5) // 10
    return start, max((end_ms + 5) // 10, start + 1)
