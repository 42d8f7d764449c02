# SPDX-License-Identifier: Apache-2.0
"""Media files for the tests, sound and broken, made on the spot."""

from __future__ import annotations

import array
import contextlib
import functools
import importlib
import math
import shutil
import subprocess
import sys
import tempfile
import wave
from pathlib import Path

__all__ = [
    "copy_media",
    "cut_video",
    "find_ffmpeg",
    "wav_duration_ms",
    "write_letter",
    "write_silent_video",
    "write_wav",
]

_RATE_HZ = 16000
_TONE_HZ = 400
_BURSTS = 4
_TONE_S = 2
_PAUSE_S = 1


def write_wav(folder: Path, stem: str) -> Path:
    """Write 12 s of 16 kHz mono 16-bit sound: four times a tone of two seconds and a pause of one."""
    period = _RATE_HZ // _TONE_HZ
    wave_form = array.array("h", (round(8000 * math.sin(2 * math.pi * step / period)) for step in range(period)))
    if sys.byteorder == "big":
        wave_form.byteswap()
    tone = wave_form.tobytes() * (_TONE_HZ * _TONE_S)
    path = folder / f"{stem}.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(_RATE_HZ)
        file.writeframes((tone + bytes(2 * _RATE_HZ * _PAUSE_S)) * _BURSTS)
    return path


def copy_media(media: Path, folder: Path, stem: str) -> Path:
    """Copy a file under another stem, and with it the files that differ from it in the suffix only."""
    for companion in media.parent.glob("*"):
        if companion.is_file() and companion.stem == media.stem:
            shutil.copyfile(companion, folder / f"{stem}{companion.suffix}")
    return folder / f"{stem}{media.suffix}"


def wav_duration_ms(path: Path) -> int | None:
    """Return how long a WAV file is, None for any other file."""
    with contextlib.suppress(wave.Error, EOFError, OSError), wave.open(str(path), "rb") as file:
        return file.getnframes() * 1000 // file.getframerate()
    return None


def write_letter(path: Path) -> None:
    """Put text where media was."""
    path.write_text("Dear reader,\nthis is a letter and no film at all.\n" * 100, encoding="utf-8")


def find_ffmpeg() -> str | None:
    """Return an ffmpeg that happens to be there: on the PATH, or in the wheel of imageio-ffmpeg."""
    found = shutil.which("ffmpeg")
    if found is None:
        with contextlib.suppress(ImportError, RuntimeError):
            found = str(importlib.import_module("imageio_ffmpeg").get_ffmpeg_exe())
    return found


def write_silent_video(ffmpeg: str, path: Path) -> None:
    """Make two seconds of film without any sound track."""
    path.write_bytes(_film(ffmpeg, "film.mkv", "-an"))


def cut_video(ffmpeg: str, path: Path) -> None:
    """Make an MP4 file whose second half, with the index of its contents, is missing."""
    sound = ("-f", "lavfi", "-i", "sine=frequency=440:duration=2", "-c:a", "aac", "-shortest")
    content = _film(ffmpeg, "film.mp4", *sound)
    path.write_bytes(content[: len(content) // 2])


@functools.lru_cache
def _film(ffmpeg: str, name: str, *arguments: str) -> bytes:
    picture = ("-f", "lavfi", "-i", "testsrc=size=64x48:rate=10:duration=2")
    command = [ffmpeg, "-hide_banner", "-loglevel", "error", "-nostdin", "-y", *picture, *arguments]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        subprocess.run([*command, str(path)], check=True, stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
        return path.read_bytes()
