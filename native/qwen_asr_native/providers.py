# SPDX-License-Identifier: Apache-2.0
"""Where a libllama may come from, in the order of preference.

Packages are located by their metadata and never imported: importing them loads their library, changes global state or
prints. Finding costs a few file look-ups.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from qwen_asr_native.errors import LibraryNotFoundError
from qwen_asr_native.loading import SUFFIXES

__all__ = ["ENVIRONMENT_VARIABLE", "EXPLICIT", "PROVIDERS", "Candidate", "Provider", "explicit_candidate", "find"]

ENVIRONMENT_VARIABLE = "QWEN_ASR_LIBLLAMA"
EXPLICIT = "path"
"""Name of the provider when a path was given, by argument or environment variable."""

_FOLDERS = ("", "lib", "lib64", "bin")


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A library file that was found.

    Attributes:
        provider: Name of the provider.
        path: The library file, symbolic links followed, so that it is loaded from beside what it depends on.
        version: Version of the package it came from, empty for a path.
    """

    provider: str
    path: Path
    version: str


@dataclass(frozen=True, kw_only=True)
class Provider:
    """A Python package that brings a libllama.

    Attributes:
        name: The name of the distribution, as installed with pip.
        module: The import name; the package is located, not imported.
        stems: File names of the library without suffix, the preferred one first.
        why: What it is good for, for messages.
    """

    name: str
    module: str
    stems: tuple[str, ...]
    why: str


_LIBLLAMA = ("llama",) if sys.platform == "win32" else ("libllama",)
PROVIDERS = (
    Provider(name="ik-llama-cpp-python", module="ik_llama_cpp", stems=_LIBLLAMA, why="fastest on CPUs, can quantize"),
    Provider(name="xllamacpp", module="xllamacpp", stems=("xllamacpp",), why="prebuilt for most systems"),
    Provider(name="llama-cpp-python", module="llama_cpp", stems=_LIBLLAMA, why="built for this machine, also for GPUs"),
)


def find(provider: Provider) -> Candidate:
    """Locate the library of a package.

    Raises:
        LibraryNotFoundError: The package is not installed, or holds no library for this system.
    """
    try:
        spec = importlib.util.find_spec(provider.module)
    except (ImportError, ValueError):
        spec = None
    if spec is None or not spec.submodule_search_locations:
        raise LibraryNotFoundError("not installed")
    try:
        version = importlib.metadata.version(provider.name)
    except importlib.metadata.PackageNotFoundError:
        version = ""
    for location in spec.submodule_search_locations:
        for path in _libraries(Path(location), provider.stems):
            return Candidate(provider=provider.name, path=path.resolve(), version=version)
    places = ", ".join(spec.submodule_search_locations)
    raise LibraryNotFoundError(f"installed, but there is no {' or '.join(provider.stems)} library in {places}")


def explicit_candidate(path: str | os.PathLike[str], origin: str) -> Candidate:
    """The library a user named, either the file or a folder that holds it (or its ``lib`` or ``bin``).

    Args:
        path: What the user named.
        origin: Where the user named it, for messages.

    Raises:
        LibraryNotFoundError: There is no such file, or no library in the folder.
    """
    named = Path(path).expanduser()
    if named.is_file():
        return Candidate(provider=EXPLICIT, path=named.resolve(), version="")
    if named.is_dir():
        for found in _libraries(named, ("libllama", "llama")):
            return Candidate(provider=EXPLICIT, path=found.resolve(), version="")
        raise LibraryNotFoundError(f"{named}: no libllama in this folder, which was named by {origin}.")
    raise LibraryNotFoundError(f"{named}: no such file or folder, but it was named by {origin}.")


def _libraries(folder: Path, stems: tuple[str, ...]) -> Iterator[Path]:
    suffixes = (*SUFFIXES, ".pyd") if sys.platform == "win32" else (*SUFFIXES, ".so")
    for sub in _FOLDERS:
        for stem in stems:
            for suffix in dict.fromkeys(suffixes):
                yield from (file for file in sorted((folder / sub).glob(f"{stem}*{suffix}*")) if _is_named(file, stem))


def _is_named(file: Path, stem: str) -> bool:
    """Accept ``stem.so``, ``stem.abi3.so`` and ``stem.so.0``, not ``stem-something.so``."""
    return file.is_file() and file.name.split(".")[0] == stem
