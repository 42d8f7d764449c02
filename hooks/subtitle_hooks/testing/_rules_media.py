# SPDX-License-Identifier: Apache-2.0
"""Rules about errors: each broken medium has its class, and so has each impossible request."""

from __future__ import annotations

import contextlib
import fnmatch
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from subtitle_hooks import (
    MediaDamagedError,
    MediaEmptyError,
    MediaError,
    MediaFormatError,
    MediaIsDirectoryError,
    MediaNotFoundError,
    MediaUnreadableError,
    NoAudioError,
    RequestError,
    TrackNotFoundError,
)

from ._doubles import RecordingEvents
from ._media_files import cut_video, find_ffmpeg, write_letter, write_silent_video, write_wav
from ._subject import Subject, broken, in_a_thread

__all__ = ["BROKEN_MEDIA", "MediaRules"]

_LIMIT_S = 10.0


@dataclass(frozen=True, kw_only=True)
class _Medium:
    make: Callable[[Subject], Path]
    errors: tuple[type[MediaError], ...]
    kind: str = ""
    in_both_hooks: bool = False


def _missing(subject: Subject) -> Path:
    return subject.new_folder() / "gone.wav"


def _empty(subject: Subject) -> Path:
    media = subject.make_media()
    media.write_bytes(b"")
    return media


def _unreadable(subject: Subject) -> Path:
    media = subject.make_media()
    media.chmod(0)
    if os.access(media, os.R_OK):
        pytest.skip("this user may read anything")
    return media


def _pipe(subject: Subject) -> Path:
    make = getattr(os, "mkfifo", None)
    if make is None:
        pytest.skip("this system has no named pipes")
    path = subject.new_folder() / "pipe.wav"
    make(path)
    return path


def _letter(subject: Subject) -> Path:
    media = subject.make_media()
    write_letter(media)
    return media


def _wav(subject: Subject) -> Path:
    """Return a WAV file, beside which lies what the backend needs."""
    media = subject.make_media()
    if media.suffix.lower() != ".wav":
        media = write_wav(media.parent, media.stem)
    return media


def _cut_header(subject: Subject) -> Path:
    media = _wav(subject)
    media.write_bytes(media.read_bytes()[:20])
    return media


