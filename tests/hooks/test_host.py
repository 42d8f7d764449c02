# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest

from subtitle_hooks import (
    API_VERSION,
    AudioTrackInfo,
    BackendFailedError,
    BackendInfo,
    CancelledError,
    ContractViolationError,
    MediaDamagedError,
    MediaInfo,
    RequestError,
    Segment,
    SubtitleHost,
    SubtitleRequest,
    Transcript,
    hookimpl,
)
from subtitle_hooks.testing import FakeBackend, RecordingEvents

FILM = SubtitleRequest(media=Path("film.mkv"))


def cue(start_ms, end_ms, text="Hello.", **more):
    return Segment(start_ms=start_ms, end_ms=end_ms, text=text, **more)


class Plugin:
    """A plugin that answers what the test says."""

    def __init__(self, *infos, name="made", segments=(), answer=None, probe=None, error=None):
        self.infos = infos or (BackendInfo(name=name, version="1.0"),)
        self.name, self.segments, self.answer, self.probe, self.error = name, segments, answer, probe, error

    @hookimpl
    def subtitle_backends(self):
        return self.infos

    @hookimpl
    def probe_media(self, request):
        if self.error:
            raise self.error
        return self.probe

    @hookimpl
    def generate_subtitles(self, request):
        if self.error:
            raise self.error
        return self.answer or Transcript(backend=self.name, segments=self.segments)


def host_of(*plugins, **options):
    return SubtitleHost(discover=False, plugins=plugins, **options)


# --- descriptors ----------------------------------------------------------------------------------------------------


def info(**fields):
    return BackendInfo(**{"name": "made", "version": "1.0", **fields})


@pytest.mark.parametrize(
    ("descriptor", "reason"),
    [
        ("made", "instead of a BackendInfo"),
        (info(name="Made"), "'Made'"),
        (info(name="made--x"), "single hyphens"),
        (info(name=""), "lower-case"),
        (info(name=None), "None"),
        (info(version=" "), "as its version"),
        (info(api_version="1"), "instead of a number"),
        (info(api_version=True), "instead of a number"),
        (info(summary="two\nlines"), "one line"),
        (info(languages=["en"]), "tuple of ISO 639"),
        (info(languages=("English",)), "tuple of ISO 639"),
        (info(capabilities={"range"}), "frozenset"),
        (info(media=("mp4",)), "MIME"),
    ],
)
def test_a_bad_descriptor_is_left_out_and_its_owner_named(descriptor, reason):
    host = host_of(Plugin(descriptor), FakeBackend())
    assert [backend.name for backend in host.backends()] == ["fake"]
    (broken,) = host.broken
    assert isinstance(broken.error, ContractViolationError)
    assert reason in str(broken.error)
    assert "Plugin" in str(broken.error) or broken.entry_point in str(broken.error)
    with pytest.raises(ContractViolationError):
        host_of(Plugin(descriptor), strict=True).backends()


@pytest.mark.parametrize(
    ("version", "advice"), [(API_VERSION + 1, "Upgrade subtitle-hooks"), (0, "Upgrade the plugin")]
)
def test_another_contract_version_is_refused_with_both_versions(version, advice):
    (broken,) = host_of(Plugin(info(api_version=version))).broken
    assert f"version {version} of" in str(broken.error)
    assert f"speaks version {API_VERSION}" in str(broken.error)
    assert advice in str(broken.error)


@pytest.mark.parametrize("failure", [RuntimeError("boom"), SystemExit(3)])
def test_a_failing_descriptor_hook_is_recorded(failure):
    class Failing(Plugin):
        @hookimpl
        def subtitle_backends(self):
            yield info()
            raise failure

    host = host_of(Failing(), FakeBackend())
    assert [backend.name for backend in host.backends()] == ["fake"]
    (broken,) = host.broken
    assert isinstance(broken.error, BackendFailedError)
    assert broken.error.__cause__ is failure


def test_a_backend_without_the_work_is_refused():
    class Talker:
        @hookimpl
        def subtitle_backends(self):
            yield info()

    (broken,) = host_of(Talker()).broken
    assert "does not implement probe_media" in str(broken.error)


# --- requests -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields",
    [
        {"media": "film.mkv"},
        {"start_ms": -1},
        {"start_ms": 1.5},
        {"duration_ms": 0},
        {"duration_ms": True},
        {"track": -1},
        {"options": ["x"]},
        {"start_at_ms": -1},
        {"start_at_ms": 1.5},
        {"start_ms": 5000, "start_at_ms": 4999},
        {"start_ms": 5000, "duration_ms": 1000, "start_at_ms": 6000},
    ],
)
def test_impossible_requests_are_refused_before_the_backend_sees_them(fields):
    plugin = FakeBackend(error=AssertionError("the backend was asked"))
    with pytest.raises(RequestError):
        host_of(plugin).generate(SubtitleRequest(**{"media": Path("film.mkv"), **fields}))


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"start_ms": 5}, "part of a file"),
        ({"duration_ms": 5}, "part of a file"),
        ({"track": 0}, "audio track"),
        ({"track_language": "en"}, "audio track"),
    ],
)
def test_a_backend_is_not_asked_for_what_it_cannot_do(fields, reason):
    with pytest.raises(RequestError, match=f"'made'.*{reason}"):
        host_of(Plugin()).generate(SubtitleRequest(media=Path("film.mkv"), **fields))


