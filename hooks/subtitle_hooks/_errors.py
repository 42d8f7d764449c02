# SPDX-License-Identifier: Apache-2.0
"""The error tree every host and backend shares.

Each class has a stable ``code``: the exit status of command lines and the number that logs and bug reports quote.
Codes are never reused. Backends subclass the nearest class and take a code of their own (100 to 125).

::

    SubtitleError                      1   anything this tree covers
    ├── RequestError                   2   the request itself makes no sense
    ├── MediaError                    10   something about the media file
    │   ├── MediaNotFoundError        11   no such file
    │   ├── MediaIsDirectoryError     12   a folder where a file is needed
    │   ├── MediaUnreadableError      13   exists, but may not be read
    │   ├── MediaEmptyError           14   zero bytes long
    │   ├── MediaFormatError          15   not a media file
    │   ├── MediaDamagedError         16   starts like a media file, but is cut off or corrupt
    │   ├── NoAudioError              17   has no audio stream
    │   └── TrackNotFoundError        18   the audio track asked for is not there
    ├── OutputError                   40   something about the file to be written
    │   ├── OutputExistsError         41   it is there already
    │   └── OutputNotWritableError    42   the folder or file cannot be written
    ├── PluginError                   50   something about an installed plugin
    │   ├── PluginLoadError           51   it cannot be imported
    │   ├── NoBackendError            52   no installed plugin offers a backend
    │   ├── BackendNotFoundError      53   the backend asked for is not there
    │   ├── ContractViolationError    54   it answered with something the contract forbids
    │   └── BackendFailedError        55   it raised an error that is not in this tree
    └── CancelledError               130   the host asked to stop
"""

from __future__ import annotations

import os
from typing import ClassVar

__all__ = [
    "BackendFailedError",
    "BackendNotFoundError",
    "CancelledError",
    "ContractViolationError",
    "MediaDamagedError",
    "MediaEmptyError",
    "MediaError",
    "MediaFormatError",
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
    "RequestError",
    "SubtitleError",
    "TrackNotFoundError",
]


class SubtitleError(Exception):
    """Root of the tree.

    Args:
        what: What happened, one sentence, no trailing advice.
        path: The file it happened to, when there is one.
        hint: What the user can do about it.
    """

    code: ClassVar[int] = 1

    def __init__(self, what: str, *, path: str | os.PathLike[str] | None = None, hint: str = "") -> None:
        self.what = what
        self.path = None if path is None else os.fspath(path)
        self.hint = hint
        super().__init__(what)

    def __str__(self) -> str:
        where = f"{self.path}: " if self.path else ""
        advice = f" {self.hint}" if self.hint else ""
        return f"{where}{self.what}{advice}"


class RequestError(SubtitleError):
    """A value in the request is impossible (a negative time, an unknown language...)."""

    code = 2


class MediaError(SubtitleError):
    """Something about the media file."""

    code = 10


class MediaNotFoundError(MediaError):
    """There is no file at the path."""

    code = 11


class MediaIsDirectoryError(MediaError):
    """The path is a folder."""

    code = 12


class MediaUnreadableError(MediaError):
    """The file exists but the operating system refuses to open it."""

    code = 13


class MediaEmptyError(MediaError):
    """The file is zero bytes long."""

    code = 14


class MediaFormatError(MediaError):
    """The file is not a media file."""

    code = 15


class MediaDamagedError(MediaError):
    """The file starts like a media file but is cut off or corrupt."""

    code = 16


class NoAudioError(MediaError):
    """The media file has no audio stream."""

    code = 17


class TrackNotFoundError(MediaError):
    """The audio track asked for is not in the file."""

    code = 18


class OutputError(SubtitleError):
    """Something about the file to be written."""

    code = 40


class OutputExistsError(OutputError):
    """The target exists and overwriting was not asked for."""

    code = 41


class OutputNotWritableError(OutputError):
    """The target folder or file cannot be written."""

    code = 42


class PluginError(SubtitleError):
    """Something about an installed plugin."""

    code = 50


class PluginLoadError(PluginError):
    """A plugin's entry point cannot be imported or registered."""

    code = 51


class NoBackendError(PluginError):
    """No installed plugin offers a subtitle backend."""

    code = 52


class BackendNotFoundError(PluginError):
    """The backend asked for by name is not installed."""

    code = 53


class ContractViolationError(PluginError):
    """A plugin answered with something the contract forbids; the message names its distribution."""

    code = 54


class BackendFailedError(PluginError):
    """A plugin raised an error that is not in this tree; `__cause__` is that error."""

    code = 55


class CancelledError(SubtitleError):
    """The host asked to stop."""

    code = 130
