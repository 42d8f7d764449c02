# SPDX-License-Identifier: Apache-2.0
"""The contract, as docs/backend-authors.md states it. Every backend must pass."""

from __future__ import annotations

import itertools
import re
import threading
import time
from collections import defaultdict

import pytest

from subtitle_hooks import (
    API_VERSION,
    CancelledError,
    ContractViolationError,
    MediaEmptyError,
    MediaError,
    MediaInfo,
    MediaIsDirectoryError,
    MediaNotFoundError,
    RequestError,
    Segment,
    SubtitleRequest,
    Transcript,
    render_srt,
)
from subtitle_hooks.testing import RecordingEvents

CAPABILITIES = {"range", "track", "context", "language-detection", "partial-segments"}
LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*")
SLACK_S = 2.0
"""The contract says one second; a busy machine may need longer to wake a thread."""


# --- descriptor -----------------------------------------------------------------------------------------------------


def test_descriptor(case):
    info = case.backend.info
    assert info.api_version == API_VERSION
    assert info.summary
    assert info.capabilities <= CAPABILITIES
    assert len(set(info.languages)) == len(info.languages)
    assert info.media
    if case.backend.origin.distribution:
        assert info.version == case.backend.origin.version


def test_describing_is_cheap_and_always_the_same(case):
    began = time.monotonic()
    answers = [list(itertools.chain(*case.host.plugin_manager.hook.subtitle_backends())) for _ in range(50)]
    assert time.monotonic() - began < 1
    assert all(answer == answers[0] for answer in answers)


def test_nothing_of_it_is_reported_as_broken(case):
    assert [broken for broken in case.host.broken if broken.origin == case.backend.origin] == []


def test_another_plugins_backend_is_left_to_it(case, tmp_path):
    request = SubtitleRequest(media=case.make_media(tmp_path, "film"))
    hook = case.host.plugin_manager.hook
    assert hook.probe_media(backend="of-somebody-else", request=request) is None
    assert hook.generate_subtitles(backend="of-somebody-else", request=request, events=RecordingEvents()) is None


# --- probe ----------------------------------------------------------------------------------------------------------


def test_probe_describes_the_file(case, recorded):
    info = case.host.probe(SubtitleRequest(media=recorded.media), backend=case.backend.name)
    assert isinstance(info, MediaInfo)
    assert info.path == recorded.media
    assert info.tracks
    assert sum(track.default for track in info.tracks) <= 1
    if info.duration_ms is not None:
        assert recorded.segments[-1].end_ms <= info.duration_ms + 1000


# --- segments -------------------------------------------------------------------------------------------------------


def test_segments_are_in_order_with_integer_milliseconds(recorded):
    assert len(recorded.segments) >= 2, "the media file must have at least two segments, or this test shows nothing"
    clock = 0
    for segment in recorded.segments:
        assert isinstance(segment, Segment)
        assert type(segment.start_ms) is int
        assert type(segment.end_ms) is int
        assert clock <= segment.start_ms < segment.end_ms
        assert segment.text.strip()
        assert segment.language is None or LANGUAGE.fullmatch(segment.language)
        clock = segment.end_ms


def test_segments_can_be_written(recorded):
    assert render_srt(recorded.segments).count("-->") == len(recorded.segments)


def test_the_host_finds_nothing_to_object_to(case, recorded):
    try:
        transcript = case.host.generate(SubtitleRequest(media=recorded.media), backend=case.backend.name)
        assert list(transcript) == recorded.segments
        assert (transcript.language, transcript.duration_ms) == (recorded.language, recorded.duration_ms)
        assert all(isinstance(name, str) for name in transcript.statistics)
    except ContractViolationError as error:
        pytest.fail(str(error))


def test_language(recorded):
    assert recorded.language is None or LANGUAGE.fullmatch(recorded.language)


def test_the_same_result_in_another_thread_and_under_an_odd_name(case, recorded, tmp_path):
    media = case.make_media(tmp_path, "%d 'film' & Größe 字 [1080p]")
    result = []
    thread = threading.Thread(target=lambda: result.extend(case.generate(RecordingEvents(), media=media)))
    thread.start()
    thread.join(300)
    assert not thread.is_alive()
    expected = [segment.text.replace("film", "?") for segment in recorded.segments]
    assert [(one.start_ms, one.end_ms) for one in result] == [(one.start_ms, one.end_ms) for one in recorded.segments]
    assert [one.text.replace(media.stem, "?") for one in result] == expected


