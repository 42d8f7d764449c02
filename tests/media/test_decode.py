# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses
import itertools
import os
import threading
import tracemalloc

import numpy as np
import psutil
import pytest

from qwen_asr_plugin.errors import FfmpegError
from qwen_asr_plugin.media import choose_track, open_audio, probe
from subtitle_hooks import MediaDamagedError, RequestError

BEEPS = [0.5, 1.5, 2.5, 3.5, 4.5, 5.5]


@pytest.fixture
def decode(tools):
    def run(path, **options):
        found = probe(path, tools)
        with open_audio(found, choose_track(found, index=options.pop("index", None)), tools, **options) as stream:
            blocks = list(stream)
        assert all(block.dtype == np.float32 and block.ndim == 1 and block.size <= 16_000 for block in blocks)
        assert all(block.size == 16_000 for block in blocks[:-1])
        return stream, np.concatenate([np.zeros(0, np.float32), *blocks])

    return run


@pytest.fixture
def beep_times(decode, onsets):
    def run(path, **options):
        stream, samples = decode(path, **options)
        return [stream.start_ms / 1000 + at for at in onsets(samples)]

    return run


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000])
@pytest.mark.parametrize("channels", [1, 2])
def test_pcm_of_any_rate_is_resampled_and_averaged(decode, wav, beeps, rate, channels):
    stream, samples = decode(wav(rate, channels))
    assert (stream.start_ms, stream.decoded_ms, stream.warnings) == (0, 6_000, ())
    source = beeps(rate, 1)[:, 0] / 32768
    wanted = np.interp(np.arange(len(samples)) / 16_000, np.arange(len(source)) / rate, source)
    lags = range(-20, 21)
    products = [np.dot(np.roll(samples, lag), wanted) for lag in lags]
    assert abs(lags[int(np.argmax(products))]) <= 2, "shifted in time"
    assert max(products) / np.dot(wanted, wanted) == pytest.approx(1, abs=0.1), "level changed"


def test_channels_are_averaged_not_summed(decode, tmp_path, run_ffmpeg):
    path = tmp_path / "two.wav"
    run_ffmpeg("-f", "lavfi", "-i", "aevalsrc=0.8|-0.4:d=1:s=16000", path)
    _, samples = decode(path)
    assert samples[4_000:12_000] == pytest.approx(0.2, abs=0.001)


@pytest.mark.parametrize("extension", ["mp4", "m4a", "mov", "mkv", "webm", "mp3", "ogg", "flac", "mka"])
def test_encoder_delay_does_not_shift_the_clock(beep_times, media, extension):
    assert beep_times(media(extension)) == pytest.approx(BEEPS, abs=0.005)


@pytest.mark.parametrize("extension", ["ts", "flv", "avi"])
def test_formats_that_cannot_mark_encoder_delay_shift_by_one_aac_frame_at_most(beep_times, media, extension):
    assert beep_times(media(extension)) == pytest.approx(BEEPS, abs=0.03)


@pytest.mark.parametrize("extension", ["mp4", "mov", "mkv", "webm", "ts", "mpg", "ogv", "flv", "nut"])
@pytest.mark.parametrize("start_ms", [0, 1_000, 5_200])
def test_audio_that_starts_late_beside_video(beep_times, media, extension, start_ms):
    wanted = [at + 4 for at in BEEPS if at + 4 > start_ms / 1000]
    assert beep_times(media(extension, delay=4, video=True), start_ms=start_ms) == pytest.approx(wanted, abs=0.005)


@pytest.mark.parametrize("extension", ["mp4", "m4a", "mov", "mkv", "mka", "webm"])
@pytest.mark.parametrize("start_ms", [0, 2_000, 5_200])
def test_audio_that_starts_late_on_its_own(beep_times, decode, media, extension, start_ms):
    path = media(extension, delay=4)
    wanted = [at + 4 for at in BEEPS if at + 4 > start_ms / 1000]
    assert beep_times(path, start_ms=start_ms) == pytest.approx(wanted, abs=0.005)
    stream, _ = decode(path, start_ms=start_ms)
    assert stream.start_ms == max(start_ms, stream.start_ms)
    assert start_ms > 4_000 or stream.start_ms == pytest.approx(4_000, abs=25)


