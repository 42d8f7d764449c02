# SPDX-License-Identifier: Apache-2.0
"""Opening a shared library together with the libraries it needs, without leaving a trace in the process."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from qwen_asr_native.errors import LibraryLoadError

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
        LibraryLoadError: The system cannot load it; the message holds the system's own reason.
    """
    path = path.absolute()
    with _search_folders(path.parent):
        try:
            return ctypes.CDLL(str(path))
        except OSError as first:
            siblings = _ggml_libraries(path)
            try:
                for sibling in siblings:
                    ctypes.CDLL(str(sibling))
                return ctypes.CDLL(str(path))
            except OSError:
                raise LibraryLoadError(
                    f"{path}: the system cannot load this library: {first}. {_RUNTIME_HINT}"
                ) from first


def _ggml_libraries(path: Path) -> list[Path]:
    """The ggml libraries beside a libllama, those that others need first."""
    order = {"ggml-base": 0, "ggml": 2}
    found = [
        (order.get(_stem(file), 1), file)
        for file in path.parent.iterdir()
        if file.suffix in SUFFIXES and file != path and _stem(file).startswith("ggml")
    ]
    return [file for _, file in sorted(found)]


def _stem(file: Path) -> str:
    return file.name.removeprefix("lib").split(".")[0]


@contextlib.contextmanager
def _search_folders(folder: Path) -> Iterator[None]:
    """On Windows, let the loader look in these folders for as long as the library loads."""
    with contextlib.ExitStack() as stack:
        if sys.platform == "win32":
            stack.enter_context(os.add_dll_directory(str(folder)))
        yield
