# SPDX-License-Identifier: Apache-2.0
"""`SubtitleRequest.start_at_ms`: the place that the host wants to see comes first, and nothing is lost by it."""

from __future__ import annotations

import itertools

import pytest

from qwen_asr_plugin.position_first import ending_before
from subtitle_hooks import CancelledError, RequestError, Segment, SubtitleRequest, in_time_order
from subtitle_hooks.testing import RecordingEvents


def runs_of(segments):
    turns = [at for at in range(1, len(segments)) if segments[at].start_ms < segments[at - 1].start_ms]
    assert len(turns) <= 1
    return (segments[: turns[0]], segments[turns[0] :]) if turns else (segments, [])


def text_of(segments):
    return " ".join(segment.text for segment in segments)


@pytest.fixture(scope="module")
def ten_minutes(make_media, sample_video, tmp_path_factory):
    target = tmp_path_factory.mktemp("media") / "long.flac"
    return make_media("-stream_loop", "10", "-i", sample_video, "-vn", "-c:a", "flac", target)


@pytest.fixture(scope="module")
def in_order(subtitles, sample_video):
    return subtitles(sample_video)


@pytest.mark.parametrize("start_at_ms", range(9_500, 55_000, 6_500))
def test_wherever_the_place_is_nothing_is_lost_or_said_twice(
    start_at_ms, in_order, subtitles, sample_video, wrong_words
):
    segments = subtitles(sample_video, start_at_ms=start_at_ms)
    first, second = runs_of(segments)
    assert start_at_ms - 8000 <= first[0].start_ms
    assert second
    assert second[-1].end_ms <= first[0].start_ms
    assert wrong_words(text_of(in_order), text_of(second + first)) <= 0.08
    for one, following in itertools.pairwise(in_time_order(segments)):
        assert one.end_ms <= following.start_ms


def test_near_the_start_there_is_nothing_to_put_first(in_order, subtitles, sample_video):
    assert subtitles(sample_video, start_at_ms=7000) == in_order
    assert subtitles(sample_video, start_ms=20_000, start_at_ms=27_000) == subtitles(sample_video, start_ms=20_000)


def test_a_place_inside_a_range(subtitles, sample_video):
    segments = subtitles(sample_video, start_ms=10_000, duration_ms=30_000, start_at_ms=25_000)
    first, second = runs_of(segments)
    assert first[0].start_ms >= 17_000
    assert first[-1].start_ms < 40_000
    assert 10_000 <= second[0].start_ms < second[-1].end_ms <= first[0].start_ms


def test_the_same_segments_twice(subtitles, sample_video):
    assert subtitles(sample_video, start_at_ms=33_000) == subtitles(sample_video, start_at_ms=33_000)


def test_it_counts_as_one_piece_of_work(host, sample_video):
    found = []
    for start_at_ms in (0, 30_000):
        events = RecordingEvents()
        request = SubtitleRequest(media=sample_video, start_at_ms=start_at_ms)
        with host.generate(request, events, backend="qwen-asr") as transcript:
            assert list(transcript) == events.segments
        done = [(one.done_ms, one.total_ms) for one in events.progress_reports if one.stage == "recognize"]
        assert done == sorted(done)
        assert done[0] == (0, 55_000)
        assert done[-1] == (55_000, 55_000)
        found.append((transcript.language, transcript.duration_ms, dict(transcript.statistics), events.messages))
    (language, duration_ms, usual, messages), again = found
    assert (language, duration_ms, messages) == (again[0], again[1], again[3])
    assert again[2]["audio_seconds"] == pytest.approx(usual["audio_seconds"], abs=0.1)
    assert again[2]["speech_seconds"] == pytest.approx(usual["speech_seconds"], rel=0.05)
    assert again[2]["words"] == pytest.approx(usual["words"], rel=0.05)


def test_the_place_is_there_long_before_the_work_is_done(host, ten_minutes):
    events = RecordingEvents()
    with host.generate(SubtitleRequest(media=ten_minutes, start_at_ms=300_000), events, backend="qwen-asr") as work:
        segment = next(work)
        assert 292_000 <= segment.start_ms <= 310_000
        last = events.progress_reports[-1]
        assert last.done_ms < last.total_ms / 5


@pytest.mark.parametrize("after", [1, 8])
def test_cancelling_in_either_run(after, host, sample_video):
    """The first run from there has two or three cues."""
    events = RecordingEvents(cancel_after=after)
    with (
        host.generate(SubtitleRequest(media=sample_video, start_at_ms=48_000), events, backend="qwen-asr") as work,
        pytest.raises(CancelledError),
    ):
        list(work)
    first, second = runs_of(events.segments)
    assert bool(second) == (after == 8)
    assert first


def test_a_place_after_the_end_is_refused(host, sample_video):
    with pytest.raises(RequestError, match="ends at 55"):
        host.generate(SubtitleRequest(media=sample_video, start_at_ms=60_000), backend="qwen-asr")


def test_silence_from_the_place_on(subtitles, make_media, sample_video, tmp_path):
    media = make_media("-t", "14", "-i", sample_video, "-vn", "-af", "apad=pad_dur=20", tmp_path / "quiet.wav")
    segments = subtitles(media, start_at_ms=25_000)
    assert segments == in_time_order(segments)
    assert "such nice ideas" in text_of(segments).replace("\n", " ")


# --- the last cues of the second run ---


def cue(start_ms, end_ms):
    return Segment(start_ms=start_ms, end_ms=end_ms, text=f"{start_ms}")


@pytest.mark.parametrize(
    "cues",
    [
        [],
        [(0, 900), (1000, 9000)],
        [(0, 900), (1000, 9900), (9900, 10_400)],
        [(7000, 8000), (8083, 8916), (8999, 9832), (9915, 10_748), (10_831, 11_664)],
        [(500, 12_000)],
        [(0, 8000), (10_001, 10_834)],
    ],
)
def test_no_cue_reaches_into_the_run_that_came_first(cues):
    segments = [cue(*times) for times in cues]
    found = list(ending_before(iter(segments), 10_000))
    assert [one.text for one in found] == [one.text for one in segments]
    assert all(0 <= one.start_ms < one.end_ms <= 10_000 for one in found)
    assert all(one.end_ms <= following.start_ms for one, following in itertools.pairwise(found))
    untouched = [one for one in segments if one.end_ms <= 8000]
    assert found[: len(untouched)] == untouched
    if all(one.end_ms <= 10_000 for one in segments):
        assert found == segments