@pytest.mark.parametrize("extension", ["ts", "ogg", "flv"])
def test_an_arbitrary_origin_is_the_first_time_stamp(beep_times, media, extension):
    assert beep_times(media(extension, delay=4)) == pytest.approx(BEEPS, abs=0.03)


@pytest.mark.parametrize("extension", ["mp4", "mkv", "mp3", "ogg", "flac", "ts"])
def test_a_range_is_cut_exactly(decode, onsets, media, extension):
    stream, samples = decode(media(extension), start_ms=1_700, duration_ms=2_250)
    assert (stream.start_ms, stream.decoded_ms, len(samples)) == (1_700, 2_250, 36_000)
    assert stream.warnings == ()
    assert [1.7 + at for at in onsets(samples)] == pytest.approx([2.5, 3.5], abs=0.03)


def test_a_range_before_late_audio_is_silent(decode, media):
    stream, samples = decode(media("mp4", delay=4, video=True), start_ms=1_000, duration_ms=2_000)
    assert (stream.start_ms, len(samples)) == (1_000, 32_000)
    assert not samples.any()
    stream, samples = decode(media("mka", delay=4), start_ms=1_000, duration_ms=2_000)
    assert len(samples) == 0


def test_a_gap_inside_is_kept(beep_times, tmp_path, run_ffmpeg, wav):
    """Packets from 2.2 to 3.8 s are dropped, their time stamps stay."""
    path = tmp_path / "gap.mkv"
    select = "aselect='lt(t,2.2)+gt(t,3.8)'"
    run_ffmpeg("-i", wav(), "-af", select, "-c:a", "pcm_s16le", path)
    assert beep_times(path) == pytest.approx([0.5, 1.5, 4.5, 5.5], abs=0.005)


def test_the_track_asked_for_is_decoded(decode, tmp_path, run_ffmpeg, wav):
    path = tmp_path / "two.mkv"
    quiet = ["-f", "lavfi", "-i", "anullsrc=r=48000:d=6"]
    run_ffmpeg(*quiet, "-i", wav(), "-map", "0:a", "-map", "1:a", "-c:a", "flac", path)
    assert not decode(path, index=0)[1].any()
    assert decode(path, index=1)[1].any()


@pytest.mark.parametrize("options", [{"start_ms": -1}, {"duration_ms": 0}, {"duration_ms": -5}, {"start_ms": 6_001}])
def test_impossible_ranges(decode, wav, options):
    with pytest.raises(RequestError):
        decode(wav(), **options)


def test_a_start_after_the_end_of_media_of_unknown_length(media, tools):
    found = dataclasses.replace(probe(media("flac"), tools), duration_ms=None)
    with open_audio(found, found.tracks[0], tools, start_ms=9_000) as stream, pytest.raises(RequestError):
        list(stream)


@pytest.mark.parametrize(
    ("extension", "options", "video"),
    [
        ("mp4", ("-movflags", "+faststart"), False),
        ("mp4", ("-movflags", "+faststart"), True),
        ("mkv", (), False),
        ("mkv", (), True),
        ("flac", (), False),
        ("mp3", (), False),
    ],
)
def test_a_cut_off_file_gives_what_it_has_and_then_says_so(tmp_path, media, tools, extension, options, video):
    whole = media(extension, options=options, video=video).read_bytes()
    path = tmp_path / f"cut.{extension}"
    path.write_bytes(whole[: int(len(whole) * 0.6)])
    found = probe(path, tools)
    with open_audio(found, found.tracks[0], tools) as stream:
        blocks = []
        with pytest.raises(MediaDamagedError, match=r"can be decoded until 0:00:0\d\.\d+ of 0:00:"):
            blocks.extend(iter(stream))
        assert stream.decoded_ms > 0
    with open_audio(found, found.tracks[0], tools, allow_damaged=True) as stream:
        assert [block.size for block in stream] == [block.size for block in blocks]
    assert "cut off" in stream.warnings[0]


