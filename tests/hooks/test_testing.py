# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import threading
import time

import pytest

from subtitle_hooks import (
    CancelledError,
    Events,
    MediaDamagedError,
    MediaEmptyError,
    MediaNotFoundError,
    RequestError,
    Segment,
    SilentEvents,
    SubtitleHost,
    SubtitleRequest,
)
from subtitle_hooks.testing import FakeBackend, RecordingEvents


def generate(media, events=None, *, fake=None, **request):
    host = SubtitleHost(discover=False, plugins=[fake or FakeBackend()])
    return host.generate(SubtitleRequest(media=media, **request), events)


def test_segments_follow_from_the_size_of_the_file(media):
    segments = list(generate(media))
    assert [(one.start_ms, one.end_ms) for one in segments] == [(200, 2200), (2700, 4700), (5200, 7200), (7700, 9700)]
    assert segments[1].text == "Sentence 2 of film."


@pytest.mark.parametrize("option", [5000, "5000"])
def test_the_duration_may_be_given(media, option):
    transcript = generate(media, options={"duration_ms": option})
    assert transcript.duration_ms == 5000
    assert len(list(transcript)) == 2


@pytest.mark.parametrize("options", [{"duration_ms": "x"}, {"duration_ms": -1}, {"duration_ms": 1.5}, {"speed": 1}])
def test_bad_options_are_refused(media, options):
    with pytest.raises(RequestError):
        generate(media, options=options)


def test_segments_of_ones_own_and_no_speech(media):
    own = [Segment(start_ms=0, end_ms=5, text="a"), Segment(start_ms=99_000, end_ms=99_001, text="b")]
    assert list(generate(media, fake=FakeBackend(segments=own))) == own
    silent = generate(media, fake=FakeBackend(segments=[]))
    assert list(silent) == []
    assert silent.language is None


def test_a_place_to_start_at(media):
    events = RecordingEvents()
    transcript = generate(media, events, start_at_ms=4000)
    assert [one.start_ms for one in transcript] == [2700, 5200, 7700, 200]
    done = [one.done_ms for one in events.progress_reports]
    assert done == sorted(done)
    assert done[-1] == events.progress_reports[-1].total_ms == 10_000
    starts = [one.start_ms for one in generate(media, start_ms=2500, duration_ms=5000, start_at_ms=5000)]
    assert starts == [5200, 2700]
    assert [one.start_ms for one in generate(media, start_at_ms=9900)] == [200, 2700, 5200, 7700]


def test_time_range(media):
    assert [one.start_ms for one in generate(media, start_ms=2500, duration_ms=5000)] == [2700, 5200]
    assert list(generate(media, start_ms=60_000)) == []


def test_failure_after_some_segments(media):
    events = RecordingEvents()
    fake = FakeBackend(error=MediaDamagedError("is cut off."), fail_after=2)
    with pytest.raises(MediaDamagedError):
        list(generate(media, events, fake=fake))
    assert len(events.segments) == 2


def test_a_failure_that_waits_for_more_segments_than_there_are_still_comes(media):
    with pytest.raises(MediaDamagedError):
        list(generate(media, fake=FakeBackend(error=MediaDamagedError("is cut off."), fail_after=99)))


def test_slow_work_can_be_cancelled(media):
    events = RecordingEvents()
    transcript = generate(media, events, fake=FakeBackend(seconds_per_segment=30))
    threading.Timer(0.1, events.cancel).start()
    began = time.monotonic()
    with pytest.raises(CancelledError):
        next(transcript)
    assert time.monotonic() - began < 2
    gaps = [later - earlier for earlier, later in zip(events.cancel_checks, events.cancel_checks[1:], strict=False)]
    assert max(gaps) < 1


def test_cancelling_after_some_segments(media):
    events = RecordingEvents(cancel_after=2)
    with pytest.raises(CancelledError):
        list(generate(media, events))
    assert len(events.segments) == 2


def test_the_usual_media_errors(tmp_path):
    with pytest.raises(MediaNotFoundError):
        generate(tmp_path / "gone.mkv")
    (tmp_path / "empty.mkv").touch()
    with pytest.raises(MediaEmptyError):
        generate(tmp_path / "empty.mkv")


def test_both_kinds_of_events_satisfy_the_protocol():
    assert isinstance(RecordingEvents(), Events)
    assert isinstance(SilentEvents(), Events)
