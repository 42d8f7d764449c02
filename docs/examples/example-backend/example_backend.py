# SPDX-License-Identifier: Apache-2.0
"""The backend `read-along`: subtitles for a recording whose text is known.

The text lies beside the recording (``talk.wav``, ``talk.txt``). Every sentence gets a share of the recording's
duration that fits its length, which is close enough for a text read aloud without long pauses.
"""

import re
import textwrap
import wave
from collections.abc import Iterator
from pathlib import Path

from subtitle_hooks import (
    AudioTrackInfo,
    BackendInfo,
    CancelledError,
    Events,
    MediaDamagedError,
    MediaFormatError,
    MediaInfo,
    Progress,
    RequestError,
    Segment,
    SubtitleRequest,
    Transcript,
    check_media,
    hookimpl,
)

NAME = "read-along"


@hookimpl
def subtitle_backends() -> Iterator[BackendInfo]:
    # No languages and no capabilities: the backend neither recognises a language nor works on parts of a file,
    # and hosts refuse such requests before they get here.
    yield BackendInfo(name=NAME, version="1.0", summary="Times a known text over a WAV file", media=("audio/wav",))


@hookimpl
def probe_media(backend: str, request: SubtitleRequest) -> MediaInfo | None:
    if backend != NAME:
        return None
    channels, rate_hz, duration_ms = read_header(request.media)
    track = AudioTrackInfo(index=0, codec="pcm", channels=channels, sample_rate_hz=rate_hz, default=True)
    return MediaInfo(path=request.media, duration_ms=duration_ms, container="wav", tracks=(track,))


@hookimpl
def generate_subtitles(backend: str, request: SubtitleRequest, events: Events) -> Transcript | None:
    if backend != NAME:
        return None
    _, _, duration_ms = read_header(request.media)
    cues = cues_of(read_text(request))
    return Transcript(
        backend=NAME,
        segments=timed(cues, duration_ms, request, events),
        duration_ms=duration_ms,
        language=lambda: request.language,
    )


def timed(cues: list[str], duration_ms: int, request: SubtitleRequest, events: Events) -> Iterator[Segment]:
    total = sum(len(cue) for cue in cues)
    if total > duration_ms:
        raise RequestError(
            f"{duration_ms} ms are too short for {total} characters.", path=request.media, hint="Is it the right text?"
        )
    done = 0
    for cue in cues:
        if events.cancelled():
            raise CancelledError("stopped as asked.", path=request.media)
        start_ms, done = done * duration_ms // total, done + len(cue)
        end_ms = done * duration_ms // total
        events.progress(Progress(stage="time", done_ms=end_ms, total_ms=duration_ms))
        segment = Segment(start_ms=start_ms, end_ms=end_ms, text=cue, language=request.language)
        events.segment(segment)
        yield segment


def cues_of(text: str) -> list[str]:
    """Split a text into cues of at most two lines of 42 characters; a cue never holds two sentences."""
    cues = []
    for sentence in re.split(r"(?<=[.!?])\s+|\n\s*\n", text.strip()):
        lines = textwrap.wrap(sentence, 42)
        cues += ["\n".join(lines[first : first + 2]) for first in range(0, len(lines), 2)]
    return cues


def read_text(request: SubtitleRequest) -> str:
    unknown = set(request.options) - {"text"}
    if unknown:
        raise RequestError(f"unknown option {min(unknown)!r}.", hint="The only option is text=FILE.")
    path = Path(str(request.options.get("text", request.media.with_suffix(".txt"))))
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise RequestError(f"cannot be read as UTF-8 text ({error}).", path=path, hint="Pass text=FILE.") from error


def read_header(path: Path) -> tuple[int, int, int]:
    """Return channels, sample rate in Hz and duration in ms of a WAV file."""
    check_media(path)
    try:
        with wave.open(str(path), "rb") as file:
            return file.getnchannels(), file.getframerate(), file.getnframes() * 1000 // file.getframerate()
    except EOFError as error:
        raise MediaDamagedError("is a WAV file that ends in its header.", path=path, hint="Copy it again.") from error
    except wave.Error as error:
        raise MediaFormatError(
            f"is not an uncompressed WAV file ({error}).", path=path, hint="Convert it: ffmpeg -i IN -vn OUT.wav"
        ) from error
