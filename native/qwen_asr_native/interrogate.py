# SPDX-License-Identifier: Apache-2.0
"""The half of the layout check that runs in a child process: asks a library for its default structs.

Nothing here knows a layout. Each ``*_default_params()`` is called with far more room than any known struct needs,
twice, on memory filled with two different patterns: a byte that comes back equal both times was written by the library.
Progress is printed as one JSON object a line, so that the parent knows which call killed the process.
"""

from __future__ import annotations

import ctypes
import json
import platform
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from qwen_asr_native.dependencies import check_dependencies
from qwen_asr_native.errors import DependencyError, LibraryError
from qwen_asr_native.layouts_mainline import BATCH_TEST_ARGUMENTS
from qwen_asr_native.loading import open_library

__all__ = ["STRUCT_FUNCTIONS", "main"]

STRUCT_FUNCTIONS = {
    "model_params": "llama_model_default_params",
    "context_params": "llama_context_default_params",
    "quantize_params": "llama_model_quantize_default_params",
    "batch": "llama_batch_get_one",
}

_ROOM = 1024
_PATTERNS = (0xA5, 0x5A)
# Where a large struct is returned through memory whose address the caller passes as an ordinary first argument
# (System V and Windows on x86-64, RISC-V, POWER). On 64-bit Arm the address is in x8, out of reach of ctypes.
_ADDRESS_IS_FIRST_ARGUMENT = platform.machine().lower() in {"x86_64", "amd64", "riscv64", "ppc64le", "loongarch64"}


class _Room(ctypes.Structure):
    _fields_ = (("data", ctypes.c_uint8 * _ROOM),)


def main(arguments: Sequence[str]) -> int:
    """Examine the library ``arguments[0]`` and print what was found."""
    path = Path(arguments[0])
    if sys.platform == "win32":  # a crash must end the process, not open a dialog box and wait
        ctypes.windll.kernel32.SetErrorMode(0x0001 | 0x0002)
    _say(stage="loading")
    missing: LibraryError | None = None
    try:
        check_dependencies(path)
    except DependencyError as error:
        missing = error  # the loader is asked all the same: it may know a way that the check does not know
    except LibraryError as error:  # a file that is cut off would crash the loader
        return _refuse(error)
    try:
        library = open_library(path)
    except LibraryError as error:
        return _refuse(missing or error)
    silent = _silence(library)
    for kind, name in STRUCT_FUNCTIONS.items():
        function = getattr(library, name, None)
        if function is None:
            continue
        _say(stage=name)
        _say(kind=kind, **_defaults(function, BATCH_TEST_ARGUMENTS if kind == "batch" else ()))
    _start_backend(library)
    for kind, name in (("version", "llama_version"), ("system", "llama_print_system_info")):
        function = getattr(library, name, None)
        if function is None:
            continue
        _say(stage=name)
        function.restype = ctypes.c_char_p
        _say(kind=kind, text=(function() or b"").decode("utf-8", "replace").strip())
    _say(stage="done")
    del silent
    return 0


def _refuse(error: LibraryError) -> int:
    _say(error=str(error), code=error.code)
    return 1


def _silence(library: ctypes.CDLL) -> Any:
    """Install a log callback that drops everything; returns it, because it must outlive the calls."""
    silent = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)(lambda *_: None)
    set_log: Any = getattr(library, "llama_log_set", None)
    if set_log is not None:
        set_log.argtypes = [type(silent), ctypes.c_void_p]
        set_log.restype = None
        set_log(silent, None)
    return silent


def _start_backend(library: ctypes.CDLL) -> None:
    """Run a little arithmetic, so that a build for another processor dies here and not in the caller's process."""
    initialise: Callable[[], None] | None = getattr(library, "llama_backend_init", None)
    if initialise is not None:
        _say(stage="llama_backend_init")
        initialise()


def _defaults(function: Any, arguments: Sequence[int]) -> dict[str, str | None]:
    extra = (ctypes.c_void_p, ctypes.c_int32, ctypes.c_int32, ctypes.c_int32)[: len(arguments)]
    if not _ADDRESS_IS_FIRST_ARGUMENT:
        function.argtypes = list(extra)
        function.restype = _Room
        return {"data": bytes(function(*arguments).data).hex(), "written": None}
    function.argtypes = [ctypes.c_void_p, *extra]
    function.restype = ctypes.c_void_p
    runs = []
    for pattern in _PATTERNS:
        room = _Room()
        ctypes.memset(ctypes.byref(room), pattern, _ROOM)
        function(ctypes.addressof(room), *arguments)
        runs.append(bytes(room.data))
    written = bytes(first == second for first, second in zip(*runs, strict=True))
    return {"data": runs[0].hex(), "written": written.hex()}


def _say(**record: Any) -> None:
    sys.stdout.write(json.dumps(record) + "\n")
    sys.stdout.flush()
