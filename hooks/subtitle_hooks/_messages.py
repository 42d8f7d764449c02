# SPDX-License-Identifier: Apache-2.0
"""What travels between a host and a backend: frozen, keyword-only, integer milliseconds on the media's own clock.

Media clock: zero is where a player's time display starts. For formats whose time line starts at zero by definition
(MP4, Matroska) it is that zero; for formats with an arbitrary origin (MPEG-TS) it is the first time stamp of the file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal, Protocol, runtime_checkable

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = [
    "API_VERSION",
    "AudioTrackInfo",
    "BackendInfo",
    "Events",
    "LogLevel",
    "MediaInfo",
    "Progress",
    "Segment",
    "SilentEvents",
    "SubtitleRequest",
    "Transcript",
    "Word",
]

API_VERSION: Final = 1
"""Version of this contract. A backend says in its descriptor which one it was written for."""

LogLevel = Literal["debug", "info", "warning", "error"]
"""How much a message to the user matters."""


@dataclass(frozen=True, kw_only=True)
class BackendInfo:
    """What a backend says about itself.

    Attributes:
        name: Lower-case identifier users type, for example ``qwen-asr``; letters, digits and ``-``.
        version: Version of the backend's distribution.
        api_version: The contract version it was written for, see `API_VERSION`.
        summary: One line for lists.
        languages: ISO 639-1 codes (ISO 639-3 where there is none) it can recognise.
        capabilities: Words of ``{"range", "track", "context", "language-detection", "partial-segments", "start-at"}``
            it honours.
        media: MIME type patterns it accepts, for example ``("audio/*", "video/*")``.

    .. versionadded:: 0.1
    """

    name: str
    version: str
    api_version: int = API_VERSION
    summary: str = ""
    languages: tuple[str, ...] = ()
    capabilities: frozenset[str] = frozenset()
    media: tuple[str, ...] = ("audio/*", "video/*")


@dataclass(frozen=True, kw_only=True)
class AudioTrackInfo:
    """One audio track of a media file; `index` counts audio tracks only, from 0.

    .. versionadded:: 0.1
    """

    index: int
    language: str | None = None
    codec: str = ""
    channels: int | None = None
    sample_rate_hz: int | None = None
    title: str | None = None
    default: bool = False


@dataclass(frozen=True, kw_only=True)
class MediaInfo:
    """What a backend can say of a media file without working on it.

    .. versionadded:: 0.1
    """

    path: Path
    duration_ms: int | None = None
    container: str = ""
    tracks: tuple[AudioTrackInfo, ...] = ()


@dataclass(frozen=True, kw_only=True)
class SubtitleRequest:
    """One media file to make subtitles for. New needs become new fields with defaults.

    Attributes:
        media: Path of the media file.
        track: Audio track by number, counting audio tracks from 0; wins over `track_language`.
        track_language: Audio track by language (ISO 639-1/2/3); without either, the default track is taken.
        language: Language spoken (ISO 639-1/3 or English name); None lets the backend find out.
        context: Names and terms that may occur; helps recognition, never appears in the output by itself.
        start_ms: Where to start, on the media clock.
        duration_ms: How much to work on from there; None is to the end.
        start_at_ms: Which place of that to work on first, on the media clock: the segments from there to the end come
            first, in order, then those before it, in order. 0 is in order from the start.
        norm: Name of the subtitle norm to build cues by.
        model: Backend-specific model name or path; None is the backend's default.
        options: Options of one backend; unknown names must be refused with `RequestError`.

    .. versionadded:: 0.1
    .. versionadded:: 0.2
       The field `start_at_ms`.
    """

    media: Path
    track: int | None = None
    track_language: str | None = None
    language: str | None = None
    context: str = ""
    start_ms: int = 0
    duration_ms: int | None = None
    start_at_ms: int = 0
    norm: str = "default"
    model: str | None = None
    options: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, kw_only=True)
class Word:
    """One word of a cue and when it is said.

    Attributes:
        start_ms: Integer milliseconds on the media clock.
        end_ms: Not before `start_ms`.
        text: As in the cue, with its punctuation, without white space around it.
        estimated: The times come from a model of speaking rates; False: they were measured.
        repaired: The times were measured, but impossible, and had to be changed.

    .. versionadded:: 0.2
    """

    start_ms: int
    end_ms: int
    text: str
    estimated: bool = False
    repaired: bool = False


@dataclass(frozen=True, kw_only=True)
class Segment:
    r"""One cue: shown from `start_ms` until `end_ms`, lines of `text` separated by ``\n``.

    Attributes:
        start_ms: Integer milliseconds on the media clock, not negative.
        end_ms: Greater than `start_ms`.
        text: Not blank.
        language: ISO code of this segment's language, None where unknown.
        words: Its words in the order of the text, empty where the backend does not time words. They may be said before
            or after the cue is shown.

    .. versionadded:: 0.1
    .. versionadded:: 0.2
       The field `words`.
    """

    start_ms: int
    end_ms: int
    text: str
    language: str | None = None
    words: tuple[Word, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far one stage is; `done_ms` never goes back and ends at `total_ms` when that is known.

    .. versionadded:: 0.1
    """

    stage: str
    done_ms: int
    total_ms: int | None = None


@runtime_checkable
class Events(Protocol):
    """The host's side of the conversation. Every method returns quickly and may be called from any thread."""

    def progress(self, progress: Progress) -> None:
        """Take note of how far the work is."""

    def segment(self, segment: Segment) -> None:
        """Take note of a finished segment, before the transcript's iterator yields it."""

    def log(self, level: LogLevel, message: str) -> None:
        """Take a message meant for the user."""

    def cancelled(self) -> bool:
        """Say whether the work should stop; a backend asks at least once a second."""


class SilentEvents:
    """`Events` that ignores everything and never cancels; a base class for hosts that need only one method."""

    def progress(self, progress: Progress) -> None:
        """Ignore it."""

    def segment(self, segment: Segment) -> None:
        """Ignore it."""

    def log(self, level: LogLevel, message: str) -> None:
        """Ignore it."""

    def cancelled(self) -> bool:
        """Never cancel."""
        return False


class Transcript:
    """Segments that arrive while the work goes on, and what is known about the whole.

    Iterate it once. `language` and `statistics` are final after the iteration has ended.

    Args:
        backend: Name of the backend that does the work.
        segments: Generator or iterable of segments in time order, in two runs where `SubtitleRequest.start_at_ms` asks
            for them.
        duration_ms: Duration of the part worked on, None where unknown.
        language: Called after the last segment: ISO code of the dominant language or None.
        statistics: Called after the last segment: flat mapping of names to numbers or short texts.
    """

    def __init__(
        self,
        *,
        backend: str,
        segments: Iterable[Segment],
        duration_ms: int | None = None,
        language: Callable[[], str | None] = lambda: None,
        statistics: Callable[[], Mapping[str, float | str]] = dict,
    ) -> None:
        self.backend = backend
        self.duration_ms = duration_ms
        self._segments = iter(segments)
        self._language = language
        self._statistics = statistics

    def __iter__(self) -> Iterator[Segment]:
        return self

    def __next__(self) -> Segment:
        return next(self._segments)

    @property
    def language(self) -> str | None:
        """ISO code of the dominant language so far."""
        return self._language()

    @property
    def statistics(self) -> Mapping[str, float | str]:
        """Numbers about the work so far."""
        return self._statistics()

    def close(self) -> None:
        """Stop the work and free what it holds; safe to call twice."""
        close = getattr(self._segments, "close", None)
        if close is not None:
            close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
