# SPDX-License-Identifier: Apache-2.0
"""Follows the needed-lists of Mach-O libraries as dyld, the loader of macOS, does (dyld(1))."""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from qwen_asr_native.dependencies.common import (
    Budget,
    MissingDependency,
    UndecidedError,
    UnusableFileError,
    ggml_sibling,
)
from qwen_asr_native.dependencies.hints import missing_hint
from qwen_asr_native.dependencies.macho import CPU_TYPES, MachOImage, macho_cpus, read_macho

__all__ = ["Dyld", "find_missing_macho", "this_dyld"]

_SYSTEM_FOLDERS = ("/usr/lib/", "/System/")
_MAX_RPATHS = 1024


@dataclass(frozen=True, kw_only=True)
class Dyld:
    """The loader of one process.

    Attributes:
        cpu: What a library must be made for, as in `CPU_TYPES`.
        executable: The program, for ``@executable_path``.
        callers: What stands above a library that Python loads and may have rpaths of its own.
        environment: Where the ``DYLD_`` variables are.
        in_shared_cache: Tells whether a library is part of macOS and has no file.
        is_loaded: Tells whether the process has a library of this install name.
    """

    cpu: int
    executable: Path
    callers: tuple[MachOImage, ...]
    environment: Mapping[str, str]
    in_shared_cache: Callable[[str], bool]
    is_loaded: Callable[[str], bool]


def this_dyld() -> Dyld:
    """The loader of this process.

    Raises:
        UndecidedError: It is told to look elsewhere in ways that are not followed here.
    """
    if os.environ.get("DYLD_ROOT_PATH") or os.environ.get("DYLD_IMAGE_SUFFIX"):
        raise UndecidedError("DYLD_ROOT_PATH or DYLD_IMAGE_SUFFIX is set")
    cpu = CPU_TYPES.get(platform.machine())
    if cpu is None:
        raise UndecidedError(f"unknown processor {platform.machine()!r}")
    executable = Path(sys.executable).resolve()
    extension = getattr(sys.modules.get("_ctypes"), "__file__", None)
    callers = [_image(Path(path).absolute(), cpu) for path in (extension, executable) if path]
    return Dyld(
        cpu=cpu,
        executable=executable,
        callers=tuple(filter(None, callers)),
        environment=os.environ,
        in_shared_cache=_shared_cache(),
        is_loaded=_is_loaded,
    )


def _image(path: Path, cpu: int) -> MachOImage | None:
    try:
        return read_macho(path, cpu, library=False)
    except (OSError, UnusableFileError, UndecidedError):
        return None


def _shared_cache() -> Callable[[str], bool]:
    try:
        contains = ctypes.CDLL(None)["_dyld_shared_cache_contains_path"]
    except (OSError, AttributeError):
        return lambda path: path.startswith(_SYSTEM_FOLDERS)
    contains.restype = ctypes.c_bool
    contains.argtypes = [ctypes.c_char_p]
    return lambda path: bool(contains(os.fsencode(path)))


def _is_loaded(name: str) -> bool:
    try:
        ctypes.CDLL(name, mode=os.RTLD_NOLOAD)
    except OSError:
        return False
    return True


def find_missing_macho(path: Path, dyld: Dyld, budget: Budget) -> list[MissingDependency]:
    """Everything that keeps the loader from loading a library, in the order in which it would come upon it.

    Args:
        path: The library, absolute.
        dyld: The loader in question.
        budget: Limits of the work.

    Raises:
        UnusableFileError: The file itself is no library, or made for another processor.
        UndecidedError: It cannot be told.
        OSError: The file itself cannot be read.
    """
    return _Search(read_macho(path, dyld.cpu), dyld, budget).run()


@dataclass(frozen=True, kw_only=True)
class _Node:
    image: MachOImage
    parent: _Node | None


