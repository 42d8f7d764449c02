# SPDX-License-Identifier: Apache-2.0
"""Where a sidecar subtitle file belongs, and how it gets there without ever being half-written."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path

from ._errors import OutputExistsError, OutputNotWritableError, RequestError

__all__ = ["check_sidecar", "sidecar_path", "write_sidecar"]

_TAG = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*")
_SUFFIX = re.compile(r"\.[A-Za-z0-9]+")


def sidecar_path(
    media: str | os.PathLike[str],
    language: str | None,
    suffix: str = ".srt",
    *,
    folder: str | os.PathLike[str] | None = None,
) -> Path:
    """Name the subtitle file that players pick up for a media file: ``<stem>.<language><suffix>`` beside it.

    Args:
        media: Path of the media file; it need not exist.
        language: Language tag such as ``en`` or ``zh-Hant``; None becomes ``und`` (undetermined, ISO 639-2).
        suffix: File name extension with its dot.
        folder: Another folder to put the file into.

    Raises:
        RequestError: `language` is not a language tag or `suffix` not an extension.
    """
    media = Path(media)
    tag = "und" if language is None else language
    if not _TAG.fullmatch(tag):
        raise RequestError(f"{tag!r} is not a language tag.", hint="Use an ISO 639 code such as 'en' or 'yue'.")
    if not _SUFFIX.fullmatch(suffix):
        raise RequestError(f"{suffix!r} is not a file name extension.", hint="Use one like '.srt'.")
    return (media.parent if folder is None else Path(folder)) / f"{media.stem}.{tag}{suffix}"


def check_sidecar(path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Find out before the long work whether `write_sidecar` could write `path`. Changes nothing.

    Raises:
        OutputExistsError: Something is there already and `overwrite` is off.
        OutputNotWritableError: The folder is missing or refuses new files, or what is there cannot be replaced.
    """
    path = Path(path)
    with _explained(path):
        try:
            path.lstat()  # a dangling link counts as there; a name too long for the file system fails here
        except FileNotFoundError:
            pass
        else:
            if not overwrite:
                raise _exists(path)
            if path.is_dir():
                raise IsADirectoryError(None, "a folder has that name")
            # POSIX would replace a read-only file without a word; its owner meant something by it.
            if path.exists() and not os.access(path, os.W_OK):
                raise PermissionError(None, "the file is read-only")
        # os.access says little on Windows and on network shares; creating a file says all.
        _create_temporary(path.parent).unlink()


def write_sidecar(path: str | os.PathLike[str], text: str, *, overwrite: bool = False) -> None:
    r"""Write a whole file or nothing: UTF-8 without BOM, line ends as in `text`, permissions as the umask says.

    The text goes to a temporary file in the same folder, which then takes the final name in one step. Without
    `overwrite`, a file that appears meanwhile is left alone.

    Raises:
        OutputExistsError: Something is there already and `overwrite` is off.
        OutputNotWritableError: The file system refuses.
    """
    path = Path(path)
    content = text.encode("utf-8")
    check_sidecar(path, overwrite=overwrite)
    with _explained(path):
        temporary = _create_temporary(path.parent)
        try:
            with temporary.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            if overwrite:
                temporary.replace(path)
            else:
                _publish_new(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def _create_temporary(folder: Path) -> Path:
    # Not tempfile: it forces mode 0600, and only the kernel can apply the umask without a race.
    path = folder / f".{secrets.token_hex(8)}.tmp"
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    return path


def _publish_new(temporary: Path, path: Path) -> None:
    """Give `temporary` its final name unless that name is taken."""
    if os.name == "nt":
        temporary.rename(path)  # fails on Windows if the target exists
        return
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:
        # No hard links here (exFAT, some network shares): claim the name, then replace what we own.
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        try:
            temporary.replace(path)
        except BaseException:
            path.unlink(missing_ok=True)
            raise


def _exists(path: Path) -> OutputExistsError:
    return OutputExistsError("exists already; left as it is.", path=path, hint="Move it away, or ask for --overwrite.")


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except FileExistsError as error:
        raise _exists(path) from error
    except FileNotFoundError as error:
        raise OutputNotWritableError(
            "cannot be written: the folder does not exist.", path=path, hint="Create it first."
        ) from error
    except OSError as error:
        raise OutputNotWritableError(
            f"cannot be written ({error.strerror or error}).",
            path=path,
            hint="Check the folder's permissions and free space, or choose another folder.",
        ) from error
