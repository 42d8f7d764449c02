# SPDX-License-Identifier: Apache-2.0
"""What is noted: where each installed bundle came from, its hashes, and hashes that nobody published, by address."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ._folder import damage_of
from .download import write_error
from .errors import BundleFileDamagedError, BundleFileMissingError, ManifestError
from .manifest import MANIFEST_NAME, FileEntry, hash_file

__all__ = [
    "RECORD_NAME",
    "FileHash",
    "KnownFiles",
    "Record",
    "hash_files",
    "read_record",
    "verify_record",
    "write_record",
]

RECORD_NAME = "installed.json"
_FORMAT = "qwen-asr-installed"
_VERSION = 1

Report = Callable[[str, int, int], None]


@dataclass(frozen=True, kw_only=True)
class FileHash:
    """A file, its length in bytes and its SHA-256."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Record:
    """The contents of ``installed.json``, which is in the folder of every installed bundle.

    Attributes:
        name: Name of the bundle.
        source: Where it came from: the name in the catalogue, or the path it was added from.
        kind: ``"pull"``, ``"add"`` or ``"convert"``.
        added: When, ISO 8601 with the zone.
        licence: SPDX expression of the weights' licence as the catalogue gives it; empty: not known.
        languages: ISO 639 codes as the catalogue gives them; empty: not known.
        memory_mb: Memory needed as the catalogue gives it; None: not known.
        files: Every file of the bundle.
        downloads: What was fetched for it; names are addresses.
    """

    name: str
    source: str
    kind: str
    added: str
    licence: str = ""
    languages: tuple[str, ...] = ()
    memory_mb: int | None = None
    files: tuple[FileHash, ...] = field(repr=False)
    downloads: tuple[FileHash, ...] = field(default=(), repr=False)


def hash_files(folder: Path, entries: Sequence[FileEntry], report: Report) -> tuple[FileHash, ...]:
    """Hash the files of a bundle, its manifest included, and compare them with the manifest.

    Args:
        folder: The bundle's folder.
        entries: Its files; hashes may be empty.
        report: Told the name, how many bytes are done, and how many there are.

    Raises:
        BundleFileDamagedError: A file is not the one the manifest describes.
    """
    total, done, hashes = sum(entry.size for entry in entries), 0, []
    for entry in entries:
        report(entry.name, done, total)
        file = folder / entry.name
        sha256 = hash_file(file)
        if entry.sha256 not in ("", sha256):
            raise damage_of(entry)(
                f"corrupt: its SHA-256 is {sha256}, the manifest says {entry.sha256}.",
                path=file,
                hint="Get the bundle again.",
            )
        hashes.append(FileHash(name=entry.name, size=entry.size, sha256=sha256))
        done += entry.size
    report(MANIFEST_NAME, done, total)
    manifest = folder / MANIFEST_NAME
    if manifest.is_file():
        hashes.append(FileHash(name=manifest.name, size=manifest.stat().st_size, sha256=hash_file(manifest)))
    return tuple(hashes)


def write_record(folder: Path, record: Record) -> None:
    """Write ``installed.json``."""
    _write_json(folder / RECORD_NAME, {"format": _FORMAT, "version": _VERSION, **asdict(record)})


def read_record(folder: Path) -> Record | None:
    """Read ``installed.json``; None where there is none.

    Raises:
        ManifestError: It cannot be used.
    """
    file = folder / RECORD_NAME
    try:
        raw = json.loads(file.read_bytes())
        if not isinstance(raw, dict) or (raw.pop("format"), raw.pop("version")) != (_FORMAT, _VERSION):
            raise ValueError("format")
        lists = {key: tuple(FileHash(**one) for one in raw[key]) for key in ("files", "downloads")}
        return Record(**{**raw, "languages": tuple(raw["languages"]), **lists})
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ManifestError(
            "cannot be read, or is of another version.", path=file, hint="Remove the model and install it again."
        ) from error


def verify_record(folder: Path, record: Record, report: Report) -> None:
    """Read every file of an installed bundle and compare it with what was noted when it was installed.

    Args:
        folder: The bundle's folder.
        record: What was noted.
        report: As for `hash_files`.

    Raises:
        BundleFileMissingError: A file is not there.
        BundleFileDamagedError: A file is another one.
    """
    total, done = sum(noted.size for noted in record.files), 0
    for noted in record.files:
        report(noted.name, done, total)
        file = folder / noted.name
        try:
            sha256 = hash_file(file)
        except FileNotFoundError:
            raise BundleFileMissingError(noted.name, folder) from None
        except OSError as error:
            raise BundleFileDamagedError(f"cannot be read ({error.strerror}).", path=file) from error
        if sha256 != noted.sha256:
            kind = damage_of(_as_entry(noted)) if noted.name.endswith((".gguf", ".onnx")) else ManifestError
            raise kind(
                f"changed since it was installed: its SHA-256 is {sha256}, it was {noted.sha256}.",
                path=file,
                hint="Remove the model and install it again.",
            )
        done += noted.size
    report("", done, total)


def _as_entry(noted: FileHash) -> FileEntry:
    role = "llm" if noted.name.endswith(".gguf") else "encoder_backend"
    return FileEntry(name=noted.name, role=role, variant="", size=noted.size, sha256=noted.sha256)


class KnownFiles:
    """Hashes of files whose hashes nobody published, as they were when they were first fetched, by address.

    Args:
        models: Folder of the installed bundles.
    """

    def __init__(self, models: Path) -> None:
        self._file = models / ".known-files.json"

    def find(self, url: str) -> FileHash | None:
        """Return what was noted about an address."""
        found = self._load().get(url)
        return found if found is None else FileHash(name=url, **found)

    def note(self, files: Iterable[FileHash]) -> None:
        """Note the hashes of addresses; a hash that was noted earlier is replaced."""
        known = self._load()
        known.update({file.name: {"size": file.size, "sha256": file.sha256} for file in files})
        _write_json(self._file, known)

    def _load(self) -> dict[str, Any]:
        with contextlib.suppress(FileNotFoundError):
            try:
                raw = json.loads(self._file.read_bytes())
                if isinstance(raw, dict) and all(set(one) == {"size", "sha256"} for one in raw.values()):
                    return raw
            except (ValueError, TypeError):
                pass
            raise ManifestError(
                "cannot be read.", path=self._file, hint="Delete it; hashes are then noted anew at the next download."
            )
        return {}


def _write_json(file: Path, value: dict[str, Any]) -> None:
    fresh = file.with_name(f"{file.name}.{os.getpid()}.new")
    try:
        with fresh.open("w", encoding="utf-8", newline="\n") as stream:
            stream.write(json.dumps(value, indent=1, ensure_ascii=False) + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        fresh.replace(file)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise write_error(error, file) from error