class _Search:
    def __init__(self, image: MachOImage, dyld: Dyld, budget: Budget) -> None:
        self._dyld = dyld
        self._budget = budget
        self._root = _Node(image=image, parent=None)
        self._waiting = deque([self._root])
        self._known = {image.install_name}
        self._files = {image.path.resolve()}
        self._missing: list[MissingDependency] = []

    def run(self) -> list[MissingDependency]:
        try:
            while self._waiting:
                node = self._waiting.popleft()
                for name in node.image.needed:
                    if name not in self._known:
                        self._known.add(name)
                        self._need(name, node)
        except UndecidedError:
            pass  # what was found until then is certain
        return self._missing

    def _need(self, name: str, node: _Node) -> None:
        if self._dyld.in_shared_cache(name) or self._dyld.is_loaded(name):
            return
        searched: list[str] = []
        others: list[str] = []
        for candidate, why in self._places(name, node):
            self._budget.spend_look()
            if self._dyld.in_shared_cache(str(candidate)):
                return
            place = f"{os.path.normpath(candidate)} ({why})"
            try:
                if candidate.is_file():
                    if self._dyld.cpu in macho_cpus(candidate):
                        self._enter(candidate, node)
                        return
                    others.append(str(candidate))
                    place += " [for another processor]"
            except UnusableFileError as error:
                others.append(f"{candidate}: {error}")
            except UndecidedError:
                return
            except (OSError, ValueError):
                place += " [cannot be read]"
            searched.append(place)
        sibling = ggml_sibling(name, self._root.image.path.parent)
        if sibling is not None:
            self._enter(sibling, None)
        elif name not in node.image.optional:
            self._missing.append(
                MissingDependency(
                    name=name,
                    needed_by=node.image.path,
                    searched=tuple(searched),
                    hint=missing_hint(name, node.image.path),
                    reason="architecture" if others else "missing",
                    detail="; ".join(others[:3]),
                )
            )

    def _enter(self, path: Path, parent: _Node | None) -> None:
        """Queue a file that was found, unless it is there already under another name."""
        resolved = path.resolve()
        if resolved in self._files:
            return
        self._files.add(resolved)
        self._budget.spend_file()
        try:
            image = read_macho(path, self._dyld.cpu)
        except UnusableFileError as error:
            self._missing.append(
                MissingDependency(
                    name=path.name,
                    needed_by=(parent or self._root).image.path,
                    searched=(),
                    hint="Install the package that holds it again.",
                    reason=error.reason,
                    detail=f"{path}: {error}",
                )
            )
            return
        except (OSError, UndecidedError):
            return
        self._known.add(image.install_name)
        self._waiting.append(_Node(image=image, parent=parent))

    def _places(self, name: str, node: _Node) -> Iterator[tuple[Path, str]]:
        """The places in the order of the loader, each with the reason."""
        leaf, framework = name.rsplit("/", 1)[-1], _framework(name)
        for variable, part in (("DYLD_LIBRARY_PATH", leaf), ("DYLD_FRAMEWORK_PATH", framework)):
            for folder in self._folders(variable) if part else ():
                yield Path(folder, part), variable
        if name.startswith("@rpath/"):
            for image in self._chain(node):
                for rpath in image.rpaths[:_MAX_RPATHS]:
                    place = self._expand(rpath, image)
                    yield Path(place, name.removeprefix("@rpath/")), f"rpath {rpath!r} of {image.path.name}"
        else:
            yield Path(self._expand(name, node.image)), f"as written in {node.image.path.name}"
        home = self._dyld.environment.get("HOME", "")
        fallback = self._folders("DYLD_FALLBACK_LIBRARY_PATH") or [
            *([f"{home}/lib"] if home else []),
            "/usr/local/lib",
            "/usr/lib",
        ]
        for folder in fallback:
            yield Path(folder, leaf), "fallback folder"
        if framework:
            for folder in self._folders("DYLD_FALLBACK_FRAMEWORK_PATH") or (
                "/Library/Frameworks",
                "/System/Library/Frameworks",
            ):
                yield Path(folder, framework), "fallback folder"

    def _folders(self, variable: str) -> list[str]:
        return [folder for folder in self._dyld.environment.get(variable, "").split(":") if folder]

    def _chain(self, node: _Node | None) -> Iterator[MachOImage]:
        """Who asked for a library, who asked for that one, and so on up to the executable."""
        while node is not None:
            yield node.image
            node = node.parent
        yield from self._dyld.callers

    def _expand(self, text: str, image: MachOImage) -> str:
        first, separator, rest = text.partition("/")
        folder = {"@loader_path": image.path.parent, "@executable_path": self._dyld.executable.parent}.get(first)
        return text if folder is None else f"{folder}{separator}{rest}"


def _framework(name: str) -> str:
    """``Name.framework/Versions/A/Name`` out of a path, empty when it is no framework."""
    parts = name.split("/")
    for index in range(len(parts) - 1, -1, -1):
        if parts[index].endswith(".framework"):
            return "/".join(parts[index:])
    return ""
