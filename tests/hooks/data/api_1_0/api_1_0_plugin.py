# SPDX-License-Identifier: Apache-2.0
"""FROZEN, never edit: a backend as somebody wrote it for api_version 1 of the contract, subtitle-hooks 0.1.0.

It stands for the plugins of other people that nobody will update. If a test with it fails, change the contract back.
"""

import wave
from collections.abc import Iterable

from subtitle_hooks import (
    API_VERSION,
    AudioTrackInfo,
    BackendInfo,
    CancelledError,
    Events,
    MediaDamagedError,
    MediaError,
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

NAME = "api-1-0"


class TooManyChannelsError(MediaError):
    """The backend's own error."""

    code = 112


@hookimpl
def subtitle_backends() -> Iterable[BackendInfo]:
    return [
        BackendInfo(
            name=NAME,
            version="1.0",
            api_version=API_VERSION,
            summary="Written for the first version of the contract",
            languages=("en", "de"),
            capabilities=frozenset({"range", "track", "context", "language-detection", "partial-segments"}),
            media=("audio/wav",),
        )
    ]


@hookimpl
def probe_media(backend: str, request: SubtitleRequest) -> MediaInfo | None:
    if backend != NAME:
        return None
    return look(request)


# As the contract allows, without an argument that it has.
@hookimpl(tryfirst=True)
def generate_subtitles(request: SubtitleRequest, backend: str, events: Events) -> Transcript | None:
    if backend != NAME:
        return None
    found = look(request)
    transcript_language = request.language or "en"
    told: dict[str, float | str] = {}
    return Transcript(
        backend=NAME,
        segments=work(request, events, found.duration_ms or 0, told),
        duration_ms=found.duration_ms,
        language=lambda: transcript_language,
        statistics=lambda: told,
    )


def look(request: SubtitleRequest) -> MediaInfo:
    for name in request.options:
        raise RequestError(f"unknown option {name!r}.", hint="There are none.")
    check_media(request.media)
    try:
        with wave.open(str(request.media), "rb") as file:
            data = file.readframes(file.getnframes())
            frames, channels, rate = file.getnframes(), file.getnchannels(), file.getframerate()
    except EOFError as error:
        raise MediaDamagedError("is cut off.", path=request.media, hint="Copy it again.") from error
    except wave.Error as error:
        raise MediaFormatError(f"is no WAV file ({error}).", path=request.media, hint="Convert it.") from error
    if len(data) < frames * channels * 2:
        raise MediaDamagedError("is cut off.", path=request.media, hint="Copy it again.")
    if channels > 2:
        raise TooManyChannelsError(f"has {channels} channels.", path=request.media, hint="Mix it down.")
    if request.track not in (None, 0):
        from subtitle_hooks import TrackNotFoundError

        raise TrackNotFoundError(f"has no track {request.track}.", path=request.media, hint="Take track 0.")
    track = AudioTrackInfo(
        index=0, language=None, codec="pcm", channels=channels, sample_rate_hz=rate, title=None, default=True
    )
    return MediaInfo(path=request.media, duration_ms=frames * 1000 // rate, container="wav", tracks=(track,))


def work(request: SubtitleRequest, events: Events, duration_ms: int, told: dict[str, float | str]) -> Iterable[Segment]:
    events.log("debug", f"norm {request.norm}, model {request.model}, context {request.context!r}")
    end_ms = duration_ms if request.duration_ms is None else request.start_ms + request.duration_ms
    for number, start_ms in enumerate(range(100, duration_ms - 2000, 3000), start=1):
        if events.cancelled():
            raise CancelledError("stopped as asked.", path=request.media)
        events.progress(Progress(stage="listen", done_ms=start_ms, total_ms=duration_ms))
        if request.start_ms <= start_ms < end_ms:
            segment = Segment(
                start_ms=start_ms, end_ms=start_ms + 1900, text=f"Cue {number}.", language=request.language or "en"
            )
            events.segment(segment)
            yield segment
            told["cues"] = number
    events.progress(Progress(stage="listen", done_ms=duration_ms, total_ms=duration_ms))
