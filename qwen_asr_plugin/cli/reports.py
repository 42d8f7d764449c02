# SPDX-License-Identifier: Apache-2.0
"""Where ``transcribe`` says what happens: to the user, or line by line to the program that started it."""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from subtitle_hooks import Progress as Done
from subtitle_hooks import Segment, SubtitleError

from .console import ConsoleEvents, say, show_error

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["EVENTS_VERSION", "EventReport", "Report"]

EVENTS_VERSION: Final = 1
"""Version of the lines of ``--events``; raised when an event or a field goes or changes its meaning."""

_BEAT_SECONDS: Final = 0.5
_LAST_WORDS_SECONDS: Final = 1.0


class Report:
    """Tells the user: paths on standard output, everything else on standard error.

    Args:
        stop: Set when the user wants to stop.
        show_text: Print every segment on standard output as soon as it is there.
        quiet: No progress.
    """

    def __init__(self, stop: threading.Event, *, show_text: bool, quiet: bool) -> None:
        self._stop = stop
        self._show_text = show_text
        self._quiet = quiet

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        pass

    def begin(self, media: Path) -> ConsoleEvents:
        """Begin with a file; return whom to tell about the work on it."""
        return ConsoleEvents(media.name, show_text=self._show_text, quiet=self._quiet, cancelled=self.cancelled)

    def cancelled(self) -> bool:
        """Whether the work should stop."""
        return self._stop.is_set()

    def reader_gone(self) -> bool:
        """Whether the work should stop because nobody reads standard output any more."""
        return False

    def written(self, path: Path) -> None:
        """Name a file that was written."""
        say(str(path))

    def error(self, error: SubtitleError) -> None:
        """Show why a file, or everything, failed."""
        show_error(error)

    def end(self, status: int) -> int:
        """Take note of the exit status; return it."""
        return status


class EventReport(Report):
    """Also tells a program: an object of JSON a line on standard output, as docs/embedding.md describes them.

    Lines are written by a thread, so that a slow reader does not hold up the work. At least every half second there
    is one: that is how it is noticed that the reader has gone.

    Args:
        stop: Set when the user wants to stop.
        quiet: No progress on standard error.
    """

    def __init__(self, stop: threading.Event, *, quiet: bool) -> None:
        super().__init__(stop, show_text=False, quiet=quiet)
        self._gone = threading.Event()
        self._lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._beat = b""
        self._file = sys.stdout.fileno()
        self._thread = threading.Thread(target=self._write, name="qwen-asr-events", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        """Tell what ended everything, where something did, and write what is not written yet."""
        if isinstance(error, SubtitleError):
            self._put_error(error)
            self.end(error.code)
        self._lines.put(None)
        while self._thread.is_alive():
            self._thread.join(timeout=0.1)
            if self._stop.is_set():  # a reader that does not read must not keep the program from ending
                self._thread.join(timeout=_LAST_WORDS_SECONDS)
                break

    def begin(self, media: Path) -> ConsoleEvents:
        """Begin with a file; return whom to tell about the work on it."""
        self._put("begin", version=EVENTS_VERSION, media=str(media))
        self.progress(Done(stage="open", done_ms=0))
        return _ReportedEvents(self, media.name, quiet=self._quiet)

    def cancelled(self) -> bool:
        """Whether the work should stop, for example because nobody reads what is reported."""
        return self._stop.is_set() or self._gone.is_set()

    def reader_gone(self) -> bool:
        """Whether the work should stop because nobody reads standard output any more."""
        return self._gone.is_set()

    def written(self, path: Path) -> None:
        """Name a file that was written."""
        self._put("written", path=str(path))

    def error(self, error: SubtitleError) -> None:
        """Show why a file failed."""
        super().error(error)
        self._put_error(error)

    def end(self, status: int) -> int:
        """Report the exit status, as the last line."""
        self._put("end", status=status)
        return status

    def progress(self, progress: Done) -> None:
        """Report how far the work is."""
        self._beat = self._put("progress", stage=progress.stage, done_ms=progress.done_ms, total_ms=progress.total_ms)

    def segment(self, segment: Segment) -> None:
        """Report a finished segment."""
        self._put(
            "segment",
            start_ms=segment.start_ms,
            end_ms=segment.end_ms,
            text=segment.text,
            language=segment.language,
        )

    def log(self, level: str, message: str) -> None:
        """Report a message."""
        self._put("log", level=level, message=message)

    def _put_error(self, error: SubtitleError) -> None:
        path = str(error.path) if error.path else None
        self._put("error", code=error.code, message=error.what, hint=error.hint, path=path)

    def _put(self, event: str, **fields: Any) -> bytes:
        text = json.dumps({"event": event, **fields}, ensure_ascii=False)
        # What UTF-8 cannot hold, such as a file name of other bytes, becomes an escape of JSON.
        line = text.encode("utf-8", "backslashreplace") + b"\n"
        self._lines.put(line)
        return line

    def _write(self) -> None:
        while True:
            try:
                line = self._lines.get(timeout=_BEAT_SECONDS)
            except queue.Empty:
                line = self._beat
            if line is None:
                return
            try:
                while line:
                    line = line[os.write(self._file, line) :]
            except OSError:
                self._gone.set()
                # The flush at exit must not fail once more.
                os.dup2(os.open(os.devnull, os.O_WRONLY), self._file)
                return


class _ReportedEvents(ConsoleEvents):
    """The host's side of one file, for the user and for the program."""

    def __init__(self, report: EventReport, name: str, *, quiet: bool) -> None:
        super().__init__(name, show_text=False, quiet=quiet, cancelled=report.cancelled)
        self._report = report

    def progress(self, progress: Done) -> None:
        """Report it, and move the bar."""
        self._report.progress(progress)
        super().progress(progress)

    def segment(self, segment: Segment) -> None:
        """Report it."""
        self._report.segment(segment)

    def log(self, level: str, message: str) -> None:
        """Report it, and show it."""
        self._report.log(level, message)
        super().log(level, message)
