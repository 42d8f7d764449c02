# SPDX-License-Identifier: Apache-2.0
"""Follows the needed-lists of ELF libraries as the loaders of glibc and musl do."""

from __future__ import annotations

import os
import platform
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from qwen_asr_native.dependencies.common import (
    Budget,
    MissingDependency,
    UndecidedError,
    UnusableFileError,
    ggml_sibling,
)
from qwen_asr_native.dependencies.elf import ElfImage, defined_versions, elf_identity, read_elf
from qwen_asr_native.dependencies.elf_loader import ElfLoader
from qwen_asr_native.dependencies.hints import missing_hint, version_hint

__all__ = ["find_missing_elf"]

_MAX_FOLDERS = 1024
_MAX_NAME = 255
# Variants for newer processors lie in folders below; which of them count depends on the processor and on glibc.
_VARIANTS = ("tls", "haswell", "x86_64", "tls/x86_64", "tls/haswell", "haswell/x86_64", "tls/haswell/x86_64")


@dataclass(frozen=True, kw_only=True)
class _Node:
    """A library that would be loaded, and the one that asked for it first."""

    image: ElfImage
    parent: _Node | None

    @property
    def name(self) -> str:
        return self.image.path.name


class _NotFoundError(Exception):
    def __init__(self, searched: list[str], skipped: list[Path]) -> None:
        super().__init__()
        self.searched = searched
        self.skipped = skipped


def find_missing_elf(path: Path, loader: ElfLoader, budget: Budget) -> list[MissingDependency]:
    """Everything that keeps the loader from loading a library, in the order in which it would come upon it.

    Args:
        path: The library, absolute.
        loader: The loader in question.
        budget: Limits of the work.

    Raises:
        UnusableFileError: The file itself is no library, or made for another processor.
        UndecidedError: It cannot be told.
        OSError: The file itself cannot be read.
    """
    identity = elf_identity(path)
    if identity != loader.identity:
        raise UnusableFileError(f"it is made for {identity}, and this process is {loader.identity}", "architecture")
    return _Search(path, loader, budget).run()


