# SPDX-License-Identifier: Apache-2.0
"""Holding hosts and plugins to the contract, with the guilty distribution's name in every message."""

from __future__ import annotations

import contextlib
import re
import reprlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from ._discovery import PluginOrigin
from ._errors import BackendFailedError, CancelledError, ContractViolationError, RequestError, SubtitleError
from ._messages import (
    API_VERSION,
    AudioTrackInfo,
    BackendInfo,
    Events,
    MediaInfo,
    Segment,
    SubtitleRequest,
    Transcript,
    Word,
)
from ._srt import clean_lines

__all__ = ["attributed", "check_backend_info", "check_media_info", "check_request", "checked_transcript"]

_END = object()
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*")
_MEDIA = re.compile(r"[\w.+*-]+/[\w.+*-]+")
# A descriptor is for lists on a screen. Whatever is longer is a mistake, and must not fill memory or logs.
_MOST_NAME = 64
_MOST_TEXT = 500
_MOST_WORDS = 1000


def violation(origin: PluginOrigin, what: str, path: Path | None = None) -> ContractViolationError:
    """Make the error for a plugin that broke the contract."""
    return ContractViolationError(
        f"{origin} broke the subtitle contract: {what}.",
        path=path,
        hint="Update or uninstall it, or report this to its authors.",
    )


@contextlib.contextmanager
def attributed(origin: PluginOrigin, doing: str, path: Path | None = None) -> Iterator[None]:
    """Let errors of the shared tree through; wrap any other in `BackendFailedError` that names the plugin.

    Args:
        origin: Whose code runs inside.
        doing: What it does, for the message: "<origin> failed while <doing>".
        path: The media file it works on.
    """
    try:
        yield
    except SubtitleError:
        raise
    except (Exception, SystemExit) as error:
        text = str(error)
        raise BackendFailedError(
            f"{origin} failed while {doing}: {type(error).__name__}{': ' if text else ''}{text}.",
            path=path,
            hint="This is an error in that plugin; report it to its authors with the traceback.",
        ) from error


def check_request(request: SubtitleRequest, info: BackendInfo) -> None:
    """Refuse a request that makes no sense or that the backend says it cannot honour.

    Raises:
        RequestError: A value is impossible, or asks for a capability that is missing.
    """

    def refuse(what: str, hint: str = "") -> RequestError:
        return RequestError(what, path=request.media if isinstance(request.media, Path) else None, hint=hint)

    if not isinstance(request.media, Path):
        raise refuse(f"the media is {request.media!r}; it must be a pathlib.Path.")
    if not _is_int(request.start_ms) or request.start_ms < 0:
        raise refuse(f"the start is {request.start_ms!r} ms; it must be a whole number, zero or more.")
    if request.duration_ms is not None and (not _is_int(request.duration_ms) or request.duration_ms <= 0):
        raise refuse(f"the duration is {request.duration_ms!r} ms; it must be a whole number, one or more.")
    if not _is_int(request.start_at_ms) or request.start_at_ms < 0:
        raise refuse(f"the place to start at is {request.start_at_ms!r} ms; it must be a whole number, zero or more.")
    if request.start_at_ms and not _is_in_range(request.start_at_ms, request):
        raise refuse(
            f"the place to start at, {request.start_at_ms} ms, is outside of the part to work on.",
            "Choose one inside, or leave it out.",
        )
    if request.track is not None and (not _is_int(request.track) or request.track < 0):
        raise refuse(f"the audio track is {request.track!r}; it must be a whole number, zero or more.")
    if not isinstance(request.options, Mapping):
        raise refuse(f"the options are {request.options!r}; they must be a mapping.")
    instead = "Leave it out, or choose another backend."
    if (request.start_ms or request.duration_ms is not None) and "range" not in info.capabilities:
        raise refuse(f"backend {info.name!r} cannot work on a part of a file.", instead)
    if (request.track is not None or request.track_language is not None) and "track" not in info.capabilities:
        raise refuse(f"backend {info.name!r} cannot choose an audio track.", instead)


