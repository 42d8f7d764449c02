# SPDX-License-Identifier: Apache-2.0
"""Installed bundles: one folder for each name in the user's data folder."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from .aligner import AlignerFiles
from .bundle import Bundle, default_bundle, find_aligner, find_bundle, open_any
from .convert import DEFAULT_PRECISIONS
from .download import require_space, unpack, write_error
from .errors import BundleError, BundleExistsError, BundleNotFoundError
from .manifest import MANIFEST_NAME
from .store_folders import Place, models_folder
from .store_record import FileHash, Record, hash_files, read_record, verify_record, write_record

__all__ = [
    "InstalledBundle",
    "Source",
    "StoreProgress",
    "add_bundle",
    "build_bundle",
    "installed_bundle",
    "list_installed",
    "named_bundle",
    "remove_bundle",
    "take_place",
    "verify_installed",
]

StoreProgress = Callable[[str, str, int, "int | None"], None]
"""Called with what is being done (``download``, ``unpack``, ``copy``, ``convert``, ``check``), the name of the file,
how much is done, and how much there is (None: not known): files of the bundle for ``convert``, else bytes."""


@dataclass(frozen=True, kw_only=True)
class InstalledBundle:
    """An installed bundle, or the one that comes with the package.

    Attributes:
        name: Its name.
        path: Its folder.
        opened: What is in it; None: it cannot be used, see `problem`.
        record: What was noted when it was installed; None: nothing.
        problem: Why it cannot be used; None: it can.
    """

    name: str
    path: Path
    opened: Bundle | AlignerFiles | None
    record: Record | None
    problem: BundleError | None

    @property
    def languages(self) -> tuple[str, ...]:
        """ISO 639 codes; empty: not known."""
        found = () if self.opened is None else self.opened.languages
        return found or (() if self.record is None else self.record.languages)

    @property
    def licence(self) -> str:
        """SPDX expression of the weights' licence; empty: not known."""
        found = "" if self.opened is None else self.opened.licence
        return found or ("" if self.record is None else self.record.licence)

    @property
    def size(self) -> int:
        """Bytes of all files in its folder."""
        return sum(file.stat().st_size for file in self.path.rglob("*") if file.is_file())


def installed_bundle(name: str | os.PathLike[str]) -> Path | None:
    """Return the folder of the bundle that is installed under a name; None where there is none.

    The bundle that comes with the package has a name too. A path, even of an installed bundle, is no name.
    """
    text = os.fspath(name)
    try:
        place = Place(text)
    except BundleNotFoundError:
        return None
    if place.is_there():
        return place.bundle
    return _bundled() if _bundled().name == place.name and _bundled().is_dir() else None


def named_bundle(wanted: str | os.PathLike[str] | None) -> Path:
    """Return the folder of the bundle that a path or a name means; a folder of that name here comes first.

    Args:
        wanted: Path or name; None is the bundle that comes with the package.

    Raises:
        BundleNotFoundError: There is no such bundle, or the folder holds several.
    """
    if wanted is None:
        return default_bundle()
    path = Path(wanted).expanduser()
    if not path.exists():
        found = installed_bundle(wanted)
        if found is not None:
            return found
        raise BundleNotFoundError(
            "no such folder, and no model of that name is installed.",
            path=path,
            hint="`qwen-asr-plugin model list` shows the names there are.",
        )
    return _root(path)


def list_installed() -> tuple[InstalledBundle, ...]:
    """Return every installed bundle by name, the one that comes with the package first."""
    models = models_folder()
    names = sorted(child.name for child in models.iterdir() if child.is_dir()) if models.is_dir() else []
    found = [_look_at(_bundled().name, _bundled())] if _bundled().is_dir() else []
    return (*found, *(_look_at(name, models / name) for name in names if not name.startswith(".")))


