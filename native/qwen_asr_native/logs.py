# SPDX-License-Identifier: Apache-2.0
"""Catches what libllama would print: the last lines are kept for error messages, all go to `logging`.

Warnings and errors of the library are logged at level INFO (they are facts for a bug report, seldom trouble), all else
at level DEBUG.
"""

from __future__ import annotations

import atexit
import collections
import ctypes
import logging
import threading

__all__ = ["LIBRARY_LOG", "LibraryLog", "capture"]

_logger = logging.getLogger("qwen_asr_native.libllama")
_TROUBLE = {3, 4}  # GGML_LOG_LEVEL_WARN and _ERROR
_Callback = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)


class LibraryLog:
    """The last lines that the libraries of this process logged."""

    def __init__(self, lines: int = 400) -> None:
        self._lines: collections.deque[str] = collections.deque(maxlen=lines)
        self._total = 0
        self._partial = ""
        self._level = logging.DEBUG
        self._lock = threading.Lock()

    def feed(self, text: str, level: int = logging.DEBUG) -> None:
        """Add output; libllama logs in pieces, so a line counts once its end has come, at the level it began with."""
        with self._lock:
            if not self._partial:
                self._level = level
            level = self._level
            *whole, self._partial = (self._partial + text).split("\n")
            whole = [line.rstrip() for line in whole if line.strip(" .\r")]
            self._lines.extend(whole)
            self._total += len(whole)
        for line in whole:
            _logger.log(level, "%s", line)

    def mark(self) -> int:
        """A point in the log, for `since`."""
        return self._total

    def since(self, mark: int, lines: int = 6) -> str:
        """The last lines logged after a mark, joined; empty when there are none."""
        with self._lock:
            count = min(self._total - mark, len(self._lines), lines)
            tail = list(self._lines)[len(self._lines) - count :]
        return " | ".join(line.strip() for line in tail)


LIBRARY_LOG = LibraryLog()


def _on_log(level: int, text: bytes | None, _user_data: int | None) -> None:
    LIBRARY_LOG.feed((text or b"").decode("utf-8", "replace"), logging.INFO if level in _TROUBLE else logging.DEBUG)


_callback = _Callback(_on_log)  # lives as long as the module: the library keeps its address


def capture(library: ctypes.CDLL) -> None:
    """Direct a library's log here, until the interpreter ends."""
    set_log = library.llama_log_set
    set_log.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
    set_log.restype = None
    set_log(ctypes.cast(_callback, ctypes.c_void_p), None)
    # Static destructors of a library may log after the interpreter is gone; a callback into it would then crash.
    atexit.register(set_log, None, None)
