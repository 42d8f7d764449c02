# SPDX-License-Identifier: Apache-2.0
"""How far one file is: decoded up to here, recognised up to there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from qwen_asr_plugin.audio import SpeechChunk
from subtitle_hooks import Events, Progress

__all__ = ["ProgressMeter"]


class ProgressMeter:
    """Turns what the pipeline does into `Progress` that never goes back and ends at its total.

    Done is what lies before the oldest chunk still being recognised, or what is decoded where none is, of all passes
    over the file together.
    """

    def __init__(self, events: Events, *, total_ms: int | None) -> None:
        self._events = events
        self._total_ms = total_ms
        self._stage = "load"
        self._before_ms = 0
        self._start_ms = 0
        self._decoded_ms = 0
        self._open: dict[int, int] = {}
        self._told_ms = 0

    def loading(self) -> None:
        """The model is being loaded: nobody knows how long that takes."""
        self._events.progress(Progress(stage="load", done_ms=0))

    def recognizing(self) -> None:
        """The work on the audio begins."""
        self._stage = "recognize"
        self._events.progress(Progress(stage=self._stage, done_ms=0, total_ms=self._total_ms))

    def begin_pass(self, start_ms: int) -> None:
        """A pass over the file begins at `start_ms` on the media clock; what the passes before have decoded is done."""
        self._before_ms += self._decoded_ms - self._start_ms
        self._start_ms = self._decoded_ms = start_ms

    def decoded(self, media_ms: int) -> None:
        """Take note that the audio is decoded up to `media_ms` on the media clock."""
        self._decoded_ms = media_ms
        self._tell()

    def watch(self, chunks: Iterable[SpeechChunk | None]) -> Iterator[SpeechChunk | None]:
        """Take note of every chunk on its way to the engine."""
        for chunk in chunks:
            if chunk is not None:
                self._open[chunk.index] = chunk.start_ms
            yield chunk

    def finished(self, chunk_index: int) -> None:
        """Take note that a chunk is recognised and its cues are out."""
        del self._open[chunk_index]
        self._tell()

    def done(self) -> None:
        """Everything is done."""
        total = self._total_ms if self._total_ms is not None else self._before_ms + self._decoded_ms - self._start_ms
        self._events.progress(Progress(stage=self._stage, done_ms=total, total_ms=total))

    def _tell(self) -> None:
        reached = self._before_ms + min(self._open.values(), default=self._decoded_ms) - self._start_ms
        if self._total_ms is not None:
            reached = min(reached, self._total_ms)
        if reached > self._told_ms:
            self._told_ms = reached
            self._events.progress(Progress(stage=self._stage, done_ms=reached, total_ms=self._total_ms))
