# SPDX-License-Identifier: Apache-2.0
"""Building libllama from source, for the processor at hand.

`build_library` takes a llama.cpp or ik_llama.cpp source tree from wherever it is, builds the shared library with cmake,
verifies it, runs a tiny model on it, and only then puts it where the provider ``built`` finds it. The one installed
before stays in use until that moment, and whenever something fails.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qwen_asr_native.building.build import build_library
    from qwen_asr_native.building.installed import InstalledBuild, installed_build
    from qwen_asr_native.building.installing import remove_builds
    from qwen_asr_native.building.options import BuildOptions
    from qwen_asr_native.building.sources import DEFAULT_SOURCE

__all__ = [
    "DEFAULT_SOURCE",
    "BuildOptions",
    "InstalledBuild",
    "build_library",
    "installed_build",
    "remove_builds",
]

_MODULES = {
    "build": ("build_library",),
    "installed": ("InstalledBuild", "installed_build"),
    "installing": ("remove_builds",),
    "options": ("BuildOptions",),
    "sources": ("DEFAULT_SOURCE",),
}


def __getattr__(name: str) -> Any:
    """Import a public name on first use: every process looks for an installed build, few ever make one."""
    for module, names in _MODULES.items():
        if name in names:
            return getattr(importlib.import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """The public names."""
    return __all__
