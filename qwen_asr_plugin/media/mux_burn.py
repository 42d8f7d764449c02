# SPDX-License-Identifier: Apache-2.0
"""Draw subtitles into the picture of a copy of a media file."""

from __future__ import annotations

import functools
import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import ffmpeg

from qwen_asr_plugin.errors import FfmpegError
from qwen_asr_plugin.media.command import input_options, run
from qwen_asr_plugin.media.ffmpeg_binary import FfmpegTools
from qwen_asr_plugin.media.mux import (
    Container,
    SubtitleFile,
    check_subtitles,
    check_target,
    clock_options,
    container_of,
    copy_options,
    kept_streams,
)
from qwen_asr_plugin.media.mux_process import IN, OUT, write_media
from qwen_asr_plugin.media.stream_list import MediaStream, list_streams
from subtitle_hooks import MediaFormatError, RequestError, new_file

__all__ = ["burn_in", "check_burn_in"]

_FILTER: Final = re.compile(r"^ *[T.][S.]?[C.]? subtitles +V->V ", re.MULTILINE)
_DEEP: Final = re.compile(r"(?:p|p0)(?:10|12|14|16)(?:le|be)?$")
_HDR: Final = re.compile(r"smpte2084|arib-std-b67")


def check_burn_in(tools: FfmpegTools) -> None:
    """Make sure before the long work that this ffmpeg can draw subtitles.

    Raises:
        FfmpegError: It was built without libass.
    """
    if not _has_filter(tools.ffmpeg):
        raise FfmpegError(
            "This build of ffmpeg cannot draw subtitles: it lacks the filter 'subtitles' (libass).",
            path=tools.ffmpeg,
            hint="Install a complete ffmpeg, or use the one of the imageio-ffmpeg package.",
        )


def burn_in(
    video: Path,
    subtitles: SubtitleFile,
    target: Path,
    tools: FfmpegTools,
    *,
    overwrite: bool = False,
    replace_input: bool = False,
    on_progress: Callable[[int], None] = lambda _: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> list[str]:
    """Write a copy of a media file with subtitles drawn into its first video stream.

    That stream is encoded again: with VP9 in WebM, else with H.264, or HEVC Main 10 where the source has more than 8
    bits. Everything else is copied as `embed_subtitles` does.

    Args:
        video: The media file.
        subtitles: What to draw; of its attributes, only `path` counts.
        target: Where to write; its extension chooses the container. It appears in one step, when it is complete.
        tools: The ffmpeg in use.
        overwrite: Replace an existing `target`.
        replace_input: Allow `target` to be `video`.
        on_progress: Told how many milliseconds of media are written.
        cancelled: Asked about twice a second.

    Returns:
        Warnings for the user, such as characters for which there is no font.

    Raises:
        FfmpegError: This ffmpeg cannot draw subtitles.
        RequestError: The container cannot hold video of this kind.
        MediaError: One of the files cannot be read, or there is no video.
        OutputError: The result cannot be written.
        CancelledError: As asked.
    """
    container = container_of(target)
    check_burn_in(tools)
    check_target(video, target, overwrite=overwrite, replace_input=replace_input)
    check_subtitles(subtitles)
    found = list_streams(video, tools)
    picture = next((stream for stream in found.of("video") if not stream.attached_picture), None)
    if picture is None:
        raise MediaFormatError("has no moving picture to draw into.", path=video, hint="Use --embed, or the sidecar.")
    if target.suffix.lower() in (".mka", ".m4a"):
        raise RequestError(f"{target.suffix} is for sound only.", hint="Write an .mkv or .mp4.")
    kept, warnings = kept_streams(found, container, target)
    pictures = [stream for stream in found.streams if stream.attached_picture and stream not in kept]
    warnings += [f"The cover picture (stream {stream.index}) is left out." for stream in pictures]
    if _HDR.search(picture.color):
        warnings.append("The picture is HDR; players may show the subtitles very bright.")
    options = copy_options(found, kept, container, target, tools)
    options |= _encoding(picture, kept.index(picture), container)
    source = ffmpeg.input(IN.format(0), **input_options(tools))
    with tempfile.TemporaryDirectory(prefix="qwen-asr-") as scratch:
        # A name of our own, relative to the working folder: no character of it means anything to the filter.
        drawn = Path(scratch) / f"subtitles{subtitles.path.suffix.lower()}"
        shutil.copyfile(subtitles.path, drawn)
        options[f"filter:{kept.index(picture)}"] = f"subtitles={drawn.name}"
        output = ffmpeg.output(*(source[str(stream.index)] for stream in kept), OUT, **options)
        output = output.global_args(*clock_options(video, found))
        with new_file(target, overwrite=overwrite or replace_input) as temporary:
            warnings += write_media(
                output,
                tools=tools,
                inputs=[video.absolute()],
                target=temporary.absolute(),
                shown=target,
                folder=Path(scratch),
                on_progress=on_progress,
                cancelled=cancelled,
            )
            if target.exists():
                shutil.copymode(target, temporary)
    return warnings


def _encoding(picture: MediaStream, number: int, container: Container) -> dict[str, Any]:
    deep = _DEEP.search(picture.pixel_format) is not None
    if container.muxer == "webm":
        quality: dict[str, Any] = {"c": "libvpx-vp9", "crf": 30, "b": 0, "row-mt": 1}
        pixels = "yuv420p10le" if deep else "yuv420p"
    elif deep:
        quality, pixels = {"c": "libx265", "crf": 20, "preset": "medium", "tag": "hvc1"}, "yuv420p10le"
    else:
        quality, pixels = {"c": "libx264", "crf": 18, "preset": "medium"}, "yuv420p"
    if container.muxer == "matroska":
        quality.pop("tag", None)
    return {f"{name}:{number}": value for name, value in (quality | {"pix_fmt": pixels}).items()}


@functools.lru_cache(maxsize=8)
def _has_filter(program: Path) -> bool:
    listing = run([str(program), "-hide_banner", "-filters"]).stdout.decode("utf-8", "replace")
    return _FILTER.search(listing) is not None
