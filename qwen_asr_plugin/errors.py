# SPDX-License-Identifier: Apache-2.0
"""The backend's own branch of the error tree, rooted in `subtitle_hooks.SubtitleError`.

``code`` is stable and the exit status of the command line; media and output errors come from `subtitle_hooks`.

::

    SubtitleError
    ├── FfmpegNotFoundError          100   no ffmpeg program on this computer
    ├── FfmpegError                  101   the ffmpeg program does not start or lacks a needed part
    ├── ModelError                   110   something about the model bundle
    │   ├── DownloadError            102   a model cannot be fetched
    │   ├── ChecksumError            103   what was fetched is not what was announced
    │   ├── ModelNotFoundError       111   no such bundle
    │   ├── ModelFileMissingError    112   one of its files is not there
    │   ├── GgufDamagedError         113   the decoder file is cut off or corrupt
    │   ├── OnnxDamagedError         114   an encoder file is cut off or corrupt
    │   ├── ModelManifestError       115   bundle.json cannot be used
    │   ├── PrecisionNotFoundError   116   the bundle has no files of that precision
    │   ├── ConversionError          117   a checkpoint cannot be converted
    │   ├── ArchiveError             118   an archive is damaged or not safe to unpack
    │   └── DiskFullError            119   no room for a model
    └── EngineError                  120   something about the native part
        ├── LibraryTooOldError       104   a libllama older than the model's architecture
        ├── NativeBuildError         105   building libllama from source failed
        ├── LibraryDependencyError   106   libllama needs a library that is missing or too old
        ├── EngineMemoryError        107   there was not enough memory
        ├── EngineProtocolError      108   host and worker process did not understand each other
        ├── DeviceError              109   no such device, or it cannot be used
        ├── LibraryNotFoundError     121   no libllama anywhere
        ├── LibraryLayoutError       122   a libllama of an unknown build
        ├── EngineCrashedError       123   the worker process died
        ├── EngineTimeoutError       124   the worker process hangs
        └── OnnxProviderError        125   onnxruntime lacks the execution provider
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, ParamSpec, TypeVar

from subtitle_hooks import SubtitleError

__all__ = [
    "ArchiveError",
    "ChecksumError",
    "ConversionError",
    "DeviceError",
    "DiskFullError",
    "DownloadError",
    "EngineCrashedError",
    "EngineError",
    "EngineMemoryError",
    "EngineProtocolError",
    "EngineTimeoutError",
    "FfmpegError",
    "FfmpegNotFoundError",
    "GgufDamagedError",
    "LibraryDependencyError",
    "LibraryLayoutError",
    "LibraryNotFoundError",
    "LibraryTooOldError",
    "ModelError",
    "ModelFileMissingError",
    "ModelManifestError",
    "ModelNotFoundError",
    "NativeBuildError",
    "OnnxDamagedError",
    "OnnxProviderError",
    "PrecisionNotFoundError",
    "from_message",
    "speaks_of_memory",
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


class ArchiveError(ModelError):
    """An archive with a model is damaged, or holds what must not be unpacked."""

    code = 118


class DiskFullError(ModelError):
    """There is no room for a model on the disk."""

    code = 119


class DownloadError(ModelError):
    """A model cannot be fetched: no network, not found, forbidden, or cut off again and again."""

    code = 102


class ChecksumError(ModelError):
    """A fetched file is not the one that was announced, or has changed since it was fetched first."""

    code = 103


class EngineError(SubtitleError):
    """Something about the native part.

    Attributes:
        log_lines: What the native libraries said last, oldest first, at most 40 lines; for bug reports.
    """

    code = 120
    log_lines: tuple[str, ...] = ()


class LibraryTooOldError(EngineError):
    """The libllama found does not know the architecture of the model."""

    code = 104


class NativeBuildError(EngineError):
    """Building libllama from source failed."""

    code = 105


class LibraryDependencyError(EngineError):
    """A library that libllama needs is missing, too old, or made for another processor."""

    code = 106


class EngineMemoryError(EngineError):
    """There was not enough memory: the kernel killed the worker process, or an allocation failed."""

    code = 107


class EngineProtocolError(EngineError):
    """What came through the pipe between host and worker process was no message."""

    code = 108


class DeviceError(EngineError):
    """There is no device of that name, or the model cannot be put on it."""

    code = 109


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
    "ArchiveError": ArchiveError,
    "ChecksumError": ChecksumError,
    "RemoteChangedError": ChecksumError,
    "DiskFullError": DiskFullError,
    "DownloadError": DownloadError,
    "NetworkError": DownloadError,
    "OfflineError": DownloadError,
    "RemoteNotFoundError": DownloadError,
    "RemoteForbiddenError": DownloadError,
    "TruncatedError": DownloadError,
}
_FROM_NATIVE_ROOM: Final[dict[str, type[SubtitleError]]] = {
    "LibraryNotFoundError": LibraryNotFoundError,
    "LibraryCrashedError": LibraryLayoutError,
    "LayoutError": LibraryLayoutError,
    "MissingSymbolError": LibraryLayoutError,
    "ArchitectureError": LibraryTooOldError,
    "ModelLoadError": GgufDamagedError,
    "DependencyError": LibraryDependencyError,
    "DeviceError": DeviceError,
    "BuildError": NativeBuildError,
}
_MEMORY_HINT: Final = "Use a smaller model or quantisation, or fewer lanes, or close other programs."
_MEMORY_WORDS: Final = re.compile(
    r"std::bad_alloc|bad allocation|out of memory|(?:failed|unable|could not|cannot) (?:to )?allocate|MemoryError"
    r"|ErrorOutOf(?:Device|Host)Memory",
    re.IGNORECASE,
)
_LONGEST_TEXT: Final = 20_000


def speaks_of_memory(text: str) -> bool:
    """Whether a native library's words are about an allocation that failed."""
    return _MEMORY_WORDS.search(text) is not None


