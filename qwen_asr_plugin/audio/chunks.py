# SPDX-License-Identifier: Apache-2.0
"""Cut a stream into chunks of speech that the recogniser can take in one go.

Chunks are as long as possible, because context helps recognition, but never longer than the limit; long silences end
them and are left out. Where speech outlasts the limit, the best pause inside is taken, and without any pause the
quietest moment before the limit. No sample of detected speech is lost and no sample is in two chunks.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from qwen_asr_plugin.audio.onsets import earlier_starts
from qwen_asr_plugin.audio.quiet import quietest_moment
from qwen_asr_plugin.audio.voice_activity import FRAME_SAMPLES, SpeechSpan, SpeechTracker, speech_probabilities

__all__ = ["SpeechChunk", "find_chunks"]

Samples = npt.NDArray[np.float32]
Detector = Callable[[Iterable[Samples]], Iterator[Samples]]

_PER_MS: Final = 16
"""Samples per millisecond. Every cut is a multiple of it, so that all times are exact."""

_SHORTEST: Final = 100 * _PER_MS
"""Less than this has no use: the encoder needs some frames."""

_GOOD_PAUSE: Final = 1000 * _PER_MS
"""A pause this long is as good a place to cut as any longer one."""

_EARLIEST_PAUSE: Final = 0.2
"""Part of the limit that a chunk must reach before a pause may end it early."""

_SEARCH: Final = 5000 * _PER_MS


@dataclass(frozen=True, kw_only=True, eq=False)
class SpeechChunk:
    """A piece of the audio with speech in it.

    Attributes:
        index: Position among the chunks of the stream, from 0.
        start_ms: Media time of the first sample, exact.
        end_ms: Media time after the last sample; rounded up to a millisecond at the end of the stream.
        samples: float32 of shape ``[n]``, 16 kHz mono, read-only.
        spans: Where in it somebody speaks, on the media clock, without padding.
    """

    index: int
    start_ms: int
    end_ms: int
    samples: Samples
    spans: tuple[SpeechSpan, ...]


def find_chunks(
    blocks: Iterable[Samples],
    *,
    start_ms: int,
    max_seconds: float,
    first_seconds: float | None = None,
    padding_ms: int = 500,
    longest_pause_ms: int = 2000,
    detect: Detector = speech_probabilities,
) -> Iterator[SpeechChunk | None]:
    """Yield the chunks of a stream as soon as they are certain; memory is bounded by `max_seconds`.

    `None` stands for a block that completes no chunk: finding the next chunk may take longer than recognising the last
    one, and whoever waits for both can look after the other meanwhile.

    Args:
        blocks: float32 arrays of any length, 16 kHz mono, without gaps.
        start_ms: Media time of the first sample.
        max_seconds: Longest chunk, padding included; 2 or more.
        first_seconds: Longest first chunk, where its result is needed sooner; 2 or more.
        padding_ms: Audio kept before and after speech where there is silence around it.
        longest_pause_ms: Longer silences end a chunk and are left out; not less than `padding_ms`.
        detect: Turns blocks into speech probabilities per 32 ms, see `speech_probabilities`.

    Raises:
        ValueError: A limit is out of range.
    """
    first_seconds = max_seconds if first_seconds is None else min(first_seconds, max_seconds)
    if first_seconds < 2 or not 0 <= padding_ms <= min(longest_pause_ms, 1000):
        raise ValueError(
            "max_seconds and first_seconds must be at least 2, padding_ms at most 1000 and at most longest_pause_ms"
        )
    cutter = _Cutter(
        start_ms=start_ms,
        limit=int(max_seconds * 1000) * _PER_MS,
        first_limit=int(first_seconds * 1000) * _PER_MS,
        padding=padding_ms * _PER_MS,
        longest_pause=longest_pause_ms * _PER_MS,
    )
    for probabilities in detect(cutter.record(blocks)):
        chunk: SpeechChunk | None = None
        for chunk in cutter.advance(probabilities):
            yield chunk
        if chunk is None:
            yield None
    yield from cutter.finish()


class _Cutter:
    """What is recorded, and the speech in it that is in no chunk yet. Positions are samples of the stream."""

    def __init__(self, *, start_ms: int, limit: int, first_limit: int, padding: int, longest_pause: int) -> None:
        self._start_ms = start_ms
        self._limit = first_limit
        self._later_limit = limit
        self._padding = padding
        self._longest_pause = longest_pause
        self._tracker = SpeechTracker()
        self._audio = np.zeros(0, dtype=np.float32)
        self._base = 0  # position of the first recorded sample
        self._taken = 0  # end of the last chunk
        self._speech: list[tuple[int, int]] = []  # finished spans after that
        self._count = 0

    def record(self, blocks: Iterable[Samples]) -> Iterator[Samples]:
        """Hand the blocks through, keeping what may still be needed."""
        for block in blocks:
            needed = self._needed_from()
            self._audio = np.concatenate((self._audio[needed - self._base :], block))
            self._base = needed
            yield block

    def advance(self, probabilities: Samples) -> Iterator[SpeechChunk]:
        """Take the decisions on the next frames."""
        for probability in probabilities.tolist():
            span = self._tracker.push(probability)
            if span is not None:
                self._add(span)
            yield from self._certain()

    def finish(self) -> Iterator[SpeechChunk]:
        """Yield what is left when the stream has ended."""
        span = self._tracker.finish()
        if span is not None:
            self._add(span)
        while self._speech:
            yield self._next_chunk(self._speech)

    @property
    def _recorded(self) -> int:
        return self._base + self._audio.shape[0]

    def _add(self, span: tuple[int, int]) -> None:
        first, end = (frame * FRAME_SAMPLES for frame in span)
        # The start may be in a chunk already; the last frame was completed with silence.
        self._speech.append((max(first, self._taken), min(end, self._recorded)))

    def _running(self) -> tuple[int, int] | None:
        """Return the span that has not ended yet, as far as it is known."""
        if self._tracker.open_since is None:
            return None
        frames = self._tracker.frames if self._tracker.quiet_since is None else self._tracker.quiet_since
        first = max(self._tracker.open_since * FRAME_SAMPLES, self._taken)
        return first, max(first, min(frames * FRAME_SAMPLES, self._recorded))

    def _needed_from(self) -> int:
        running = self._running()
        if self._speech or running is not None:
            first = self._speech[0][0] if self._speech else running[0] if running else 0
        else:
            first = self._tracker.frames * FRAME_SAMPLES
        return min(max(self._taken, first - self._padding), self._recorded)

    def _certain(self) -> Iterator[SpeechChunk]:
        """Yield the chunks that nothing to come can change."""
        while True:
            running = self._running()
            speech = [*self._speech, running] if running is not None else self._speech
            if not speech:
                return
            too_long = speech[-1][1] - self._start_of(speech) > self._limit
            heard = self._tracker.frames * FRAME_SAMPLES
            silent = running is None and heard - speech[-1][1] > self._longest_pause
            if not (too_long or silent):
                return
            yield self._next_chunk(speech)

    def _start_of(self, speech: list[tuple[int, int]]) -> int:
        return max(self._taken, speech[0][0] - self._padding)

    def _next_chunk(self, speech: list[tuple[int, int]]) -> SpeechChunk:
        start = self._start_of(speech)
        last = speech[-1][1]
        if last - start <= self._limit:
            end = min(last + self._padding, start + self._limit, self._recorded)
        else:
            end = self._pause(speech, start) or self._quiet_moment(start, last)
        inside = [(first, min(stop, end)) for first, stop in speech if first < end]
        self._speech = [span for span in self._speech if span[0] >= end]
        self._taken = end
        samples = self._audio[start - self._base : end - self._base].copy()
        samples.setflags(write=False)
        begins = earlier_starts(samples, [(first - start, stop - start) for first, stop in inside])
        chunk = SpeechChunk(
            index=self._count,
            start_ms=self._time(start),
            end_ms=self._time(end),
            samples=samples,
            spans=tuple(
                SpeechSpan(start_ms=self._time(start + begin), end_ms=self._time(stop))
                for begin, (_, stop) in zip(begins, inside, strict=True)
            ),
        )
        self._count += 1
        self._limit = self._later_limit
        return chunk

    def _pause(self, speech: list[tuple[int, int]], start: int) -> int | None:
        """Return where to end the chunk in the best pause, None without any; long ones and late ones are good."""
        best, chosen = 0.0, None
        for (_, stop), (resumed, _) in itertools.pairwise(speech):
            filled = (stop - start) / self._limit
            score = min(resumed - stop, _GOOD_PAUSE) * (0.25 + filled)
            if _EARLIEST_PAUSE <= filled <= 1 and score > best:
                middle = (stop + resumed) // 2
                best = score
                chosen = min(stop + self._padding, middle - middle % _PER_MS, start + self._limit)
        return chosen

    def _quiet_moment(self, start: int, last: int) -> int:
        """Return the quietest position before the limit."""
        latest = min(start + self._limit, last - _SHORTEST)
        earliest = latest - min(_SEARCH, self._limit // 4)
        quietest = earliest + quietest_moment(self._audio[earliest - self._base : latest - self._base])
        return quietest - quietest % _PER_MS

    def _time(self, position: int) -> int:
        return self._start_ms - -position // _PER_MS