def add_bundle(
    path: str | os.PathLike[str],
    *,
    name: str | None = None,
    replace: bool = False,
    precisions: Sequence[str] = DEFAULT_PRECISIONS,
    progress: StoreProgress | None = None,
) -> Path:
    """Install a bundle that is already on this computer: a zip file, or a folder, which is copied.

    A folder with a pair for llama.cpp (text GGUF and ``mmproj`` GGUF) is converted; see `import_pair`.

    Args:
        path: The zip file or folder.
        name: Name to install it under; the file's or folder's if not given.
        replace: Whether it may take the place of another of that name.
        precisions: Encoder precisions to make of a pair; the first becomes the default.
        progress: Called as the work goes on.

    Returns:
        The folder of the installed bundle.

    Raises:
        BundleNotFoundError: There is nothing at the path, or no bundle in it, or the name cannot be used.
        BundleExistsError: The name is taken.
        ArchiveError: The zip file cannot be unpacked.
        DiskFullError: There is no room.
        BundleError: The bundle is damaged, or cannot be copied.
    """
    source = Path(path).expanduser().absolute()
    if not source.exists():
        raise BundleNotFoundError("no such file or folder.", path=source)
    report = progress or (lambda _what, _name, _done, _total: None)
    chosen = name or (source.stem if source.is_file() else source.name).casefold()

    def build(folder: Path) -> Path:
        if source.is_dir() and any(source.glob("*mmproj*.gguf")):
            from .mmproj import find_pair, import_pair

            return import_pair(
                *find_pair(source),
                folder / "bundle",
                name=chosen,
                precisions=precisions,
                progress=lambda step, done, total: report("convert", step, done, total),
            )
        if source.is_dir():
            _copy(_root(source), folder, report)
            return folder
        unpack(source, folder, progress=lambda n, done, total: report("unpack", n, done, total))
        return folder

    return build_bundle(chosen, build, Source(kind="add", source=str(source)), replace=replace, progress=report)


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where a bundle comes from; the attributes are those of `Record`."""

    kind: str
    source: str
    licence: str = ""
    languages: tuple[str, ...] = ()
    memory_mb: int | None = None
    downloads: tuple[FileHash, ...] = ()


def build_bundle(
    name: str,
    build: Callable[[Path], Path],
    source: Source,
    *,
    replace: bool = False,
    progress: StoreProgress | None = None,
) -> Path:
    """Install what a function makes; nothing is installed where it fails or makes no sound bundle.

    Args:
        name: Name to install it under.
        build: Gets an empty folder to work in and returns the one with the bundle, which is this or one in it.
        source: What to note about it.
        replace: Whether it may take the place of another of that name.
        progress: Called as the work goes on.

    Returns:
        The folder of the installed bundle.

    Raises:
        BundleError: As `build`, and as `add_bundle`.
    """
    place = Place(name)
    with place.locked(), place.building() as folder:
        if place.bundle.exists() and not replace:
            raise BundleExistsError(
                f"a model {place.name} is installed already.",
                path=place.bundle,
                hint="Choose another name (--name), or replace it (--force).",
            )
        return take_place(place, build(folder), source, progress=progress)


def take_place(place: Place, folder: Path, source: Source, *, progress: StoreProgress | None = None) -> Path:
    """Check a finished folder as a whole and let it become the bundle of a name.

    Args:
        place: The name, locked.
        folder: The folder; the bundle may be in a folder in it.
        source: What to note about it.
        progress: Called as the files are read.

    Returns:
        The folder of the installed bundle.

    Raises:
        BundleError: It is no sound bundle, or cannot be moved.
    """
    root = _root(folder)
    opened = open_any(root)
    report = progress or (lambda _what, _name, _done, _total: None)
    record = Record(
        name=place.name,
        source=source.source,
        kind=source.kind,
        added=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        licence=source.licence,
        languages=source.languages,
        memory_mb=source.memory_mb,
        files=hash_files(root, opened.files, lambda n, done, total: report("check", n, done, total)),
        downloads=source.downloads,
    )
    write_record(root, record)
    place.install(root)
    return place.bundle


def remove_bundle(name: str) -> Path:
    """Remove an installed bundle and what was fetched for it; return its folder.

    Raises:
        BundleNotFoundError: None is installed under that name.
        ConversionError: The system does not allow it.
    """
    place = Place(name)
    with place.locked():
        if not place.bundle.is_dir() and not place.download.is_dir():
            hint = "`qwen-asr-plugin model list` shows the names there are."
            raise BundleNotFoundError(f"no model {place.name} is installed.", path=place.bundle, hint=hint)
        if place.bundle.is_dir():
            place.remove()
        place.forget_download()
    return place.bundle


def verify_installed(folder: Path, *, progress: StoreProgress | None = None) -> bool:
    """Compare every byte of an installed bundle with the hashes that were noted when it was installed.

    Args:
        folder: Its folder.
        progress: Called as the files are read.

    Returns:
        Whether there was anything noted.

    Raises:
        BundleError: A file is missing or another one.
    """
    record = read_record(folder)
    if record is None:
        return False
    report = progress or (lambda _what, _name, _done, _total: None)
    verify_record(folder, record, lambda name, done, total: report("check", name, done, total))
    return True


def _look_at(name: str, folder: Path) -> InstalledBundle:
    opened, record, problem = None, None, None
    try:
        record = read_record(folder)
        opened = open_any(folder)
    except BundleError as error:
        problem = error
    return InstalledBundle(name=name, path=folder, opened=opened, record=record, problem=problem)


def _root(folder: Path) -> Path:
    """The folder with the bundle: this one, or the one below it, a recogniser before an aligner."""
    found = find_bundle(folder)
    if found != folder:
        return found
    return find_aligner(folder)


def _copy(root: Path, folder: Path, report: StoreProgress) -> None:
    """Copy the files of a bundle, and no others; links are followed."""
    names = [entry.name for entry in open_any(root).files]
    if (root / MANIFEST_NAME).is_file():
        names.append(MANIFEST_NAME)
    total, done = sum((root / name).stat().st_size for name in names), 0
    require_space(folder, total, what="a copy of the model")
    try:
        for name in names:
            report("copy", name, done, total)
            shutil.copyfile(root / name, folder / name)
            done += (folder / name).stat().st_size
    except OSError as error:
        raise write_error(error, folder) from error


def _bundled() -> Path:
    from .bundle import DEFAULT_BUNDLE

    return DEFAULT_BUNDLE
