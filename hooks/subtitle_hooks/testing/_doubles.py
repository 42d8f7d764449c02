# SPDX-License-Identifier: Apache-2.0
"""A fake backend and events that remember: the same result every time, no model, no ffmpeg."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator

from subtitle_hooks import (
    AudioTrackInfo,
    BackendInfo,
    CancelledError,
    Events,
    LogLevel,
    MediaInfo,
    Progress,
    RequestError,
    Segment,
    SubtitleRequest,
    Transcript,
    check_media,
    hookimpl,
)

__all__ = ["FakeBackend", "RecordingEvents"]

BYTES_PER_MS = 32
"""A file of this many bytes lasts one millisecond: 16 kHz, 16 bit, one channel, as in a plain WAV file."""

_CUE_EVERY_MS = 2500
_CUE_FROM_MS = 200
_CUE_UNTIL_MS = 2200
_LOOK_EVERY_S = 0.02


class FakeBackend:
    """A backend whose segments do not depend on what is in the media file.

    Without `segments` it makes one cue for every 2.5 s. How long the media is comes from the request's option
    ``duration_ms``, or else from the file's size (32 bytes for a millisecond, which is right for 16 kHz mono WAV).

    Args:
        name: Name of the backend.
        segments: What to answer instead; those outside the request's time range are left out, an empty list plays a
            file without speech. What lasts beyond the place to start at, or begins after it, comes first.
        language: Language it finds when the request names none.
        error: Raised while the transcript is read, after `fail_after` segments.
        fail_after: How many segments come before `error`.
        seconds_per_segment: How long to work on each segment; cancelling is noticed within 20 ms.
    """

    def __init__(
        self,
        *,
        name: str = "fake",
        segments: Iterable[Segment] | None = None,
        language: str | None = "en",
        error: Exception | None = None,
        fail_after: int = 0,
        seconds_per_segment: float = 0.0,
    ) -> None:
        self._name = name
        self._segments = None if segments is None else tuple(segments)
        self._language = language
        self._error = error
        self._fail_after = fail_after
        self._seconds_per_segment = seconds_per_segment

    @hookimpl
    def subtitle_backends(self) -> Iterable[BackendInfo]:
        """Yield the descriptor."""
        yield BackendInfo(
            name=self._name,
            version="1.0",
            summary="Invented subtitles for tests",
            languages=(self._language,) if self._language else (),
            capabilities=frozenset({"range", "track", "context", "language-detection", "partial-segments", "start-at"}),
        )

    @hookimpl
    def probe_media(self, backend: str, request: SubtitleRequest) -> MediaInfo | None:
        """Describe a file with one audio track."""
        if backend != self._name:
            return None
        check_media(request.media)
        return MediaInfo(
            path=request.media,
            duration_ms=self._duration_ms(request),
            container="fake",
            tracks=(AudioTrackInfo(index=0, language=self._language, codec="fake", default=True),),
        )

    @hookimpl
    def generate_subtitles(self, backend: str, request: SubtitleRequest, events: Events) -> Transcript | None:
        """Start the work."""
        if backend != self._name:
            return None
        check_media(request.media)
        end_ms = self._duration_ms(request)
        if request.duration_ms is not None:
            end_ms = min(end_ms, request.start_ms + request.duration_ms)
        start_ms = min(request.start_ms, end_ms)
        language = request.language or self._language
        delivered: list[Segment] = []
        return Transcript(
            backend=self._name,
            segments=self._work(start_ms, end_ms, language, request, events, delivered),
            duration_ms=end_ms - start_ms,
            language=lambda: language if delivered else None,
            statistics=lambda: {"segments": len(delivered)},
        )

    def _duration_ms(self, request: SubtitleRequest) -> int:
        unknown = sorted(set(request.options) - {"duration_ms"})
        if unknown:
            raise RequestError(f"unknown option {unknown[0]!r}.", hint="The only option is duration_ms.")
        option = request.options.get("duration_ms")
        if option is None:
            return request.media.stat().st_size // BYTES_PER_MS
        if not isinstance(option, (int, str)) or not str(option).isdecimal():
            raise RequestError(f"option duration_ms is {option!r}.", hint="It takes a whole number of milliseconds.")
        return int(option)

    def _work(
        self,
        start_ms: int,
        end_ms: int,
        language: str | None,
        request: SubtitleRequest,
        events: Events,
        delivered: list[Segment],
    ) -> Iterator[Segment]:
        total_ms = end_ms - start_ms
        segments = _invented(end_ms, request.media.stem, language) if self._segments is None else self._segments
        if self._segments:
            total_ms = max(total_ms, self._segments[-1].end_ms - start_ms)
        inside = [one for one in segments if one.start_ms >= start_ms and one.end_ms <= start_ms + total_ms]
        later = [one for one in inside if one.end_ms > request.start_at_ms]
        # The place where both runs meet, from which on the work is done first.
        seam_ms = later[0].start_ms if later and len(later) < len(inside) else start_ms
        events.progress(Progress(stage="recognise", done_ms=0, total_ms=total_ms))
        for segment in later + inside[: len(inside) - len(later)]:
            if self._error is not None and len(delivered) >= self._fail_after:
                raise self._error
            self._spend_time(request, events)
            delivered.append(segment)
            done_ms = segment.end_ms - seam_ms + (total_ms if segment.start_ms < seam_ms else 0)
            events.progress(Progress(stage="recognise", done_ms=done_ms, total_ms=total_ms))
            events.segment(segment)
            yield segment
        if self._error is not None:
            raise self._error
        events.progress(Progress(stage="recognise", done_ms=total_ms, total_ms=total_ms))

    def _spend_time(self, request: SubtitleRequest, events: Events) -> None:
        deadline = time.monotonic() + self._seconds_per_segment
        while True:
            if events.cancelled():
                raise CancelledError("stopped as asked.", path=request.media)
            left = deadline - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, _LOOK_EVERY_S))


def _invented(end_ms: int, title: str, language: str | None) -> Iterator[Segment]:
    for number, start_ms in enumerate(range(0, end_ms, _CUE_EVERY_MS), start=1):
        if start_ms + _CUE_UNTIL_MS <= end_ms:
            yield Segment(
                start_ms=start_ms + _CUE_FROM_MS,
                end_ms=start_ms + _CUE_UNTIL_MS,
                text=f"Sentence {number} of {title}.",
                language=language,
            )


class RecordingEvents:
    """`Events` that keeps what it is told; may be used from several threads.

    Args:
        cancel_after: Ask to stop once this many segments were reported; None waits for `cancel`.

    Attributes:
        progress_reports: Every `Progress`, in order.
        segments: Every partial segment, in order.
        messages: Every log message as (level, text).
        cancel_checks: Time of every call of `cancelled`, in seconds of `time.monotonic`.
    """

    def __init__(self, *, cancel_after: int | None = None) -> None:
        self.progress_reports: list[Progress] = []
        self.segments: list[Segment] = []
        self.messages: list[tuple[LogLevel, str]] = []
        self.cancel_checks: list[float] = []
        self._cancel_after = cancel_after
        self._cancelled = threading.Event()

    def progress(self, progress: Progress) -> None:
        """Keep it."""
        self.progress_reports.append(progress)

    def segment(self, segment: Segment) -> None:
        """Keep it."""
        self.segments.append(segment)
        if self._cancel_after is not None and len(self.segments) >= self._cancel_after:
            self.cancel()

    def log(self, level: LogLevel, message: str) -> None:
        """Keep it."""
        self.messages.append((level, message))

    def cancel(self) -> None:
        """Ask the backend to stop."""
        self._cancelled.set()

    def cancelled(self) -> bool:
        """Say whether `cancel` was called."""
        self.cancel_checks.append(time.monotonic())
        return self._cancelled.is_set()
