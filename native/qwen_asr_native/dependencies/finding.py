# SPDX-License-Identifier: Apache-2.0
"""Names what keeps the system from loading a shared library: which file is missing, who needs it, where it was sought.

The needed-lists of ELF, Mach-O and PE files are read and followed as the loader of the system follows them, without
loading anything. Where it is not certain what the loader would do, nothing is reported: it is asked instead.
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Literal

from qwen_asr_native.dependencies.common import Budget, MissingDependency, Reason, UndecidedError, UnusableFileError
from qwen_asr_native.errors import DependencyError, LibraryError, LibraryLoadError

__all__ = ["MissingDependency", "Reason", "check_dependencies", "find_missing", "needed"]

_Format = Literal["ELF", "Mach-O", "PE"]
_SYSTEMS: dict[_Format, str] = {"ELF": "Linux", "Mach-O": "macOS", "PE": "Windows"}
_NATIVE: dict[str, _Format] = {"linux": "ELF", "darwin": "Mach-O", "win32": "PE"}
_PARSERS: dict[_Format, str] = {"ELF": "pyelftools", "Mach-O": "macholib", "PE": "pefile"}
_FAT_MAGIC = b"\xca\xfe\xba\xbe"
_MACH_O_MAGICS = {
    b"\xfe\xed\xfa\xce",
    b"\xfe\xed\xfa\xcf",
    b"\xce\xfa\xed\xfe",
    b"\xcf\xfa\xed\xfe",
    _FAT_MAGIC,
    b"\xca\xfe\xba\xbf",
}
_MAX_SLICES = 32
_HEAD_SIZE = 64


def find_missing(path: Path) -> list[MissingDependency]:
    """What a library needs, directly or through others, and this process's loader would not find or not accept.

    Args:
        path: The library file.

    Returns:
        The problems in the order in which the loader would come upon them; empty when there are none or when it cannot
        be told.

    Raises:
        LibraryLoadError: The file itself cannot be loaded: it is no shared library, damaged, cut off, or made for
            another system or processor.
    """
    path = path.absolute()
    native = _NATIVE.get(sys.platform)
    if native is None:
        return []
    try:
        kind = _format(path)
        if kind != native:
            raise UnusableFileError(
                f"it is a library for {_SYSTEMS[kind]} ({kind}), not for this system", "architecture"
            )
        return _search(kind, path)
    except (UndecidedError, ImportError):
        return []
    except UnusableFileError as error:
        hint = "Take the build for this system." if error.reason == "architecture" else "Install it again."
        raise LibraryLoadError(f"{path}: the system cannot load this library: {error}. {hint}") from error
    except OSError as error:
        raise LibraryLoadError(f"{path}: the system cannot load this library: {error.strerror or error}.") from error


def check_dependencies(path: Path) -> None:
    """Make sure that everything a library needs is there.

    Args:
        path: The library file.

    Raises:
        DependencyError: Something is missing, too old, damaged, or made for another processor.
        LibraryLoadError: The file itself cannot be loaded.
    """
    problems = find_missing(path)
    if not problems:
        return
    alike: dict[MissingDependency, list[str]] = {}
    for problem in problems:
        alike.setdefault(dataclasses.replace(problem, name=""), []).append(problem.name)
    texts = [dataclasses.replace(problem, name=", ".join(names)).describe() for problem, names in alike.items()]
    separator = "\n  - " if len(texts) > 1 else " "
    raise DependencyError(f"{path}: the system cannot load this library:{separator}{separator.join(texts)}")


def needed(path: Path) -> list[str]:
    """The needed-list of a library, as it stands in the file, whichever system it is for.

    Libraries that may be absent (weakly linked, delay-loaded) are in it, too. Of a universal binary, the part for this
    processor is read, or else the first one.

    Args:
        path: The library file.

    Raises:
        LibraryLoadError: It is no shared library, damaged or cut off.
        LibraryError: The parser for its format is not installed, or the file is beyond its limits.
    """
    path = path.absolute()
    try:
        kind = _format(path)
        if kind == "ELF":
            from qwen_asr_native.dependencies.elf import read_elf

            return list(read_elf(path).needed)
        if kind == "Mach-O":
            from qwen_asr_native.dependencies.macho import read_any_macho

            return list(read_any_macho(path).needed)
        from qwen_asr_native.dependencies.pe import read_pe

        image = read_pe(path)
        return [*image.needed, *image.delayed]
    except UnusableFileError as error:
        raise LibraryLoadError(f"{path}: cannot be read as a shared library: {error}.") from error
    except OSError as error:
        raise LibraryLoadError(f"{path}: cannot be read: {error.strerror or error}.") from error
    except UndecidedError as error:
        raise LibraryError(f"{path}: the needed-list cannot be read: {error}.") from error
    except ImportError as error:
        raise LibraryError(
            f"{path}: the needed-list cannot be read without {_PARSERS[kind]}. Install it with: pip install "
            f"{_PARSERS[kind]}"
        ) from error


def _search(kind: _Format, path: Path) -> list[MissingDependency]:
    if kind == "ELF":
        from qwen_asr_native.dependencies.elf_loader import this_loader
        from qwen_asr_native.dependencies.elf_search import find_missing_elf

        return find_missing_elf(path, this_loader(), Budget())
    if kind == "Mach-O":
        from qwen_asr_native.dependencies.macho_search import find_missing_macho, this_dyld

        return find_missing_macho(path, this_dyld(), Budget())
    from qwen_asr_native.dependencies.pe import find_missing_pe, this_windows

    return find_missing_pe(path, this_windows(path), Budget())


def _format(path: Path) -> _Format:
    """Which format a file has, by its first bytes."""
    with path.open("rb") as file:
        head = file.read(_HEAD_SIZE)
    if head.startswith(b"\x7fELF"):
        return "ELF"
    if head[:4] in _MACH_O_MAGICS and not (head[:4] == _FAT_MAGIC and int.from_bytes(head[4:8], "big") > _MAX_SLICES):
        return "Mach-O"
    if head.startswith(b"MZ"):
        return "PE"
    if not head:
        raise UnusableFileError("the file is empty")
    if head.startswith(b"!<arch>\n"):
        raise UnusableFileError("it is a static library (an archive), not a shared one")
    if head.startswith(b"version https://git-lfs"):
        raise UnusableFileError("it is only a pointer of Git LFS; fetch the file itself with: git lfs pull")
    raise UnusableFileError(f"it is not a shared library (it starts with {head[:16]!r})")
