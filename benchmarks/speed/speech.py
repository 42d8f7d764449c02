# SPDX-License-Identifier: Apache-2.0
"""The audio that all contenders get: real clips joined to one file of a given length."""

from __future__ import annotations

import subprocess
import wave
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks._common import SAMPLE
from qwen_asr_plugin.audio import find_chunks
from qwen_asr_plugin.media import SAMPLE_RATE_HZ, choose_track, find_ffmpeg, open_audio, probe

__all__ = ["Speech", "join_clips", "read_wave", "repeat"]

_SOUND = {".wav", ".flac", ".mp3", ".m4a", ".ogg", ".opus"}
_BLOCK = SAMPLE_RATE_HZ

Samples = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Speech:
    """One file.

    Attributes:
        path: 16 kHz mono, 16 bits, WAV.
        seconds: Its length.
        kept_seconds: What is left of it where silence is cut out as our pipeline does.
        source: What it is made of, in words.
    """

    path: Path
    seconds: float
    kept_seconds: float
    source: str


def join_clips(folder: Path | None, seconds: float, target: Path, *, chunk_seconds: float = 30.0) -> Speech:
    """Write clips one after another, from the first again after the last, until the file is long enough.

    Args:
        folder: Where the clips are; None is the speech of the repository's own sample video.
        seconds: Length of the file.
        target: File to write.
        chunk_seconds: Longest chunk, for `Speech.kept_seconds`.
    """
    clips = [SAMPLE] if folder is None else sorted(f for f in folder.iterdir() if f.suffix.lower() in _SOUND)
    if not clips:
        raise SystemExit(f"There are no sound files in the folder given with --speech ({', '.join(sorted(_SOUND))}).")
    wanted = int(seconds * SAMPLE_RATE_HZ)
    parts: list[Samples] = []
    while (have := sum(map(len, parts))) < wanted:
        for clip in clips:
            parts.append(_decode(clip))
            have += len(parts[-1])
            if have >= wanted:
                break
    samples = np.concatenate(parts)[:wanted]
    with wave.open(str(target), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE_HZ)
        file.writeframes(np.rint(np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    blocks: Iterator[Samples] = (samples[at : at + _BLOCK] for at in range(0, len(samples), _BLOCK))
    kept = sum(len(chunk.samples) for chunk in filter(None, find_chunks(blocks, start_ms=0, max_seconds=chunk_seconds)))
    used = min(len(clips), len(parts))
    source = "the sample video's speech, repeated" if folder is None else f"{used} clips of {folder.name}, repeated"
    return Speech(path=target, seconds=len(samples) / SAMPLE_RATE_HZ, kept_seconds=kept / SAMPLE_RATE_HZ, source=source)


def repeat(once: Path, seconds: float, target: Path) -> Path:
    """Write `once` over and over as FLAC of that length."""
    command = [str(find_ffmpeg(None).ffmpeg), "-hide_banner", "-nostdin", "-loglevel", "error", "-y"]
    command += ["-stream_loop", "-1", "-i", str(once), "-t", str(seconds), "-c:a", "flac", str(target)]
    subprocess.run(command, check=True)
    return target


def read_wave(path: Path) -> Samples:
    """Return a file of `join_clips` as float32 ``[n]``."""
    with wave.open(str(path), "rb") as file:
        data = file.readframes(file.getnframes())
    samples: Samples = np.frombuffer(data, "<i2").astype(np.float32) / np.float32(32768)
    return samples


def _decode(clip: Path) -> Samples:
    tools = find_ffmpeg(None)
    found = probe(clip, tools)
    with open_audio(found, choose_track(found), tools) as stream:
        return np.concatenate(list(stream))
