# SPDX-License-Identifier: Apache-2.0
"""How ffmpeg is called: what it may open, how its messages are read."""

from __future__ import annotations

import functools
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

from qwen_asr_plugin.errors import FfmpegError
from qwen_asr_plugin.media.ffmpeg_binary import FfmpegTools

__all__ = ["CREATION_FLAGS", "demuxers", "error_lines", "input_options", "listing_command", "media_url", "run"]

CREATION_FLAGS: Final[int] = getattr(subprocess, "CREATE_NO_WINDOW", 0) if sys.platform == "win32" else 0
"""Keeps a console window from flashing up when a host without one starts ffmpeg on Windows."""

_REFUSED: Final = frozenset(
    {
        # play lists and manifests: the file only points at others
        *("hls", "applehttp", "concat", "dash", "imf", "webm_dash_manifest", "rtsp", "sdp", "rtp", "sap"),
        # scripts, which are programs rather than media
        *("avisynth", "vapoursynth", "lavfi", "sbg", "svg_pipe"),
        # formats of several files: names derived from the given one are opened too
        *("image2", "alias_pix", "brender_pix", "mlv", "vobsub", "dvdvideo"),
        # capture devices of versions that do not mark them in the list
        *("alsa", "android_camera", "avfoundation", "bktr", "decklink", "dshow", "fbdev", "gdigrab", "iec61883"),
        *("jack", "kmsgrab", "libcdio", "libdc1394", "openal", "oss", "pulse", "sndio", "v4l2", "vfwcap"),
        *("x11grab", "xcbgrab"),
    }
)
"""Demuxers that open anything besides the one file they are given."""

_MESSAGE: Final = re.compile(r"^(?P<context>(?:\[[^\]]*\] )*?)\[(?P<level>error|fatal|panic)\] (?P<text>.*)$")
_ADDRESS: Final = re.compile(r" @ 0x[0-9a-fA-F]+")
_WHITELIST: Final = re.compile(r" on whitelist '[^']*'?")


def media_url(path: Path) -> str:
    """Return the name ffmpeg opens exactly this file by, whatever characters the path has.

    Without the ``file:`` prefix, ``a:b.mp4`` would be a protocol and ``-x.mp4`` an option. Patterns such as ``%03d``
    mean something to the image sequence demuxer only, which is refused.
    """
    return f"file:{path.absolute()}"


def input_options(tools: FfmpegTools) -> dict[str, str]:
    """Return the options that keep ffmpeg to the given file: local files only, no format that opens other files."""
    return {"protocol_whitelist": "file", "format_whitelist": ",".join(demuxers(tools.ffmpeg))}


@functools.lru_cache(maxsize=8)
def demuxers(ffmpeg: Path) -> tuple[str, ...]:
    """List the demuxers of this ffmpeg that read nothing but the file they are given.

    Raises:
        FfmpegError: The program does not run, or lists no demuxers.
    """
    listing = run([str(ffmpeg), "-hide_banner", "-demuxers"]).stdout.decode("utf-8", "replace")
    names: list[str] = []
    for line in listing.partition("--")[2].splitlines():
        row = re.match(r"^ D[ E](?P<device>[ d]?) +(?P<names>\S+) ", line)
        if row is None or row["device"] == "d":
            continue
        aliases = row["names"].split(",")
        if _REFUSED.isdisjoint(aliases):
            names += aliases
    if not names:
        raise FfmpegError("This program does not list the formats it reads.", path=ffmpeg, hint="Is it really ffmpeg?")
    return tuple(names)


def run(command: list[str], data: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    """Run ffmpeg to its end without a terminal; `data` is its standard input.

    Raises:
        FfmpegError: The program cannot be started.
    """
    try:
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL if data is None else None,
            input=data,
            capture_output=True,
            check=False,
            creationflags=CREATION_FLAGS,
            start_new_session=True,  # Ctrl-C reaches the whole process group, and ffmpeg's answer would be half
        )
    except OSError as error:
        raise FfmpegError(f"This program cannot be started ({error}).", path=command[0]) from error


def error_lines(messages: str) -> list[str]:
    """Pick the error messages out of what ffmpeg wrote with ``-loglevel level+...``, without noise.

    Repeated lines are kept once, in the order of their first appearance.
    """
    lines: dict[str, None] = {}
    for line in messages.splitlines():
        found = _MESSAGE.match(line)
        if found is not None and not found["text"].startswith("At least one output file"):
            text = _WHITELIST.sub(" allowed", found["text"].strip())
            lines.setdefault(_ADDRESS.sub("", found["context"]) + text)
    return list(lines)


def listing_command(tools: FfmpegTools, url: str, *, level: str) -> list[str]:
    """Return the command that opens `url` and prints what is in it, with ``-loglevel`` `level`."""
    options = [text for name, value in input_options(tools).items() for text in (f"-{name}", value)]
    return [str(tools.ffmpeg), "-hide_banner", "-nostdin", "-loglevel", level, *options, "-i", url]
