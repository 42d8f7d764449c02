# SPDX-License-Identifier: Apache-2.0
"""Reaches the functions of ggml, the tensor library beneath libllama, which may be in files of its own."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from qwen_asr_native.loading import open_library

__all__ = ["Ggml"]


class Ggml:
    """The ggml functions of a loaded libllama.

    On Linux and macOS a look-up through libllama also finds what its dependencies export; on Windows it finds only what
    the file itself exports, so that the ggml libraries beside it are searched, too.

    Args:
        library: The loaded libllama.
        path: Its file.
    """

    def __init__(self, library: ctypes.CDLL, path: Path) -> None:
        separate = (path.parent / name for name in ("ggml.dll", "ggml-base.dll"))
        self._libraries = [library, *(open_library(file) for file in separate if file.is_file())]
        self._folder = path.parent

    def function(self, name: str, result: Any, *arguments: Any) -> Callable[..., Any] | None:
        """A function with these types, None when no library exports it."""
        for library in self._libraries:
            try:
                function = library[name]
            except AttributeError:
                continue
            function.restype = result
            function.argtypes = arguments
            return function
        return None

    def load_backends(self) -> None:
        """Load the compute backends of builds that keep them in files of their own (llama.cpp's release archives)."""
        count = self.function("ggml_backend_reg_count", ctypes.c_size_t)
        load = self.function("ggml_backend_load_all_from_path", None, ctypes.c_char_p)
        if count is not None and load is not None and count() == 0:
            load(os.fsencode(self._folder))
