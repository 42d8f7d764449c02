# SPDX-License-Identifier: Apache-2.0
"""Every stream of a media file, for copying them: what ``ffmpeg -i FILE`` lists."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, get_args

from qwen_asr_plugin.media.command import error_lines, listing_command, media_url, run
from qwen_asr_plugin.media.facts import known
from qwen_asr_plugin.media.ffmpeg_binary import FfmpegTools
from qwen_asr_plugin.media.probe_text import without_groups
from subtitle_hooks import MediaDamagedError, check_media

__all__ = ["MediaStream", "StreamList", "list_streams"]

Kind = Literal["video", "audio", "subtitle", "data", "attachment"]

_INPUT: Final = re.compile(r"^Input #0, (?P<container>\S+), from '", re.MULTILINE)
_LENGTH: Final = re.compile(r"^  Duration: (?P<h>\d+):(?P<m>\d\d):(?P<s>\d\d\.\d\d)")
_STREAM: Final = re.compile(
    r"^  Stream #0:(?P<index>\d+)(?:\[0x[0-9a-f]+\])?(?:\((?P<language>[^()]*)\))?"
    r": (?P<kind>Audio|Video|Subtitle|Data|Attachment): (?P<codec>[^\s,]+)(?P<facts>.*)$"
)
_TAG: Final = re.compile(r" \((?P<tag>\S{4}) / 0x[0-9A-F]+\)")
_PIXELS: Final = re.compile(r", (?P<format>(?:yuv|rgb|gbr|gray|nv|p0|bgr)[a-z0-9]*)(?:\((?P<color>[^()]*)\))?")
_STREAM_TAG: Final = re.compile(r"^ {6}(?P<key>filename|mimetype) +: (?P<value>.*)$")
_CLOCK: Final = re.compile(r", (?P<number>\d+(?:\.\d+)?)(?P<kilo>k?) (?:Hz|tbn)\b")
_APPLE_TAG: Final = re.compile(r"^    com\.[\w.-]+ +: ")


@dataclass(frozen=True, kw_only=True)
class MediaStream:
    """One stream of a media file.

    Attributes:
        index: Position among all streams, from 0.
        kind: What it is; a cover picture is a video.
        codec: ffmpeg's name of the codec.
        tag: Four characters by which an MP4 knows the codec, empty where not listed.
        language: Language tag, None if there is none or it says "undetermined".
        pixel_format: ffmpeg's name of a picture's format, empty where not listed.
        color: What is known of a picture's colours, such as ``tv, bt2020nc/bt2020/smpte2084``; empty where not listed.
        clock_hz: Sampling rate of a sound, unit of time of a picture; None where not listed.
        attached_picture: True for a cover picture.
        default: True if the file marks it as the one to play.
        filename: Name of an attached file, None where there is none.
        mimetype: MIME type of an attached file, None where there is none.
    """

    index: int
    kind: Kind
    codec: str
    tag: str = ""
    language: str | None = None
    pixel_format: str = ""
    color: str = ""
    clock_hz: int | None = None
    attached_picture: bool = False
    default: bool = False
    filename: str | None = None
    mimetype: str | None = None


@dataclass(frozen=True, kw_only=True)
class StreamList:
    """All streams of one file.

    Attributes:
        container: ffmpeg's name of the format, which can be a list.
        streams: In file order.
        duration_ms: As the file states it, None where it does not.
        has_apple_tags: True if the file has QuickTime metadata with names such as ``com.apple.quicktime.model``.
    """

    container: str
    streams: tuple[MediaStream, ...]
    duration_ms: int | None
    has_apple_tags: bool

    def of(self, kind: Kind) -> tuple[MediaStream, ...]:
        """Return the streams of one kind."""
        return tuple(stream for stream in self.streams if stream.kind == kind)


def list_streams(path: Path, tools: FfmpegTools) -> StreamList:
    """List every stream of a media file.

    Raises:
        MediaError: The file is not there, cannot be read, or is no media file.
        FfmpegError: ffmpeg does not run.
    """
    check_media(path)
    url = media_url(path)
    listing = run(listing_command(tools, url, level="info")).stderr.decode("utf-8", "replace")
    header = _INPUT.search(listing)
    if header is None:
        messages = run(listing_command(tools, url, level="level+warning")).stderr.decode("utf-8", "replace")
        raise MediaDamagedError(
            f"ffmpeg cannot open this as a media file (ffmpeg: {'; '.join(error_lines(messages)[:3])}).", path=path
        )
    shown_url = re.sub(r"[\x00-\x07\x0e-\x1f]", "?", url)  # as ffmpeg's log does
    after = max(listing.find(f"{shown_url}':", header.end()), header.end())
    lines = without_groups(listing[after:].splitlines())
    streams: dict[int, MediaStream] = {}
    duration_ms = None
    for number, line in enumerate(lines):
        length = _LENGTH.match(line)
        if length is not None:
            duration_ms = round((int(length["h"]) * 3600 + int(length["m"]) * 60 + float(length["s"])) * 1000)
        found = _STREAM.match(line)
        if found is not None:  # a stream of several programmes is listed once for each
            streams.setdefault(int(found["index"]), _stream(found, lines[number + 1 :]))
    return StreamList(
        container=header["container"],
        streams=tuple(streams[index] for index in sorted(streams)),
        duration_ms=duration_ms,
        has_apple_tags=any(_APPLE_TAG.match(line) for line in lines),
    )


def _stream(found: re.Match[str], following: list[str]) -> MediaStream:
    facts = found["facts"]
    tags: dict[str, str] = {}
    for line in following:
        if not line.startswith("    "):
            break
        tag = _STREAM_TAG.match(line)
        if tag is not None:
            tags.setdefault(tag["key"], tag["value"])
    fourcc = _TAG.search(facts)
    pixels = _PIXELS.search(facts)
    kind = found["kind"].lower()
    return MediaStream(
        index=int(found["index"]),
        kind=next(name for name in get_args(Kind) if name == kind),
        codec=found["codec"],
        tag=fourcc["tag"] if fourcc else "",
        language=known(found["language"]),
        pixel_format=pixels["format"] if pixels else "",
        color=pixels["color"] or "" if pixels else "",
        clock_hz=_clock_hz(facts),
        attached_picture="(attached pic)" in facts,
        default="(default)" in facts,
        filename=known(tags.get("filename")),
        mimetype=known(tags.get("mimetype")),
    )


def _clock_hz(facts: str) -> int | None:
    found = _CLOCK.search(facts)
    return round(float(found["number"]) * (1000 if found["kilo"] else 1)) if found else None
