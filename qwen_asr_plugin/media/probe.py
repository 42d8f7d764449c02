# SPDX-License-Identifier: Apache-2.0
"""Find out what a media file holds, and say precisely what is wrong with one that cannot be used."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

import ffmpeg

from qwen_asr_plugin.media.command import error_lines, input_options, listing_command, media_url, run
from qwen_asr_plugin.media.facts import MediaProbe
from qwen_asr_plugin.media.ffmpeg_binary import FfmpegTools
from qwen_asr_plugin.media.probe_json import parse_document
from qwen_asr_plugin.media.probe_text import parse_listing
from subtitle_hooks import MediaDamagedError, MediaError, MediaFormatError, NoAudioError, check_media

__all__ = ["probe"]

_GENERIC: Final = re.compile(r"Error opening input|^(?:\[[^\]]*\] )*file:")
"""Messages that every failure to open ends with and that say nothing about the cause."""


def probe(path: str | os.PathLike[str], tools: FfmpegTools) -> MediaProbe:
    """Find out what a media file holds.

    Uses ffprobe where there is one, otherwise the listing of ``ffmpeg -i``; both give the same result.

    Args:
        path: The file; links are followed.
        tools: The ffmpeg in use, from `find_ffmpeg`.

    Raises:
        MediaNotFoundError: There is no such file.
        MediaIsDirectoryError: The path is a folder.
        MediaUnreadableError: The operating system refuses to open or read it.
        MediaEmptyError: Zero bytes long.
        MediaFormatError: Not a regular file, not a media file, or a play list or script that only points at others.
        MediaDamagedError: Starts like a media file but cannot be opened as one.
        NoAudioError: No audio stream.
        FfmpegError: ffmpeg itself does not run.
    """
    file = Path(path)
    check_media(file)
    found = _with_ffmpeg(file, tools) if tools.ffprobe is None else _with_ffprobe(file, tools, tools.ffprobe)
    if not found.tracks:
        raise NoAudioError(
            "This file has no audio stream, so there is nothing to make subtitles from.",
            path=file,
            hint="If the sound is in a separate file, give that one.",
        )
    return found


def _with_ffprobe(path: Path, tools: FfmpegTools, ffprobe: Path) -> MediaProbe:
    url = media_url(path)
    try:
        document = ffmpeg.probe(url, cmd=str(ffprobe), loglevel="level+warning", **input_options(tools))
    except ffmpeg.Error as error:
        raise _why_not(path, error.stderr.decode("utf-8", "replace")) from error
    except OSError:  # ffprobe does not start; ffmpeg may
        return _with_ffmpeg(path, tools)
    return parse_document(document, path=path)


def _with_ffmpeg(path: Path, tools: FfmpegTools) -> MediaProbe:
    url = media_url(path)
    listing = run(listing_command(tools, url, level="info")).stderr.decode("utf-8", "replace")
    found = parse_listing(listing, path=path, url=url)
    if found is None:  # once more, with every message marked by its severity
        messages = run(listing_command(tools, url, level="level+warning")).stderr.decode("utf-8", "replace")
        raise _why_not(path, messages)
    return found


def _why_not(path: Path, messages: str) -> MediaError:
    """Turn the messages of a failed opening into the error that fits."""
    errors = error_lines(messages)
    if any("not allowed" in line.lower() or "m3u8/hls" in line for line in errors):
        return MediaFormatError(
            "This file holds no sound itself: it is a play list, script or manifest that points at other files.",
            path=path,
            hint="Give the media file it points at.",
        )
    reasons = [line for line in errors if not _GENERIC.search(line)]
    if reasons and "misdetection possible" not in messages:
        return MediaDamagedError(
            f"This file starts like a media file but is cut off or corrupt (ffmpeg: {'; '.join(reasons[:3])}).",
            path=path,
            hint="Fetch or copy it again, or repair it.",
        )
    return MediaFormatError("ffmpeg does not recognise this as a media file.", path=path, hint="Is it the right file?")