def test_useless_context_is_a_warning():
    events = RecordingEvents()
    host_of(Plugin()).generate(SubtitleRequest(media=Path("film.mkv"), context="Totoro"), events)
    assert [level for level, _ in events.messages] == ["warning"]


# --- a place to start at --------------------------------------------------------------------------------------------

TURNED = [cue(6000, 7000), cue(8000, 9000), cue(1000, 2000), cue(3000, 6000)]


def turning(segments):
    return Plugin(BackendInfo(name="made", version="1.0", capabilities=frozenset({"start-at"})), segments=segments)


def test_the_segments_may_begin_anew_once():
    request = SubtitleRequest(media=Path("film.mkv"), start_at_ms=6000)
    assert list(host_of(turning(TURNED)).generate(request)) == TURNED
    in_order = sorted(TURNED, key=lambda one: one.start_ms)
    assert list(host_of(turning(in_order)).generate(request)) == in_order, "where nobody speaks after the place"


@pytest.mark.parametrize(
    ("segments", "reason"),
    [
        ([*TURNED[:3], cue(3000, 6001)], "segment 4 ends at 6001 ms, after the first one of all has started"),
        ([*TURNED, cue(2000, 2500)], "segment 5 starts at 2000 ms, before the one in front of it ends"),
        ([*TURNED[:3], cue(1500, 1700)], "segment 4 starts at 1500 ms, before the one in front of it ends"),
        ([*TURNED, cue(9500, 9900)], "segment 5 ends at 9900 ms, after the first one"),
        ([cue(6000, 7000), cue(6500, 8000)], "segment 2 ends at 8000 ms, after the first one"),
    ],
)
def test_no_other_disorder_is_let_through(segments, reason):
    request = SubtitleRequest(media=Path("film.mkv"), start_at_ms=6000)
    with pytest.raises(ContractViolationError, match=reason):
        list(host_of(turning(segments)).generate(request))


def test_without_a_place_the_segments_may_not_begin_anew():
    with pytest.raises(ContractViolationError, match="segment 3 starts at 1000 ms"):
        list(host_of(turning(TURNED)).generate(FILM))


def test_a_backend_that_cannot_is_not_told_of_the_place():
    asked = []

    class Curious(Plugin):
        @hookimpl
        def generate_subtitles(self, request):
            asked.append(request.start_at_ms)
            return Transcript(backend=self.name, segments=TURNED)

    events = RecordingEvents()
    request = SubtitleRequest(media=Path("film.mkv"), start_at_ms=6000)
    transcript = host_of(Curious()).generate(request, events)
    ((level, message),) = events.messages
    assert (level, asked) == ("warning", [0])
    assert "'made'" in message
    with pytest.raises(ContractViolationError, match="segment 3 starts at 1000 ms"):
        list(transcript)


# --- probing --------------------------------------------------------------------------------------------------------


def test_probe_passes_a_sound_answer_on(media):
    described = host_of(FakeBackend()).probe(SubtitleRequest(media=media))
    assert described.duration_ms == 10_000
    assert [track.index for track in described.tracks] == [0]


@pytest.mark.parametrize(
    "answer",
    [
        None,
        {"duration_ms": 5},
        MediaInfo(path="film.mkv"),
        MediaInfo(path=Path("film.mkv"), duration_ms=-1),
        MediaInfo(path=Path("film.mkv"), duration_ms=1.5),
        MediaInfo(path=Path("film.mkv"), container=None),
        MediaInfo(path=Path("film.mkv"), tracks=[AudioTrackInfo(index=0)]),
        MediaInfo(path=Path("film.mkv"), tracks=(AudioTrackInfo(index=1),)),
    ],
)
def test_a_bad_probe_is_a_violation(answer):
    with pytest.raises(ContractViolationError, match=r"film\.mkv: plugin '.*' \(registered by this program\)"):
        host_of(Plugin(probe=answer)).probe(FILM)


