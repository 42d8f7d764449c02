# SPDX-License-Identifier: Apache-2.0
"""What the loader of Linux that runs this process knows: where it looks, and what it has loaded already.

The order and the places are those of ld.so(8) for glibc and of the documentation of musl.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import re
import struct
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from qwen_asr_native.dependencies.common import UndecidedError, UnusableFileError
from qwen_asr_native.dependencies.elf import ElfIdentity, ElfImage, elf_identity, read_elf

__all__ = ["ElfLoader", "loaded_path", "parse_cache", "this_loader"]

_CACHE = Path("/etc/ld.so.cache")
_CACHE_MAGIC = b"glibc-ld.so.cache1.1"
_CACHE_HEADER = struct.Struct("=20sIIB3xI12x")
_CACHE_ENTRY = struct.Struct("=iIIIQ")
_CACHE_MAX_BYTES = 64 << 20
_PATH_FILE_MAX_BYTES = 65536
_RTLD_DI_LINKMAP = 2


@dataclass(frozen=True, kw_only=True)
class ElfLoader:
    """The loader of one process.

    Attributes:
        kind: Which C library it belongs to.
        identity: What a library must be made for.
        library_path: The folders of ``LD_LIBRARY_PATH``.
        cache: Files by name, as ``/etc/ld.so.cache`` lists them; None when it is there and cannot be read.
        default_folders: Where it looks last.
        callers: What stands above a library that Python loads, the nearest first: ``_ctypes``, then the executable.
        is_loaded: Tells whether the process has a library of this name, and under which path; the path is empty where
            the C library does not say it.
    """

    kind: Literal["glibc", "musl"]
    identity: ElfIdentity
    library_path: tuple[str, ...]
    cache: Mapping[str, tuple[str, ...]] | None
    default_folders: tuple[str, ...]
    callers: tuple[ElfImage, ...]
    is_loaded: Callable[[str], str | None]


def this_loader() -> ElfLoader:
    """The loader of this process.

    Raises:
        UndecidedError: It is neither glibc's nor musl's (Android, FreeBSD, a static Python).
    """
    try:
        executable = read_elf(Path("/proc/self/exe").readlink(), library=False)
        identity = elf_identity(executable.path)
    except (OSError, UnusableFileError) as error:
        raise UndecidedError(f"this process's executable cannot be read: {error}") from error
    name = Path(executable.interpreter).name
    kind: Literal["glibc", "musl"]
    cache: Mapping[str, tuple[str, ...]] | None
    if name.startswith("ld-musl-"):
        kind, cache, folders = "musl", {}, _musl_folders(executable.interpreter)
    elif re.match(r"ld-linux|ld64\.so|ld\.so", name):
        kind, cache, folders = "glibc", _read_cache(), _glibc_folders(executable.interpreter)
    else:
        raise UndecidedError(f"unknown loader {name!r}")
    return ElfLoader(
        kind=kind,
        identity=identity,
        library_path=_library_path(),
        cache=cache,
        default_folders=folders,
        callers=(*_extension_modules(), executable),
        is_loaded=loaded_path,
    )


@functools.cache
def _dlinfo() -> Callable[..., int] | None:
    function = getattr(ctypes.CDLL(None), "dlinfo", None)
    if function is not None:
        function.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p]
    return function


class _LinkMap(ctypes.Structure):
    _fields_ = (("address", ctypes.c_size_t), ("name", ctypes.c_char_p))


def loaded_path(name: str) -> str | None:
    """Ask the loader whether it has a library of this name already; nothing is loaded by asking.

    Args:
        name: A name without folder.

    Returns:
        The path it was loaded from, empty when that is not told, None when it is not loaded.
    """
    try:
        handle = ctypes.CDLL(name, mode=os.RTLD_NOLOAD)
    except (OSError, ValueError):  # the latter where the loader's text is not in UTF-8
        return None
    ask, found = _dlinfo(), ctypes.POINTER(_LinkMap)()
    if ask is not None:
        ask(handle._handle, _RTLD_DI_LINKMAP, ctypes.byref(found))  # noqa: SLF001 - there is no public name
    if not found:
        return ""
    return os.fsdecode(found.contents.name or b"")


def parse_cache(data: bytes) -> dict[str, tuple[str, ...]]:
    """Files by name from the bytes of ``/etc/ld.so.cache``, in the format of glibc 2.2 and later.

    Entries for other processors are in it, too; whoever uses it looks at the file.

    Raises:
        UndecidedError: It is of another format, or damaged.
    """
    start = data.find(_CACHE_MAGIC)  # older versions write the format before it in front
    if start < 0:
        raise UndecidedError("unknown format of the loader's cache")
    found: dict[str, list[str]] = {}
    try:
        _, count, *_ = _CACHE_HEADER.unpack_from(data, start)
        table = memoryview(data)[start + _CACHE_HEADER.size :][: count * _CACHE_ENTRY.size]
        for _, key, value, _, _ in _CACHE_ENTRY.iter_unpack(table):
            name, path = (data[start + at : data.index(b"\0", start + at)] for at in (key, value))
            found.setdefault(os.fsdecode(name), []).append(os.fsdecode(path))
    except (struct.error, ValueError) as error:
        raise UndecidedError(f"the loader's cache is damaged: {error}") from error
    if len(table) != count * _CACHE_ENTRY.size:
        raise UndecidedError("the loader's cache is cut off")
    return {name: tuple(paths) for name, paths in found.items()}


def _read_cache() -> dict[str, tuple[str, ...]] | None:
    try:
        with _CACHE.open("rb") as file:
            return parse_cache(file.read(_CACHE_MAX_BYTES))
    except FileNotFoundError:
        return {}
    except (OSError, UndecidedError):
        return None


def _library_path() -> tuple[str, ...]:
    """``LD_LIBRARY_PATH`` when the process started, which is what counts, and as it is now, in case that is lost."""
    values = [os.environ.get("LD_LIBRARY_PATH", "")]
    with contextlib.suppress(OSError), Path("/proc/self/environ").open("rb") as file:
        for setting in file.read().split(b"\0"):
            if setting.startswith(b"LD_LIBRARY_PATH="):
                values.insert(0, os.fsdecode(setting).split("=", 1)[1])
    folders = [folder for value in values if value for folder in re.split("[:;]", value)]
    return tuple(dict.fromkeys(folder or "." for folder in folders))


def _glibc_folders(interpreter: str) -> tuple[str, ...]:
    """Built into glibc by whoever packaged it; this is a superset, because looking too far misses nothing."""
    multiarch = getattr(sys.implementation, "_multiarch", "")
    folders = [str(Path(path).parent) for path in (loaded_path("libc.so.6"), interpreter) if path]
    if multiarch:
        folders += [f"/lib/{multiarch}", f"/usr/lib/{multiarch}"]
    return tuple(dict.fromkeys((*folders, "/lib64", "/usr/lib64", "/lib", "/usr/lib")))


def _musl_folders(interpreter: str) -> tuple[str, ...]:
    """From ``/etc/ld-musl-ARCHITECTURE.path``, or the ones built in where there is no such file."""
    prefix, _, name = interpreter.partition("/lib/")
    try:
        with Path(f"{prefix}/etc/{name.split('.')[0]}.path").open("rb") as file:
            text = os.fsdecode(file.read(_PATH_FILE_MAX_BYTES))
    except FileNotFoundError:
        return ("/lib", "/usr/local/lib", "/usr/lib")
    except OSError as error:
        raise UndecidedError(str(error)) from error
    return tuple(folder for folder in re.split("[:\n]", text) if folder)


def _extension_modules() -> tuple[ElfImage, ...]:
    """``_ctypes``, on whose behalf `ctypes.CDLL` loads, unless it is built into the executable."""
    path = getattr(sys.modules.get("_ctypes"), "__file__", None)
    if path is None:
        return ()
    try:
        return (read_elf(Path(path).absolute()),)
    except (OSError, UnusableFileError, UndecidedError):
        return ()
