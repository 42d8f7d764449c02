# SPDX-License-Identifier: Apache-2.0
"""The checks every host and backend makes of a media file before any work."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from ._errors import (
    MediaEmptyError,
    MediaFormatError,
    MediaIsDirectoryError,
    MediaNotFoundError,
    MediaUnreadableError,
)

__all__ = ["check_media"]


def check_media(path: str | os.PathLike[str]) -> None:
    """Make sure that `path` is a file with something in it that this process may read.

    Raises:
        MediaNotFoundError: There is nothing at the path.
        MediaIsDirectoryError: It is a folder.
        MediaFormatError: It is a pipe, socket or device.
        MediaUnreadableError: The operating system refuses access.
        MediaEmptyError: It is zero bytes long.
    """
    path = Path(path)
    try:
        found = path.stat()
        if stat.S_ISDIR(found.st_mode):
            raise MediaIsDirectoryError("is a folder, not a media file.", path=path, hint="Name the files in it.")
        # Opening a pipe would wait for its writer, so this comes before the open.
        if not stat.S_ISREG(found.st_mode):
            raise MediaFormatError(
                "is not a regular file.", path=path, hint="Save the media to a file first: it is read more than once."
            )
        with path.open("rb"):
            pass
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:
        raise MediaNotFoundError("no such file.", path=path, hint="Check the spelling of the path.") from error
    except OSError as error:
        raise MediaUnreadableError(
            f"cannot be read ({error.strerror or error}).", path=path, hint="Check its permissions."
        ) from error
    if found.st_size == 0:
        raise MediaEmptyError("is empty (zero bytes).", path=path, hint="Was the copy or download finished?")