def check_backend_info(info: object, origin: PluginOrigin) -> BackendInfo:
    """Check one descriptor.

    Raises:
        ContractViolationError: A field has the wrong type, value or size, or the contract version is not this one.
    """
    if not isinstance(info, BackendInfo):
        raise violation(origin, f"subtitle_backends yielded {_shown(info)} instead of a BackendInfo")
    if not isinstance(info.name, str) or len(info.name) > _MOST_NAME or not _NAME.fullmatch(info.name):
        raise violation(
            origin,
            f"the backend name {_shown(info.name)} is not lower-case letters, digits and single hyphens, "
            f"at most {_MOST_NAME} of them",
        )
    who = f"backend {info.name!r}"
    # First of all fields: a newer contract may give the others another meaning.
    if not _is_int(info.api_version):
        raise violation(origin, f"{who} gives {_shown(info.api_version)} as its api_version instead of a number")
    if info.api_version != API_VERSION:
        older = "subtitle-hooks" if info.api_version > API_VERSION else origin.distribution or "the plugin"
        raise ContractViolationError(
            f"{origin} offers {who} for version {_shown(info.api_version)} of the subtitle contract, but the installed "
            f"subtitle-hooks speaks version {API_VERSION}.",
            hint=f"Upgrade {older}.",
        )
    if not isinstance(info.version, str) or not info.version.strip():
        raise violation(origin, f"{who} gives {_shown(info.version)} as its version")
    if not isinstance(info.summary, str) or len(info.summary.splitlines()) > 1:
        raise violation(origin, f"the summary of {who} is not one line of text")
    if len(info.version) > _MOST_TEXT or len(info.summary) > _MOST_TEXT:
        raise violation(origin, f"the version or summary of {who} is longer than {_MOST_TEXT} characters")
    for field, words in (("languages", info.languages), ("capabilities", info.capabilities), ("media", info.media)):
        if isinstance(words, (tuple, frozenset)) and (
            len(words) > _MOST_WORDS or any(isinstance(word, str) and len(word) > _MOST_NAME for word in words)
        ):
            raise violation(
                origin, f"the {field} of {who} are more than {_MOST_WORDS}, or one is longer than {_MOST_NAME} letters"
            )
    if not _is_tuple_of(info.languages, _LANGUAGE):
        raise violation(origin, f"the languages of {who} are not a tuple of ISO 639 codes")
    if not isinstance(info.capabilities, frozenset) or not all(isinstance(word, str) for word in info.capabilities):
        raise violation(origin, f"the capabilities of {who} are not a frozenset of words")
    if not _is_tuple_of(info.media, _MEDIA):
        raise violation(origin, f"the media of {who} are not a tuple of MIME type patterns")
    return info


def check_media_info(info: object, origin: PluginOrigin, path: Path) -> MediaInfo:
    """Check the answer to `probe_media`.

    Raises:
        ContractViolationError: A field has the wrong type or value.
    """
    if not isinstance(info, MediaInfo):
        raise violation(origin, f"probe_media answered {info!r} instead of a MediaInfo", path)
    if not isinstance(info.path, Path):
        raise violation(origin, f"the path of its MediaInfo is {info.path!r} instead of a pathlib.Path", path)
    if not _is_duration(info.duration_ms):
        raise violation(
            origin, f"the duration of its MediaInfo is {info.duration_ms!r}, not milliseconds or None", path
        )
    if not isinstance(info.container, str):
        raise violation(origin, f"the container of its MediaInfo is {info.container!r} instead of text", path)
    if not isinstance(info.tracks, tuple) or not all(isinstance(track, AudioTrackInfo) for track in info.tracks):
        raise violation(origin, "the tracks of its MediaInfo are not a tuple of AudioTrackInfo", path)
    if [track.index for track in info.tracks] != list(range(len(info.tracks))):
        raise violation(origin, "the tracks of its MediaInfo are not numbered 0, 1, 2...", path)
    return info


def checked_transcript(
    transcript: object, *, backend: str, origin: PluginOrigin, events: Events, path: Path, two_runs: bool = False
) -> Transcript:
    """Wrap the answer to `generate_subtitles` so that every segment is checked as it arrives.

    Iterating the result raises `ContractViolationError` for a segment the contract forbids, `BackendFailedError` for
    an error outside the shared tree, and `CancelledError` when the work ended because the host asked for it, however
    the backend ended it: a transcript that was cut short never looks complete. With `two_runs` the segments may begin
    anew once, as long as all that follow end before the very first one starts.

    Raises:
        ContractViolationError: It is not a transcript, or not one of this backend.
    """
    if not isinstance(transcript, Transcript):
        raise violation(origin, f"generate_subtitles answered {transcript!r} instead of a Transcript", path)
    problem = ""
    if transcript.backend != backend:
        problem = f"the transcript is of backend {transcript.backend!r} although {backend!r} was asked"
    elif not _is_duration(transcript.duration_ms):
        problem = f"the duration of its transcript is {transcript.duration_ms!r}, not milliseconds or None"
    if problem:
        transcript.close()
        raise violation(origin, problem, path)
    return Transcript(
        backend=backend,
        segments=_CheckedSegments(transcript, origin, events, path, two_runs=two_runs),
        duration_ms=transcript.duration_ms,
        language=lambda: _checked_language(transcript, origin, path),
        statistics=lambda: _checked_statistics(transcript, origin, path),
    )


