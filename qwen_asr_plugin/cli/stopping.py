# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C while long work goes on."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event

__all__ = ["stop_on_ctrl_c"]


@contextmanager
def stop_on_ctrl_c() -> Iterator[Event]:
    """Turn the first Ctrl-C into an orderly stop; the second one ends the program."""
    stop = Event()

    def ask(*_: object) -> None:
        stop.set()
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)
