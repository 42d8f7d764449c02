# SPDX-License-Identifier: Apache-2.0
"""What is known of a media file before any of it is decoded."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qwen_asr_plugin.media.pipe import PipedMedia

__all__ = ["AudioTrack", "MediaProbe", "describe_media", "known"]

_ZERO_BASED = frozenset({"mov", "mp4", "m4a", "3gp", "3g2", "mj2", "matroska", "webm"})
"""Formats whose time line starts at zero by definition, so that a first time stamp of 4 s means 4 s of nothing."""

_DURATION_FROM_ZERO = frozenset({"matroska", "webm", "asf", "nut"})
"""Formats where ffmpeg reports the last time stamp as the duration instead of the distance from the first one."""


@dataclass(frozen=True, kw_only=True)
class AudioTrack:
    """One audio stream of a media file.

    Attributes:
        index: Position among the audio streams, from 0.
        stream_index: Position among all streams, from 0.
        language: Language tag as written in the file, None if there is none or it says "undetermined".
        codec: ffmpeg's name of the codec, empty if ffmpeg does not know it.
        channels: Number of channels, None if unknown.
        sample_rate_hz: Sampling rate, None if unknown.
        title: Title tag with white space collapsed, None if there is none.
        default: True if the file marks the stream as the one to play.
    """

    stream_index: int
    index: int = 0
    language: str | None = None
    codec: str = ""
    channels: int | None = None
    sample_rate_hz: int | None = None
    title: str | None = None
    default: bool = False


@dataclass(frozen=True, kw_only=True)
class MediaProbe:
    """One media file.

    Attributes:
        path: The file.
        container: ffmpeg's name of the format, which can be a list such as ``mov,mp4,m4a,3gp,3g2,mj2``.
        duration_ms: Media time at which the file says it ends, to 10 ms; None where it does not say. Too late by the
            clock offset with ffmpeg before 7, where MP4 has one.
        clock_offset_ms: Media time of what ffmpeg calls zero after rebasing the file's time stamps to its first one.
        tracks: Audio streams in file order.
        has_video: True if there is a moving picture (cover art is none).
        pipe: Where the media comes from when it is no file; `path` is only a name then.
    """

    path: Path
    container: str
    duration_ms: int | None
    clock_offset_ms: int
    tracks: tuple[AudioTrack, ...]
    has_video: bool
    pipe: PipedMedia | None = None

    @property
    def zero_based(self) -> bool:
        """True if the format's time line starts at zero by definition (MP4 and Matroska families)."""
        return _is_zero_based(self.container)


def describe_media(
    *,
    path: Path,
    container: str,
    duration_s: float | None,
    start_s: float | None,
    tracks: Iterable[AudioTrack],
    has_video: bool,
) -> MediaProbe:
    """Put facts on the container's own time stamps onto the media clock and number the tracks.

    Args:
        path: The file.
        container: ffmpeg's name of the format.
        duration_s: Duration in seconds as ffmpeg states it; rounded to 10 ms here, which is all its listing shows.
        start_s: First time stamp of the file in seconds.
        tracks: The audio streams, `index` not set yet.
        has_video: True if there is a moving picture.
    """
    start = start_s or 0.0
    offset = start if _is_zero_based(container) else 0.0
    end = None if duration_s is None else round(duration_s, 2) + offset
    if end is not None and _DURATION_FROM_ZERO.intersection(container.split(",")):
        end -= start
    ordered = sorted(tracks, key=lambda track: track.stream_index)
    return MediaProbe(
        path=path,
        container=container,
        duration_ms=None if end is None else max(0, round(end * 1000)),
        clock_offset_ms=round(offset * 1000),
        tracks=tuple(replace(track, index=index) for index, track in enumerate(ordered)),
        has_video=has_video,
    )


def known(value: str | None) -> str | None:
    """Return the tag's value with white space collapsed, None where it says nothing."""
    text = " ".join((value or "").split())
    return text if text and text.lower() not in {"und", "unknown", "none"} else None


def _is_zero_based(container: str) -> bool:
    return not _ZERO_BASED.isdisjoint(container.split(","))
