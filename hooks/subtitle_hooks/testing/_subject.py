# SPDX-License-Identifier: Apache-2.0
"""The backend under test, and the runs of it that several rules look at."""

from __future__ import annotations

import gc
import itertools
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pluggy
import pytest

from subtitle_hooks import (
    BackendInfo,
    CancelledError,
    Events,
    InstalledBackend,
    MediaInfo,
    Segment,
    SubtitleError,
    SubtitleHost,
    SubtitleRequest,
    Transcript,
)

from ._doubles import RecordingEvents
from ._media_files import copy_media, wav_duration_ms, write_wav
from ._settings import Settings
from ._watch import Leftovers, Surroundings, captured_stdout, leftovers, settled_leftovers, surroundings

__all__ = ["SLACK_S", "Run", "Subject", "broken", "in_a_thread"]

SLACK_S = 2.0
"""The contract says one second; a busy machine may need longer to wake a thread."""

_PATIENCE_S = 300.0
_SETTLING_S = 1.0


def broken(rule: str) -> None:
    """Report a broken rule, without a traceback through the kit.

    Raises:
        pytest.fail.Exception: Always.
    """
    pytest.fail(rule, pytrace=False)


@dataclass(kw_only=True)
class Run:
    """A complete run in the main thread, and what happened around it.

    `answer` is what the hook returned; `error` is what ended the run before its time.
    """

    media: Path
    events: RecordingEvents = field(default_factory=RecordingEvents)
    answer: object = None
    items: list[object] = field(default_factory=list)
    seen_when_yielded: list[int] = field(default_factory=list)
    language: object = None
    statistics: object = None
    error: BaseException | None = None
    printed: str = ""
    began: float = 0.0
    ended: float = 0.0
    around: list[Surroundings] = field(default_factory=list)

    @property
    def segments(self) -> list[Segment]:
        """What came that is a segment."""
        return [item for item in self.items if isinstance(item, Segment)]


