# SPDX-License-Identifier: Apache-2.0
"""The work that mpv's script starts: subtitles for one file, told through files that the script looks at."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from qwen_asr_plugin.languages import same_language
from qwen_asr_plugin.subtitles import TranscriptInfo, render
from subtitle_hooks import (
    CancelledError,
    LogLevel,
    OutputError,
    OutputExistsError,
    Progress,
    SidecarName,
    SilentEvents,
    SubtitleError,
    SubtitleHost,
    SubtitleRequest,
    check_sidecar,
    in_time_order,
    sidecar_path,
    write_sidecar,
)

from .report import CueReport

__all__ = ["CueWork", "make_cues"]

_BACKEND: Final = "qwen-asr"
_LOOK_SECONDS: Final = 0.1
_GRACE_SECONDS: Final = 1.5
_PARTIAL_LABELS: Final = frozenset({"forced", "foreign"})


@dataclass(frozen=True, kw_only=True)
class CueWork:
    """What the script asks for.

    Attributes:
        request: Media, track, place to start at, language, norm and so on.
        job_file: The script's file. It exists for as long as the cues are wanted; what there is to tell lies beside it.
        video: File that the subtitles are named after where the sound is in another one; None is the media file.
        audio_language: Language that mpv knows of the audio track, None where it knows none.
        folder: Where the subtitle file goes, and is looked for; None is beside `video`. It is made where missing.
        reuse: Offer the subtitle file that is there instead of making one.
        overwrite: Replace the subtitle file that is there.
    """

    request: SubtitleRequest
    job_file: Path
    video: Path | None = None
    audio_language: str | None = None
    folder: Path | None = None
    reuse: bool = True
    overwrite: bool = False

    @property
    def named_after(self) -> Path:
        """The file that players look for subtitles of."""
        return self.video or self.request.media

    @property
    def language(self) -> str | None:
        """The language that is wanted, as far as it is known before the work."""
        return self.request.language or self.audio_language

    def existing(self) -> Path | None:
        """Find the subtitle file of an earlier time.

        Where the language is not known, a file counts only if there is no other.
        """
        folder = self.folder or self.named_after.parent
        try:
            names = sorted(path.name for path in folder.iterdir() if path.suffix.lower() == ".srt")
        except OSError:
            return None
        stem = self.named_after.stem
        found = [SidecarName.of(name) for name in names]
        candidates = [
            (folder / name, "und" if Path(name).stem == stem else parts.language)
            for name, parts in zip(names, found, strict=True)
            if Path(name).stem == stem
            or (parts.stem == stem and _PARTIAL_LABELS.isdisjoint(tag.lower() for tag in parts.tags))
        ]
        if self.language is None:
            return candidates[0][0] if len(candidates) == 1 else None
        for path, language in candidates:
            if language and same_language(language, self.language):
                return path
        return None


def make_cues(work: CueWork, stop: threading.Event) -> int:
    """Do the work, and end it when nobody wants it any more: `stop`, no job file, or nobody at standard output.

    Returns:
        0, or the code of the error; the script has been told which.
    """
    report = CueReport(work.job_file)
    with _watched(work, report, stop):
        try:
            code = _work(work, report, stop)
        except CancelledError as error:
            report.tell(status="cancelled")
            code = error.code
        except SubtitleError as error:
            report.tell(status="failed", **_facts(error))
            code = error.code
    if work.job_file.exists():
        report.write(last=True)
    else:
        report.clear()
    return code


def _work(work: CueWork, report: CueReport, stop: threading.Event) -> int:
    if work.reuse:
        existing = work.existing()
        if existing is not None:
            report.tell(status="found", path=existing)
            return 0
    _warn_of_folder(work, report)
    host, request = SubtitleHost(), work.request
    length_ms = host.probe(request, backend=_BACKEND).duration_ms
    if length_ms is not None and request.start_at_ms >= length_ms:  # sound that ends before the picture
        request = replace(request, start_at_ms=0)
    with host.generate(request, _Events(report, stop), backend=_BACKEND) as transcript:
        for segment in transcript:
            report.add(segment)
        language = work.request.language or transcript.language
        info = TranscriptInfo(
            backend=transcript.backend, language=language, duration_ms=transcript.duration_ms, statistics={}
        )
    if not report.segments:
        report.tell(status="nothing")
        return 0
    target = sidecar_path(work.named_after, language, folder=work.folder)
    try:
        if work.folder is not None:
            _make(work.folder)
        write_sidecar(target, render("srt", in_time_order(report.segments), info), overwrite=work.overwrite)
    except OutputError as error:  # they can be seen all the same
        report.tell(status="unsaved", language=language, **_facts(error))
        return error.code
    report.tell(status="written", language=language, path=target)
    return 0


def _warn_of_folder(work: CueWork, report: CueReport) -> None:
    """Say before the work that its result cannot be kept, as far as that can be known."""
    if work.folder is not None and not work.folder.is_dir():
        return  # made when there is something to put into it
    try:
        check_sidecar(sidecar_path(work.named_after, work.request.language, folder=work.folder), overwrite=True)
    except OutputError as error:
        report.warn(f"These subtitles will be shown, but not kept: {error}")


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"This folder cannot be made ({error.strerror or error}).",
            path=folder,
            hint="Choose another output_folder.",
        ) from error


def _facts(error: SubtitleError) -> Mapping[str, object]:
    hint = error.hint
    if isinstance(error, OutputExistsError):
        hint = "Move it away, or set overwrite=yes in script-opts/qwen-asr.conf."
    elif isinstance(error, OutputError):
        hint = "Set output_folder in script-opts/qwen-asr.conf to a folder that can be written."
    return {"code": error.code, "message": f"{Path(error.path).name}: {error.what}" if error.path else error.what} | (
        {"hint": hint} if hint else {}
    )


class _Events(SilentEvents):
    def __init__(self, report: CueReport, stop: threading.Event) -> None:
        self._report = report
        self._stop = stop

    def progress(self, progress: Progress) -> None:
        percent = 100 * progress.done_ms // progress.total_ms if progress.total_ms else None
        self._report.tell(stage=progress.stage, percent=percent)

    def log(self, level: LogLevel, message: str) -> None:
        if level in ("warning", "error"):
            self._report.warn(message)

    def cancelled(self) -> bool:
        return self._stop.is_set()


@contextmanager
def _watched(work: CueWork, report: CueReport, stop: threading.Event) -> Iterator[None]:
    """Keep the files up to date, and see that the work ends, whatever it hangs in, when mpv or its wish has gone."""
    done = threading.Event()

    def watch() -> None:
        while not done.wait(_LOOK_SECONDS):
            if not stop.is_set() and work.job_file.exists() and _is_read():
                report.write()
                continue
            stop.set()
            if not done.wait(_GRACE_SECONDS):
                _remove(work, report)
                os._exit(CancelledError.code)

    thread = threading.Thread(target=watch, name="qwen-asr-mpv", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        if not _is_read():
            _remove(work, report)


def _is_read() -> bool:
    """Say whether mpv is still there: it reads standard output, and its end is noticed by writing."""
    try:
        os.write(1, b"\n")
    except OSError:
        return False
    return True


def _remove(work: CueWork, report: CueReport) -> None:
    report.clear()
    work.job_file.unlink(missing_ok=True)
