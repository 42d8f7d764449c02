# SPDX-License-Identifier: Apache-2.0
"""What to do about a library that is missing, for those that builds of libllama are known to need."""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["missing_hint", "version_hint"]

_OWN_BUILD = "build the library on this computer (pip install llama-cpp-python)"
_CUDA = (
    "It belongs to the CUDA runtime{version}: install that version of the CUDA toolkit{packages}, "
    "or use a build without CUDA."
)
_KNOWN = {
    r"libcuda\.so|nvcuda\.dll": "It comes with the NVIDIA driver: install the driver, or use a build without CUDA.",
    r"(lib)?vulkan[.-]": (
        "It is the Vulkan loader: install it (Debian, Ubuntu: libvulkan1; Fedora: vulkan-loader; macOS: brew install "
        "vulkan-loader molten-vk; Windows: with the graphics driver), or use a build without Vulkan."
    ),
    r"libgomp\.so": (
        "It is GCC's OpenMP runtime: install it (Debian, Ubuntu: apt install libgomp1; Fedora: dnf install libgomp; "
        "Alpine: apk add libgomp)."
    ),
    r"libi?omp5?[.\d]*\.(dylib|so)": (
        "It is LLVM's OpenMP runtime: install it (macOS: brew install libomp; Debian, Ubuntu: apt install libomp5)."
    ),
    r"vcruntime\d|msvcp\d|vcomp\d|concrt\d|libomp140": (
        "It belongs to the Microsoft Visual C++ runtime: install the current Visual C++ Redistributable "
        "(https://aka.ms/vs/17/release/vc_redist.x64.exe, on Arm vc_redist.arm64.exe)."
    ),
    r"libstdc\+\+|libgcc_s": (
        "It belongs to the C++ runtime of GCC: install it (Debian, Ubuntu: apt install libstdc++6 libgcc-s1; Fedora: "
        "dnf install libstdc++; Alpine: apk add libstdc++)."
    ),
    r"libc\.so\.6|ld-linux|libm\.so\.6|libmvec|libpthread\.so\.0|libdl\.so\.2|librt\.so\.1": (
        f"It belongs to glibc, and this system uses another C library: take a build for it (musl), or {_OWN_BUILD}."
    ),
    r"libc\.musl|ld-musl": (
        f"It belongs to musl, and this system uses glibc: take a manylinux build, or {_OWN_BUILD}."
    ),
    r"(lib)?openblas": "It is OpenBLAS: install it (Debian, Ubuntu: libopenblas0; macOS: brew install openblas).",
    r"(lib)?(amdhip|hipblas|rocblas|hsa-runtime)": "It belongs to ROCm: install that, or use a build without it.",
    r"(lib)?(sycl|ze_loader|mkl_|dnnl)": "It belongs to Intel's oneAPI: install that, or use a build without it.",
    r"(lib)?opencl\.": "It is the OpenCL loader: install it (Debian, Ubuntu: apt install ocl-icd-libopencl1).",
    r"(lib)?(ggml|llama|mtmd)": (
        "It belongs to the same build: put it beside the library that needs it, or install the whole build again."
    ),
}
_CUDA_NAME = re.compile(r"(?:lib)?(cudart|cublaslt|cublas|nvrtc|cufft|curand)(?:\.so\.|64_)?(\d*)")


def missing_hint(name: str, needed_by: Path) -> str:
    """What to do when a library is nowhere to be found.

    Args:
        name: The name in the needed-list, with or without folder.
        needed_by: The file that needs it.
    """
    base = re.split(r"[/\\]", name)[-1].lower()
    if cuda := _CUDA_NAME.match(base):
        major = cuda[2] and cuda[2][:2]
        packages = f" (or pip install nvidia-cuda-runtime-cu{major} nvidia-cublas-cu{major})" if major else ""
        return _CUDA.format(version=f" {major}" if major else "", packages=packages)
    for pattern, hint in _KNOWN.items():
        if re.match(pattern, base):
            return hint
    return f"Install the package that holds it, or put it beside {needed_by}."


def version_hint(version: str) -> str:
    """What to do when a library is found, but older than needed.

    Args:
        version: The symbol version that it lacks.
    """
    if version.startswith("GLIBC_"):
        return f"This system's C library is older than the build: take a build for an older system, or {_OWN_BUILD}."
    if version.startswith(("GLIBCXX_", "CXXABI_", "GCC_")):
        return (
            "This C++ runtime is older than the build: install a newer one (conda: conda install -c conda-forge "
            f"libstdcxx-ng), take a build for an older system, or {_OWN_BUILD}."
        )
    return f"Install a newer version of that library, or {_OWN_BUILD}."
