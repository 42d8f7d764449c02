# SPDX-License-Identifier: Apache-2.0
"""Find the ffmpeg program, wherever it comes from."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from qwen_asr_plugin.errors import FfmpegNotFoundError

__all__ = ["FFMPEG_VARIABLE", "FfmpegTools", "find_ffmpeg"]

FFMPEG_VARIABLE: Final = "QWEN_ASR_FFMPEG"
"""Environment variable with the path of the ffmpeg program to use."""

_INSTALL: Final = (
    "Install ffmpeg (https://ffmpeg.org/download.html, or your system's package manager), or "
    "'pip install imageio-ffmpeg', which brings one."
)


@dataclass(frozen=True, kw_only=True)
class FfmpegTools:
    """The programs in use.

    Attributes:
        ffmpeg: Path of the ffmpeg program.
        ffprobe: Path of ffprobe from the same installation, None if there is none.
        source: Where ffmpeg was found, in words for logs.
    """

    ffmpeg: Path
    ffprobe: Path | None
    source: str


def find_ffmpeg(setting: str | os.PathLike[str] | None = None) -> FfmpegTools:
    """Find ffmpeg: the explicit setting, then ``PATH``, then the binary inside the ``imageio-ffmpeg`` wheel.

    Args:
        setting: Path or command name; without it the environment variable `FFMPEG_VARIABLE` counts.

    Raises:
        FfmpegNotFoundError: The explicit setting names no program (nothing else is tried then, because another
            ffmpeg than the one asked for would be a surprise), or there is none in the three places.
    """
    asked, source = (
        (os.fspath(setting), "the ffmpeg setting")
        if setting
        else (os.environ.get(FFMPEG_VARIABLE, ""), f"${FFMPEG_VARIABLE}")
    )
    if asked:
        program = shutil.which(Path(asked).expanduser())
        if program is None:
            raise FfmpegNotFoundError(
                f"{source} is {asked!r}, but there is no such program.", hint=f"Correct it or remove it. {_INSTALL}"
            )
        path = Path(program).absolute()
        return FfmpegTools(ffmpeg=path, ffprobe=_beside(path), source=source)
    program = shutil.which("ffmpeg")
    if program is not None:
        path = Path(program).absolute()
        ffprobe = _beside(path) or _on_path("ffprobe")
        return FfmpegTools(ffmpeg=path, ffprobe=ffprobe, source="PATH")
    bundled = _from_wheel()
    if bundled is not None:
        return FfmpegTools(ffmpeg=bundled, ffprobe=_beside(bundled), source="the imageio-ffmpeg wheel")
    raise FfmpegNotFoundError(
        f"There is no ffmpeg program: ${FFMPEG_VARIABLE} is not set, none is on PATH, and the imageio-ffmpeg "
        "package is not installed or has none for this system.",
        hint=_INSTALL,
    )


def _beside(ffmpeg: Path) -> Path | None:
    candidate = ffmpeg.with_name("ffprobe" + (".exe" if ffmpeg.suffix.lower() == ".exe" else ""))
    return candidate if candidate.is_file() and os.access(candidate, os.X_OK) else None


def _on_path(name: str) -> Path | None:
    program = shutil.which(name)
    return None if program is None else Path(program).absolute()


def _from_wheel() -> Path | None:
    try:
        import imageio_ffmpeg

        program = shutil.which(imageio_ffmpeg.get_ffmpeg_exe())
    except (ImportError, RuntimeError):
        return None
    return None if program is None else Path(program).absolute()
