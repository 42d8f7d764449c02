# SPDX-License-Identifier: Apache-2.0
"""Where a libllama may come from, in the order of preference.

The order is: a path the user named, the library that ``qwen-asr-plugin native build`` made here, and the packages as
`PROVIDERS` lists them. Who has taken the ten minutes to build a library wants it used.

Packages are located by their metadata and never imported: importing them loads their library, changes global state or
prints. Finding costs a few file look-ups.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from qwen_asr_native.errors import LibraryNotFoundError
from qwen_asr_native.loading import SUFFIXES

__all__ = [
    "BUILT",
    "ENVIRONMENT_VARIABLE",
    "EXPLICIT",
    "PROVIDERS",
    "Candidate",
    "Provider",
    "explicit_candidate",
    "find",
]

ENVIRONMENT_VARIABLE = "QWEN_ASR_LIBLLAMA"
EXPLICIT = "path"
"""Name of the provider when a path was given, by argument or environment variable."""
BUILT = "built"
"""Name of the provider of the library that was built here."""

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
    """Something that brings a libllama: a Python package, or the builds made here.

    Attributes:
        name: The name of the distribution, as installed with pip, or `BUILT`.
        why: What it is good for, for messages.
        module: The import name; the package is located, not imported. Empty when it is no package.
        stems: File names of the library without suffix, the preferred one first.
        locate: Finds the library where there is no package to look in.
    """

    name: str
    why: str
    module: str = ""
    stems: tuple[str, ...] = ()
    locate: Callable[[], Candidate] | None = None

    @property
    def advice(self) -> str:
        """How to get it."""
        return f"Install it with: pip install {self.name}" if self.module else _BUILD_IT


def _locate_built() -> Candidate:
    from qwen_asr_native.building.installed import installed_build

    build = installed_build()
    if build is None:
        raise LibraryNotFoundError("not installed; no library has been built on this computer")
    return Candidate(provider=BUILT, path=build.library.resolve(), version=f"{build.project} {build.version}".rstrip())


_BUILD_IT = "Build it with: qwen-asr-plugin native build"
_LIBLLAMA = ("llama",) if sys.platform == "win32" else ("libllama",)
PROVIDERS = (
    Provider(name=BUILT, locate=_locate_built, why="built here for this processor"),
    Provider(name="ik-llama-cpp-python", module="ik_llama_cpp", stems=_LIBLLAMA, why="fastest on CPUs, can quantize"),
    Provider(name="xllamacpp", module="xllamacpp", stems=("xllamacpp",), why="prebuilt for most systems"),
    Provider(name="llama-cpp-python", module="llama_cpp", stems=_LIBLLAMA, why="built for this machine, also for GPUs"),
)


def find(provider: Provider) -> Candidate:
    """Locate the library of a provider.

    Raises:
        LibraryNotFoundError: The package is not installed, or holds no library for this system; nothing was built here,
            or its files are damaged.
    """
    if provider.locate is not None:
        return provider.locate()
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
