# SPDX-License-Identifier: Apache-2.0
"""libllama for Python programs that must not crash: found, verified, and called with checked arguments.

The library comes from a Python package that is installed anyway (see `load_library`). Its struct layouts are verified
in a child process before it is used, every argument that would make it abort the process is refused with an exception,
and what it prints goes to `logging`. Nothing is loaded on import, not even numpy.

    with Model(load_library(), "model.gguf") as model, Context(model, n_ctx=512) as context:
        context.decode_tokens(model.tokenize("Hello"), 0, logits=True)
        print(model.piece(int(context.logits().argmax())))

Failures are `NativeError`s; the tree is drawn in `qwen_asr_native.errors`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qwen_asr_native.context import Context
    from qwen_asr_native.cores import usable_cores
    from qwen_asr_native.devices import Device, list_devices
    from qwen_asr_native.errors import (
        ArchitectureError,
        BuildError,
        BuildToolError,
        ClosedError,
        CompilerNotFoundError,
        ContextError,
        DecodeError,
        DependencyError,
        DeviceError,
        LayoutError,
        LibraryCrashedError,
        LibraryError,
        LibraryLoadError,
        LibraryNotFoundError,
        MissingSymbolError,
        ModelLoadError,
        NativeError,
        QuantizeError,
        QuantizerNotFoundError,
        SourceIncompleteError,
        TokenError,
    )
    from qwen_asr_native.library import Library, ProviderReport, diagnose, load_library
    from qwen_asr_native.model import Model
    from qwen_asr_native.quantizing import quantize

__all__ = [
    "ArchitectureError",
    "BuildError",
    "BuildToolError",
    "ClosedError",
    "CompilerNotFoundError",
    "Context",
    "ContextError",
    "DecodeError",
    "DependencyError",
    "Device",
    "DeviceError",
    "LayoutError",
    "Library",
    "LibraryCrashedError",
    "LibraryError",
    "LibraryLoadError",
    "LibraryNotFoundError",
    "MissingSymbolError",
    "Model",
    "ModelLoadError",
    "NativeError",
    "ProviderReport",
    "QuantizeError",
    "QuantizerNotFoundError",
    "SourceIncompleteError",
    "TokenError",
    "diagnose",
    "list_devices",
    "load_library",
    "quantize",
    "usable_cores",
]

_MODULES = {
    "context": ("Context",),
    "cores": ("usable_cores",),
    "devices": ("Device", "list_devices"),
    "errors": (
        "ArchitectureError",
        "BuildError",
        "BuildToolError",
        "ClosedError",
        "CompilerNotFoundError",
        "ContextError",
        "DecodeError",
        "DependencyError",
        "DeviceError",
        "LayoutError",
        "LibraryCrashedError",
        "LibraryError",
        "LibraryLoadError",
        "LibraryNotFoundError",
        "MissingSymbolError",
        "ModelLoadError",
        "NativeError",
        "QuantizeError",
        "QuantizerNotFoundError",
        "SourceIncompleteError",
        "TokenError",
    ),
    "library": ("Library", "ProviderReport", "diagnose", "load_library"),
    "model": ("Model",),
    "quantizing": ("quantize",),
}


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so that the child processes and ``--help`` texts start quickly."""
    for module, names in _MODULES.items():
        if name in names:
            return getattr(importlib.import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """The public names."""
    return __all__
