# SPDX-License-Identifier: Apache-2.0
"""Media through real pipes."""

import contextlib
import os
import subprocess
import threading
import time

import numpy as np
import pytest

from qwen_asr_plugin.media import PipedMedia, choose_track, open_audio, probe
from subtitle_hooks import MediaEmptyError, MediaFormatError, NoAudioError, RequestError


@pytest.fixture
def piped(tools):
    """Start ffmpeg with its output in a pipe and return the reading end."""
    started = []

    def start(*arguments, **options):
        command = [str(tools.ffmpeg), "-loglevel", "quiet", "-nostdin", *map(str, arguments), "-"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE)
        started.append(process)
        return PipedMedia(process.stdout.fileno(), **options)

    yield start
    for process in started:
        process.kill()
        process.stdout.close()
        process.wait()


def decoded(found, tools, **options):
    with open_audio(found, choose_track(found), tools, **options) as stream:
        blocks = list(stream)
        return np.concatenate(blocks) if blocks else np.zeros(0, np.float32), stream


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        (("-c", "copy", "-f", "matroska"), {}),
        (("-f", "wav"), {}),
        (("-f", "flac"), {}),
        (("-ac", "2", "-ar", "44100", "-f", "s16le"), {"raw_rate_hz": 44_100, "raw_channels": 2}),
    ],
    ids=["mkv", "wav", "flac", "raw"],
)
def test_the_same_samples_as_from_the_file(arguments, options, media, piped, tools, onsets):
    file = media("mkv")
    found = piped("-i", file, *arguments, **options).probe(tools)
    samples, stream = decoded(found, tools)
    expected, _ = decoded(probe(file, tools), tools)
    assert stream.warnings == ()
    assert abs(len(samples) - len(expected)) < 400
    assert onsets(samples) == pytest.approx(onsets(expected), abs=0.002)


def test_a_part_of_a_pipe(media, piped, tools, onsets):
    found = piped("-i", media("mkv"), "-f", "wav").probe(tools)
    samples, stream = decoded(found, tools, start_ms=2_000, duration_ms=2_000)
    assert stream.start_ms == 2_000
    assert len(samples) == 32_000
    assert onsets(samples) == pytest.approx([0.5, 1.5], abs=0.01)


def test_samples_arrive_before_the_pipe_ends(tools, wav):
    reading, writing = os.pipe()
    data = wav(16_000, 1).read_bytes()
    done = threading.Event()

    def write():
        head, rest = data[:44], data[44:]
        os.write(writing, head.replace(len(rest).to_bytes(4, "little"), b"\xff\xff\xff\xff"))
        for _ in range(8):  # 48 s, then nothing more until told
            sent = 0
            while sent < len(rest):
                sent += os.write(writing, rest[sent:])
        done.wait(30)
        os.close(writing)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        found = PipedMedia(reading).probe(tools)
        with open_audio(found, found.tracks[0], tools) as stream:
            for _ in range(40):
                assert len(next(stream)) == 16_000
            assert not done.is_set()
            done.set()
            assert sum(map(len, stream)) == 8 * 16_000
            assert stream.warnings == ()
    finally:
        done.set()
        writer.join()
        os.close(reading)


def test_a_pipe_is_read_no_faster_than_it_is_used(tools):
    reading, writing = os.pipe()
    written = 0
    stop = threading.Event()

    def write():
        nonlocal written
        block = bytes(64_000)
        with contextlib.suppress(OSError):  # the reader has gone
            while not stop.is_set():
                written += os.write(writing, block)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        found = PipedMedia(reading, raw_rate_hz=16_000).probe(tools)
        with open_audio(found, found.tracks[0], tools) as stream:
            for _ in range(5):
                next(stream)
            time.sleep(1)
            assert written < 16 * 1024 * 1024
    finally:
        stop.set()
        os.close(reading)
        writer.join()
        os.close(writing)


def test_an_mp4_with_its_index_last_is_explained(media, tools, run_ffmpeg, tmp_path):
    late, early = tmp_path / "late.mp4", tmp_path / "early.mp4"
    run_ffmpeg("-i", media("mp4"), "-c", "copy", late)
    run_ffmpeg("-i", media("mp4"), "-c", "copy", "-movflags", "+faststart", early)
    with late.open("rb") as file, pytest.raises(MediaFormatError, match="index behind the sound") as caught:
        PipedMedia(file.fileno()).probe(tools)
    assert "faststart" in caught.value.hint
    with early.open("rb") as file:
        samples, _ = decoded(PipedMedia(file.fileno()).probe(tools), tools)
    assert len(samples) == pytest.approx(96_000, abs=1_500)


def test_a_fragmented_mp4_does_not_say_how_long_it_is(media, piped, tools):
    found = piped("-i", media("mp4"), "-c", "copy", "-movflags", "frag_keyframe+empty_moov", "-f", "mp4").probe(tools)
    assert found.duration_ms is None
    assert len(decoded(found, tools)[0]) == pytest.approx(96_000, abs=1_500)


@pytest.mark.parametrize(
    ("content", "error"),
    [(b"", MediaEmptyError), (b"no media at all\n" * 50, MediaFormatError), (bytes(100_000), MediaFormatError)],
)
def test_what_is_no_media(content, error, tools, tmp_path):
    (tmp_path / "x").write_bytes(content)
    with (tmp_path / "x").open("rb") as file, pytest.raises(error, match="standard input"):
        PipedMedia(file.fileno()).probe(tools)


def test_a_picture_without_sound(piped, tools):
    with pytest.raises(NoAudioError):
        piped("-f", "lavfi", "-i", "testsrc=s=64x64:d=1", "-c:v", "mpeg4", "-f", "matroska").probe(tools)


def test_a_play_list_opens_nothing(media, tools, tmp_path):
    (tmp_path / "x.m3u8").write_text(f"#EXTM3U\n#EXTINF:6,\n{media('mp4')}\n#EXT-X-ENDLIST\n", encoding="utf-8")
    with (tmp_path / "x.m3u8").open("rb") as file, pytest.raises(MediaFormatError):
        PipedMedia(file.fileno()).probe(tools)


@pytest.mark.parametrize("options", [{"raw_rate_hz": 0}, {"raw_rate_hz": 16_000, "raw_channels": 0}])
def test_impossible_raw_formats(options):
    with pytest.raises(RequestError):
        PipedMedia(0, **options)
