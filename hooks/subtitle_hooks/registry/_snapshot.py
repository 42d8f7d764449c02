# SPDX-License-Identifier: Apache-2.0
"""Copies of installed distributions, file by file, so that a change can be taken back exactly."""

from __future__ import annotations

import contextlib
import importlib
import os
import shutil
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterable
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from .errors import RestoreError

__all__ = ["Snapshot", "files_of"]


def files_of(name: str) -> set[Path]:
    """List the files of an installed distribution, with the bytecode of its modules; empty if it is not installed.

    Files outside of the environment are left out, whatever its metadata say.
    """
    importlib.invalidate_caches()
    try:
        listed = distribution(name).files or []
    except PackageNotFoundError:
        return set()
    found: set[Path] = set()
    for item in listed:
        path = Path(os.path.normpath(item.locate()))  # not resolve(): links are files of their own
        if not any(path.is_relative_to(root) for root in _roots()):
            continue
        if path.is_symlink() or path.is_file():
            found.add(path)
        if path.suffix == ".py":
            found.update(path.parent.glob(f"__pycache__/{path.stem}.*.pyc"))
    return found


class Snapshot:
    """What some distributions look like now, to be put back if a change fails.

    Files that appear meanwhile are removed by comparing lists, not by asking the new distributions: an installer that
    was killed in the middle leaves files that no metadata mention.

    Args:
        names: The distributions that the change will touch, whether they are installed or not.

    Raises:
        OSError: There is no space for the copies; nothing was changed.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._names = list(names)
        self._folder = Path(tempfile.mkdtemp(prefix="subtitle-hooks-before-"))
        self._copies: dict[Path, Path] = {}
        self._before = _everything()
        try:
            for name in self._names:
                for path in files_of(name):
                    if path not in self._copies:
                        copy = self._folder / str(len(self._copies))
                        shutil.copy2(path, copy, follow_symlinks=False)
                        self._copies[path] = copy
        except BaseException:
            self.discard()
            raise

    def restore(self) -> None:
        """Put everything back.

        Raises:
            RestoreError: Some files could not be put back; the copies stay where the message says.
        """
        problems: list[str] = []
        new = _everything().union(*(files_of(name) for name in self._names)) - self._before - set(self._copies)
        for path in new:
            problems += _attempt(path, lambda: path.unlink(missing_ok=True))  # noqa: B023 (called at once)
            _remove_empty_folders(path.parent)
        for path, copy in self._copies.items():
            problems += _attempt(path, lambda: self._put_back(copy, path))  # noqa: B023
        importlib.invalidate_caches()
        if problems:
            raise RestoreError(
                f"{len(problems)} files could not be put back, for example {problems[0]}.",
                path=sys.prefix,
                hint=f"Copies of what was there are in {self._folder}. Reinstall: {', '.join(self._names)}.",
            )
        self.discard()

    def discard(self) -> None:
        """Throw the copies away."""
        shutil.rmtree(self._folder, ignore_errors=True)

    @staticmethod
    def _put_back(copy: Path, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Through a name of its own and a rename: a half-written module is worse than a missing one.
        draft = path.with_name(f".{path.name}.restored")
        draft.unlink(missing_ok=True)
        shutil.copy2(copy, draft, follow_symlinks=False)
        draft.replace(path)


def _attempt(path: Path, work: Callable[[], None]) -> list[str]:
    try:
        work()
    except OSError as error:
        return [f"{path} ({error.strerror})"]
    return []


def _everything() -> set[Path]:
    """List the files of the folders that installers write packages and programs to."""
    import site

    folders = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), sysconfig.get_path("scripts")}
    if site.ENABLE_USER_SITE:
        folders.add(site.getusersitepackages())
    return {
        Path(os.path.normpath(folder), name)
        for start in folders
        for folder, _, names in os.walk(start)
        for name in names
    }


def _remove_empty_folders(folder: Path) -> None:
    roots = _roots()
    with contextlib.suppress(OSError):  # not empty: others live there
        while folder not in roots and any(folder.is_relative_to(root) for root in roots):
            folder.rmdir()
            folder = folder.parent


def _roots() -> set[Path]:
    import site

    paths = {*sysconfig.get_paths().values(), sys.prefix}
    if site.ENABLE_USER_SITE:
        paths |= {site.getusersitepackages(), site.getuserbase()}
    paths.discard(sysconfig.get_path("stdlib"))
    return {Path(os.path.normpath(path)) for path in paths}
