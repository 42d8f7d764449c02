# SPDX-License-Identifier: Apache-2.0
"""Opens ONNX graphs on the execution provider that was asked for, or says why that cannot be.

onnxruntime itself goes on with the CPU when a provider cannot start: with CUDA it only logs that a library is missing,
with TensorRT it prints so. What it really uses is in ``get_providers()``.
"""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path
from typing import Any, Final

from qwen_asr_plugin.errors import OnnxDamagedError, OnnxProviderError

__all__ = ["open_session"]

_CPU: Final = "CPUExecutionProvider"
_NAMES: Final = {
    "cpu": _CPU,
    "cuda": "CUDAExecutionProvider",
    "dml": "DmlExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}
_NEEDS: Final = {
    "cuda": 'the package onnxruntime-gpu with its CUDA libraries: pip install "onnxruntime-gpu[cuda,cudnn]"',
    "dml": "the package onnxruntime-directml (Windows): pip install onnxruntime-directml",
    "coreml": "the package onnxruntime for macOS: pip install onnxruntime",
    "tensorrt": 'onnxruntime-gpu and TensorRT: pip install "onnxruntime-gpu[cuda,cudnn]" tensorrt',
}
_ONE_PACKAGE: Final = "Uninstall the other onnxruntime packages first: they share one folder."


def open_session(path: Path, *, provider: str, threads: int) -> Any:
    """Open one graph; what the device cannot compute of it is computed on the CPU.

    Args:
        path: The ONNX file.
        provider: See `EngineOptions.onnx_provider`: a key, and the number of the device after a colon.
        threads: Threads per call on the CPU.

    Returns:
        An ``onnxruntime.InferenceSession`` that runs on that provider.

    Raises:
        OnnxDamagedError: The file cannot be loaded, on the CPU neither.
        OnnxProviderError: The provider is not installed, or cannot start; says what it lacks.
    """
    import onnxruntime

    key, _, number = provider.partition(":")
    wanted = _NAMES[key]
    available = onnxruntime.get_available_providers()
    if wanted not in available:
        raise OnnxProviderError(
            f"The installed onnxruntime has no {wanted} (it has {', '.join(available)}).",
            hint=f"{key} needs {_NEEDS[key]}. {_ONE_PACKAGE} Or use the provider cpu.",
        )
    if wanted == _CPU:
        return _load(path, [_CPU], threads)
    if key in ("cuda", "tensorrt") and hasattr(onnxruntime, "preload_dlls"):
        onnxruntime.preload_dlls()  # the CUDA libraries of Python packages, where no system path leads to them
    device = {"device_id": number} if number else {}
    chain: list[Any] = [(wanted, device)]
    if key == "tensorrt" and _NAMES["cuda"] in available:  # takes what TensorRT leaves
        chain.append((_NAMES["cuda"], device))
    try:
        session = _load(path, [*chain, _CPU], threads)
    except Exception as error:
        try:
            _load(path, [_CPU], threads)
        except Exception:  # noqa: BLE001 - the file is to blame, not the provider
            raise _damaged(path, error) from error
        raise _unusable(key, number, _first_line(error)) from error
    if session.get_providers()[0] != wanted:
        raise _unusable(key, number, _missing_library(key))
    return session


def _load(path: Path, providers: list[Any], threads: int) -> Any:
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = threads
    settings.inter_op_num_threads = 1
    settings.log_severity_level = 4
    # Spinning threads would take the cores from the decoder, which works between two calls.
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    settings.add_session_config_entry("session.inter_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(str(path), settings, providers=providers, enable_fallback=0)
    except Exception as error:
        if providers == [_CPU]:
            raise _damaged(path, error) from error
        raise


def _damaged(path: Path, error: Exception) -> OnnxDamagedError:
    return OnnxDamagedError(
        f"onnxruntime cannot load this encoder graph ({_first_line(error)}).",
        path=path,
        hint="Install the model again; its download may have been cut off.",
    )


def _unusable(key: str, number: str, reason: str) -> OnnxProviderError:
    device = f" on device {number}" if number else ""
    return OnnxProviderError(
        f"onnxruntime has {_NAMES[key]}, but it does not start{device}: {reason}",
        hint=f"{key} needs a working driver and {_NEEDS[key]}. Or use the provider cpu, or allow_fallback.",
    )


def _missing_library(key: str) -> str:
    """Why a provider's own library cannot be loaded, in the words of the system's loader."""
    import onnxruntime

    folder = Path(onnxruntime.__file__).parent / "capi"
    pattern = f"onnxruntime_providers_{key}.dll" if sys.platform == "win32" else f"libonnxruntime_providers_{key}.*"
    try:
        for file in folder.glob(pattern):
            ctypes.CDLL(str(file))
    except OSError as error:
        return f"{error}."
    return "onnxruntime uses the CPU instead and does not say why; its log above this message may."


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:400]
