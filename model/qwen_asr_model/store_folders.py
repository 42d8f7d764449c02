# SPDX-License-Identifier: Apache-2.0
"""Where installed bundles live, and how a folder gets there or goes from there in one step.

``<models>/<name>`` is a bundle. ``<models>/.work/<name>`` is what is being done about it: ``download`` (what has come,
kept until it is installed), ``new`` (being put together), ``old`` (on its way out while a new one takes its place),
``trash`` (removed). Whatever a killed process leaves there, the next command puts right.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from qwen_asr_native.user_folders import data_folder

from .catalogue import valid_name
from .download import write_error
from .errors import BundleError, BundleExistsError, BundleNotFoundError

__all__ = ["MODELS_DIR_VARIABLE", "Place", "models_folder"]

MODELS_DIR_VARIABLE = "QWEN_ASR_MODELS_DIR"
"""Environment variable that names another folder for installed bundles."""

_WORK = ".work"
_PATIENCE_S = 2.0


def models_folder() -> Path:
    """The folder of the installed bundles: ``QWEN_ASR_MODELS_DIR``, or ``models`` in the user's data folder."""
    named = os.environ.get(MODELS_DIR_VARIABLE)
    return Path(named).expanduser().absolute() if named else data_folder() / "models"


class Place:
    """Where a bundle of some name is installed, or will be.

    Args:
        name: The name, in lower or upper case.

    Raises:
        BundleNotFoundError: No bundle can have that name.
    """

    def __init__(self, name: str) -> None:
        self.name = name.casefold()
        if not valid_name(self.name):
            raise BundleNotFoundError(
                f"{name!r} cannot be the name of a model.",
                hint="A name has letters a-z, digits, dots, dashes and underscores, and begins with a letter or digit.",
            )
        self.bundle = models_folder() / self.name
        self.work = models_folder() / _WORK / self.name

    @property
    def download(self) -> Path:
        """What has been fetched."""
        return self.work / "download"

    def is_there(self) -> bool:
        """Whether a bundle of this name is installed; one that was being replaced when all ended is brought back."""
        if not self.bundle.is_dir() and self._old.is_dir():
            with contextlib.suppress(BundleError), self.locked():
                pass
        return self.bundle.is_dir()

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes away from this name, and put right what one that was killed left behind.

        The system lets go of the lock when the process ends, however it ends.

        Raises:
            BundleExistsError: Another process is at work on it.
            ConversionError: The folder cannot be written.
        """
        try:
            self.work.mkdir(parents=True, exist_ok=True)
            file = (self.work.parent / f"{self.name}.lock").open("a")
        except OSError as error:
            raise write_error(error, self.work) from error
        with file:
            end = time.monotonic() + _PATIENCE_S
            while not _try_lock(file.fileno()):
                if time.monotonic() >= end:
                    raise BundleExistsError(
                        f"another process is at work on the model {self.name}.",
                        path=self.bundle,
                        hint="Wait for it to end.",
                    )
                time.sleep(0.1)
            try:
                self._put_right()
                yield
            finally:
                self._tidy()

    @contextlib.contextmanager
    def building(self) -> Iterator[Path]:
        """An empty folder to put a bundle together in; it is gone afterwards unless `install` has taken it."""
        new = self.work / "new"
        try:
            _remove(new)
            new.mkdir(parents=True)
        except OSError as error:
            raise write_error(error, new) from error
        try:
            yield new
        finally:
            shutil.rmtree(new, ignore_errors=True)

    def install(self, folder: Path) -> None:
        """Let a finished folder take the name, in place of the bundle that had it.

        Raises:
            ConversionError: The system does not allow it; the former bundle is still there.
        """
        try:
            if self.bundle.exists():
                _rename(self.bundle, self._old)
            try:
                _rename(folder, self.bundle)
            except OSError:
                if self._old.exists():
                    _rename(self._old, self.bundle)
                raise
        except OSError as error:
            raise write_error(error, self.bundle, kept="It may be in use; end the programs that use it.") from error
        shutil.rmtree(self._old, ignore_errors=True)

    def remove(self) -> None:
        """Remove the bundle: it is either all there or not there at all.

        Raises:
            ConversionError: The system does not allow it.
        """
        try:
            _remove(self._trash)
            _rename(self.bundle, self._trash)
            shutil.rmtree(self._trash)
        except OSError as error:
            raise write_error(error, self.bundle, kept="It may be in use; end the programs that use it.") from error

    def forget_download(self) -> None:
        """Throw away what has been fetched."""
        shutil.rmtree(self.download, ignore_errors=True)

    @property
    def _old(self) -> Path:
        return self.work / "old"

    @property
    def _trash(self) -> Path:
        return self.work / "trash"

    def _put_right(self) -> None:
        try:
            if self._old.is_dir():
                if self.bundle.is_dir():
                    shutil.rmtree(self._old, ignore_errors=True)
                else:
                    _rename(self._old, self.bundle)
            for left in (self._trash, self.work / "new"):
                shutil.rmtree(left, ignore_errors=True)
        except OSError as error:
            raise write_error(error, self.bundle) from error

    def _tidy(self) -> None:
        # Only empty folders go; the lock file stays, for another process may be waiting for it.
        for folder in (self.download, self.work):
            with contextlib.suppress(OSError):
                folder.rmdir()


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


def _rename(old: Path, new: Path) -> None:
    """Rename a folder; on Windows a virus scanner that has a file open for a moment is waited for."""
    patience = [0.1, 0.3, 1.0] if sys.platform == "win32" else []
    while True:
        try:
            old.replace(new)
        except PermissionError:  # noqa: PERF203 - trying again is what the loop is for
            if not patience:
                raise
            time.sleep(patience.pop(0))
        else:
            return


def _try_lock(descriptor: int) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
