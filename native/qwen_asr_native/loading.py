# SPDX-License-Identifier: Apache-2.0
"""Opening a shared library together with the libraries it needs, without leaving a trace in the process."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from qwen_asr_native.errors import LibraryError, LibraryLoadError

__all__ = ["SUFFIXES", "open_library"]

SUFFIXES = (".dylib",) if sys.platform == "darwin" else (".dll",) if sys.platform == "win32" else (".so",)
_RUNTIME_HINT = {
    "win32": "It may need the Microsoft Visual C++ runtime (vcruntime140_1.dll, msvcp140.dll, vcomp140.dll).",
    "darwin": "It may be built for another processor (arm64 or x86_64) or a newer macOS.",
}.get(sys.platform, "It may be built for another processor or a newer C library (glibc, musl).")


def open_library(path: Path) -> ctypes.CDLL:
    """Load a shared library, with the libraries in its folder as its dependencies.

    Most builds find their own dependencies. Some do not, among them the macOS wheels of ``ik-llama-cpp-python``,
    which ask for ``@rpath/libggml.dylib`` and set no rpath: for those the ``ggml`` libraries beside the file are
    loaded first.

    Args:
        path: The library file.

    Raises:
        DependencyError: A library that it needs is missing, too old or for another processor.
        LibraryLoadError: The system cannot load it for another reason.

    Both messages hold the system's own reason.
    """
    path = path.absolute()
    with _search_folders(path.parent):
        try:
            return ctypes.CDLL(str(path))
        except (OSError, UnicodeError) as first:  # the latter where the loader quotes a damaged file
            for sibling in _ggml_libraries(path):
                # A backend for a device that is not there does no harm.
                with contextlib.suppress(OSError, UnicodeError):
                    ctypes.CDLL(str(sibling))
            try:
                return ctypes.CDLL(str(path))
            except (OSError, UnicodeError):
                raise _explain(path, first) from first


def _explain(path: Path, reason: Exception) -> LibraryError:
    """The error that says most about why the system refused a library."""
    from qwen_asr_native.dependencies import check_dependencies

    try:
        check_dependencies(path)
    except LibraryError as error:
        return type(error)(f"{error} (The system says: {reason})")
    return LibraryLoadError(f"{path}: the system cannot load this library: {reason}. {_RUNTIME_HINT}")


def _ggml_libraries(path: Path) -> list[Path]:
    """The ggml libraries beside a libllama, those that others need first."""
    order = {"ggml-base": 0, "ggml": 2}
    if not path.parent.is_dir():
        return []
    found = [
        (order.get(_stem(file), 1), file)
        for file in path.parent.iterdir()
        if _is_library(file) and file != path and _stem(file).startswith("ggml")
    ]
    return [file for _, file in sorted(found)]


def _is_library(file: Path) -> bool:
    return file.suffix in SUFFIXES or (sys.platform == "linux" and ".so." in file.name)


def _stem(file: Path) -> str:
    return file.name.removeprefix("lib").split(".")[0]


@contextlib.contextmanager
def _search_folders(folder: Path) -> Iterator[None]:
    """On Windows, let the loader look in these folders for as long as the library loads."""
    with contextlib.ExitStack() as stack:
        if sys.platform == "win32":
            stack.enter_context(os.add_dll_directory(str(folder)))
        yield
