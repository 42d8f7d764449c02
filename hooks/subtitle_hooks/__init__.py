# SPDX-License-Identifier: Apache-2.0
"""A pluggy contract between programs that want subtitles and backends that make them.

A host needs `SubtitleHost`, `SubtitleRequest`, `sidecar_path`, `render_srt` and `write_sidecar`. A backend needs
`hookimpl` and the messages. Everything that can go wrong is a `SubtitleError`.
"""

from ._discovery import BrokenPlugin, PluginOrigin
from ._errors import (
    BackendFailedError,
    BackendNotFoundError,
    CancelledError,
    ContractViolationError,
    MediaDamagedError,
    MediaEmptyError,
    MediaError,
    MediaFormatError,
    MediaIsDirectoryError,
    MediaNotFoundError,
    MediaUnreadableError,
    NoAudioError,
    NoBackendError,
    OutputError,
    OutputExistsError,
    OutputNotWritableError,
    PluginError,
    PluginLoadError,
    RequestError,
    SubtitleError,
    TrackNotFoundError,
)
from ._host import InstalledBackend, SubtitleHost
from ._media import check_media
from ._messages import (
    API_VERSION,
    AudioTrackInfo,
    BackendInfo,
    Events,
    LogLevel,
    MediaInfo,
    Progress,
    Segment,
    SilentEvents,
    SubtitleRequest,
    Transcript,
    Word,
)
from ._sidecar import check_sidecar, sidecar_path, write_sidecar
from ._spec import hookimpl
from ._srt import render_srt

__all__ = [
    "API_VERSION",
    "AudioTrackInfo",
    "BackendFailedError",
    "BackendInfo",
    "BackendNotFoundError",
    "BrokenPlugin",
    "CancelledError",
    "ContractViolationError",
    "Events",
    "InstalledBackend",
    "LogLevel",
    "MediaDamagedError",
    "MediaEmptyError",
    "MediaError",
    "MediaFormatError",
    "MediaInfo",
    "MediaIsDirectoryError",
    "MediaNotFoundError",
    "MediaUnreadableError",
    "NoAudioError",
    "NoBackendError",
    "OutputError",
    "OutputExistsError",
    "OutputNotWritableError",
    "PluginError",
    "PluginLoadError",
    "PluginOrigin",
    "Progress",
    "RequestError",
    "Segment",
    "SilentEvents",
    "SubtitleError",
    "SubtitleHost",
    "SubtitleRequest",
    "TrackNotFoundError",
    "Transcript",
    "Word",
    "check_media",
    "check_sidecar",
    "hookimpl",
    "render_srt",
    "sidecar_path",
    "write_sidecar",
]
