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
from ._iso639 import LANGUAGE_FORMS, LanguageForm, convert_language
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
from ._sidecar import (
    SidecarName,
    check_new_file,
    check_sidecar,
    existing_sidecar,
    new_file,
    sidecar_path,
    write_sidecar,
)
from ._spec import hookimpl
from ._srt import in_time_order, render_srt

__all__ = [
    "API_VERSION",
    "LANGUAGE_FORMS",
    "AudioTrackInfo",
    "BackendFailedError",
    "BackendInfo",
    "BackendNotFoundError",
    "BrokenPlugin",
    "CancelledError",
    "ContractViolationError",
    "Events",
    "InstalledBackend",
    "LanguageForm",
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
    "SidecarName",
    "SilentEvents",
    "SubtitleError",
    "SubtitleHost",
    "SubtitleRequest",
    "TrackNotFoundError",
    "Transcript",
    "Word",
    "check_media",
    "check_new_file",
    "check_sidecar",
    "convert_language",
    "existing_sidecar",
    "hookimpl",
    "in_time_order",
    "new_file",
    "render_srt",
    "sidecar_path",
    "write_sidecar",
]
