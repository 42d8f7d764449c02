# SPDX-License-Identifier: Apache-2.0
"""The backend's own branch of the error tree, rooted in `subtitle_hooks.SubtitleError`.

``code`` is stable and the exit status of the command line; media and output errors come from `subtitle_hooks`.

::

    SubtitleError
    ├── FfmpegNotFoundError          100   no ffmpeg program on this computer
    ├── FfmpegError                  101   the ffmpeg program does not start or lacks a needed part
    ├── ModelError                   110   something about the model bundle
    │   ├── ModelNotFoundError       111   no such bundle
    │   ├── ModelFileMissingError    112   one of its files is not there
    │   ├── GgufDamagedError         113   the decoder file is cut off or corrupt
    │   ├── OnnxDamagedError         114   an encoder file is cut off or corrupt
    │   ├── ModelManifestError       115   bundle.json cannot be used
    │   ├── PrecisionNotFoundError   116   the bundle has no files of that precision
    │   └── ConversionError          117   a checkpoint cannot be converted
    └── EngineError                  120   something about the native part
        ├── LibraryNotFoundError     121   no libllama anywhere
        ├── LibraryLayoutError       122   a libllama of an unknown build
        ├── EngineCrashedError       123   the worker process died
        ├── EngineTimeoutError       124   the worker process hangs
        └── OnnxProviderError        125   onnxruntime lacks the execution provider
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Final, ParamSpec, TypeVar

from subtitle_hooks import SubtitleError

__all__ = [
    "ConversionError",
    "EngineCrashedError",
    "EngineError",
    "EngineTimeoutError",
    "FfmpegError",
    "FfmpegNotFoundError",
    "GgufDamagedError",
    "LibraryLayoutError",
    "LibraryNotFoundError",
    "ModelError",
    "ModelFileMissingError",
    "ModelManifestError",
    "ModelNotFoundError",
    "OnnxDamagedError",
    "OnnxProviderError",
    "PrecisionNotFoundError",
    "from_message",
    "to_message",
    "translate_errors",
]

P = ParamSpec("P")
R = TypeVar("R")


class FfmpegNotFoundError(SubtitleError):
    """There is no ffmpeg program in any of the places searched."""

    code = 100


class FfmpegError(SubtitleError):
    """The ffmpeg program that was found does not start, or was built without a part that is needed."""

    code = 101


class ModelError(SubtitleError):
    """Something about the model bundle."""

    code = 110


class ModelNotFoundError(ModelError):
    """There is no bundle of that name or at that path."""

    code = 111


class ModelFileMissingError(ModelError):
    """A file of the bundle is not there."""

    code = 112


class GgufDamagedError(ModelError):
    """The decoder file is cut off or corrupt."""

    code = 113


class OnnxDamagedError(ModelError):
    """An encoder file is cut off or corrupt."""

    code = 114


class ModelManifestError(ModelError):
    """The bundle's manifest cannot be used."""

    code = 115


class PrecisionNotFoundError(ModelError):
    """The bundle has no files of the precision or quantisation asked for."""

    code = 116


class ConversionError(ModelError):
    """A checkpoint cannot be converted."""

    code = 117


class EngineError(SubtitleError):
    """Something about the native part."""

    code = 120


class LibraryNotFoundError(EngineError):
    """No libllama was found."""

    code = 121


class LibraryLayoutError(EngineError):
    """The libllama found is of a build whose structs are not known."""

    code = 122


class EngineCrashedError(EngineError):
    """The worker process died while it worked on this file."""

    code = 123


class EngineTimeoutError(EngineError):
    """The worker process gave no answer in a generous time."""

    code = 124


class OnnxProviderError(EngineError):
    """The installed onnxruntime lacks the execution provider asked for."""

    code = 125


_FROM_MODEL_ROOM: Final[dict[str, type[SubtitleError]]] = {
    "BundleNotFoundError": ModelNotFoundError,
    "BundleFileMissingError": ModelFileMissingError,
    "GgufDamagedError": GgufDamagedError,
    "OnnxDamagedError": OnnxDamagedError,
    "ManifestError": ModelManifestError,
    "PrecisionNotFoundError": PrecisionNotFoundError,
    "CheckpointError": ConversionError,
    "ConversionError": ConversionError,
}
_FROM_NATIVE_ROOM: Final[dict[str, type[SubtitleError]]] = {
    "LibraryNotFoundError": LibraryNotFoundError,
    "LibraryCrashedError": LibraryLayoutError,
    "LayoutError": LibraryLayoutError,
    "MissingSymbolError": LibraryLayoutError,
    "ModelLoadError": GgufDamagedError,
}


def translate_errors(function: Callable[P, R]) -> Callable[P, R]:
    """Let errors of the model and native rooms leave `function` as members of this tree."""

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        from qwen_asr_model import BundleError
        from qwen_asr_native import NativeError

        try:
            return function(*args, **kwargs)
        except BundleError as error:
            kind = _FROM_MODEL_ROOM.get(type(error).__name__, ModelError)
            raise kind(error.what, path=error.path, hint=error.hint) from error
        except NativeError as error:
            raise _FROM_NATIVE_ROOM.get(type(error).__name__, EngineError)(str(error)) from error

    return wrapper


def to_message(error: Exception) -> dict[str, str | None]:
    """Describe an error so that it can cross a process border."""
    if isinstance(error, SubtitleError):
        return {"type": type(error).__name__, "what": error.what, "path": error.path, "hint": error.hint}
    return {"type": "EngineError", "what": f"{type(error).__name__}: {error}", "path": None, "hint": ""}


def from_message(message: dict[str, Any]) -> SubtitleError:
    """Make the error again on the other side; an unknown class becomes `EngineError`."""
    kind = globals().get(str(message.get("type")))
    if not (isinstance(kind, type) and issubclass(kind, SubtitleError)):
        kind = EngineError
    return kind(str(message["what"]), path=message.get("path"), hint=str(message.get("hint") or ""))
