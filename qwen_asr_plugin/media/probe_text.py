# SPDX-License-Identifier: Apache-2.0
"""Read stream facts from what ``ffmpeg -i FILE`` prints, for installations that have no ffprobe.

The listing is made for people, so the reader is strict: a stream line has exactly two spaces of indentation, which
neither a metadata key (four or more) nor the continuation of a metadata value (padded to the key column) can have.
"""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Final

from qwen_asr_plugin.media.facts import AudioTrack, MediaProbe, describe_media, known

__all__ = ["parse_listing", "without_groups"]

_INPUT: Final = re.compile(r"^Input #0, (?P<container>\S+), from '", re.MULTILINE)
_DURATION: Final = re.compile(
    r"^  Duration: (?:N/A|(?P<h>\d+):(?P<m>\d\d):(?P<s>\d\d\.\d\d))(?:, start: (?P<start>-?\d+\.\d+))?(?:, |$)"
)
_STREAM: Final = re.compile(
    r"^  Stream #0:(?P<index>\d+)(?:\[0x[0-9a-f]+\])?(?:\((?P<language>[^()]*)\))?"
    r": (?P<kind>Audio|Video): (?P<facts>.*)$"
)
_DISPOSITIONS: Final = re.compile(r"(?: \([a-z -]+\))+$")
_TITLE: Final = re.compile(r"^ {6}title {11}: (?P<value>.*)$")
_CONTINUED: Final = re.compile(r"^ {22}: (?P<value>.*)$")
_CHANNELS: Final = {
    "mono": 1,
    "stereo": 2,
    "downmix": 2,
    "binaural": 2,
    "quad": 4,
    "hexagonal": 6,
    "octagonal": 8,
    "cube": 8,
    "hexadecagonal": 16,
}
"""Channel layouts whose names are words; the others are sums (``5.1``, ``7.1.4``) or counts (``3 channels``)."""


def parse_listing(listing: str, *, path: Path, url: str) -> MediaProbe | None:
    """Read the listing of one input.

    Args:
        listing: Standard error of ``ffmpeg -hide_banner -i url`` at log level info.
        path: The file, for the result.
        url: The name ffmpeg was given; everything up to it is skipped, so that a file name cannot pass for a stream.

    Returns:
        The facts, or None if ffmpeg did not open the file.
    """
    header = _INPUT.search(listing)
    if header is None:
        return None
    shown_url = re.sub(r"[\x00-\x07\x0e-\x1f]", "?", url)  # as ffmpeg's log does
    after = listing.find(f"{shown_url}':", header.end())
    body = without_groups(listing[after + len(shown_url) if after >= 0 else header.end() :].splitlines())
    duration_s = start_s = None
    has_video = False
    tracks: dict[int, AudioTrack] = {}
    for number, line in enumerate(body):
        length = _DURATION.match(line)
        if length is not None:
            if length["h"] is not None:
                duration_s = int(length["h"]) * 3600 + int(length["m"]) * 60 + float(length["s"])
            start_s = None if length["start"] is None else float(length["start"])
        stream = _STREAM.match(line)
        if stream is None:
            continue
        flags = _DISPOSITIONS.search(stream["facts"])
        shown_flags = flags[0] if flags else ""
        if stream["kind"] == "Video":
            has_video = has_video or "(attached pic)" not in shown_flags
            continue
        fields = stream["facts"].removesuffix(shown_flags).split(", ")
        track = AudioTrack(
            stream_index=int(stream["index"]),
            language=known(stream["language"]),
            codec=known(fields[0].split(" ")[0]) or "",
            channels=_channels(fields),
            sample_rate_hz=_field(fields, r"(\d+) Hz"),
            title=_title(body[number + 1 :]),
            default="(default)" in shown_flags,
        )
        # A stream that belongs to several programmes is listed once for each.
        tracks.setdefault(track.stream_index, track)
    return describe_media(
        path=path,
        container=header["container"],
        duration_s=duration_s,
        start_s=start_s,
        tracks=tracks.values(),
        has_video=has_video,
    )


def without_groups(lines: list[str]) -> list[str]:
    """Take back the indentation of streams that ffmpeg (from version 8 on) lists under a heading "Stream group"."""
    plain = []
    in_group = False
    for line in lines:
        if not line.startswith("    "):
            in_group = line.startswith("  Stream group #0:")
        plain.append(line[2:] if in_group and line.startswith("    ") else line)
    return plain


def _field(fields: list[str], pattern: str) -> int | None:
    for field in fields[1:]:
        found = re.fullmatch(pattern, field)
        if found:
            return int(found[1]) or None
    return None


def _channels(fields: list[str]) -> int | None:
    """Count the channels of the field after the sampling rate, such as ``5.1(side)`` or ``3 channels (FL+FR+LFE)``."""
    for rate, layout in itertools.pairwise(fields):
        if re.fullmatch(r"\d+ Hz", rate):
            name = layout.partition("(")[0].strip()
            if re.fullmatch(r"\d+(\.\d+)+", name):
                return sum(map(int, name.split(".")))
            counted = re.match(r"(\d+) channels?", name)
            return int(counted[1]) or None if counted else _CHANNELS.get(name)
    return None


def _title(lines: list[str]) -> str | None:
    """Return the title among the metadata lines that follow a stream line."""
    title: list[str] = []
    for line in lines:
        if not line.startswith("    "):
            break
        found = (_CONTINUED if title else _TITLE).match(line)
        if found:
            title.append(found["value"])
        elif title:
            break
    return known(" ".join(title))