class _CheckedSegments:
    # Not a generator: closing a generator that was never started would not reach the backend's.

    def __init__(
        self, transcript: Transcript, origin: PluginOrigin, events: Events, path: Path, *, two_runs: bool
    ) -> None:
        self._transcript = transcript
        self._origin = origin
        self._events = events
        self._path = path
        self._order = _Order(two_runs=two_runs)
        self._count = 0

    def __iter__(self) -> _CheckedSegments:
        return self

    def __next__(self) -> Segment:
        try:
            with attributed(self._origin, "making subtitles", self._path):
                item = next(self._transcript, _END)
            if self._events.cancelled():
                raise CancelledError("stopped as asked.", path=self._path)
            if item is not _END:
                return self._checked(item)
        except BaseException:
            with contextlib.suppress(SubtitleError):  # the first error is the one to report
                self.close()
            raise
        raise StopIteration

    def close(self) -> None:
        with attributed(self._origin, "stopping", self._path):
            self._transcript.close()

    def _checked(self, item: object) -> Segment:
        self._count += 1
        if not isinstance(item, Segment):
            raise violation(self._origin, f"segment {self._count} is {item!r} instead of a Segment", self._path)
        problem = _segment_problem(item) or self._order.problem_with(item)
        if problem:
            raise violation(self._origin, f"segment {self._count} {problem}", self._path)
        return item


class _Order:
    """Segments rise without overlapping; in two runs, where those were asked for, the second before the first."""

    def __init__(self, *, two_runs: bool) -> None:
        self._may_begin_anew = two_runs
        self._first_ms: int | None = None
        self._reached_ms = 0
        self._limit_ms: int | None = None

    def problem_with(self, segment: Segment) -> str:
        """Take the next segment; say what is wrong with its place, nothing where it is right."""
        if segment.start_ms < self._reached_ms and self._may_begin_anew:
            self._may_begin_anew = False
            self._reached_ms, self._limit_ms = 0, self._first_ms
        if segment.start_ms < self._reached_ms:
            return f"starts at {segment.start_ms} ms, before the one in front of it ends ({self._reached_ms} ms)"
        if self._limit_ms is not None and segment.end_ms > self._limit_ms:
            return f"ends at {segment.end_ms} ms, after the first one of all has started ({self._limit_ms} ms)"
        self._first_ms = segment.start_ms if self._first_ms is None else self._first_ms
        self._reached_ms = segment.end_ms
        return ""


def _segment_problem(segment: Segment) -> str:
    if not _is_int(segment.start_ms) or not _is_int(segment.end_ms):
        return f"has times {segment.start_ms!r} and {segment.end_ms!r}, which are not integer milliseconds"
    if segment.start_ms < 0:
        return f"starts at {segment.start_ms} ms, before the media does"
    if segment.end_ms <= segment.start_ms:
        return f"ends at {segment.end_ms} ms although it starts at {segment.start_ms} ms"
    text: object = segment.text
    if not isinstance(text, str) or not clean_lines(text):
        return f"has {text!r} as its text, which shows nothing"
    if segment.language is not None and not _is_language(segment.language):
        return f"has {segment.language!r} as its language, which is not an ISO 639 code"
    words: object = segment.words
    if not isinstance(words, tuple):
        return f"has {words!r} as its words instead of a tuple"
    return next(filter(None, map(_word_problem, words)), "")


def _word_problem(word: object) -> str:
    if not isinstance(word, Word):
        return f"has {word!r} among its words instead of a Word"
    if not _is_int(word.start_ms) or not _is_int(word.end_ms):
        return f"has a word with times {word.start_ms!r} and {word.end_ms!r}, which are not integer milliseconds"
    text: object = word.text
    if not isinstance(text, str) or not text.strip():
        return f"has a word whose text is {text!r}"
    if not 0 <= word.start_ms <= word.end_ms:
        return f"has the word {text!r} from {word.start_ms} to {word.end_ms} ms"
    return ""


def _checked_language(transcript: Transcript, origin: PluginOrigin, path: Path) -> str | None:
    with attributed(origin, "telling the language", path):
        language = transcript.language
    if language is not None and not _is_language(language):
        raise violation(origin, f"the language of its transcript is {language!r}, which is not an ISO 639 code", path)
    return language


def _checked_statistics(transcript: Transcript, origin: PluginOrigin, path: Path) -> Mapping[str, float | str]:
    with attributed(origin, "reporting statistics", path):
        statistics = transcript.statistics
    if not isinstance(statistics, Mapping) or not all(
        isinstance(name, str) and isinstance(value, (int, float, str)) for name, value in statistics.items()
    ):
        raise violation(origin, f"the statistics are {statistics!r}, not names with numbers or short texts", path)
    return statistics


def _shown(value: object) -> str:
    short = reprlib.Repr()
    short.maxstring = short.maxother = short.maxlong = 100
    return short.repr(value)


def _is_in_range(place_ms: int, request: SubtitleRequest) -> bool:
    end_ms = None if request.duration_ms is None else request.start_ms + request.duration_ms
    return request.start_ms <= place_ms and (end_ms is None or place_ms < end_ms)


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_duration(value: object) -> bool:
    return value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 0)


def _is_language(value: object) -> bool:
    return isinstance(value, str) and _LANGUAGE.fullmatch(value) is not None


def _is_tuple_of(values: object, pattern: re.Pattern[str]) -> bool:
    return isinstance(values, tuple) and all(isinstance(item, str) and pattern.fullmatch(item) for item in values)
