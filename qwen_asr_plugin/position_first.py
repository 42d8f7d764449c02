# SPDX-License-Identifier: Apache-2.0
"""A media file in two passes, for hosts that want to see a certain place first: from there on, then up to there.

The passes meet in a quiet place shortly before the one asked for, so that no word is cut, lost or heard twice.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from qwen_asr_plugin.audio import quiet_place
from subtitle_hooks import RequestError, Segment, SubtitleRequest

__all__ = ["Pass", "check_range", "ending_before", "first_pass", "second_pass"]

Samples = npt.NDArray[np.float32]

_LOOK_BACK_MS: Final = 5000
_LOOK_AHEAD_MS: Final = 1000
_TOO_NEAR_MS: Final = 8000
"""A place this near to the start is not worth a second pass, and leaves that too little room for its cues."""


_TAIL_MS: Final = 2000
"""Cues of the second pass that end so near to the first pass wait until it is known how many they are."""

_SAMPLES_PER_MS: Final = 16


@dataclass(frozen=True, kw_only=True)
class Pass:
    """What to decode in one go.

    Attributes:
        start_ms: Media time to decode from.
        duration_ms: How much; None is to the end.
        place_ms: Where the subtitles shall begin; what is decoded before is for finding a quiet place. None leaves
            nothing out.
    """

    start_ms: int
    duration_ms: int | None
    place_ms: int | None = None

    def begin(self, blocks: Iterable[Samples], start_ms: int) -> tuple[int, Iterator[Samples]]:
        """Leave out what comes before the quiet place.

        Args:
            blocks: What is decoded, float32 of shape ``[n]``, 16 kHz mono.
            start_ms: Media time of the first sample.

        Returns:
            Media time of the first sample that is left, and the blocks from there on.
        """
        stream = iter(blocks)
        if self.place_ms is None or start_ms >= self.place_ms:
            return start_ms, stream
        wanted = (self.place_ms + _LOOK_AHEAD_MS - start_ms) * _SAMPLES_PER_MS
        head: list[Samples] = []
        while sum(map(len, head)) < wanted and (block := next(stream, None)) is not None:
            head.append(block)
        if not head:
            return start_ms, stream
        samples = np.concatenate(head)
        skipped_ms = quiet_place(samples, self.place_ms - start_ms)
        return start_ms + skipped_ms, itertools.chain([samples[skipped_ms * _SAMPLES_PER_MS :]], stream)


def check_range(request: SubtitleRequest, media_ms: int | None) -> None:
    """Refuse a time range, or a place to start at, that cannot be.

    Args:
        request: What to work on.
        media_ms: Where the media ends, None where unknown.

    Raises:
        RequestError: The range is impossible, or the place is outside of the range or the media.
    """
    start_ms, duration_ms, place_ms = request.start_ms, request.duration_ms, request.start_at_ms
    if start_ms < 0 or (duration_ms is not None and duration_ms <= 0):
        raise RequestError("The time range is impossible.", hint="start must not be negative, duration greater than 0.")
    if not place_ms:
        return
    inside = place_ms >= start_ms and (duration_ms is None or place_ms < start_ms + duration_ms)
    if not inside or (media_ms is not None and place_ms >= media_ms):
        ends = "" if media_ms is None else f", which ends at {media_ms / 1000:.1f} s"
        raise RequestError(
            f"The place to start at, {place_ms / 1000:.1f} s, is outside of what is to be worked on{ends}.",
            path=request.media,
            hint="Choose one inside, or leave it out.",
        )


def first_pass(request: SubtitleRequest) -> Pass:
    """Return what to decode first: all, or from shortly before the place that the host wants to see."""
    place_ms = request.start_at_ms
    if place_ms <= request.start_ms + _TOO_NEAR_MS:
        return Pass(start_ms=request.start_ms, duration_ms=request.duration_ms)
    start_ms = place_ms - _LOOK_BACK_MS
    left_ms = None if request.duration_ms is None else request.start_ms + request.duration_ms - start_ms
    return Pass(start_ms=start_ms, duration_ms=left_ms, place_ms=place_ms)


def second_pass(request: SubtitleRequest, seam_ms: int) -> Pass:
    """Return what is left when everything from `seam_ms` on is done."""
    return Pass(start_ms=request.start_ms, duration_ms=seam_ms - request.start_ms)


def ending_before(segments: Iterable[Segment], limit_ms: int) -> Iterator[Segment]:
    """Let segments through that end before the first pass begins to show something.

    A cue may be shown longer than its words last, and wait for the one before it. Where the last ones would reach
    beyond the limit for that, they are shown a little earlier and shorter.

    Args:
        segments: In order of time.
        limit_ms: Media time that none may end after; their words are said before it.
    """
    tail: list[Segment] = []
    reached_ms = 0
    for segment in segments:
        if not tail and segment.end_ms <= limit_ms - _TAIL_MS:
            reached_ms = segment.end_ms
            yield segment
        else:
            tail.append(segment)
    if not tail or tail[-1].end_ms <= limit_ms:
        yield from tail
        return
    begin_ms = max(reached_ms, min(tail[0].start_ms, limit_ms - _TAIL_MS))
    room_ms, wanted_ms = limit_ms - begin_ms, tail[-1].end_ms - begin_ms
    for segment in tail:
        times = [begin_ms + (at - begin_ms) * room_ms // wanted_ms for at in (segment.start_ms, segment.end_ms)]
        yield replace(segment, start_ms=times[0], end_ms=times[1])