def _kind(error: Exception, kinds: Mapping[str, type[SubtitleError]]) -> type[SubtitleError] | None:
    """The class of this tree for the nearest class of the error's own tree; by name, so that neither is imported."""
    return next((kinds[cls.__name__] for cls in type(error).__mro__ if cls.__name__ in kinds), None)


def translate_errors(function: Callable[P, R]) -> Callable[P, R]:
    """Let errors of the model and native rooms leave `function` as members of this tree."""

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        from qwen_asr_model import BundleError
        from qwen_asr_native import NativeError

        try:
            return function(*args, **kwargs)
        except BundleError as error:
            kind = _kind(error, _FROM_MODEL_ROOM) or ModelError
            raise kind(error.what, path=error.path, hint=error.hint) from error
        except NativeError as error:
            kind = _kind(error, _FROM_NATIVE_ROOM) or EngineError
            if kind in {EngineError, GgufDamagedError} and speaks_of_memory(str(error)):
                raise EngineMemoryError(str(error), hint=_MEMORY_HINT) from error
            raise kind(str(error)) from error
        except MemoryError as error:
            raise EngineMemoryError(f"There is not enough memory. {error}".rstrip(), hint=_MEMORY_HINT) from error

    return wrapper


def to_message(error: Exception) -> dict[str, str | None]:
    """Describe an error so that it can cross a process border."""
    if isinstance(error, SubtitleError):
        kind, what, path, hint = type(error).__name__, error.what, error.path, error.hint
    else:
        what = f"{type(error).__name__}: {error}"
        memory = speaks_of_memory(what)
        kind, path, hint = "EngineMemoryError" if memory else "EngineError", None, _MEMORY_HINT if memory else ""
    return {"type": kind, "what": what[:_LONGEST_TEXT], "path": path, "hint": hint[:_LONGEST_TEXT]}


def from_message(message: dict[str, Any]) -> SubtitleError:
    """Make the error again on the other side; an unknown class becomes `EngineError`."""
    kind = globals().get(str(message.get("type")))
    if not (isinstance(kind, type) and issubclass(kind, SubtitleError)):
        kind = EngineError
    path = message.get("path")
    return kind(str(message.get("what")), path=None if path is None else str(path), hint=str(message.get("hint") or ""))