class Subject:
    """One backend, its host, and a folder to work in."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.settings = settings
        self.folder = folder
        self._numbers = itertools.count()
        self._run: Run | None = None
        self._repeated: list[object] | None = None
        self._threaded: tuple[Any, BaseException | None, bool] | None = None
        self._grown: tuple[Leftovers, Leftovers] | None = None
        self._plugin: object = settings.plugin
        self.backend: InstalledBackend | None = None
        self.host: SubtitleHost | None = None
        self.unusable = ""
        try:
            self.host = SubtitleHost(
                discover=settings.plugin is None, plugins=() if settings.plugin is None else [settings.plugin]
            )
            self.backend = self._chosen(self.host)
        except SubtitleError as error:
            self.unusable = str(error)

    def _chosen(self, host: SubtitleHost) -> InstalledBackend | None:
        found = host.backends()
        wanted = [one for one in found if one.name == self.settings.backend or not self.settings.backend]
        whose = "" if self.settings.plugin is None else " of the plugin"
        if len(wanted) == 1:
            if self.settings.plugin is None:
                origin = wanted[0].origin
                self._plugin = host.plugin_manager.get_plugin(f"{origin.distribution}:{origin.entry_point}")
            return wanted[0]
        reasons = " / ".join(str(one.error) for one in host.broken)
        names = ", ".join(one.name for one in found) or "none"
        self.unusable = f"no usable backend {self.settings.backend!r}{whose}; usable: {names}. {reasons}".rstrip()
        return None

    @property
    def info(self) -> BackendInfo:
        """The descriptor; skips the test if no host can use the backend."""
        return self._usable().info

    def has(self, capability: str) -> bool:
        """Say whether the descriptor lists a capability."""
        return capability in self.info.capabilities

    def hook(self, name: str) -> pluggy.HookCaller:
        """Return a hook that only this plugin answers, unchecked: a host would make up for its mistakes."""
        self._usable()
        assert self.host is not None
        manager = self.host.plugin_manager
        return manager.subset_hook_caller(name, [one for one in manager.get_plugins() if one is not self._plugin])

    def request(self, media: Path, **fields: Any) -> SubtitleRequest:
        """Make a request with the options of the settings."""
        options: Mapping[str, object] = {**self.settings.options, **fields.pop("options", {})}
        return SubtitleRequest(media=media, model=self.settings.model, options=options, **fields)

    def generate(self, events: Events, media: Path, **fields: Any) -> Any:
        """Call `generate_subtitles`."""
        return self.hook("generate_subtitles")(
            backend=self.info.name, request=self.request(media, **fields), events=events
        )

    def probe(self, media: Path, **fields: Any) -> Any:
        """Call `probe_media`."""
        return self.hook("probe_media")(backend=self.info.name, request=self.request(media, **fields))

    def new_folder(self) -> Path:
        """Make a folder that nobody has used."""
        folder = self.folder / str(next(self._numbers))
        folder.mkdir()
        return folder

    def make_media(self, stem: str = "film", folder: Path | None = None) -> Path:
        """Put the media file, sound and whole, into a folder of its own."""
        folder = self.new_folder() if folder is None else folder
        if self.settings.make_media is not None:
            return self.settings.make_media(folder, stem)
        if self.settings.media is not None:
            return copy_media(self.settings.media, folder, stem)
        return write_wav(folder, stem)

    @property
    def run(self) -> Run:
        """A complete run without errors; skips the test if there was one, as another test reports it."""
        run = self.first_run
        if run.error is not None or not isinstance(run.answer, Transcript) or len(run.segments) < len(run.items):
            pytest.skip("nothing to look at: see test_it_makes_subtitles")
        return run

    @property
    def first_run(self) -> Run:
        """The first complete run, whatever came of it."""
        if self._run is None:
            self._usable()
            self._run = self._recorded()
        return self._run

    def enough_segments(self, count: int = 2) -> list[Segment]:
        """Return the segments of the run; skips the test if there are too few to show anything."""
        segments = self.run.segments
        if len(segments) < count:
            pytest.skip(
                f"{len(segments)} segments came and this test needs {count}: name a file with speech "
                "(--subtitle-media, BackendContract.media)"
            )
        return segments

    def duration_ms(self, media: Path) -> int | None:
        """Return how long a media file is: by its WAV header, or else as the backend says."""
        known = wav_duration_ms(media)
        if known is None:
            answer = self.probe(media)
            known = answer.duration_ms if isinstance(answer, MediaInfo) else None
        return known

    def repeats_itself(self) -> bool:
        """Say whether a second run in the same thread has the same result as the first."""
        if self._repeated is None:
            self._repeated = list(self.generate(RecordingEvents(), self.run.media))
        return self._repeated == self.run.items

    @property
    def threaded_run(self) -> tuple[Any, BaseException | None, bool]:
        """A complete run in a thread: what came, what it raised, and whether it ended."""
        if self._threaded is None:
            media = self.run.media
            self._threaded = in_a_thread(lambda: list(self.generate(RecordingEvents(), media)))
        return self._threaded

    def growth(self, kind: str) -> list[str]:
        """Name what runs or is open after four more runs, ended in four ways, that was not there after the first.

        What a backend keeps for the next run, such as a loaded model, is there after the first; only what comes on
        top with every run is a leak.
        """
        if self._grown is None:
            self._grown = self._leftovers_of_four_runs()
        before, after = self._grown
        if getattr(before, kind) is None:
            pytest.skip(f"this system does not tell which {kind} there are (psutil does, where it is installed)")
        return after.more_than(before, kind)

    def _usable(self) -> InstalledBackend:
        if self.backend is None:
            pytest.skip("no host can use the backend: see test_a_host_can_use_it")
        return self.backend

    def _recorded(self) -> Run:
        run = Run(media=self.make_media())
        run.around.append(surroundings(run.media.parent))
        with captured_stdout() as printed:
            run.began = time.monotonic()
            try:
                run.answer = self.generate(run.events, run.media)
                for item in run.answer if isinstance(run.answer, Transcript) else ():
                    run.items.append(item)
                    run.seen_when_yielded.append(len(run.events.segments))
                    run.around.append(surroundings(run.media.parent))
                run.ended = time.monotonic()
                if isinstance(run.answer, Transcript):
                    run.language, run.statistics = run.answer.language, run.answer.statistics
                    run.answer.close()
            except (Exception, SystemExit) as error:  # noqa: BLE001
                run.error = error
                run.ended = time.monotonic()
            run.printed = printed()
        run.around.append(surroundings(run.media.parent))
        return run

    def _leftovers_of_four_runs(self) -> tuple[Leftovers, Leftovers]:
        media = self.run.media
        scratch = self.new_folder()
        usual, tempfile.tempdir = tempfile.tempdir, str(scratch)
        try:
            gc.collect()
            before = leftovers(scratch)
            complete = self.generate(RecordingEvents(), media)
            list(complete)
            complete.close()
            early = self.generate(RecordingEvents(), media)
            next(early, None)
            early.close()
            self.generate(RecordingEvents(), media).close()
            cancelled = RecordingEvents()
            cancelled.cancel()
            try:
                unwanted = self.generate(cancelled, media)
                list(unwanted)
                unwanted.close()
            except CancelledError:
                pass
            del complete, early
            return before, settled_leftovers(before, scratch, patience_s=_SETTLING_S)
        finally:
            tempfile.tempdir = usual


def in_a_thread(work: Callable[[], Any], *, patience_s: float = _PATIENCE_S) -> tuple[Any, BaseException | None, bool]:
    """Do something in a thread of its own.

    Returns:
        What `work` returned, what it raised, and whether it ended before `patience_s` were over.
    """
    answer: list[Any] = [None]
    raised: list[BaseException | None] = [None]

    def do() -> None:
        try:
            answer[0] = work()
        except BaseException as error:  # noqa: BLE001
            raised[0] = error

    thread = threading.Thread(target=do, daemon=True, name="subtitle-contract")
    thread.start()
    thread.join(patience_s)
    return answer[0], raised[0], not thread.is_alive()