def test_partial_segments_come_before_the_iterator_yields_them(case, recorded):
    if "partial-segments" not in case.backend.info.capabilities:
        pytest.skip("the backend does not report partial segments")
    assert recorded.events.segments == recorded.segments
    assert all(seen > index for index, seen in enumerate(recorded.seen_when_yielded))


def test_a_time_range_is_kept_to(case, recorded):
    if "range" not in case.backend.info.capabilities:
        pytest.skip("the backend does not work on parts of a file")
    start_ms = recorded.segments[1].start_ms - 100
    transcript = case.generate(RecordingEvents(), media=recorded.media, start_ms=start_ms, duration_ms=3000)
    for segment in transcript:
        assert start_ms <= segment.start_ms < start_ms + 3000


# --- progress -------------------------------------------------------------------------------------------------------


def test_progress_never_goes_back_and_ends_at_the_total(recorded):
    stages = defaultdict(list)
    for report in recorded.events.progress_reports:
        assert type(report.done_ms) is int
        assert report.total_ms is None or 0 <= report.done_ms <= report.total_ms
        stages[report.stage].append(report)
    assert stages, "no progress was reported"
    for stage, reports in stages.items():
        assert stage
        done = [report.done_ms for report in reports]
        assert done == sorted(done), stage
        assert reports[-1].total_ms in (None, reports[-1].done_ms), stage


# --- stopping -------------------------------------------------------------------------------------------------------


def test_cancelled_is_asked_at_least_once_a_second(recorded):
    checks = recorded.events.cancel_checks
    assert len(checks) > 1, "cancelled() was never asked"
    assert max(later - earlier for earlier, later in itertools.pairwise(checks)) < 1 + SLACK_S


@pytest.mark.parametrize("after", ["at once", "first progress"])
def test_cancelling_raises_soon(case, recorded, after):
    class Stopper(RecordingEvents):
        asked_at = time.monotonic() if after == "at once" else None

        def progress(self, progress):
            if self.asked_at is None:
                self.asked_at = time.monotonic()

        def cancelled(self):
            return self.asked_at is not None

    events = Stopper()
    with pytest.raises(CancelledError):
        list(case.generate(events, media=recorded.media))
    assert events.asked_at is not None
    if after == "first progress":
        assert time.monotonic() - events.asked_at < 1 + SLACK_S


def test_a_transcript_can_be_closed_early_and_twice(case, recorded):
    transcript = case.generate(RecordingEvents(), media=recorded.media)
    assert isinstance(transcript, Transcript)
    assert next(transcript) == recorded.segments[0]
    transcript.close()
    transcript.close()
    assert list(transcript) == []
    case.generate(RecordingEvents(), media=recorded.media).close()


# --- errors ---------------------------------------------------------------------------------------------------------


def outcome(case, **request):
    """Probe and work, as a host does; errors may come from either call or from the iteration."""
    case.probe(**request)
    return list(case.generate(RecordingEvents(), **request))


def test_files_that_are_none(case, tmp_path):
    (tmp_path / "empty.mkv").touch()
    for path, error in [
        (tmp_path / "gone.mkv", MediaNotFoundError),
        (tmp_path, MediaIsDirectoryError),
        (tmp_path / "empty.mkv", MediaEmptyError),
    ]:
        with pytest.raises(error) as caught:
            case.probe(media=path)
        assert str(path) in str(caught.value)
        with pytest.raises(error):
            list(case.generate(RecordingEvents(), media=path))


def test_a_file_that_is_not_media_is_a_media_error(case, tmp_path):
    if not case.judges_media:
        pytest.skip("the backend does not look into the file")
    media = case.make_media(tmp_path, "film")
    media.write_text("This is a letter, not a film.\n" * 100, encoding="utf-8")
    with pytest.raises(MediaError) as caught:
        outcome(case, media=media)
    assert caught.value.hint


def test_unknown_options_are_refused(case, recorded):
    with pytest.raises(RequestError, match="no-such-option"):
        outcome(case, media=recorded.media, options={"no-such-option": "1"})


# --- manners --------------------------------------------------------------------------------------------------------


def test_nothing_goes_to_standard_output(recorded):
    assert recorded.stdout == ""


def test_surroundings_stay_as_they_are(recorded):
    assert recorded.after == recorded.before
