# SPDX-License-Identifier: Apache-2.0
"""Decode one audio track to 16 kHz mono blocks whose first sample has a known media time.

The clock: ffmpeg shifts all time stamps so that the first one of the file becomes zero, and ``aresample`` is told to
start its output at that zero and to fill gaps, so position in the decoded stream *is* time. What is added back
depends on the format, see `qwen_asr_plugin.media.facts.MediaProbe.clock_offset_ms`. One trap remains: for formats
whose time stamps may jump (MPEG-TS, MPEG-PS, Ogg) some ffmpeg versions shift to the first time stamp of the streams
*in use*, so a delayed audio track would come out early. Those versions say so in their log, and `_late_start_ms`
asks them.
"""

from __future__ import annotations

import atexit
import re
import subprocess
import threading
import weakref
from collections.abc import Generator, Iterator
from typing import IO, Final, final

import ffmpeg
import numpy as np
import numpy.typing as npt

from qwen_asr_plugin.errors import FfmpegError
from qwen_asr_plugin.media.command import CREATION_FLAGS, input_options, media_url, run
from qwen_asr_plugin.media.decode_log import DecodeLog
from qwen_asr_plugin.media.facts import AudioTrack, MediaProbe
from qwen_asr_plugin.media.ffmpeg_binary import FfmpegTools
from qwen_asr_plugin.media.pipe import PIPE_URL
from subtitle_hooks import MediaDamagedError, RequestError

__all__ = ["SAMPLE_RATE_HZ", "AudioStream", "open_audio"]

SAMPLE_RATE_HZ: Final = 16_000
"""What the recogniser expects."""

_BLOCK_SAMPLES: Final = SAMPLE_RATE_HZ
_CANCELLED_OUT: Final = 0.01
"""An average of two channels with less than this part of their power (20 dB) has lost what they carry."""
_HARD_CORRECTION_S: Final = 0.04
"""Time stamps this far from the samples counted are followed by inserting silence or dropping samples. ffmpeg's own
0.1 s is more than the ear forgives between picture and subtitle; less would follow the jitter of coarse time stamps."""
_LOUDEST: Final = 1e4
"""80 dB above full scale: samples beyond it, infinities and NaN are damage, and one of them would drown a chunk."""
_HERE: Final = "file:"
"""Stands for the file while the command is built: ffmpeg-python cannot hash a name that is not valid Unicode."""
_PHASE_WARNING: Final = "The two channels of this track cancel each other out in places; one of them was used there."
_NO_RESOURCES: Final = re.compile(r"Resource temporarily unavailable|Cannot allocate memory")
_NO_DECODER: Final = re.compile(r"no decoder found|Decoder .*not found|Unknown decoder", re.IGNORECASE)
_LATE_START: Final = re.compile(r"^(?:\[[^\]]*\] )*\[verbose\] Correcting start time (?:of Input #0 )?by (-?\d+)", re.M)


