# SPDX-License-Identifier: Apache-2.0
"""Fixtures for the media room: the ffmpeg of the wheel, and media files made with it.

The sound in all of them is six beeps of rising pitch that start at 0.5, 1.5 ... 5.5 s of a 6 s recording.
"""

from __future__ import annotations

import shutil
import subprocess
import wave
from collections.abc import Callable
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import numpy.typing as npt
import pytest

from qwen_asr_plugin.media import FfmpegTools


@pytest.fixture(scope="session")
def tools() -> FfmpegTools:
    """The ffmpeg of the imageio-ffmpeg wheel, without ffprobe, whatever else is installed."""
    return FfmpegTools(ffmpeg=Path(imageio_ffmpeg.get_ffmpeg_exe()).absolute(), ffprobe=None, source="test")


@pytest.fixture(scope="session")
def run_ffmpeg(tools: FfmpegTools) -> Callable[..., None]:
    def run(*arguments: str | Path) -> None:
        command = [str(tools.ffmpeg), "-hide_banner", "-nostdin", "-loglevel", "error", "-y", *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()

    return run


@pytest.fixture(scope="session")
def beeps() -> Callable[[int, int], npt.NDArray[np.int16]]:
    def make(rate: int, channels: int) -> npt.NDArray[np.int16]:
        sound = np.zeros(6 * rate)
        t = np.arange(rate // 20) / rate
        for number in range(6):
            first = round((number + 0.5) * rate)
            sound[first : first + t.size] = 0.5 * np.sin(2 * np.pi * (600 + 150 * number) * t) * np.exp(-t / 0.0125)
        return np.repeat(np.round(sound * 32767).astype(np.int16)[:, None], channels, axis=1)

    return make


@pytest.fixture(scope="session")
def wav(tmp_path_factory, beeps) -> Callable[..., Path]:
    folder = tmp_path_factory.mktemp("wav")

    def make(rate: int = 48_000, channels: int = 2) -> Path:
        path = folder / f"{rate}-{channels}.wav"
        if not path.exists():
            with wave.open(str(path), "wb") as file:
                file.setnchannels(channels)
                file.setsampwidth(2)
                file.setframerate(rate)
                file.writeframes(beeps(rate, channels).tobytes())
        return path

    return make


@pytest.fixture(scope="session")
def media(tmp_path_factory, run_ffmpeg, wav) -> Callable[..., Path]:
    """Make a media file once: ``media("mp4", delay=4, video=True)``."""
    folder = tmp_path_factory.mktemp("media")
    audio_codecs = {"webm": "libopus", "ogg": "libopus", "ogv": "libvorbis", "mpg": "mp2", "mp3": "libmp3lame"}
    video_codecs = {"webm": "libvpx", "ogv": "libtheora", "mpg": "mpeg2video", "flv": "flv"}

    def make(extension: str, *, delay: float = 0, video: bool = False, options: tuple[str, ...] = ()) -> Path:
        path = folder / f"{delay}-{video}-{abs(hash(options))}.{extension}"
        if path.exists():
            return path
        codec = audio_codecs.get(extension)
        sound = ["-itsoffset", str(delay), "-i", wav()]
        audio = ["-c:a", codec or ("flac" if extension == "flac" else "aac")]
        if video:
            picture = ["-f", "lavfi", "-i", "testsrc=s=64x64:r=25:d=10"]
            pixels = ["-c:v", video_codecs.get(extension, "mpeg4"), "-map", "0:v", "-map", "1:a", "-t", "10"]
            run_ffmpeg(*picture, *sound, *pixels, *audio, *options, path)
        else:
            run_ffmpeg(*sound, *audio, *options, path)
        return path

    return make


@pytest.fixture(scope="session")
def onsets() -> Callable[[npt.NDArray[np.float32]], list[float]]:
    """Return the times, in seconds, at which beeps start."""

    def find(samples: npt.NDArray[np.float32]) -> list[float]:
        loud = np.flatnonzero(np.abs(samples) > 0.03)
        return [at / 16_000 for at in np.split(loud, np.flatnonzero(np.diff(loud) > 4_000) + 1) for at in at[:1]]

    return find


@pytest.fixture
def installed_ffprobe() -> Path:
    program = shutil.which("ffprobe")
    if program is None:
        pytest.skip("no ffprobe on PATH")
    return Path(program)
