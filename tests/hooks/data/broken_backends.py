# SPDX-License-Identifier: Apache-2.0
"""Backends with one fault each, and one without any; test_kit_rules.py holds them all to the contract.

`breaks` is the test of the kit that must fail, and the only one that may.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import ctypes
import dataclasses
import itertools
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
import wave
from pathlib import Path
from typing import ClassVar

from subtitle_hooks import (
    AudioTrackInfo,
    BackendInfo,
    CancelledError,
    MediaDamagedError,
    MediaEmptyError,
    MediaError,
    MediaFormatError,
    MediaInfo,
    MediaIsDirectoryError,
    MediaNotFoundError,
    MediaUnreadableError,
    NoAudioError,
    Progress,
    RequestError,
    Segment,
    TrackNotFoundError,
    Transcript,
    Word,
    check_media,
    hookimpl,
)
from subtitle_hooks.testing.contract import BackendContract


class Sound:
    """A backend without a fault: one cue for every three seconds of a WAV file."""

    name = "sound"
    breaks = ""

    @hookimpl
    def subtitle_backends(self):
        yield self.describe()

    @hookimpl
    def probe_media(self, backend, request):
        if not self.is_mine(backend):
            return None
        return self.look(request)

    @hookimpl
    def generate_subtitles(self, backend, request, events):
        if not self.is_mine(backend):
            return None
        return self.start(request, self.look(request).duration_ms, events)

    def describe(self):
        return BackendInfo(
            name=self.name,
            version="1.0",
            summary="One cue for every three seconds",
            languages=("en",),
            capabilities=frozenset({"range", "track", "partial-segments", "start-at"}),
        )

    def is_mine(self, backend):
        return backend == self.name

    def look(self, request):
        self.check_options(request)
        try:
            duration_ms = self.measure(request.media)
        except MediaError as error:
            raise self.reported(error) from None
        self.check_track(request)
        track = AudioTrackInfo(index=0, default=True)
        return MediaInfo(path=request.media, duration_ms=duration_ms, container="wav", tracks=(track,))

    def reported(self, error):
        return error

    def check_options(self, request):
        if request.options:
            raise RequestError(f"unknown option {min(request.options)!r}.", hint="There are none.")

    def check_track(self, request):
        if request.track:
            raise TrackNotFoundError(f"has no track {request.track}.", path=request.media, hint="Take track 0.")

    def measure(self, path):
        check_media(path)
        content = path.read_bytes()
        if b"matroska" in content[:100]:
            raise NoAudioError("has no sound.", path=path, hint="Name a film with sound.")
        if b"ftyp" in content[:100]:
            raise MediaDamagedError("is cut off; a film.", path=path, hint="Copy it again.")
        if not content.startswith(b"RIFF"):
            raise MediaFormatError("is no WAV file.", path=path, hint="Convert it.")
        try:
            with wave.open(str(path), "rb") as file:
                there = file.readframes(file.getnframes())
                if len(there) < file.getnframes() * file.getsampwidth():
                    raise MediaDamagedError("is cut off; its sound.", path=path, hint="Copy it again.")
                return file.getnframes() * 1000 // file.getframerate()
        except EOFError:
            raise MediaDamagedError("is cut off; its header.", path=path, hint="Copy it again.") from None

    def start(self, request, duration_ms, events):
        return Transcript(
            backend=self.name,
            segments=self.work(request, duration_ms, events),
            duration_ms=duration_ms,
            language=lambda: "en",
            statistics=lambda: {"cues": 4},
        )

    def work(self, request, duration_ms, events):
        segments = self.ordered(request, duration_ms)
        for number, segment in enumerate(segments):
            self.ask(request, events)
            time.sleep(0.002)
            self.tell(events, duration_ms * number // len(segments), duration_ms)
            events.segment(segment)
            yield segment
        self.tell(events, duration_ms, duration_ms)

    def ask(self, request, events):
        if events.cancelled():
            raise CancelledError("stopped as asked.", path=request.media)

    def tell(self, events, done_ms, total_ms):
        events.progress(Progress(stage="listen", done_ms=done_ms, total_ms=total_ms))

    def segments(self, request, duration_ms):
        end_ms = duration_ms if request.duration_ms is None else request.start_ms + request.duration_ms
        for start_ms in range(100, duration_ms - 2000, 3000):
            if request.start_ms <= start_ms < end_ms:
                yield self.segment(start_ms)

    def ordered(self, request, duration_ms):
        segments = list(self.segments(request, duration_ms))
        return sorted(segments, key=lambda segment: segment.start_ms < request.start_at_ms)

    def segment(self, start_ms):
        return Segment(start_ms=start_ms, end_ms=start_ms + 1900, text=f"From {start_ms}.", language="en")


# --- descriptor and probe ---


class BadName(Sound):
    name = "Bad Name"
    breaks = "test_a_host_can_use_it"


class InventedCapability(Sound):
    breaks = "test_descriptor"

    def describe(self):
        return dataclasses.replace(super().describe(), capabilities=frozenset({"range", "track", "telepathy"}))


class NewSummaryEveryTime(Sound):
    breaks = "test_describing_is_quick_and_always_the_same"
    calls = itertools.count()

    def describe(self):
        return dataclasses.replace(super().describe(), summary=f"Asked {next(self.calls)} times")


class AnswersForOthers(Sound):
    breaks = "test_backends_of_others_are_left_alone"

    def is_mine(self, backend):
        return True


class ProbesInSeconds(Sound):
    breaks = "test_probe_describes_the_media"

    def look(self, request):
        found = super().look(request)
        return dataclasses.replace(found, duration_ms=found.duration_ms // 1000)

    def start(self, request, duration_ms, events):
        return super().start(request, duration_ms * 1000, events)


# --- segments ---


class Explodes(Sound):
    breaks = "test_it_makes_subtitles"

    def segments(self, request, duration_ms):
        raise ZeroDivisionError("division by zero")


class YieldsDictionaries(Sound):
    breaks = "test_it_makes_subtitles"

    def start(self, request, duration_ms, events):
        segments = map(dataclasses.asdict, self.work(request, duration_ms, events))
        return Transcript(backend=self.name, segments=segments)


class FloatTimes(Sound):
    breaks = "test_times_are_whole_milliseconds"

    def segment(self, start_ms):
        return dataclasses.replace(super().segment(start_ms), start_ms=start_ms + 0.5)

    def tell(self, events, done_ms, total_ms):
        super().tell(events, int(done_ms), total_ms)


class Overlaps(Sound):
    breaks = "test_segments_are_in_order"

    def segment(self, start_ms):
        return dataclasses.replace(super().segment(start_ms), end_ms=min(12_000, start_ms + 3001))


class EndsLate(Sound):
    breaks = "test_segments_are_inside_the_media"

    def segment(self, start_ms):
        found = super().segment(start_ms)
        return dataclasses.replace(found, end_ms=20_000) if start_ms > 9000 else found


class ShowsNothing(Sound):
    breaks = "test_text_is_visible"

    def segment(self, start_ms):
        return dataclasses.replace(super().segment(start_ms), text=" \n\u200b" if start_ms < 9000 else "\x07")


class LanguagesByName(Sound):
    breaks = "test_languages_are_codes"

    def segment(self, start_ms):
        return dataclasses.replace(super().segment(start_ms), language="English")


class WordsBackwards(Sound):
    breaks = "test_words_have_times"

    def segment(self, start_ms):
        word = Word(start_ms=start_ms + 5, end_ms=start_ms, text="From")
        return dataclasses.replace(super().segment(start_ms), words=(word,))


class ReportsAfterwards(Sound):
    breaks = "test_partial_segments_come_first"

    def work(self, request, duration_ms, events):
        for segment in self.ordered(request, duration_ms):
            self.ask(request, events)
            self.tell(events, 0, duration_ms)
            yield segment
            events.segment(segment)
        self.tell(events, duration_ms, duration_ms)


class WorksOnEverything(Sound):
    breaks = "test_a_time_range_is_kept_to"

    def segments(self, request, duration_ms):
        return super().segments(dataclasses.replace(request, start_ms=0, duration_ms=None), duration_ms)


class IgnoresThePlace(Sound):
    breaks = "test_a_place_to_start_at_comes_first"

    def ordered(self, request, duration_ms):
        return list(self.segments(request, duration_ms))


class ForgetsTheBeginning(Sound):
    breaks = "test_a_place_to_start_at_comes_first"

    def ordered(self, request, duration_ms):
        return [one for one in self.segments(request, duration_ms) if one.start_ms >= request.start_at_ms]


class GoesBackwards(Sound):
    breaks = "test_a_place_to_start_at_comes_first"

    def ordered(self, request, duration_ms):
        segments = list(self.segments(request, duration_ms))
        return segments[::-1] if request.start_at_ms else segments


class RunsInto(Sound):
    """The run that comes second ends with a cue that the first began to show already."""

    breaks = "test_a_place_to_start_at_comes_first"

    def ordered(self, request, duration_ms):
        segments = super().ordered(request, duration_ms)
        if request.start_at_ms:
            segments[-1] = dataclasses.replace(segments[-1], end_ms=segments[-1].end_ms + 2000)
        return segments


class CountsTwice(Sound):
    """Every run has a progress of its own."""

    breaks = "test_a_place_to_start_at_comes_first"

    def work(self, request, duration_ms, events):
        self.tell(events, duration_ms if request.start_at_ms else 0, duration_ms)
        yield from super().work(request, duration_ms, events)


class Guesses(Sound):
    breaks = "test_the_same_result_twice"

    def segment(self, start_ms):
        return dataclasses.replace(super().segment(start_ms), text=f"{random.random()}")


class FormatsFileNames(Sound):
    breaks = "test_the_name_of_the_file_does_not_matter"

    def work(self, request, duration_ms, events):
        str(request.media) % ()
        return super().work(request, duration_ms, events)


class HandlesSignals(Sound):
    breaks = "test_it_works_in_a_thread"

    def work(self, request, duration_ms, events):
        signal.signal(signal.SIGINT, signal.signal(signal.SIGINT, signal.SIG_IGN))
        yield from super().work(request, duration_ms, events)


class BringsItsOwnLoop(Sound):
    breaks = "test_it_works_inside_an_event_loop"

    def work(self, request, duration_ms, events):
        with contextlib.closing(asyncio.sleep(0)) as nap:
            asyncio.run(nap)
        yield from super().work(request, duration_ms, events)


class KeepsTheLock(Sound):
    breaks = "test_an_event_loop_keeps_turning"

    def work(self, request, duration_ms, events):
        yield from super().work(request, duration_ms, events)
        if threading.current_thread() is not threading.main_thread():
            ctypes.PyDLL(None).sleep(3)  # a call into native code that forgets to release the lock


# --- progress and stopping ---


class ProgressInSeconds(Sound):
    breaks = "test_progress_is_in_whole_milliseconds"

    def tell(self, events, done_ms, total_ms):
        super().tell(events, done_ms / 1000, total_ms / 1000)


class GoesBack(Sound):
    breaks = "test_progress_never_goes_back"

    def tell(self, events, done_ms, total_ms):
        super().tell(events, done_ms, total_ms)
        super().tell(events, total_ms - done_ms, total_ms)
        super().tell(events, total_ms, total_ms)


class NeverArrives(Sound):
    breaks = "test_progress_ends_at_its_total"

    def tell(self, events, done_ms, total_ms):
        super().tell(events, min(done_ms, total_ms - 1), total_ms)


class LoadsDeafly(Sound):
    breaks = "test_cancelled_is_asked_every_second"
    loaded = False

    def work(self, request, duration_ms, events):
        if not self.loaded:
            time.sleep(3.3)
            self.loaded = True
        yield from super().work(request, duration_ms, events)


class CannotBeStopped(Sound):
    breaks = "test_cancelling_takes_a_second"

    def ask(self, request, events):
        events.cancelled()


class GoesOnWhenClosed(Sound):
    breaks = "test_it_can_be_closed_early_and_twice"

    def start(self, request, duration_ms, events):
        # Closing does not reach the generator, as a chain has no close().
        segments = itertools.chain(self.work(request, duration_ms, events))
        return Transcript(backend=self.name, segments=segments, duration_ms=duration_ms)


# --- errors ---


class Confuses(Sound):
    """Reports one of the broken media as something else."""

    confused = MediaError
    words = ""

    def reported(self, error):
        if type(error) is self.confused and self.words in error.what:
            return MediaError("cannot be used.", path=error.path, hint="Try another file.")
        return error


class ConfusesMissing(Confuses):
    breaks = "test_broken_media[missing]"
    confused = MediaNotFoundError


class ConfusesFolder(Confuses):
    breaks = "test_broken_media[folder]"
    confused = MediaIsDirectoryError


class ConfusesEmpty(Confuses):
    breaks = "test_broken_media[empty]"
    confused = MediaEmptyError


class ConfusesUnreadable(Confuses):
    breaks = "test_broken_media[unreadable]"
    confused = MediaUnreadableError


class ConfusesPipe(Confuses):
    breaks = "test_broken_media[pipe]"
    confused = MediaFormatError
    words = "regular"


class ConfusesLetter(Confuses):
    breaks = "test_broken_media[letter]"
    confused = MediaFormatError
    words = "WAV"


class ConfusesCutHeader(Confuses):
    breaks = "test_broken_media[cut header]"
    confused = MediaDamagedError
    words = "header"


class ConfusesCutSound(Confuses):
    breaks = "test_broken_media[cut sound]"
    confused = MediaDamagedError
    words = "sound"


class ConfusesCutVideo(Confuses):
    breaks = "test_broken_media[cut video]"
    confused = MediaDamagedError
    words = "film"


class ConfusesSilentVideo(Confuses):
    breaks = "test_broken_media[silent video]"
    confused = NoAudioError


class GivesNoAdvice(Sound):
    breaks = "test_broken_media[letter]"

    def reported(self, error):
        if type(error) is MediaFormatError and "WAV" in error.what:
            return MediaFormatError("is no WAV file.", path=error.path)
        return error


class IgnoresOptions(Sound):
    breaks = "test_unknown_options_are_refused"

    def check_options(self, request):
        pass


class IgnoresTrack(Sound):
    breaks = "test_a_missing_track_is_refused"

    def check_track(self, request):
        pass


# --- manners ---


class Prints(Sound):
    breaks = "test_nothing_is_printed"

    def ask(self, request, events):
        print("still here")
        super().ask(request, events)


class PrintsNatively(Sound):
    breaks = "test_nothing_is_printed"

    def ask(self, request, events):
        os.write(1, b"llama_model_load: done\n")
        super().ask(request, events)


class MovesAbout(Sound):
    breaks = "test_the_working_directory_stays"

    def work(self, request, duration_ms, events):
        before = Path.cwd()
        os.chdir(request.media.parent)
        try:
            yield from super().work(request, duration_ms, events)
        finally:
            os.chdir(before)


class SetsVariables(Sound):
    breaks = "test_the_environment_stays"

    def work(self, request, duration_ms, events):
        os.environ["OMP_NUM_THREADS"] = "1"
        return super().work(request, duration_ms, events)


class TakesSignals(Sound):
    breaks = "test_signal_handlers_stay"

    def work(self, request, duration_ms, events):
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, lambda *_: None)
        return super().work(request, duration_ms, events)


class WritesBesideTheMedia(Sound):
    breaks = "test_the_media_folder_stays"

    def work(self, request, duration_ms, events):
        scratch = request.media.with_suffix(".tmp")
        scratch.write_text("decoded sound", encoding="utf-8")
        yield from super().work(request, duration_ms, events)
        scratch.unlink()


class ForgetsWhenClosed(Sound):
    """Keeps something if its transcript is closed before the end."""

    kept: ClassVar = []

    def work(self, request, duration_ms, events):
        try:
            yield from super().work(request, duration_ms, events)
        except GeneratorExit:
            self.kept.append(self.left(request))
            raise


class LeavesThread(ForgetsWhenClosed):
    breaks = "test_nothing_is_left_behind[threads]"

    def left(self, request):
        thread = threading.Thread(target=threading.Event().wait, daemon=True)
        thread.start()
        return thread


class LeavesProcess(ForgetsWhenClosed):
    breaks = "test_nothing_is_left_behind[processes]"

    def left(self, request):
        process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        atexit.register(process.wait)
        atexit.register(process.kill)
        return process


class LeavesFileOpen(ForgetsWhenClosed):
    breaks = "test_nothing_is_left_behind[files]"

    def left(self, request):
        file = request.media.open("rb")
        atexit.register(file.close)
        return file


class LeavesTemporaryFile(ForgetsWhenClosed):
    breaks = "test_nothing_is_left_behind[temporary_files]"

    def left(self, request):
        descriptor, path = tempfile.mkstemp()
        os.close(descriptor)
        return path


def with_one_fault(base):
    for backend in base.__subclasses__():
        if backend.breaks:
            yield backend
        yield from with_one_fault(backend)


for backend in (Sound, *with_one_fault(Sound)):
    globals()[f"Test{backend.__name__}"] = type(f"Test{backend.__name__}", (BackendContract,), {"plugin": backend()})
