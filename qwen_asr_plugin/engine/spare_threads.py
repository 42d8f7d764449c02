# SPDX-License-Identifier: Apache-2.0
"""Threads of lanes that have nothing to do, lent to those that have: short files and the end of every file gain time.

What is computed does not depend on it: threads are lent only where their number changes no bit (`OwnSlot`, `Encoder`).
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Final

__all__ = ["Pace", "SpareThreads"]

_TRIAL: Final = 4
"""Steps that are compared."""
_SETTLED_SECONDS: Final = 0.5
"""Nothing is lent so long after a chunk has come: at the start the next one is near, and the host needs a core."""


class SpareThreads:
    """Counts the chunks of all lanes and says how many threads each may use.

    Args:
        lanes: Lanes that lend each other their threads; 1 where nothing is to be lent.
        threads: Threads of a lane's own.
    """

    def __init__(self, lanes: int, threads: int) -> None:
        self.own = threads
        self.most = lanes * threads
        self._lanes = lanes
        self._chunks = 0
        self._latest = 0.0
        self._lock = threading.Lock()

    def begin(self) -> None:
        """A chunk waits for a lane or is in one."""
        with self._lock:
            self._chunks += 1
            self._latest = time.monotonic()

    def end(self) -> None:
        """A chunk is finished, or never will be begun."""
        with self._lock:
            self._chunks -= 1

    def share(self) -> int:
        """Threads that a lane may use at this moment, `own` at least; without any chunk counted, `own`."""
        if self.most == self.own or time.monotonic() < self._latest + _SETTLED_SECONDS:
            return self.own
        busy = min(self._chunks or self._lanes, self._lanes)
        return self.most // busy


class Pace:
    """Finds out whether steps with lent threads are faster than with one's own.

    The threads of one step wait for each other actively. Where another program has one of the cores, that takes longer
    than to do without.

    Args:
        own: Threads of a lane's own.
    """

    def __init__(self, own: int) -> None:
        self._own = own
        self._recent: dict[int, deque[float]] = {own: deque(maxlen=_TRIAL)}
        self._slower: set[int] = set()

    def begin(self) -> None:
        """Begin a new chunk: what was too slow may be tried again."""
        self._slower.clear()

    def choose(self, offered: int) -> int:
        """Return the threads for the next step: those offered, or one's own."""
        known = len(self._recent[self._own]) == _TRIAL
        return offered if known and offered not in self._slower else self._own

    def took(self, threads: int, seconds: float) -> None:
        """Remember how long a step took."""
        recent = self._recent.setdefault(threads, deque(maxlen=_TRIAL))
        recent.append(seconds)
        if threads != self._own and len(recent) == _TRIAL and sum(recent) > sum(self._recent[self._own]):
            self._slower.add(threads)
            recent.clear()
