# SPDX-License-Identifier: Apache-2.0
"""What to build, in words that cmake understands."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass

from qwen_asr_native.errors import BuildError

__all__ = ["BuildOptions"]

_DEFINITION = re.compile(r"[A-Za-z_]\w*(:[A-Z]+)?=.*", re.DOTALL)
_UNWANTED = ("TESTS", "EXAMPLES", "TOOLS", "SERVER", "COMMON", "APP")


@dataclass(frozen=True, kw_only=True)
class BuildOptions:
    """Choices that change the library. Every accelerator is off unless asked for.

    Attributes:
        metal: Apple's GPUs. llama.cpp itself has this on by default on macOS.
        cuda: NVIDIA GPUs; needs the CUDA toolkit.
        vulkan: GPUs through Vulkan; needs the Vulkan SDK.
        blas: Matrix products by the system's BLAS (Accelerate on macOS).
        portable: Keep to instructions every processor of this kind has. Off: use all that this machine has.
        define: Further ``NAME=VALUE`` for cmake; they win over everything above.

    Raises:
        BuildError: A definition is not of the form ``NAME=VALUE``.
    """

    metal: bool = False
    cuda: bool = False
    vulkan: bool = False
    blas: bool = False
    portable: bool = False
    define: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for definition in self.define:
            if not _DEFINITION.fullmatch(definition):
                raise BuildError(f"{definition!r} is no cmake definition; it must be of the form NAME=VALUE.")

    @property
    def accelerators(self) -> tuple[str, ...]:
        """The accelerators asked for, as llama.cpp names them."""
        chosen = {"METAL": self.metal, "CUDA": self.cuda, "VULKAN": self.vulkan, "BLAS": self.blas}
        asked = [name for name, wanted in chosen.items() if wanted]
        asked += re.findall(r"\bGGML_(\w+?)(?::\w+)?=(?:ON|1|TRUE|YES)\b", " ".join(self.define))
        return tuple(dict.fromkeys(asked))

    def cmake_definitions(self) -> tuple[str, ...]:
        """``-D`` arguments. Only the library is built: programs, tests and downloads of any kind are off."""
        beside = "@loader_path" if sys.platform == "darwin" else "$ORIGIN"
        values = {
            "CMAKE_BUILD_TYPE": "Release",
            "BUILD_SHARED_LIBS": "ON",
            "CMAKE_BUILD_WITH_INSTALL_RPATH": "ON",
            "CMAKE_INSTALL_RPATH": beside,
            "CMAKE_MACOSX_RPATH": "ON",
            **{f"LLAMA_BUILD_{name}": "OFF" for name in _UNWANTED},
            "LLAMA_ALL_WARNINGS": "OFF",  # ik_llama.cpp's make a log of 90 MB
            "GGML_ALL_WARNINGS": "OFF",
            "LLAMA_CURL": "OFF",
            "LLAMA_OPENSSL": "OFF",
            "GGML_NATIVE": _switch(not self.portable),
            "GGML_METAL": _switch(self.metal),
            "GGML_METAL_EMBED_LIBRARY": _switch(self.metal),
            "GGML_CUDA": _switch(self.cuda),
            "GGML_VULKAN": _switch(self.vulkan),
            "GGML_BLAS": _switch(self.blas),
        }
        return (*(f"-D{name}={value}" for name, value in values.items()), *(f"-D{one}" for one in self.define))


def _switch(on: bool) -> str:
    return "ON" if on else "OFF"