class _Search:
    def __init__(self, path: Path, loader: ElfLoader, budget: Budget) -> None:
        self._loader = loader
        self._budget = budget
        self._root = _Node(image=read_elf(path), parent=None)
        self._nodes: list[_Node] = []
        self._waiting = deque([self._root])
        self._paths: dict[str, Path | None] = {}
        """The file behind each name that was asked for; None when it is not known."""
        self._files: set[tuple[int, int]] = set()
        self._versions: dict[Path, tuple[str, ...] | None] = {}
        self._missing: list[MissingDependency] = []

    def run(self) -> list[MissingDependency]:
        self._remember(self._root, self._root.image.soname)
        try:
            while self._waiting:
                node = self._waiting.popleft()
                self._nodes.append(node)
                for name in node.image.needed:
                    if name not in self._paths:
                        self._paths[name] = self._need(name, node)
            if self._loader.kind == "glibc":  # musl takes what is there
                for node in self._nodes:
                    self._check_versions(node)
        except UndecidedError:
            pass  # what was found until then is certain
        return self._missing

    def _need(self, name: str, node: _Node) -> Path | None:
        """Find a library and queue it for its own needs; returns its path."""
        if "/" not in name and "$" not in name and len(name) <= _MAX_NAME:
            loaded = self._loader.is_loaded(name)
            if loaded is not None:
                return Path(loaded) if loaded else None
        try:
            path = self._find(name, node)
        except _NotFoundError as failure:
            return self._not_found(name, node, failure)
        except UnusableFileError as error:
            self._damaged(name, node, str(error))
            return None
        self._enter(name, path, node, parent=node)
        return path

    def _not_found(self, name: str, node: _Node, failure: _NotFoundError) -> Path | None:
        sibling = ggml_sibling(name, self._root.image.path.parent)
        if sibling is not None:
            self._enter(name, sibling, node, parent=None)
            return sibling
        if self._loader.cache is None or self._has_variant(name, node):
            return None
        self._missing.append(
            MissingDependency(
                name=name,
                needed_by=node.image.path,
                searched=tuple(failure.searched),
                hint=missing_hint(name, node.image.path),
                reason="architecture" if failure.skipped else "missing",
                detail=_skipped(failure.skipped, self._loader) if failure.skipped else "",
            )
        )
        return None

    def _enter(self, name: str, path: Path, node: _Node, parent: _Node | None) -> None:
        """Queue a file that was found, unless it is loaded already under another name."""
        self._budget.spend_file()
        try:
            status = path.stat()
            if (status.st_dev, status.st_ino) in self._files:
                return
            found = _Node(image=read_elf(path), parent=parent)
        except UnusableFileError as error:
            self._damaged(name, node, f"{path}: {error}")
            return
        except (OSError, UndecidedError):
            return
        self._remember(found, found.image.soname)
        self._waiting.append(found)

    def _remember(self, node: _Node, soname: str) -> None:
        status = node.image.path.stat()
        self._files.add((status.st_dev, status.st_ino))
        if soname:
            self._paths[soname] = node.image.path

    def _damaged(self, name: str, node: _Node, detail: str) -> None:
        self._missing.append(
            MissingDependency(
                name=name,
                needed_by=node.image.path,
                searched=(),
                hint="Install the package that holds it again.",
                reason="damaged",
                detail=detail,
            )
        )

    def _find(self, name: str, node: _Node) -> Path:
        searched: list[str] = []
        skipped: list[Path] = []
        for place, candidates in self._places(name, node):
            for candidate in candidates:
                self._budget.spend_look()
                fits = self._fits(candidate)
                if fits:
                    return candidate
                if fits is False:
                    skipped.append(candidate)
                    place += f" [{candidate} is for another processor]"
            searched.append(place)
        raise _NotFoundError(searched, skipped)

    def _fits(self, candidate: Path) -> bool | None:
        """Whether the loader takes a file; None when there is none, False when it goes on to the next place."""
        try:
            if candidate.is_dir():
                raise UnusableFileError("it is a folder")  # the loader opens it and stops there
            if not candidate.is_file():
                return None
            return elf_identity(candidate) == self._loader.identity
        except UnusableFileError as error:
            raise UnusableFileError(f"{candidate}: {error}") from error
        except (OSError, ValueError):
            return None

    def _places(self, name: str, node: _Node) -> Iterator[tuple[str, list[Path]]]:
        """The places in the order of the loader, each with the files to look at there."""
        if "/" in name:
            for path in _expand(name, node.image):
                yield f"{path} (as written in {node.name})", [Path(path)]
            return
        for folder, why in self._folders(node):
            missing = "" if Path(folder).is_dir() else ", no such folder"
            yield f"{os.path.normpath(folder)} ({why}{missing})", [Path(folder, name)]
        if self._loader.kind == "glibc":
            yield "/etc/ld.so.cache", [Path(file) for file in (self._loader.cache or {}).get(name, ())]
        for folder in self._loader.default_folders:
            yield f"{folder} (default folder)", [Path(folder, name)]

    def _folders(self, node: _Node) -> Iterator[tuple[str, str]]:
        environment = [(folder, "LD_LIBRARY_PATH") for folder in self._loader.library_path]
        if self._loader.kind == "musl":  # which makes no difference between the two kinds of rpath
            yield from environment
            for image in self._chain(node):
                yield from _rpath_folders(image, image.rpath if image.runpath is None else image.runpath, "rpath")
            return
        if node.image.runpath is None:
            for image in self._chain(node):
                yield from _rpath_folders(image, image.rpath, "rpath")
        yield from environment
        yield from _rpath_folders(node.image, node.image.runpath, "runpath")

    def _chain(self, node: _Node | None) -> Iterator[ElfImage]:
        """Who asked for a library, who asked for that one, and so on up to the executable."""
        while node is not None:
            yield node.image
            node = node.parent
        yield from self._loader.callers

    def _has_variant(self, name: str, node: _Node) -> bool:
        """Whether a library is there for certain processors only; whether for this one, the loader knows."""
        folders = [folder for folder, _ in self._folders(node)] + list(self._loader.default_folders)
        for folder in map(Path, folders):
            for variant in (*folder.glob("glibc-hwcaps/*"), *(folder / one for one in _VARIANTS)):
                self._budget.spend_look()
                if (variant / name).is_file():
                    return True
        return False

    def _check_versions(self, node: _Node) -> None:
        wanted: dict[str, list[str]] = {}
        for name, version in node.image.versions:
            wanted.setdefault(name, []).append(version)
        for name, versions in wanted.items():
            path = self._paths.get(name)
            defined = None if path is None else self._defined(path)
            if path is None or defined is None:  # not found, not known, or without versions, which the loader lets pass
                continue
            absent = [version for version in versions if version not in defined]
            if absent and not self._has_variant(name, node):
                self._missing.append(
                    MissingDependency(
                        name=name,
                        needed_by=node.image.path,
                        searched=(str(path),),
                        hint=version_hint(absent[0]),
                        reason="version",
                        detail=f"it needs {', '.join(absent)}, but {path} defines {_newest(absent[0], defined)}",
                    )
                )

    def _defined(self, path: Path) -> tuple[str, ...] | None:
        if path not in self._versions:
            try:
                self._versions[path] = defined_versions(path)
            except (OSError, UnusableFileError, UndecidedError):
                self._versions[path] = None
        return self._versions[path]


def _newest(wanted: str, defined: tuple[str, ...]) -> str:
    """How far the versions go that are named like the wanted one."""
    prefix = re.match(r"\D*", wanted)[0]  # type: ignore[index]  # matches always
    alike = [version for version in defined if re.fullmatch(re.escape(prefix) + r"\d+(\.\d+)*", version)]
    if not prefix or not alike:
        return f"only {', '.join(defined[:8])}{' ...' if len(defined) > 8 else ''}"
    return f"up to {max(alike, key=lambda version: [int(number) for number in re.findall(r'[0-9]+', version)])}"


def _skipped(paths: list[Path], loader: ElfLoader) -> str:
    found = "; ".join(f"{path} is made for {elf_identity(path)}" for path in paths[:3])
    return f"{found}; this process is {loader.identity}"


def _rpath_folders(image: ElfImage, value: str | None, kind: str) -> Iterator[tuple[str, str]]:
    if value is None:
        return
    entries = value.split(":")
    if len(entries) > _MAX_FOLDERS:
        raise UndecidedError(f"{kind} of {len(entries)} folders")
    for entry in entries:
        for folder in _expand(entry, image):
            yield folder or ".", f"{kind} {entry!r} of {image.path.name}"


def _expand(text: str, image: ElfImage) -> list[str]:
    """Put in what ``$ORIGIN``, ``$LIB`` and ``$PLATFORM`` stand for; the last two have several possible values."""
    results = [_substitute(text, "ORIGIN", str(image.path.parent))]
    machine = platform.machine()
    for name, values in (
        ("LIB", (f"lib/{machine}-linux-gnu", "lib64", "lib")),
        ("PLATFORM", (machine, "haswell", "xeon_phi")),
    ):
        results = [_substitute(one, name, value) for one in results for value in values]
    return list(dict.fromkeys(results))


def _substitute(text: str, name: str, value: str) -> str:
    return re.sub(rf"\$(?:\{{{name}\}}|{name}(?![A-Za-z0-9_]))", lambda _: value, text)
