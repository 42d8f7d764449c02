# SPDX-License-Identifier: Apache-2.0
"""The command ``subtitle-host run``: one subtitle file per media file, and no failure stops the others."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from subtitle_hooks import (
    CancelledError,
    OutputExistsError,
    Segment,
    SubtitleError,
    SubtitleHost,
    SubtitleRequest,
    Transcript,
    check_media,
    check_sidecar,
    in_time_order,
    render_srt,
    sidecar_path,
    write_sidecar,
)

from ._console import ConsoleEvents, Interrupt, clock

__all__ = ["MIXED_FAILURES", "Job", "run"]

MIXED_FAILURES = 9
"""Exit status when several files failed for different reasons."""


_TAG = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*")


@dataclass(frozen=True, kw_only=True)
class Job:
    """What the user asked for; times are integer milliseconds. See `SubtitleRequest` for most fields."""

    media: tuple[Path, ...]
    backend: str | None = None
    language: str | None = None
    track: int | None = None
    track_language: str | None = None
    context: str = ""
    start_ms: int = 0
    duration_ms: int | None = None
    start_at_ms: int = 0
    model: str | None = None
    norm: str = "default"
    options: Mapping[str, object] = field(default_factory=dict)
    overwrite: bool = False
    output_dir: Path | None = None
    quiet: bool = False

    @property
    def tag(self) -> str | None:
        """Language tag of the file names, None as long as only the backend can tell it."""
        return self.language if self.language and _TAG.fullmatch(self.language) else None

    def request(self, media: Path) -> SubtitleRequest:
        """Make the request for one of the files."""
        return SubtitleRequest(
            media=media,
            track=self.track,
            track_language=self.track_language,
            language=self.language,
            context=self.context,
            start_ms=self.start_ms,
            duration_ms=self.duration_ms,
            start_at_ms=self.start_at_ms,
            norm=self.norm,
            model=self.model,
            options=self.options,
        )


def run(host: SubtitleHost, job: Job) -> int:
    """Work on every file of `job`.

    Returns:
        0, the code that all failures share, or `MIXED_FAILURES`; that of `CancelledError` after Ctrl-C.

    Raises:
        PluginError: There is no backend to work with.
    """
    backend = host.backend(job.backend)
    for plugin in () if job.quiet else host.broken:
        print(f"subtitle-host: warning: {plugin.error}", file=sys.stderr)
    interrupt = Interrupt()
    batch = _Batch(host, job, backend.name, interrupt)
    codes: list[int] = []
    with interrupt.watching():
        # Every file is looked at before the first one is worked on: a typing error in the last name shows at once.
        for media in batch.startable(codes):
            try:
                batch.work_on(media)
            except SubtitleError as error:
                if not interrupt.asked():
                    codes.append(_report(error, media))
            if interrupt.asked():
                break
    if interrupt.asked():
        print("subtitle-host: stopped; nothing was left half-written.", file=sys.stderr)
        return CancelledError.code
    if not codes:
        return 0
    return codes[0] if len(set(codes)) == 1 else MIXED_FAILURES


class _Batch:
    def __init__(self, host: SubtitleHost, job: Job, backend: str, interrupt: Interrupt) -> None:
        self._host = host
        self._job = job
        self._backend = backend
        self._interrupt = interrupt
        self._claimed: dict[Path, Path] = {}

    def startable(self, codes: list[int]) -> list[Path]:
        """Return the files that can be worked on; report the others and append their codes."""
        good = []
        for media in dict.fromkeys(self._job.media):
            problem = self._problem_with(media)
            if problem is None:
                good.append(media)
            else:
                codes.append(_report(problem, media))
        return good

    def work_on(self, media: Path) -> None:
        """Make the subtitles of one file and write them."""
        began = time.monotonic()
        events = ConsoleEvents(media.name, self._interrupt, quiet=self._job.quiet)
        try:
            with self._host.generate(self._job.request(media), events, backend=self._backend) as transcript:
                segments = in_time_order(self._watched(transcript, media))
                target = self._target(media, self._job.tag or transcript.language)
            self._claim(target, media)
            text = render_srt(segments)
            if self._interrupt.asked():
                raise CancelledError("stopped as asked.", path=media)
            write_sidecar(target, text, overwrite=self._job.overwrite)
            if not segments:
                events.log("warning", "no speech found; the subtitle file is empty")
            events.log("info", f"{len(segments)} cues in {clock(time.monotonic() - began)}")
        finally:
            events.finish()
        print(target, flush=True)

    def _problem_with(self, media: Path) -> SubtitleError | None:
        try:
            check_media(media)
            if self._job.tag is None:
                # The name is not known yet, the folder is.
                check_sidecar(self._target(media, None), overwrite=True)
            else:
                self._claim(self._target(media, self._job.tag), media)
        except SubtitleError as error:
            return error
        return None

    def _watched(self, transcript: Transcript, media: Path) -> Iterator[Segment]:
        # An existing file is noticed when the language shows, not after the whole film was worked on.
        seen: str | None = None
        for segment in transcript:
            language = self._job.tag or transcript.language
            if language != seen:
                seen = language
                check_sidecar(self._target(media, language), overwrite=self._job.overwrite)
            yield segment

    def _target(self, media: Path, language: str | None) -> Path:
        return sidecar_path(media, language, folder=self._job.output_dir)

    def _claim(self, target: Path, media: Path) -> None:
        """Make sure that nothing else needs the name: no existing file, and no other file of this run."""
        other = self._claimed.get(target, media)
        if other != media:
            raise OutputExistsError(
                f"is already the subtitle file of {other} in this run.", path=target, hint="Use another --output-dir."
            )
        check_sidecar(target, overwrite=self._job.overwrite)
        self._claimed[target] = media


def _report(error: SubtitleError, media: Path) -> int:
    where = "" if error.path else f"{media}: "
    print(f"subtitle-host: {where}{error}", file=sys.stderr, flush=True)
    return error.code
