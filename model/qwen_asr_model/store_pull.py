# SPDX-License-Identifier: Apache-2.0
"""Installs a model of the catalogue: fetches what is not here yet, checks it, and puts it in place."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from .catalogue import Entry, Kind, RemoteFile
from .convert import DEFAULT_PRECISIONS, DEFAULT_QUANTS, convert_checkpoint
from .download import DownloadSettings, Fetched, fetch, require_space, unpack, write_error
from .errors import (
    BundleError,
    BundleExistsError,
    ChecksumError,
    ConversionError,
    DiskFullError,
    RemoteChangedError,
)
from .manifest import Family
from .store import Source, StoreProgress, take_place
from .store_folders import Place, models_folder
from .store_record import FileHash, KnownFiles

__all__ = ["Conversion", "pull_bundle"]

_CONVERTED = (Kind.CHECKPOINT, Kind.GGUF_PAIR)
_UNPACKED = 1.1
"""Bytes of a bundle for each byte of its zip file, before its own list can be asked."""


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """How to convert a checkpoint; the attributes are arguments of `convert_checkpoint`.

    Of a pair for llama.cpp only the encoder is converted.
    """

    precisions: Sequence[str] = DEFAULT_PRECISIONS
    quants: Sequence[str] = DEFAULT_QUANTS


def pull_bundle(
    entry: Entry,
    *,
    name: str | None = None,
    replace: bool = False,
    accept_changed: bool = False,
    keep_download: bool = False,
    conversion: Conversion | None = None,
    settings: DownloadSettings | None = None,
    progress: StoreProgress | None = None,
    say: Callable[[str], None] | None = None,
) -> Path:
    """Install a model of a catalogue.

    Whatever happens on the way, the bundle is installed whole or not at all, and what has been fetched is kept and not
    fetched again by the next call, unless it was wrong. Where the catalogue has no hash of a file, the one it has when
    it is first installed is noted under its address, and any other is refused ever after.

    Args:
        entry: The model.
        name: Name to install it under; the entry's if not given.
        replace: Whether it may take the place of another of that name.
        accept_changed: Take a file that has another hash than was noted at first; never one that the catalogue pins.
        keep_download: Keep what was fetched, such as a checkpoint that was converted.
        conversion: How to convert a checkpoint.
        settings: How to fetch; those of the environment if not given.
        progress: Called as the work goes on.
        say: Told, a sentence each, what is tried again and why.

    Returns:
        The folder of the installed bundle.

    Raises:
        BundleExistsError: The name is taken.
        DownloadError: A file cannot be fetched; the subclass says why.
        ArchiveError: The zip file cannot be unpacked.
        DiskFullError: There is no room.
        ConversionError: A checkpoint cannot be converted, or the bundle cannot be written.
        BundleError: What was fetched is no sound bundle.
    """
    settings = settings or DownloadSettings.from_environment()
    place = Place(name or entry.name)
    report = progress or (lambda _what, _name, _done, _total: None)
    with place.locked():
        if place.bundle.exists() and not replace:
            raise BundleExistsError(
                f"a model {place.name} is installed already.",
                path=place.bundle,
                hint="Use it, or choose another name (--name), or replace it (--force).",
            )
        if entry.kind in _CONVERTED and importlib.util.find_spec("onnx") is None:
            raise ConversionError(
                f"the package onnx is missing, without which {entry.name} cannot be converted.",
                hint='Install it with: pip install "qwen-asr-plugin[convert]"',
            )
        _check_room(entry, place)
        known = KnownFiles(models_folder())
        fetched = [
            _fetch(file, place.download, known, accept_changed, settings, report, say or (lambda _line: None))
            for file in entry.files
        ]
        downloads = tuple(FileHash(name=one.url, size=one.size, sha256=one.sha256) for one in fetched)
        source = Source(
            kind="pull",
            source=entry.name,
            licence=entry.licence,
            languages=entry.languages,
            memory_mb=entry.memory_mb if conversion in (None, Conversion()) else None,
            downloads=downloads,
        )
        with place.building() as folder:
            try:
                built = _build(entry, fetched, folder, conversion or Conversion(), report)
                installed = take_place(place, built, source, progress=report)
            except (DiskFullError, ConversionError):
                raise  # not the fault of what was fetched
            except BundleError as error:
                if not entry.pinned:
                    place.forget_download()
                    error.hint = f"{error.hint} What was fetched has been removed.".lstrip()
                raise
        known.note(
            FileHash(name=one.url, size=one.size, sha256=one.sha256)
            for one, file in zip(fetched, entry.files, strict=True)
            if file.sha256 is None
        )
        if not keep_download:
            place.forget_download()
        return installed


def _check_room(entry: Entry, place: Place) -> None:
    here = sum(file.stat().st_size for file in place.download.glob("*") if file.is_file())
    size = entry.size or 0
    built = 0 if entry.kind == Kind.FILES else size * _UNPACKED
    require_space(place.download, int(max(0, size - here) + built), what=f"fetching {entry.name}")


def _fetch(
    file: RemoteFile,
    folder: Path,
    known: KnownFiles,
    accept_changed: bool,
    settings: DownloadSettings,
    report: StoreProgress,
    say: Callable[[str], None],
) -> Fetched:
    noted = None
    if file.sha256 is None and not accept_changed:
        noted = next((found for found in map(known.find, file.urls) if found is not None), None)
    try:
        one = fetch(
            file.urls,
            folder / file.name,
            size=file.size if noted is None else noted.size,
            sha256=file.sha256 if noted is None else noted.sha256,
            settings=settings,
            progress=lambda name, done, total: report("download", name, done, total or file.about_size),
            say=say,
        )
    except (ChecksumError, RemoteChangedError) as error:
        if noted is None:
            raise
        raise RemoteChangedError(
            f"{error.url}: not the file that was fetched at first: {error.what.removeprefix(f'{error.url}: ')}",
            url=error.url,
            hint="It was replaced on the server, or somebody changed it. If you trust it: --accept-changed.",
        ) from error
    return one if one.url else Fetched(path=one.path, url=file.urls[0], size=one.size, sha256=one.sha256)


def _build(
    entry: Entry, fetched: Sequence[Fetched], folder: Path, conversion: Conversion, report: StoreProgress
) -> Path:
    """Make the bundle of what was fetched; what was fetched stays as it is."""
    if entry.kind == Kind.ZIP:
        unpack(fetched[0].path, folder, progress=lambda n, done, total: report("unpack", n, done, total))
        return folder
    if entry.kind == Kind.CHECKPOINT:
        return convert_checkpoint(
            fetched[0].path.parent,
            folder / "bundle",
            name=entry.name,
            precisions=conversion.precisions,
            quants=conversion.quants,
            languages=entry.languages if entry.family == Family.ALIGNER else None,
            licence=entry.licence,
            progress=lambda step, done, total: report("convert", step, done, total),
        )
    if entry.kind == Kind.GGUF_PAIR:
        from .mmproj import find_pair, import_pair

        return import_pair(
            *find_pair(fetched[0].path.parent),
            folder / "bundle",
            name=entry.name,
            precisions=conversion.precisions,
            languages=entry.languages,
            licence=entry.licence or None,
            progress=lambda step, done, total: report("convert", step, done, total),
        )
    for one in fetched:
        try:
            os.link(one.path, folder / one.path.name)
        except OSError:  # noqa: PERF203 - a file system without hard links
            report("copy", one.path.name, 0, one.size)
            try:
                shutil.copyfile(one.path, folder / one.path.name)
            except OSError as error:
                raise write_error(error, folder) from error
    return folder
