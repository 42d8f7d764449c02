# SPDX-License-Identifier: Apache-2.0
"""Media that comes through a pipe: read once, never kept whole."""

from __future__ import annotations

import os
import queue
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO, Final, final

from qwen_asr_plugin.errors import FfmpegError
from qwen_asr_plugin.media.command import CREATION_FLAGS, demuxers
from qwen_asr_plugin.media.facts import AudioTrack, MediaProbe, describe_media
from qwen_asr_plugin.media.ffmpeg_binary import FfmpegTools
from qwen_asr_plugin.media.probe_text import parse_listing
from subtitle_hooks import (
    CancelledError,
    MediaEmptyError,
    MediaFormatError,
    MediaUnreadableError,
    NoAudioError,
    RequestError,
)

__all__ = ["PIPE_NAME", "PIPE_URL", "PipedMedia"]

PIPE_NAME: Final = Path("standard input")
"""What messages call it."""
PIPE_URL: Final = "pipe:0"

_READ_BYTES: Final = 65_536
_WAITING_READS: Final = 64
_MOST_HEAD_BYTES: Final = 32 * 1024 * 1024
_POLL_S: Final = 0.05


@final
class PipedMedia:
    """Media from an open file descriptor that cannot be read twice.

    What ffmpeg needs to recognise the format is kept, and given to it a second time for decoding; the rest goes
    straight through. The pipe is read no faster than the audio is used, with at most 4 MiB waiting.

    Args:
        descriptor: Where to read.
        raw_rate_hz: Sampling rate of raw s16le samples; None is a format that says itself what it is.
        raw_channels: Number of interleaved channels of raw samples.
        cancelled: Asked several times a second whether to stop, also while nothing comes. What is being decoded then
            ends as if the pipe did; whoever reads it has to ask, too.
    """

    def __init__(
        self,
        descriptor: int,
        *,
        raw_rate_hz: int | None = None,
        raw_channels: int = 1,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> None:
        if raw_rate_hz is not None and not 1_000 <= raw_rate_hz <= 768_000:
            raise RequestError(f"{raw_rate_hz} Hz is no sampling rate.", hint="Give samples per second, such as 16000.")
        if not 1 <= raw_channels <= 64:
            raise RequestError(f"There cannot be {raw_channels} channels.", hint="Give a number from 1 to 64.")
        self._descriptor = descriptor
        self._raw_rate_hz = raw_rate_hz
        self._raw_channels = raw_channels
        self._cancelled = cancelled
        self._waiting: queue.Queue[bytes | OSError] = queue.Queue(_WAITING_READS)
        self._head = bytearray()
        self._at_end = False
        self._stopped = threading.Event()
        self._started = False

    @property
    def head(self) -> bytes:
        """What was read to recognise the format."""
        return bytes(self._head)

    def input_options(self, tools: FfmpegTools) -> dict[str, str | int]:
        """Return ffmpeg's options for reading it: the pipe only, and only formats that open nothing else."""
        options: dict[str, str | int] = {"protocol_whitelist": "pipe"}
        if self._raw_rate_hz is None:
            return options | {"format_whitelist": ",".join(demuxers(tools.ffmpeg))}
        return options | {"format": "s16le", "ar": self._raw_rate_hz, "ac": self._raw_channels}

    def probe(self, tools: FfmpegTools) -> MediaProbe:
        """Find out what comes, reading no more than that takes.

        Raises:
            MediaEmptyError: Nothing comes.
            MediaFormatError: Not a media format, or one that cannot be read through a pipe.
            MediaUnreadableError: The operating system refuses to read.
            NoAudioError: No audio stream.
            CancelledError: As asked.
            FfmpegError: ffmpeg does not run.
        """
        self._begin()
        if self._raw_rate_hz is not None:
            track = AudioTrack(
                stream_index=0, codec="pcm_s16le", channels=self._raw_channels, sample_rate_hz=self._raw_rate_hz
            )
            return self._described(
                describe_media(
                    path=PIPE_NAME, container="s16le", duration_s=None, start_s=None, tracks=[track], has_video=False
                )
            )
        listing = self._listing(tools)
        found = parse_listing(listing, path=PIPE_NAME, url=PIPE_URL)
        if not self._head:
            raise MediaEmptyError("is empty (zero bytes).", path=PIPE_NAME, hint="Did the program before it fail?")
        if _index_is_last(self._head):
            raise MediaFormatError(
                "This MP4 has its index behind the sound, so it cannot be read through a pipe.",
                path=PIPE_NAME,
                hint="Give the file by its name, or write it with ffmpeg's -movflags +faststart or as Matroska.",
            )
        if found is None:
            raise MediaFormatError(
                "ffmpeg does not recognise this as media.",
                path=PIPE_NAME,
                hint="For raw 16-bit samples without a header, give --raw-rate.",
            )
        if not found.tracks:
            raise NoAudioError("This has no audio stream, so there is nothing to make subtitles from.", path=PIPE_NAME)
        return self._described(found)

    def feed(self, sink: IO[bytes]) -> threading.Thread:
        """Begin to write everything, from the first byte on, to a process, and close its input at the end.

        Returns:
            The thread that does it; it ends when the process does, or after `stop`.
        """
        thread = threading.Thread(target=self._feed, args=(sink,), name="media-pipe", daemon=True)
        thread.start()
        return thread

    def stop(self) -> None:
        """Let the thread of `feed` end."""
        self._stopped.set()

    def _begin(self) -> None:
        if not self._started:
            self._started = True
            # A read cannot be interrupted: the thread is left behind when nobody wants more.
            threading.Thread(target=self._read, name="media-pipe-reader", daemon=True).start()

    def _read(self) -> None:
        data: bytes | OSError = b" "
        while data and not isinstance(data, OSError) and not self._stopped.is_set():
            try:
                data = os.read(self._descriptor, _READ_BYTES)
            except OSError as error:
                data = error
            self._waiting.put(data)

    def _next(self) -> bytes | None:
        """Return what comes next, empty at the end, None when nothing came for a moment."""
        if self._cancelled():
            raise CancelledError("Stopped as asked.")
        try:
            data = self._waiting.get(timeout=_POLL_S)
        except queue.Empty:
            return None
        if isinstance(data, OSError):
            raise MediaUnreadableError(f"cannot be read ({data.strerror or data}).", path=PIPE_NAME)
        self._at_end = not data
        return data

    def _listing(self, tools: FfmpegTools) -> str:
        options = [word for name, value in self.input_options(tools).items() for word in (f"-{name}", str(value))]
        command = [str(tools.ffmpeg), "-hide_banner", "-nostdin", "-loglevel", "info", *options, "-i", PIPE_URL]
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                creationflags=CREATION_FLAGS,
                start_new_session=True,
            )
        except OSError as error:
            raise FfmpegError(f"This program cannot be started ({error}).", path=tools.ffmpeg) from error
        said: list[bytes] = []
        with process:
            sink, source = process.stdin, process.stderr
            if sink is None or source is None:
                raise FfmpegError("The connection to ffmpeg was not set up.")
            listener = threading.Thread(target=lambda: said.append(source.read()), daemon=True)
            listener.start()
            try:
                while process.poll() is None and len(self._head) < _MOST_HEAD_BYTES and not _index_is_last(self._head):
                    data = self._next()
                    if data:
                        self._head += data
                    if data is not None and not _write(sink, data):
                        break
                    if self._at_end:
                        break
            finally:
                if process.poll() is None and (self._stopped.is_set() or len(self._head) >= _MOST_HEAD_BYTES):
                    process.kill()
                _close(sink)
                process.wait()
                listener.join()
        return b"".join(said).decode("utf-8", "replace")

    def _described(self, found: MediaProbe) -> MediaProbe:
        return MediaProbe(
            path=found.path,
            container=found.container,
            # A fragmented MP4 states the length of what was read, and pipes are what it is for.
            duration_ms=None if b"mvex" in self._head else found.duration_ms,
            clock_offset_ms=found.clock_offset_ms,
            tracks=found.tracks,
            has_video=found.has_video,
            pipe=self,
        )

    def _feed(self, sink: IO[bytes]) -> None:
        try:
            going = _write(sink, self.head)
            while going and not self._at_end and not self._stopped.is_set():
                data = self._next()
                going = data is None or _write(sink, data)
        except (MediaUnreadableError, CancelledError):  # ffmpeg gets an end, and finds the media cut off
            return
        finally:
            _close(sink)


def _write(sink: IO[bytes], data: bytes) -> bool:
    """Write; return False where the reader has gone."""
    try:
        sink.write(data)
        sink.flush()
    except (OSError, ValueError):
        return False
    return True


def _close(sink: IO[bytes]) -> None:
    try:
        sink.close()
    except OSError:  # what was not written yet has no reader
        return


def _index_is_last(head: bytes | bytearray) -> bool:
    """Say whether an MP4 has its samples before the box that says where they are."""
    at = 0
    if head[4:8] != b"ftyp":
        return False
    while at + 16 <= len(head):
        size = int.from_bytes(head[at : at + 4], "big")
        kind = bytes(head[at + 4 : at + 8])
        if kind in (b"moov", b"mdat"):
            return kind == b"mdat"
        if size == 1:
            size = int.from_bytes(head[at + 8 : at + 16], "big")
        if size < 8:
            return False
        at += size
    return False
