# SPDX-License-Identifier: Apache-2.0
"""Rules about segments, and about getting the same ones wherever a host runs the backend."""

from __future__ import annotations

import asyncio
import itertools
import re
import time
from collections.abc import Mapping

import pytest

from subtitle_hooks import Segment, Transcript, Word, render_srt

from ._doubles import RecordingEvents
from ._subject import SLACK_S, Subject, broken

__all__ = ["SegmentRules"]

_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*")
_ODD_NAME = "%d 'film' & Größe 字 [1080p]"
_ROUNDING_MS = 100
"""Containers round durations to a frame or so."""
_LOOK_BACK_MS = 8000
"""So much earlier than asked for a backend may begin, where that keeps a sentence whole."""
_OTHERWISE_HEARD = 0.25
"""With other surroundings a recogniser may hear other words."""


class SegmentRules:
    """What `generate_subtitles` makes."""

    def test_it_makes_subtitles(self, subject: Subject) -> None:
        """The answer is a transcript of this backend that yields segments, without any error."""
        run = subject.first_run
        if run.error is not None:
            broken(f"it raised {type(run.error).__name__}: {run.error}")
        if not isinstance(run.answer, Transcript):
            broken(f"generate_subtitles answered {run.answer!r} instead of a Transcript")
            return
        if run.answer.backend != subject.info.name:
            broken(f"the transcript says it is of backend {run.answer.backend!r}")
        for number, item in enumerate(run.items, start=1):
            if not isinstance(item, Segment):
                broken(f"segment {number} is {item!r} instead of a Segment")
        if run.answer.duration_ms is not None and type(run.answer.duration_ms) is not int:
            broken(f"the transcript's duration is {run.answer.duration_ms!r}, not whole milliseconds or None")
        if not isinstance(run.statistics, Mapping) or not all(
            isinstance(name, str) and isinstance(value, (int, float, str)) for name, value in run.statistics.items()
        ):
            broken(f"the statistics are {run.statistics!r}, not names with numbers or short texts")
        given = subject.settings.media is not None or subject.settings.make_media is not None
        if given and len(run.segments) < 2:
            broken(f"the media file gave {len(run.segments)} segments; without two of them the tests show nothing")

    def test_times_are_whole_milliseconds(self, subject: Subject) -> None:
        """All times are of type int."""
        for number, segment in enumerate(subject.enough_segments(1), start=1):
            for name in ("start_ms", "end_ms"):
                if type(getattr(segment, name)) is not int:
                    broken(f"{name} of segment {number} is {getattr(segment, name)!r}, not a whole number")

    def test_segments_are_in_order(self, subject: Subject) -> None:
        """Every segment ends after it starts and starts after the one in front of it has ended."""
        segments = subject.enough_segments()
        for number, segment in enumerate(segments, start=1):
            if segment.end_ms <= segment.start_ms:
                broken(f"segment {number} ends at {segment.end_ms} ms and starts at {segment.start_ms} ms")
        for number, (one, next_one) in enumerate(itertools.pairwise(segments), start=2):
            if next_one.start_ms < one.end_ms:
                broken(f"segment {number} starts at {next_one.start_ms} ms; the one in front ends at {one.end_ms} ms")

    def test_segments_are_inside_the_media(self, subject: Subject) -> None:
        """No segment starts before zero or ends after the media does."""
        segments = subject.enough_segments(1)
        duration_ms = subject.duration_ms(subject.run.media)
        for number, segment in enumerate(segments, start=1):
            if segment.start_ms < 0:
                broken(f"segment {number} starts at {segment.start_ms} ms")
            if duration_ms is not None and segment.end_ms > duration_ms + _ROUNDING_MS:
                broken(f"segment {number} ends at {segment.end_ms} ms; the media at {duration_ms} ms")

    def test_text_is_visible(self, subject: Subject) -> None:
        """Every segment shows something."""
        for number, segment in enumerate(subject.enough_segments(1), start=1):
            text: object = segment.text
            shown = Segment(start_ms=0, end_ms=1, text=segment.text)
            if not isinstance(text, str) or not text.strip() or not _can_be_written(shown):
                broken(f"the text of segment {number} is {text!r}, which shows nothing")

    def test_languages_are_codes(self, subject: Subject) -> None:
        """The languages of the transcript and of its segments are ISO 639 codes, or None."""
        run = subject.run
        found = [("the transcript", run.language)]
        found += [(f"segment {number}", one.language) for number, one in enumerate(run.segments, start=1)]
        for whose, language in found:
            if language is not None and not (isinstance(language, str) and _LANGUAGE.fullmatch(language)):
                broken(f"the language of {whose} is {language!r}, which is not an ISO 639 code")

    def test_words_have_times(self, subject: Subject) -> None:
        """Words, where there are any, are a tuple of `Word`, with whole milliseconds and visible text."""
        for number, segment in enumerate(subject.enough_segments(1), start=1):
            words: object = segment.words
            if not isinstance(words, tuple) or not all(isinstance(word, Word) for word in words):
                broken(f"the words of segment {number} are {words!r}, not a tuple of Word")
            for word in segment.words:
                if type(word.start_ms) is not int or type(word.end_ms) is not int or not word.text.strip():
                    broken(f"segment {number} has the word {word!r}")
                if not 0 <= word.start_ms <= word.end_ms:
                    broken(f"segment {number} has the word {word.text!r} from {word.start_ms} to {word.end_ms} ms")

    def test_partial_segments_come_first(self, subject: Subject) -> None:
        """With the capability ``partial-segments``, `events.segment` gets every segment before it is yielded."""
        if not subject.has("partial-segments"):
            pytest.skip("the backend does not report partial segments")
        run = subject.run
        if run.events.segments != run.segments:
            broken(f"{len(run.events.segments)} segments were reported, {len(run.segments)} yielded, or they differ")
        for index, seen in enumerate(run.seen_when_yielded):
            if seen <= index:
                broken(f"segment {index + 1} was yielded before it was reported")

    def test_a_time_range_is_kept_to(self, subject: Subject) -> None:
        """With the capability ``range``, no segment starts outside of the part asked for."""
        if not subject.has("range"):
            pytest.skip("the backend does not work on parts of a file")
        second = subject.enough_segments()[1]
        start_ms, duration_ms = max(0, int(second.start_ms) - 100), 3000
        asked = {"start_ms": start_ms, "duration_ms": duration_ms}
        found = list(subject.generate(RecordingEvents(), subject.run.media, **asked))
        if not found:
            broken(f"nothing came of the part from {start_ms} ms on, where a segment was in the whole file")
        for segment in found:
            if not start_ms <= segment.start_ms < start_ms + duration_ms:
                broken(f"a segment starts at {segment.start_ms} ms; asked was for {duration_ms} ms from {start_ms} ms")

    def test_a_place_to_start_at_comes_first(self, subject: Subject) -> None:
        """With the capability ``start-at``, segments from there on come first, those before it next; none is lost."""
        if not subject.has("start-at"):
            pytest.skip("the backend works in the order of time")
        usual = subject.enough_segments()
        if _turns(usual):
            pytest.skip("segments are in no order: see test_segments_are_in_order")
        middle = usual[len(usual) // 2]
        place = middle if middle.start_ms > usual[0].start_ms + _LOOK_BACK_MS else usual[-1]
        events = RecordingEvents()
        found = list(subject.generate(events, subject.run.media, start_at_ms=int(place.start_ms)))
        turns = _turns(found)
        if len(turns) > 1:
            broken(f"asked to start at {place.start_ms} ms, {len(turns)} segments start before the one in front ends")
        first, second = (found[: turns[0]], found[turns[0] :]) if turns else (found, [])
        if not first or first[0].start_ms < place.start_ms - _LOOK_BACK_MS:
            broken(f"asked to start at {place.start_ms} ms, it began with {first[:1]}")
        if second and second[-1].end_ms > first[0].start_ms:
            broken(
                f"a segment before {place.start_ms} ms ends at {second[-1].end_ms} ms, where others are shown already"
            )
        share = sum(len(one.text) for one in found) / max(1, sum(len(one.text) for one in usual))
        if not 1 - _OTHERWISE_HEARD < share < 1 + _OTHERWISE_HEARD:
            broken(f"asked to start at {place.start_ms} ms, it made {share:.0%} of the text")
        problem = _progress_problem(events)
        if problem and not _progress_problem(subject.run.events):
            broken(f"asked to start at {place.start_ms} ms, {problem}: both runs are one piece of work")

    def test_the_same_result_twice(self, subject: Subject) -> None:
        """The same request has the same result."""
        if not subject.repeats_itself():
            broken("a second run with the same request made other segments")

    def test_the_name_of_the_file_does_not_matter(self, subject: Subject) -> None:
        """Spaces, quotes, percent signs, brackets and letters of other scripts in a file name are nothing special."""
        usual = subject.run.segments
        try:
            odd = list(subject.generate(RecordingEvents(), subject.make_media(_ODD_NAME)))
        except Exception as error:  # noqa: BLE001
            broken(f"with a file called {_ODD_NAME!r} it raised {type(error).__name__}: {error}")
            return
        # Times only: a backend may have reason to mention the name in a text.
        times = [[(one.start_ms, one.end_ms) for one in found] for found in (odd, usual)]
        if times[0] != times[1] and subject.repeats_itself():
            broken(f"a file called {_ODD_NAME!r} made other segments")

    def test_it_works_in_a_thread(self, subject: Subject) -> None:
        """A thread other than the main one gets the same result."""
        found, error, ended = subject.threaded_run
        if not ended:
            broken("it does not come to an end in a thread")
        if error is not None:
            broken(f"in a thread it raised {type(error).__name__}: {error}")
        if found != subject.run.items and subject.repeats_itself():
            broken("in a thread it made other segments")

    def test_it_works_inside_an_event_loop(self, subject: Subject) -> None:
        """Called where an event loop of asyncio is running, it has the same result."""
        media = subject.run.media

        async def work() -> list[object]:
            return list(subject.generate(RecordingEvents(), media))

        try:
            found = asyncio.run(work())
        except Exception as error:  # noqa: BLE001
            broken(f"inside an event loop it raised {type(error).__name__}: {error}")
            return
        if found != subject.run.items and subject.repeats_itself():
            broken("inside an event loop it made other segments")

    def test_an_event_loop_keeps_turning(self, subject: Subject) -> None:
        """While it works in a thread (`asyncio.to_thread`), an event loop in the main thread is not held up."""
        media = subject.run.media
        longest_s = 0.0

        async def work() -> None:
            nonlocal longest_s
            task = asyncio.create_task(asyncio.to_thread(lambda: list(subject.generate(RecordingEvents(), media))))
            while not task.done():
                began = time.monotonic()
                await asyncio.sleep(0.02)
                longest_s = max(longest_s, time.monotonic() - began)
            # What it raises in a thread is for another test.
            await asyncio.wait([task])
            task.exception()

        asyncio.run(work())
        if longest_s > SLACK_S:
            broken(f"an event loop stood still for {longest_s:.1f} s; does native code hold the interpreter's lock?")


def _turns(segments: list[Segment]) -> list[int]:
    """Where segments start before the one in front of them has ended."""
    return [at for at in range(1, len(segments)) if segments[at].start_ms < segments[at - 1].end_ms]


def _progress_problem(events: RecordingEvents) -> str:
    for one, next_one in itertools.pairwise(events.progress_reports):
        if one.stage == next_one.stage and next_one.done_ms < one.done_ms:
            return f"progress went back from {one.done_ms} to {next_one.done_ms} ms"
    last = events.progress_reports[-1:]
    if last and last[0].total_ms not in (None, last[0].done_ms):
        return f"progress ended at {last[0].done_ms} of {last[0].total_ms} ms"
    return ""


def _can_be_written(segment: Segment) -> bool:
    try:
        return bool(render_srt([segment]))
    except Exception:  # noqa: BLE001
        return False