@final
class AudioStream:
    """Blocks of one audio track; a context manager and a one-time iterator over float32 arrays of shape ``[n]``.

    Every block has 16000 samples (1 s) except the last. Memory does not grow with the length of the media. Leaving
    the context, or `close`, ends the ffmpeg process.

    Attributes:
        start_ms: Media time of the first sample.
    """

    def __init__(
        self,
        *,
        command: list[str],
        probe: MediaProbe,
        start_ms: int,
        end_ms: int | None,
        sought: bool,
        allow_damaged: bool,
        channels: int,
    ) -> None:
        self.start_ms = start_ms
        self._channels = channels
        self._probe = probe
        self._end_ms = end_ms
        self._allow_damaged = allow_damaged
        self._samples = 0
        self._warnings: list[str] = []
        self._log = DecodeLog(probe, sought=sought)
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL if probe.pipe is None else subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=8 * channels * _BLOCK_SAMPLES,
                creationflags=CREATION_FLAGS,
                # Ctrl-C reaches the whole process group; ffmpeg ending by it would look like a damaged file.
                start_new_session=True,
            )
        except OSError as error:
            raise FfmpegError(f"This program cannot be started ({error}).", path=command[0]) from error
        self._drain = threading.Thread(target=self._read_messages, name="ffmpeg-stderr", daemon=True)
        self._drain.start()
        self._feeder = None if probe.pipe is None else probe.pipe.feed(self._pipe(self._process.stdin))
        self._blocks = self._read_blocks()
        _open.add(self)

    @property
    def decoded_ms(self) -> int:
        """How much audio has been handed out, in milliseconds."""
        return self._samples * 1000 // SAMPLE_RATE_HZ

    @property
    def warnings(self) -> tuple[str, ...]:
        """What was wrong with the media without stopping the decoding; complete after the last block."""
        return tuple(self._warnings)

    def __iter__(self) -> Iterator[npt.NDArray[np.float32]]:
        return self

    def __next__(self) -> npt.NDArray[np.float32]:
        return next(self._blocks)

    def __enter__(self) -> AudioStream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the ffmpeg process and wait until it is gone; safe to call twice and in mid-stream."""
        self._blocks.close()
        self.end_process()
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()

    def end_process(self) -> None:
        """End the ffmpeg process and the thread that listens to it; the iteration can only find its end then."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._drain.join()
        if self._probe.pipe is not None and self._feeder is not None:
            self._probe.pipe.stop()
            self._feeder.join()

    def _read_blocks(self) -> Generator[npt.NDArray[np.float32], None, None]:
        stdout = self._pipe(self._process.stdout)
        wanted = 4 * self._channels * _BLOCK_SAMPLES
        while True:
            data = stdout.read(wanted)
            frames = np.frombuffer(data, dtype="<f4", count=len(data) // (4 * self._channels) * self._channels)
            block = self._mono(_sound(frames.astype(np.float32, copy=False)).reshape(-1, self._channels))
            if block.size:
                self._samples += block.size
                yield block
            if len(data) < wanted:
                break
        self._process.wait()
        self._drain.join()
        self._judge(self._process.returncode)

    def _mono(self, frames: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Average the channels, float32 ``[n, channels]`` to ``[n]``; where two cancel out, take the louder one."""
        mono = np.ascontiguousarray(frames.mean(axis=1))
        if self._channels == 2 and len(frames):
            power = np.mean(np.square(frames), axis=0)
            if np.mean(np.square(mono)) < _CANCELLED_OUT * power.max():
                if _PHASE_WARNING not in self._warnings:
                    self._warnings.append(_PHASE_WARNING)
                return np.ascontiguousarray(frames[:, power.argmax()])
        return mono

    def _read_messages(self) -> None:
        for line in self._pipe(self._process.stderr):
            self._log.add(line.decode("utf-8", "replace").rstrip(), self._samples)

    @staticmethod
    def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
        if pipe is None:
            raise FfmpegError("The connection to ffmpeg was not set up.")
        return pipe

    def _judge(self, exit_status: int) -> None:
        """Decide what ffmpeg's messages and the length of what it delivered mean."""
        errors = self._log.errors(self._samples)
        path = self._probe.path
        said = f" (ffmpeg: {'; '.join(errors[-3:])})" if errors else ""
        if any(_NO_DECODER.search(line) for line in errors):
            raise FfmpegError(
                f"This build of ffmpeg has no decoder for the audio track{said}.",
                path=path,
                hint="Install a complete ffmpeg and put it on PATH.",
            )
        if any(_NO_RESOURCES.search(line) for line in errors):
            raise FfmpegError(
                f"The computer ran out of threads or memory while the audio was decoded{said}.",
                path=path,
                hint="Try again when less is running.",
            )
        reached = self.start_ms + self.decoded_ms
        shortfall = 0 if self._end_ms is None else self._end_ms - reached
        cut_off = self._log.cut_off(self._samples, max(0, shortfall))
        if exit_status or cut_off or (errors and not self._samples):
            where = f"its audio can be decoded until {_clock(reached)}"
            if self._end_ms is not None and shortfall > 0:
                where += f" of {_clock(self._end_ms)}"
            what = f"This file is cut off or corrupt: {where}{said}."
            if not self._allow_damaged:
                raise MediaDamagedError(what, path=path, hint="Fetch or copy it again, or repair it.")
            self._warnings.append(what)
        elif not self._samples and self._end_ms is None and self.start_ms > 0:
            raise RequestError(f"The start {_clock(self.start_ms)} is after the end of the media.", path=path)
        elif errors:
            self._warnings.append(f"Parts of the audio are corrupt and were replaced by silence{said}.")


_open: Final[weakref.WeakSet[AudioStream]] = weakref.WeakSet()


@atexit.register
def _end_all() -> None:
    # A stream its user forgot is collected while the interpreter goes down, when the listening thread stands still
    # for ever with the pipe's lock, and closing the pipe would abort the program.
    for stream in list(_open):
        stream.end_process()


def open_audio(
    probe: MediaProbe,
    track: AudioTrack,
    tools: FfmpegTools,
    *,
    start_ms: int = 0,
    duration_ms: int | None = None,
    allow_damaged: bool = False,
) -> AudioStream:
    """Start decoding one track to mono float32 at 16 kHz; several channels are averaged.

    Args:
        probe: The media file.
        track: One of ``probe.tracks``.
        tools: The ffmpeg in use.
        start_ms: Media time to start at; the file is searched for it, not decoded up to it.
        duration_ms: How much to decode from there; None is to the end.
        allow_damaged: Note in `AudioStream.warnings` that the file is cut off, instead of raising at the end.

    Raises:
        RequestError: The time range is impossible or starts after the end of the media (found out while iterating if
            the file does not say how long it is).
        FfmpegError: ffmpeg cannot be started; while iterating: it has no decoder for the track.
        MediaDamagedError: While iterating, after the last block that could be decoded: the file is cut off or corrupt.
    """
    if start_ms < 0 or (duration_ms is not None and duration_ms <= 0):
        raise RequestError("A time range must start at 0 or later and be longer than 0.", path=probe.path)
    if probe.duration_ms is not None and start_ms > 0 and start_ms >= probe.duration_ms:
        raise RequestError(
            f"The start {_clock(start_ms)} is after the end of the media, {_clock(probe.duration_ms)}.",
            path=probe.path,
            hint="Choose an earlier start.",
        )
    skip_ms = start_ms - probe.clock_offset_ms if start_ms > max(0, probe.clock_offset_ms) else 0
    seek_ms = skip_ms if probe.pipe is None else 0  # a pipe is decoded up to the start
    first_ms = max(start_ms, probe.clock_offset_ms)
    if not probe.zero_based and (probe.has_video or len(probe.tracks) > 1):
        first_ms = max(first_ms, _late_start_ms(probe, track, tools, seek_ms))
    end_ms = probe.duration_ms
    length_ms = None
    if duration_ms is not None:
        end_ms = start_ms + duration_ms if end_ms is None else min(end_ms, start_ms + duration_ms)
        length_ms = max(0, start_ms + duration_ms - first_ms)
    # A container start before zero (codec delay) is cut off: 16 samples per millisecond.
    first_sample = 0 if seek_ms else max(0, -probe.clock_offset_ms) * SAMPLE_RATE_HZ // 1000
    channels = 2 if track.channels == 2 else 1  # two are averaged here, more by ffmpeg
    audio = (
        _input(probe, tools, seek_ms)[f"a:{track.index}"]
        .filter(
            "aresample",
            SAMPLE_RATE_HZ,
            **{"async": 1},
            first_pts=first_sample,
            min_hard_comp=_HARD_CORRECTION_S,
            rematrix_maxval=1.0,
        )
        .filter("aformat", sample_fmts="flt", channel_layouts="stereo" if channels == 2 else "mono")
    )
    limit = {} if length_ms is None else {"t": f"{length_ms / 1000:.3f}"}
    if skip_ms > seek_ms:
        limit["ss"] = f"{skip_ms / 1000:.3f}"
    output = audio.output("pipe:1", format="f32le", acodec="pcm_f32le", **limit)
    command = _command(output, probe, tools, "level+warning")
    return AudioStream(
        command=command,
        probe=probe,
        start_ms=first_ms,
        end_ms=end_ms,
        sought=seek_ms > 0,
        allow_damaged=allow_damaged,
        channels=channels,
    )


def _input(probe: MediaProbe, tools: FfmpegTools, seek_ms: int) -> ffmpeg.nodes.FilterableStream:
    if probe.pipe is not None:
        return ffmpeg.input(_HERE, **probe.pipe.input_options(tools))
    seek = {"ss": f"{seek_ms / 1000:.3f}"} if seek_ms else {}
    return ffmpeg.input(_HERE, **seek, **input_options(tools))


def _command(output: ffmpeg.nodes.OutputStream, probe: MediaProbe, tools: FfmpegTools, level: str) -> list[str]:
    words = output.global_args("-hide_banner", "-nostdin", "-loglevel", level).compile(cmd=str(tools.ffmpeg))
    words[words.index(_HERE)] = media_url(probe.path) if probe.pipe is None else PIPE_URL
    return list(words)


def _sound(block: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    good = np.abs(block) <= _LOUDEST  # False for NaN, too
    return block if good.all() else np.where(good, block, np.float32(0))


def _late_start_ms(probe: MediaProbe, track: AudioTrack, tools: FfmpegTools, seek_ms: int) -> int:
    """Ask ffmpeg by how much it shifts this track beyond the start of the file, in milliseconds."""
    nothing = _input(probe, tools, seek_ms)[f"a:{track.index}"].output("pipe:1", format="null", t=0)
    head = None if probe.pipe is None else probe.pipe.head
    messages = run(_command(nothing, probe, tools, "level+verbose"), head).stderr.decode("utf-8", "replace")
    found = _LATE_START.search(messages)
    return round(int(found[1]) / 1000) if found else 0


def _clock(milliseconds: int) -> str:
    seconds, rest = divmod(max(0, milliseconds), 1000)
    return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}.{rest:03}"
