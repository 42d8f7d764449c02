# SPDX-License-Identifier: Apache-2.0
"""Being asked to stop while long work goes on."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event

__all__ = ["stop_on_signals"]


@contextmanager
def stop_on_signals() -> Iterator[Event]:
    """Turn the first Ctrl-C or SIGTERM into an orderly stop; the second one ends the program."""
    stop = Event()

    def ask(*_: object) -> None:
        stop.set()
        restore()

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        restore()