# --- transcripts ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("segments", "reason"),
    [
        (["Hello."], "segment 1 is 'Hello.'"),
        ([None], "segment 1 is None"),
        ([cue(0, 1), cue(1.0, 2)], "segment 2 has times 1.0 and 2"),
        ([cue(start_ms=0, end_ms=True)], "not integer milliseconds"),
        ([cue(-1, 5)], "starts at -1 ms"),
        ([cue(5, 5)], "ends at 5 ms"),
        ([cue(5, 4)], "ends at 4 ms"),
        ([cue(0, 10), cue(9, 20)], "before the one in front of it ends (10 ms)"),
        ([cue(10, 20), cue(0, 5)], "segment 2 starts at 0 ms"),
        ([cue(0, 1, " \n\t")], "shows nothing"),
        ([cue(0, 1, "\x07\ufeff")], "shows nothing"),
        ([cue(0, 1, None)], "None as its text"),
        ([cue(0, 1, language="English")], "not an ISO 639 code"),
    ],
)
def test_a_bad_segment_is_a_violation_when_it_arrives(segments, reason):
    closed = []

    def work():
        try:
            yield from segments
        finally:
            closed.append(True)

    transcript = host_of(Plugin(segments=work())).generate(FILM)
    with pytest.raises(ContractViolationError) as caught:
        list(transcript)
    assert reason in str(caught.value)
    assert "broke the subtitle contract" in str(caught.value)
    assert "film.mkv" in str(caught.value)
    assert closed == [True]


def test_touching_segments_are_fine():
    segments = [cue(0, 10), cue(10, 20, language="zh-Hant")]
    assert list(host_of(Plugin(segments=segments)).generate(FILM)) == segments


def test_the_guilty_distribution_is_named(good_site, good_plugin_code, media):
    good_site.install("sloppy", good_plugin_code.replace('"good"', '"sloppy"').replace("end_ms=900", "end_ms=0"))
    with pytest.raises(ContractViolationError, match=r"sloppy 1\.0 \(entry point 'sloppy'\)"):
        list(SubtitleHost().generate(SubtitleRequest(media=media), backend="sloppy"))


@pytest.mark.parametrize(
    "answer",
    [
        ["segments"],
        Transcript(backend="other", segments=()),
        Transcript(backend="made", segments=(), duration_ms=1.5),
    ],
)
def test_a_bad_transcript_is_a_violation(answer):
    with pytest.raises(ContractViolationError):
        host_of(Plugin(answer=answer)).generate(FILM)


def test_answering_none_for_ones_own_backend_is_a_violation():
    class Shy(Plugin):
        @hookimpl
        def generate_subtitles(self):
            return None

    with pytest.raises(ContractViolationError, match="answered None instead of a Transcript"):
        host_of(Shy()).generate(FILM)


def test_language_and_statistics_are_checked():
    def host(**fields):
        return host_of(Plugin(answer=Transcript(backend="made", segments=(), **fields)))

    with pytest.raises(ContractViolationError, match="'English'"):
        _ = host(language=lambda: "English").generate(FILM).language
    with pytest.raises(ContractViolationError, match="statistics"):
        _ = host(statistics=lambda: {"a": [1]}).generate(FILM).statistics
    sound = host(language=lambda: "yue", statistics=lambda: {"rtf": 0.4}).generate(FILM)
    assert sound.language == "yue"
    assert sound.statistics == {"rtf": 0.4}


# --- failures -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("failure", [ValueError("what?"), MemoryError(), SystemExit(1), KeyError("x")])
@pytest.mark.parametrize("when", ["hook", "iteration"])
def test_a_foreign_exception_is_wrapped_and_attributed(failure, when):
    def work():
        yield cue(0, 1)
        raise failure

    host = host_of(Plugin(error=failure) if when == "hook" else Plugin(segments=work()))
    with pytest.raises(BackendFailedError) as caught:
        list(host.generate(FILM))
    assert caught.value.__cause__ is failure
    assert type(failure).__name__ in str(caught.value)
    assert "registered by this program" in str(caught.value)
    assert caught.value.path == "film.mkv"


def test_errors_of_the_tree_and_ctrl_c_pass_unchanged():
    for failure in (MediaDamagedError("is cut off."), KeyboardInterrupt()):
        with pytest.raises(type(failure)) as caught:
            host_of(Plugin(error=failure)).generate(FILM)
        assert caught.value is failure


def test_cancelling_never_looks_like_a_complete_transcript():
    events = RecordingEvents()

    def work():
        yield cue(0, 1)
        if not events.cancelled():
            yield cue(1, 2)

    transcript = host_of(Plugin(segments=work())).generate(FILM, events)
    assert next(transcript) == cue(0, 1)
    events.cancel()
    with pytest.raises(CancelledError):
        next(transcript)
    with pytest.raises(CancelledError):
        next(transcript)


def test_closing_before_the_first_segment_reaches_the_backend():
    closed = []

    class Segments:
        def __iter__(self):
            return self

        def __next__(self):
            raise StopIteration

        def close(self):
            closed.append(True)

    with host_of(Plugin(segments=Segments())).generate(FILM):
        pass
    assert closed == [True]