def _cut_sound(subject: Subject) -> Path:
    media = _wav(subject)
    content = media.read_bytes()
    media.write_bytes(content[: len(content) // 3])
    return media


def _silent_video(subject: Subject) -> Path:
    path = subject.new_folder() / "film.mkv"
    write_silent_video(_ffmpeg(), path)
    return path


def _cut_video(subject: Subject) -> Path:
    path = subject.new_folder() / "film.mp4"
    cut_video(_ffmpeg(), path)
    return path


def _ffmpeg() -> str:
    found = find_ffmpeg()
    if found is None:
        pytest.skip("there is no ffmpeg to make the file with")
    return found


_MEDIA = {
    "missing": _Medium(make=_missing, errors=(MediaNotFoundError,), in_both_hooks=True),
    "folder": _Medium(make=Subject.new_folder, errors=(MediaIsDirectoryError,), in_both_hooks=True),
    "empty": _Medium(make=_empty, errors=(MediaEmptyError,), in_both_hooks=True),
    "unreadable": _Medium(make=_unreadable, errors=(MediaUnreadableError,), in_both_hooks=True),
    "pipe": _Medium(make=_pipe, errors=(MediaFormatError,), in_both_hooks=True),
    "letter": _Medium(make=_letter, errors=(MediaFormatError,)),
    "cut header": _Medium(make=_cut_header, errors=(MediaDamagedError, MediaFormatError), kind="audio/wav"),
    "cut sound": _Medium(make=_cut_sound, errors=(MediaDamagedError,), kind="audio/wav"),
    "cut video": _Medium(make=_cut_video, errors=(MediaDamagedError, MediaFormatError), kind="video/mp4"),
    "silent video": _Medium(make=_silent_video, errors=(NoAudioError,), kind="video/x-matroska"),
}

BROKEN_MEDIA = frozenset(_MEDIA)
"""Names of the broken media: ``pipe`` is a named pipe, ``letter`` a text file with the suffix of a media file,
``cut header`` and ``cut sound`` are WAV files that end too early, ``silent video`` has no sound track."""


class MediaRules:
    """What is raised for media that cannot be worked on, and for requests that cannot be honoured."""

    @pytest.mark.parametrize("name", list(_MEDIA))
    def test_broken_media(self, subject: Subject, name: str) -> None:
        """Each has its error class; the error names the file and says what to do."""
        medium = _MEDIA[name]
        patterns = subject.info.media
        if medium.kind and not any(fnmatch.fnmatch(medium.kind, pattern) for pattern in patterns):
            pytest.skip(f"the backend does not take {medium.kind}")
        if name in subject.settings.undetected_media:
            pytest.skip("the backend does not notice it, as its settings say")
        path = medium.make(subject)

        def probe() -> None:
            subject.probe(path)

        def generate() -> None:
            list(subject.generate(RecordingEvents(), path))

        def both() -> None:
            probe()
            generate()

        for work in (probe, generate) if medium.in_both_hooks else (both,):
            error = _raised_by_opening_pipe(work, path) if name == "pipe" else _raised_by(work)
            _judge(error, medium.errors, path, "" if work is both else f" by {work.__name__}")

    def test_unknown_options_are_refused(self, subject: Subject) -> None:
        """An option it does not know is a RequestError that names it, not something to ignore."""
        media = subject.make_media()
        error = _error_of(subject, media, options={"no-such-option": "1"})
        if not isinstance(error, RequestError) or "no-such-option" not in str(error):
            broken(f"the option 'no-such-option' gave {_said(error)} instead of a RequestError that names it")

    def test_a_missing_track_is_refused(self, subject: Subject) -> None:
        """With the capability ``track``, a track that is not there is a TrackNotFoundError."""
        if not subject.has("track"):
            pytest.skip("the backend does not choose an audio track")
        if "missing track" in subject.settings.undetected_media:
            pytest.skip("the backend does not notice it, as its settings say")
        error = _error_of(subject, subject.make_media(), track=98)
        if not isinstance(error, TrackNotFoundError):
            broken(f"track 98 gave {_said(error)} instead of a TrackNotFoundError")


def _judge(error: BaseException | None, expected: tuple[type[MediaError], ...], path: Path, where: str) -> None:
    wanted = " or ".join(one.__name__ for one in expected)
    if not isinstance(error, expected):
        broken(f"{wanted} was to be raised{where}; it was {_said(error)}")
        return
    if str(path) not in str(error):
        broken(f"the {type(error).__name__}{where} does not name the file: {error}")
    if not error.hint:
        broken(f"the {type(error).__name__}{where} does not say what to do (hint): {error}")


def _error_of(subject: Subject, media: Path, **fields: object) -> BaseException | None:
    def work() -> None:
        subject.probe(media, **fields)
        list(subject.generate(RecordingEvents(), media, **fields))

    return _raised_by(work)


def _raised_by(work: Callable[[], None]) -> BaseException | None:
    try:
        work()
    except (Exception, SystemExit) as error:  # noqa: BLE001
        return error
    return None


def _raised_by_opening_pipe(work: Callable[[], None], path: Path) -> BaseException | None:
    # Whoever opens a pipe waits for its other end, for ever.
    _, error, ended = in_a_thread(work, patience_s=_LIMIT_S)
    if not ended:
        with contextlib.suppress(OSError):
            os.close(os.open(path, os.O_RDWR | os.O_NONBLOCK))
        broken(f"{work.__name__} waits for somebody to write into the pipe")
    return error


def _said(error: BaseException | None) -> str:
    return "nothing" if error is None else f"{type(error).__name__}: {error}"
