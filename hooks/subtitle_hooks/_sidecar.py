# SPDX-License-Identifier: Apache-2.0
"""Where a sidecar subtitle file belongs, and how it gets there without ever being half-written."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ._errors import OutputExistsError, OutputNotWritableError, RequestError
from ._iso639 import LanguageForm, convert_language, is_language, language_meaning

__all__ = [
    "SidecarName",
    "check_new_file",
    "check_sidecar",
    "existing_sidecar",
    "new_file",
    "sidecar_path",
    "write_sidecar",
]

_TAG = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*")
_SUFFIX = re.compile(r"\.[A-Za-z0-9]+")
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,30}")
_MOST_LABELS = 4
# What players take for the same: subtitles for the hard of hearing, and those for foreign dialogue only.
_SAME_LABEL = {"hi": "sdh", "cc": "sdh", "foreign": "forced"}


@dataclass(frozen=True, kw_only=True)
class SidecarName:
    """The parts of a subtitle file's name, ``<stem>.<language>[.<tag>...]<suffix>``.

    Attributes:
        stem: Name of the media file without its extension.
        language: Language as written there, None where the name holds none.
        tags: What stands between language and suffix, such as ``forced`` or ``sdh``.
        suffix: File name extension with its dot.

    .. versionadded:: 0.2
    """

    stem: str
    language: str | None
    tags: tuple[str, ...]
    suffix: str

    @classmethod
    def of(cls, path: str | os.PathLike[str]) -> SidecarName:
        """Take a name apart as players do: from the right, the first part that is a language is the language."""
        path = Path(path)
        parts = path.stem.split(".")
        for at in range(len(parts) - 1, max(0, len(parts) - 2 - _MOST_LABELS), -1):
            # "hi" is Hindi, and after another language "hearing impaired".
            if is_language(parts[at]) and not (parts[at].lower() == "hi" and at > 1 and is_language(parts[at - 1])):
                return cls(
                    stem=".".join(parts[:at]), language=parts[at], tags=tuple(parts[at + 1 :]), suffix=path.suffix
                )
        return cls(stem=path.stem, language=None, tags=(), suffix=path.suffix)

    @property
    def meaning(self) -> tuple[str, str, frozenset[str], str] | None:
        """Equal for two names that mean the same to players; None for a name without a language."""
        if self.language is None:
            return None
        labels = frozenset(_SAME_LABEL.get(tag.lower(), tag.lower()) for tag in self.tags)
        return self.stem, language_meaning(self.language), labels, self.suffix.lower()


def sidecar_path(
    media: str | os.PathLike[str],
    language: str | None,
    suffix: str = ".srt",
    *,
    folder: str | os.PathLike[str] | None = None,
    form: LanguageForm | None = None,
    tags: Sequence[str] = (),
) -> Path:
    """Name the subtitle file players pick up for a media file: ``<stem>.<language>[.<tag>...]<suffix>`` beside it.

    Args:
        media: Path of the media file; it need not exist.
        language: Language tag such as ``en`` or ``zh-Hant``; None becomes ``und`` (undetermined, ISO 639-2).
        suffix: File name extension with its dot.
        folder: Another folder to put the file into.
        form: Standard to write the language in (``en``, ``ger``, ``deu``); None leaves it as given.
        tags: Words between language and suffix. Players understand ``forced``, ``default``, ``sdh``, ``hi`` and ``cc``
            and show others as the name of the subtitles.

    Raises:
        RequestError: `language` is not a language tag, `suffix` not an extension, or one of `tags` cannot be told from
            other parts of the name.
    """
    media = Path(media)
    tag = "und" if language is None else language
    if not _TAG.fullmatch(tag):
        raise RequestError(f"{tag!r} is not a language tag.", hint="Use an ISO 639 code such as 'en' or 'yue'.")
    if not _SUFFIX.fullmatch(suffix):
        raise RequestError(f"{suffix!r} is not a file name extension.", hint="Use one like '.srt'.")
    for label in tags:
        if not _LABEL.fullmatch(label):
            raise RequestError(f"{label!r} cannot be a part of a file name.", hint="Use letters, digits, '-' and '_'.")
        if is_language(label) and label.lower() != "hi":
            raise RequestError(f"The tag {label!r} would be taken for a language.", hint="Use another word.")
    if form is not None:
        tag = convert_language(tag, form)
    name = ".".join((media.stem, tag, *dict.fromkeys(tags)))
    return (media.parent if folder is None else Path(folder)) / f"{name}{suffix}"


def existing_sidecar(path: str | os.PathLike[str]) -> Path:
    """Return the file that already says what `path` would say: itself, or one whose name means the same to players.

    ``film.eng.srt`` means the same as ``film.en.srt``, and ``film.en.hi.srt`` the same as ``film.en.sdh.srt``; another
    extension, region or tag is another meaning.

    Returns:
        The existing file, `path` where there is none.
    """
    path = Path(path)
    meaning = SidecarName.of(path).meaning
    if meaning is None or os.path.lexists(path):
        return path
    try:
        with os.scandir(path.parent) as entries:
            names = sorted(entry.name for entry in entries if entry.name.startswith(f"{meaning[0]}."))
    except OSError:  # a folder that may not be listed, or is not there
        return path
    return next((path.with_name(name) for name in names if SidecarName.of(name).meaning == meaning), path)


def check_sidecar(path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Find out before the long work whether `write_sidecar` could write `path`. Changes nothing.

    Raises:
        OutputExistsError: It, or a file that means the same (`existing_sidecar`), is there and `overwrite` is off.
        OutputNotWritableError: The folder is missing or refuses new files, or what is there cannot be replaced.
    """
    path = Path(path)
    same = existing_sidecar(path)
    if not overwrite and same != path:
        raise _exists(same, f"exists already and means the same as {path.name}; left as it is.")
    check_new_file(path, overwrite=overwrite)


def check_new_file(path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Find out whether `new_file` could write `path`, a file of any kind. Changes nothing.

    Raises:
        OutputExistsError: Something is there already and `overwrite` is off.
        OutputNotWritableError: As for `check_sidecar`.
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
        OutputExistsError: It, or a file that means the same (`existing_sidecar`), is there and `overwrite` is off.
        OutputNotWritableError: The file system refuses.
    """
    content = text.encode("utf-8")
    check_sidecar(path, overwrite=overwrite)
    with new_file(path, overwrite=overwrite) as temporary:
        temporary.write_bytes(content)


@contextlib.contextmanager
def new_file(path: str | os.PathLike[str], *, overwrite: bool = False) -> Iterator[Path]:
    """Lend an empty file in the folder of `path` that takes its name, in one step, when the block is left.

    When the block raises, nothing is left behind and what was there stays.

    Raises:
        OutputExistsError: Something is there already and `overwrite` is off.
        OutputNotWritableError: The file system refuses; also for an `OSError` of the block.
    """
    path = Path(path)
    check_new_file(path, overwrite=overwrite)
    with _explained(path):
        temporary = _create_temporary(path.parent)
        try:
            yield temporary
            with temporary.open("rb+") as file:
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


def _exists(path: Path, what: str = "exists already; left as it is.") -> OutputExistsError:
    return OutputExistsError(what, path=path, hint="Move it away, or ask for --overwrite.")


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