def test_a_cut_off_wav_is_noticed_and_an_open_ended_one_is_not(tmp_path, wav, tools, decode):
    whole = wav(16_000, 1).read_bytes()
    (tmp_path / "cut.wav").write_bytes(whole[:99_001])
    with pytest.raises(MediaDamagedError):
        decode(tmp_path / "cut.wav")
    for length in (b"\xff\xff\xff\xff", b"\0\0\0\x80", b"\xff\xff\xff\x7f"):
        header = whole[:4] + length + whole[8:40] + length
        (tmp_path / "open.wav").write_bytes(header + whole[44:])
        stream, _ = decode(tmp_path / "open.wav")
        assert stream.decoded_ms == 6_000


def test_a_corrupt_stretch_is_a_warning(tmp_path, media, decode):
    content = bytearray(media("mkv", video=False, options=("-c:a", "libmp3lame")).read_bytes())
    middle = len(content) // 2
    content[middle : middle + 3_000] = np.random.default_rng(1).bytes(3_000)
    path = tmp_path / "corrupt.mkv"
    path.write_bytes(content)
    stream, samples = decode(path)
    assert len(samples) == pytest.approx(96_000, abs=1_000)
    assert stream.warnings


def test_short_audio_beside_long_video_is_fine(decode, media):
    stream, _ = decode(media("mp4", video=True))
    assert stream.warnings == ()
    assert stream.decoded_ms == pytest.approx(6_000, abs=50)


def test_closing_in_mid_stream_ends_the_process(tmp_path, run_ffmpeg, tools):
    path = tmp_path / "long.flac"
    run_ffmpeg("-f", "lavfi", "-i", "anoisesrc=d=120:r=16000", path)
    found = probe(path, tools)
    threads = threading.active_count()
    with open_audio(found, found.tracks[0], tools) as stream:
        next(stream)
        process = psutil.Process(stream._process.pid)
        assert process.is_running()
    assert not process.is_running()
    assert threading.active_count() == threads
    assert list(stream) == []
    stream.close()


def test_memory_does_not_grow(tmp_path, run_ffmpeg, tools):
    path = tmp_path / "long.flac"
    run_ffmpeg("-f", "lavfi", "-i", "sine=d=600:r=16000", path)
    found = probe(path, tools)
    tracemalloc.start()
    with open_audio(found, found.tracks[0], tools) as stream:
        assert sum(block.size for block in stream) == 600 * 16_000
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2_000_000


@pytest.mark.skipif(os.name == "nt", reason="a script stands in for a small build of ffmpeg")
def test_a_missing_decoder_is_the_programs_fault(tmp_path, wav, tools):
    script = tmp_path / "ffmpeg"
    script.write_text(
        f'#!/bin/sh\ncase "$*" in *-demuxers*) exec "{tools.ffmpeg}" "$@";; esac\n'
        "echo '[error] Decoding requested, but no decoder found for: 12' >&2\nexit 1\n"
    )
    script.chmod(0o755)
    found = probe(wav(), tools)
    small = dataclasses.replace(tools, ffmpeg=script)
    with open_audio(found, found.tracks[0], small) as stream, pytest.raises(FfmpegError, match="no decoder"):
        list(stream)


def test_what_is_heard_does_not_depend_on_where_decoding_starts(decode, wav):
    _, whole = decode(wav(16_000, 1))
    for start_ms, length_ms in itertools.product((0, 333, 2_000), (500, 1_001)):
        _, part = decode(wav(16_000, 1), start_ms=start_ms, duration_ms=length_ms)
        np.testing.assert_allclose(part, whole[start_ms * 16 : (start_ms + length_ms) * 16], atol=1e-6)
