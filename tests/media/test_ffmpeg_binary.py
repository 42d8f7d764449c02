# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from qwen_asr_plugin.errors import FfmpegError, FfmpegNotFoundError
from qwen_asr_plugin.media import FfmpegTools, find_ffmpeg, probe
from qwen_asr_plugin.media.command import demuxers

SUFFIX = ".exe" if os.name == "nt" else ""


@pytest.fixture
def no_ffmpeg(monkeypatch, tmp_path):
    monkeypatch.delenv("QWEN_ASR_FFMPEG", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))


def program(folder, name):
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}{SUFFIX}"
    path.write_bytes(b"")
    path.chmod(0o755)
    return path


def test_the_wheel_is_the_last_resort(no_ffmpeg):
    tools = find_ffmpeg()
    assert tools.ffmpeg.is_file()
    assert tools.ffmpeg.is_absolute()
    assert tools.ffprobe is None
    assert "imageio-ffmpeg" in tools.source


def test_path_wins_over_the_wheel_and_brings_its_ffprobe(no_ffmpeg, monkeypatch, tmp_path):
    ffmpeg, ffprobe = program(tmp_path / "bin", "ffmpeg"), program(tmp_path / "bin", "ffprobe")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert find_ffmpeg() == FfmpegTools(ffmpeg=ffmpeg, ffprobe=ffprobe, source="PATH")


def test_the_setting_wins_over_path_and_a_foreign_ffprobe_is_not_used(no_ffmpeg, monkeypatch, tmp_path):
    program(tmp_path / "bin", "ffmpeg")
    program(tmp_path / "bin", "ffprobe")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    own = program(tmp_path / "own", "my-ffmpeg")
    assert find_ffmpeg(own) == FfmpegTools(ffmpeg=own, ffprobe=None, source="the ffmpeg setting")
    monkeypatch.setenv("QWEN_ASR_FFMPEG", str(own))
    assert find_ffmpeg() == FfmpegTools(ffmpeg=own, ffprobe=None, source="$QWEN_ASR_FFMPEG")


def test_a_wrong_setting_is_an_error_and_not_passed_over(monkeypatch):
    monkeypatch.setenv("QWEN_ASR_FFMPEG", "/nowhere/ffmpeg")
    with pytest.raises(FfmpegNotFoundError, match=r"\$QWEN_ASR_FFMPEG is '/nowhere/ffmpeg'") as caught:
        find_ffmpeg()
    assert caught.value.code == 100


def test_nothing_anywhere_names_the_places_and_what_to_install(no_ffmpeg, monkeypatch):
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(FfmpegNotFoundError) as caught:
        find_ffmpeg()
    for word in ("QWEN_ASR_FFMPEG", "PATH", "pip install imageio-ffmpeg"):
        assert word in str(caught.value)


def test_formats_that_open_other_files_are_not_allowed(tools):
    allowed = set(demuxers(tools.ffmpeg))
    assert {"mov", "mp4", "matroska", "webm", "mp3", "wav", "flac", "ogg", "mpegts", "avi", "flv"} <= allowed
    assert not allowed & {"hls", "concat", "dash", "imf", "sdp", "rtsp", "lavfi", "image2", "vobsub", "v4l2", "x11grab"}
    assert "=" not in allowed


@pytest.mark.skipif(os.name == "nt", reason="a script stands in for a broken program")
def test_a_program_that_is_not_ffmpeg(tmp_path, wav):
    fake = tmp_path / "ffmpeg"
    fake.write_text("#!/bin/sh\necho hello\n")
    fake.chmod(0o755)
    with pytest.raises(FfmpegError, match="Is it really ffmpeg"):
        probe(wav(), FfmpegTools(ffmpeg=fake, ffprobe=None, source="test"))
    with pytest.raises(FfmpegError, match="cannot be started"):
        probe(wav(), FfmpegTools(ffmpeg=Path(tmp_path / "gone"), ffprobe=None, source="test"))
