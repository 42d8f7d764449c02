# SPDX-License-Identifier: Apache-2.0
"""What mpv's script is told: two files beside the script's own that are whole at any time."""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Any, Final

from qwen_asr_plugin.subtitles import TranscriptInfo, render
from subtitle_hooks import OutputNotWritableError, Segment, in_time_order

__all__ = ["CueReport"]

_CUES_SECONDS: Final = 0.5
_LAST_TRIES: Final = 20
_PRIVATE: Final = 0o600


class CueReport:
    """The cues as SubRip (``JOB.srt``), and where the work stands as JSON (``JOB.json``).

    The JSON object has ``status`` (working, found, written, unsaved, nothing, cancelled or failed), ``stage``,
    ``percent`` or null, ``revision`` of the cues (0: none yet), ``warnings``, and where they apply ``path``,
    ``language``, ``code``, ``message`` and ``hint``. Threads may use it together.

    Args:
        job_file: The script's file, beside which these two lie.
    """

    def __init__(self, job_file: Path) -> None:
        self._cues, self._state_file, self._part = (
            job_file.with_name(job_file.name + suffix) for suffix in (".srt", ".json", ".part")
        )
        self._lock = Lock()
        self._writing = Lock()
        self._segments: list[Segment] = []
        self._state: dict[str, Any] = {"status": "working", "stage": "open", "percent": None, "warnings": []}
        self._revision = 0
        self._written_cues = 0
        self._written_state = ""
        self._wrote_cues_at = 0.0

    @property
    def segments(self) -> list[Segment]:
        """What was added, in that order."""
        with self._lock:
            return list(self._segments)

    def add(self, segment: Segment) -> None:
        """Take a finished cue."""
        with self._lock:
            self._segments.append(segment)

    def tell(self, **facts: object) -> None:
        """Change what is told."""
        with self._lock:
            self._state |= {name: os.fspath(fact) if isinstance(fact, Path) else fact for name, fact in facts.items()}

    def warn(self, text: str) -> None:
        """Add a warning."""
        with self._lock:
            self._state["warnings"] = [*self._state["warnings"], text]

    def write(self, *, last: bool = False) -> None:
        """Write what is new. Where that is not possible it is tried again the next time.

        Args:
            last: There is no next time.

        Raises:
            OutputNotWritableError: With `last`, when it is not possible.
        """
        for left in reversed(range(_LAST_TRIES if last else 1)):
            try:
                with self._writing:
                    self._write_new(hurry=last)
                return
            except OSError as error:  # on Windows also while mpv reads the file
                if last and not left:
                    raise OutputNotWritableError(
                        f"cannot be written ({error.strerror or error}).", path=error.filename or self._state_file
                    ) from error
            if left:
                time.sleep(0.05)

    def clear(self) -> None:
        """Remove both files."""
        with self._writing:
            for path in (self._part, self._cues, self._state_file):
                with suppress(OSError):
                    path.unlink(missing_ok=True)

    def _write_new(self, *, hurry: bool) -> None:
        with self._lock:
            segments = list(self._segments)
            state = dict(self._state)
        now = time.monotonic()
        if len(segments) > self._written_cues and (hurry or now - self._wrote_cues_at >= _CUES_SECONDS):
            self._replace(self._cues, render("srt", in_time_order(segments), TranscriptInfo(backend="")))
            self._written_cues, self._wrote_cues_at = len(segments), now
            self._revision += 1
        text = json.dumps({**state, "revision": self._revision}, ensure_ascii=False)
        if text != self._written_state:
            self._replace(self._state_file, text)
            self._written_state = text

    def _replace(self, path: Path, text: str) -> None:
        self._part.unlink(missing_ok=True)
        # Nobody else may read it, and a link that waits here under this name is not followed.
        with open(os.open(self._part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, _PRIVATE), "wb") as file:  # noqa: PTH123
            file.write(text.encode("utf-8", "surrogateescape"))  # file names of any bytes
        self._part.replace(path)
