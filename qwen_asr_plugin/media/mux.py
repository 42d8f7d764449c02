# SPDX-License-Identifier: Apache-2.0
"""Put subtitle files into a copy of a media file, without encoding anything again."""

from __future__ import annotations

import functools
import math
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import ffmpeg

from qwen_asr_plugin.media.command import input_options, run
from qwen_asr_plugin.media.facts import describe_media
from qwen_asr_plugin.media.ffmpeg_binary import FfmpegTools
from qwen_asr_plugin.media.mux_process import IN, OUT, write_media
from qwen_asr_plugin.media.stream_list import MediaStream, StreamList, list_streams
from subtitle_hooks import (
    MediaEmptyError,
    OutputExistsError,
    RequestError,
    check_media,
    check_new_file,
    convert_language,
    new_file,
)

__all__ = [
    "CONTAINERS",
    "Container",
    "SubtitleFile",
    "check_subtitles",
    "check_target",
    "clock_options",
    "container_of",
    "copy_options",
    "embed_subtitles",
    "kept_streams",
]


@dataclass(frozen=True, kw_only=True)
class Container:
    """How a container holds subtitles.

    Attributes:
        muxer: ffmpeg's name of the format.
        codec: ffmpeg's name of the text subtitles players know in it.
        holds: Subtitle codecs it can hold as they are.
        bibliographic: Whether languages are written as ISO 639-2/B (ger) rather than 639-2/T (deu).
    """

    muxer: str
    codec: str
    holds: frozenset[str]
    bibliographic: bool


_MATROSKA: Final = Container(
    muxer="matroska",
    codec="srt",
    holds=frozenset(
        {"subrip", "srt", "ass", "ssa", "webvtt", "text", "hdmv_pgs_subtitle", "dvd_subtitle", "dvb_subtitle"}
    ),
    bibliographic=True,
)
_MP4: Final = Container(
    muxer="mp4", codec="mov_text", holds=frozenset({"mov_text", "dvd_subtitle"}), bibliographic=False
)
_MOV: Final = Container(muxer="mov", codec="mov_text", holds=frozenset({"mov_text"}), bibliographic=True)
_WEBM: Final = Container(muxer="webm", codec="webvtt", holds=frozenset({"webvtt"}), bibliographic=True)

CONTAINERS: Final = {
    ".mkv": _MATROSKA,
    ".mka": _MATROSKA,
    ".mp4": _MP4,
    ".m4v": _MP4,
    ".m4a": _MP4,
    ".mov": _MOV,
    ".webm": _WEBM,
}
"""Containers that can hold text subtitles, by file name extension."""

# QuickTime numbers its languages; ffmpeg finds the number by these codes and, where it has none, writes no language.
_QUICKTIME: Final = {"fre": "fra", "cze": "ces", "swe": "sve"}
_READERS: Final = {".srt": "srt", ".vtt": "webvtt", ".ass": "ass", ".ssa": "ass"}
_TEXT: Final = frozenset({"subrip", "srt", "ass", "ssa", "webvtt", "text", "mov_text"})
# Tracks the muxer makes itself: chapter titles from the chapters, the time code from the video's metadata.
_MADE_BY_MUXER: Final = frozenset({"text", "tmcd"})


@dataclass(frozen=True, kw_only=True)
class SubtitleFile:
    """A subtitle file to be put into a container.

    Attributes:
        path: SubRip, WebVTT or ASS file in UTF-8.
        language: Any ISO 639 tag, None where unknown.
        title: Name players show, None for none.
        default: Mark it as the subtitles to show without being asked; other subtitles lose that mark.
        forced: Mark it as for foreign dialogue only.
        hearing_impaired: Mark it as for the hard of hearing.
    """

    path: Path
    language: str | None = None
    title: str | None = None
    default: bool = False
    forced: bool = False
    hearing_impaired: bool = False


def container_of(path: Path) -> Container:
    """Return the container a file name stands for.

    Raises:
        RequestError: It is none that can hold text subtitles.
    """
    container = CONTAINERS.get(path.suffix.lower())
    if container is None:
        raise RequestError(
            f"{path.suffix or 'A file without extension'} is no container for text subtitles.",
            hint=f"Choose one of {', '.join(CONTAINERS)}; Matroska (.mkv) holds nearly everything.",
        )
    return container


def check_target(video: Path, target: Path, *, overwrite: bool = False, replace_input: bool = False) -> None:
    """Find out before the long work whether a copy of `video` may be written to `target`.

    Raises:
        RequestError: `target` is no container for text subtitles.
        OutputExistsError: It is there and `overwrite` is off, or it is `video` itself and `replace_input` is off.
        OutputNotWritableError: The file system refuses.
    """
    container_of(target)
    if target.exists() and target.samefile(video):
        if not replace_input:
            raise OutputExistsError(
                "is the input itself, which is not replaced.", path=target, hint="Name another file for the result."
            )
        overwrite = True
    check_new_file(target, overwrite=overwrite)


