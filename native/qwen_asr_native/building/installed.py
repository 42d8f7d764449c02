# SPDX-License-Identifier: Apache-2.0
"""The library that was built here: where it lies, and what is known about it.

::

    <data folder>/libllama/current.json       which folder is in use; replaced in one step
    <data folder>/libllama/<id>/build.json    where the library came from and how it was built
    <data folder>/libllama/<id>/libllama.so   the library, and beside it those it needs
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qwen_asr_native.errors import LibraryNotFoundError
from qwen_asr_native.user_folders import data_folder

__all__ = [
    "POINTER",
    "RECORD",
    "FileFacts",
    "InstalledBuild",
    "file_facts",
    "installed_build",
    "library_folder",
]

POINTER = "current.json"
RECORD = "build.json"
_CHUNK = 1 << 20


@dataclass(frozen=True, kw_only=True)
class FileFacts:
    """Size in bytes and SHA-256 of one file."""

    size: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class InstalledBuild:
    """A library that was built, verified and put in place.

    Attributes:
        folder: Folder of the library and of those it needs.
        library: The library file.
        project: ``llama.cpp`` or ``ik_llama.cpp``.
        version: Version of the source, empty when it does not say.
        origin: Where the source came from, for a person.
        options: What cmake was told, without the folders of this machine's build.
        compiler: First line of the compiler's version.
        cmake: Version of cmake.
        generator: What cmake generated build files for.
        built: When, ISO 8601 in UTC.
        seconds: How long configuring and compiling took in the last run.
        layout: The recognised struct layouts.
        system: The instruction sets in use, in libllama's words.
        files: Size and checksum of every file, by name.
    """

    folder: Path
    library: Path
    project: str
    version: str
    origin: str
    options: tuple[str, ...]
    compiler: str
    cmake: str
    generator: str
    built: str
    seconds: float
    layout: str
    system: str
    files: Mapping[str, FileFacts]

    def record(self) -> dict[str, Any]:
        """What `RECORD` holds; `from_record` is the inverse."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "folder"}
        values |= {
            "library": self.library.name,
            "options": list(self.options),
            "files": {name: {"size": facts.size, "sha256": facts.sha256} for name, facts in self.files.items()},
        }
        return values

    @classmethod
    def from_record(cls, folder: Path, record: dict[str, Any]) -> InstalledBuild:
        """Read what `record` made.

        Raises:
            KeyError, TypeError, ValueError: It is no such record.
        """
        values = {name: record[name] for name in cls.__dataclass_fields__ if name != "folder"}
        files = {str(name): FileFacts(**facts) for name, facts in values["files"].items()}
        if values["library"] not in files:
            raise ValueError("the library is not among the files")
        values |= {"library": folder / values["library"], "options": tuple(values["options"]), "files": files}
        return cls(folder=folder, **values)

    def changed_files(self) -> list[str]:
        """Names of the files that are gone or no longer what was verified."""
        return [name for name, facts in self.files.items() if _facts_or_none(self.folder / name) != facts]

    def describe(self) -> str:
        """One line for a person."""
        return f"{self.project} {self.version}".strip() + f", built {self.built[:10]} with {self.compiler}"


def library_folder() -> Path:
    """The folder that holds the builds and says which one is in use."""
    return data_folder() / "libllama"


def installed_build() -> InstalledBuild | None:
    """The build in use, None when there is none.

    Raises:
        LibraryNotFoundError: There was one, but its files are gone or damaged.
    """
    pointer = library_folder() / POINTER
    try:
        name = json.loads(pointer.read_text(encoding="utf-8"))["folder"]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _unusable(pointer, error) from error
    folder = pointer.parent / str(name)
    if folder.parent != pointer.parent or folder.name != name:
        raise _unusable(pointer, "it names no folder beside it")
    try:
        build = InstalledBuild.from_record(folder, json.loads((folder / RECORD).read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _unusable(folder / RECORD, error) from error
    absent = [file for file in build.files if not (folder / file).is_file()]
    if absent:
        raise _unusable(folder, f"{', '.join(absent)} gone")
    return build


def file_facts(path: Path) -> FileFacts:
    """Measure one file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return FileFacts(size=path.stat().st_size, sha256=digest.hexdigest())


def _facts_or_none(path: Path) -> FileFacts | None:
    try:
        return file_facts(path)
    except OSError:
        return None


def _unusable(path: Path, reason: object) -> LibraryNotFoundError:
    said = reason if isinstance(reason, str) else f"{type(reason).__name__}: {reason}"
    return LibraryNotFoundError(
        f"{path}: the library that was built here cannot be used: {said}. Build it again with "
        "`qwen-asr-plugin native build`, or remove it with `qwen-asr-plugin native remove`."
    )