def embed_subtitles(
    video: Path,
    subtitles: Sequence[SubtitleFile],
    target: Path,
    tools: FfmpegTools,
    *,
    overwrite: bool = False,
    replace_input: bool = False,
    on_progress: Callable[[int], None] = lambda _: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> list[str]:
    """Write a copy of a media file with further subtitle streams.

    Every stream, chapter, attachment and tag of the input is in the copy; packets of video and audio are the same bytes
    at the same times. New subtitles stand behind those there are. Only subtitles in a form that the container of
    `target` cannot hold are converted. An MP4 whose only subtitle stream is not marked as default reads as if it were,
    because the format enables one track of each kind.

    Args:
        video: The media file.
        subtitles: What to add; in Matroska, ASS stays ASS, everything else becomes the container's own format.
        target: Where to write; its extension chooses the container. It appears in one step, when it is complete.
        tools: The ffmpeg in use.
        overwrite: Replace an existing `target`.
        replace_input: Allow `target` to be `video`.
        on_progress: Told how many milliseconds of media are written.
        cancelled: Asked about twice a second.

    Returns:
        Warnings for the user.

    Raises:
        RequestError: The container cannot hold text subtitles, or not those the input has; or a file to be added is in
            none of the formats.
        MediaError: One of the files cannot be read.
        OutputError: The result cannot be written.
        CancelledError: As asked.
    """
    container = container_of(target)
    check_target(video, target, overwrite=overwrite, replace_input=replace_input)
    found = list_streams(video, tools)
    for file in subtitles:
        check_subtitles(file)
    kept, warnings = kept_streams(found, container, target)
    pictures = [stream for stream in found.streams if stream.attached_picture and container.muxer == "matroska"]
    with tempfile.TemporaryDirectory(prefix="qwen-asr-") as scratch:
        attached = [_extract(video, stream, Path(scratch), tools) for stream in pictures]
        options = copy_options(found, kept, container, target, tools)
        first = sum(stream.kind == "subtitle" for stream in kept)
        options |= _new_stream_options(subtitles, container, first)
        repeated = [*_names(subtitles, container, first), *_attachments(pictures, attached, kept)]
        source = ffmpeg.input(IN.format(0), **input_options(tools))
        added = [_subtitle_input(number, file) for number, file in enumerate(subtitles, start=1)]
        output = ffmpeg.output(*(source[str(stream.index)] for stream in kept), *added, OUT, **options)
        output = output.global_args(*clock_options(video, found))
        with new_file(target, overwrite=overwrite or replace_input) as temporary:
            warnings += write_media(
                output,
                tools=tools,
                inputs=[video, *(file.path for file in subtitles)],
                target=temporary,
                shown=target,
                repeated=repeated,
                on_progress=on_progress,
                cancelled=cancelled,
            )
            if target.exists():
                shutil.copymode(target, temporary)
    return warnings


def clock_options(video: Path, found: StreamList) -> tuple[str, ...]:
    """Return the options that keep the media clock of the file, so that cues meet their picture.

    Time lines that start at zero by definition stay as they are; others begin at their first time stamp.
    """
    probe = describe_media(
        path=video, container=found.container, duration_s=None, start_s=None, tracks=(), has_video=False
    )
    return ("-copyts",) if probe.zero_based else ()


def check_subtitles(file: SubtitleFile) -> None:
    """Make sure that a file can be put into a container, as far as its name and size tell."""
    check_media(file.path)
    if file.path.suffix.lower() not in _READERS:
        raise RequestError(
            f"{file.path.name} is in no format that can be put into a container.",
            hint=f"These can: {', '.join(_READERS)}.",
        )
    if not file.path.read_bytes().strip():
        raise MediaEmptyError("holds no subtitles.", path=file.path)


def kept_streams(found: StreamList, container: Container, target: Path) -> tuple[list[MediaStream], list[str]]:
    """Choose the streams to copy, and say what cannot be."""
    kept = []
    warnings = []
    for stream in found.streams:
        if stream.kind == "data":
            if stream.tag in _MADE_BY_MUXER:
                continue
            if container.muxer in ("matroska", "webm"):
                warnings.append(f"Stream {stream.index} (data) is left out: {target.suffix} cannot hold it.")
                continue
        if stream.attached_picture and container.muxer == "matroska":
            continue  # attached again as the file it is; copied as a stream it would become a second video
        if stream.kind == "attachment" and container.muxer != "matroska":
            warnings.append(
                f"Attachment {stream.filename or stream.index} is left out: {target.suffix} cannot hold it."
            )
            continue
        kept.append(stream)
    return kept, warnings


def copy_options(
    found: StreamList, kept: list[MediaStream], container: Container, target: Path, tools: FfmpegTools
) -> dict[str, Any]:
    """Return the options that copy streams; subtitles the container cannot hold as they are become its own kind."""
    options: dict[str, Any] = {"format": container.muxer, "map_metadata": 0, "map_chapters": 0}
    subtitles = 0
    for number, stream in enumerate(kept):
        codec = "copy"
        if stream.kind == "subtitle":
            if stream.codec not in container.holds:
                if stream.codec not in _TEXT:
                    raise RequestError(
                        f"The subtitles of stream {stream.index} ({stream.codec}) are pictures, which {target.suffix} "
                        "cannot hold.",
                        hint="Write an .mkv.",
                    )
                codec = container.codec
            subtitles += 1
        options[f"c:{number}"] = codec
    if container.muxer == "matroska":
        options["default_mode"] = "passthrough"
    elif container.muxer in ("mp4", "mov"):
        options |= _edit_list_options(kept, tools)
        options["movflags"] = "+faststart" + ("+use_metadata_tags" if found.has_apple_tags else "")
    return options


def _edit_list_options(kept: list[MediaStream], tools: FfmpegTools) -> dict[str, Any]:
    """Make the unit of edit lists fine enough for every stream: ffmpeg's own choice cuts samples off the sound."""
    rates = [stream.clock_hz for stream in kept if stream.clock_hz and stream.kind in ("audio", "video")]
    unit = math.lcm(*rates) if rates else 0
    if not 0 < unit < 2**31:
        unit = max((stream.clock_hz or 0 for stream in kept if stream.kind == "audio"), default=0)
    return {"movie_timescale": unit} if unit and _knows_movie_timescale(tools.ffmpeg) else {}


@functools.lru_cache(maxsize=8)
def _knows_movie_timescale(program: Path) -> bool:
    return b"movie_timescale" in run([str(program), "-hide_banner", "-h", "muxer=mp4"]).stdout


def _new_stream_options(subtitles: Sequence[SubtitleFile], container: Container, first: int) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if any(file.default for file in subtitles):
        options |= {f"disposition:s:{number}": "-default" for number in range(first)}
    for number, file in enumerate(subtitles, start=first):
        is_ass = _READERS[file.path.suffix.lower()] == "ass" and "ass" in container.holds
        options[f"c:s:{number}"] = "ass" if is_ass else container.codec
        flags = (("default", file.default), ("forced", file.forced), ("hearing_impaired", file.hearing_impaired))
        options[f"disposition:s:{number}"] = "+".join(name for name, is_set in flags if is_set) or "0"
    return options


def _names(subtitles: Sequence[SubtitleFile], container: Container, first: int) -> Iterator[tuple[str, str]]:
    for number, file in enumerate(subtitles, start=first):
        primary = (file.language or "und").replace("_", "-").partition("-")[0]
        code = convert_language(primary, "iso639-2b" if container.bibliographic else "iso639-2t")
        if container is _MOV:
            code = _QUICKTIME.get(code, code)
        yield f"-metadata:s:s:{number}", f"language={code}"
        if file.title:
            yield f"-metadata:s:s:{number}", f"title={file.title}"


def _attachments(pictures: list[MediaStream], files: list[Path], kept: list[MediaStream]) -> Iterator[tuple[str, str]]:
    first = sum(stream.kind == "attachment" for stream in kept)
    for number, (stream, file) in enumerate(zip(pictures, files, strict=True), start=first):
        mimetype = stream.mimetype or f"image/{'jpeg' if stream.codec == 'mjpeg' else stream.codec}"
        yield "-attach", str(file)
        yield f"-metadata:s:t:{number}", f"mimetype={mimetype}"
        yield f"-metadata:s:t:{number}", f"filename={stream.filename or file.name}"


def _extract(video: Path, stream: MediaStream, folder: Path, tools: FfmpegTools) -> Path:
    """Write a cover picture to a file."""
    picture = folder / f"cover{stream.index}.{'jpg' if stream.codec == 'mjpeg' else stream.codec}"
    output = ffmpeg.output(
        ffmpeg.input(IN.format(0), **input_options(tools))[str(stream.index)],
        OUT, c="copy", format="image2", update=1,
    )  # fmt: skip
    write_media(output, tools=tools, inputs=[video], target=picture, shown=picture)
    return picture


def _subtitle_input(number: int, file: SubtitleFile) -> ffmpeg.nodes.FilterableStream:
    reader = _READERS[file.path.suffix.lower()]
    return ffmpeg.input(IN.format(number), format=reader, protocol_whitelist="file")["s:0"]
