# SPDX-License-Identifier: Apache-2.0
"""What can go wrong between Python and libllama.

Each class has a stable ``code`` for logs, bug reports and programs that react to a certain failure.

::

    NativeError                      native                     anything this package covers
    ├── LibraryError                 library                    something about the shared library
    │   ├── LibraryNotFoundError     library-not-found          no provider has one
    │   ├── LibraryLoadError         library-not-loadable       a file is there, but the system cannot load it
    │   ├── DependencyError          library-dependency-missing  a library it needs is not there, or too old
    │   ├── LibraryCrashedError      library-crashed            it killed the process that examined it
    │   ├── LayoutError              library-layout-unknown     its structs are not laid out as any known build's
    │   └── MissingSymbolError       library-symbol-missing     a function this package calls is not exported
    ├── ModelLoadError               model-not-loadable         the GGUF file is missing, cut off or not usable
    │   └── ArchitectureError        architecture-unknown       the library is older than the model's architecture
    ├── ClosedError                  closed                     the model or context was closed before this call
    ├── ContextError                 context                    a context cannot be made or was misused
    ├── DecodeError                  decode                     input refused, or libllama reported a failure
    ├── TokenError                   token                      a text is not one token, or an id is no token
    ├── DeviceError                  device                     no such device, or it cannot be used
    ├── QuantizeError                quantize                   the model cannot be quantized
    ├── QuantizerNotFoundError       quantizer-not-found        no installed library can quantize
    └── BuildError                   build                      building a library from source failed
        ├── SourceIncompleteError    source-incomplete          files of the source tree are missing
        ├── CompilerNotFoundError    compiler-not-found         there is no C++ compiler
        └── BuildToolError           build-tool-missing         cmake or ninja can neither be found nor installed
"""

from __future__ import annotations

from typing import ClassVar

__all__ = [
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
]


class NativeError(Exception):
    """Root of the tree."""

    code: ClassVar[str] = "native"


class LibraryError(NativeError):
    """Something about the shared library."""

    code = "library"


class LibraryNotFoundError(LibraryError):
    """No provider has a usable library; the message lists each one with the reason."""

    code = "library-not-found"


class LibraryLoadError(LibraryError):
    """The file exists, but the operating system cannot load it."""

    code = "library-not-loadable"


class DependencyError(LibraryError):
    """A library that this one needs is missing, is made for another processor, or lacks a symbol version."""

    code = "library-dependency-missing"


class LibraryCrashedError(LibraryError):
    """The library killed the child process that examined it."""

    code = "library-crashed"


class LayoutError(LibraryError):
    """The library's structs do not match exactly one known layout."""

    code = "library-layout-unknown"


class MissingSymbolError(LibraryError):
    """A function this package calls is not exported by the library."""

    code = "library-symbol-missing"


class ModelLoadError(NativeError):
    """The GGUF file is missing, cut off, or not a model this package can run."""

    code = "model-not-loadable"


class ArchitectureError(ModelLoadError):
    """The library does not know the model's architecture: it is too old, or built for other models."""

    code = "architecture-unknown"


class ClosedError(NativeError):
    """The model or context was closed before this call."""

    code = "closed"


class ContextError(NativeError):
    """A context cannot be made with these settings, or was misused."""

    code = "context"


class DecodeError(NativeError):
    """Input that would make libllama abort was refused, or libllama reported a failure."""

    code = "decode"


class TokenError(NativeError):
    """A text is not exactly one token, or a number is not the id of a token."""

    code = "token"


class QuantizeError(NativeError):
    """The model cannot be quantized."""

    code = "quantize"


class QuantizerNotFoundError(NativeError):
    """No installed library can quantize."""

    code = "quantizer-not-found"


class DeviceError(NativeError):
    """There is no device of that name, or the model cannot be put on it."""

    code = "device"


class BuildError(NativeError):
    """Building a library from source failed; the message names the log."""

    code = "build"


class SourceIncompleteError(BuildError):
    """The source tree lacks files that the build needs; the message lists them."""

    code = "source-incomplete"


class CompilerNotFoundError(BuildError):
    """There is no C++ compiler; the message says how to get one on this system."""

    code = "compiler-not-found"


class BuildToolError(BuildError):
    """cmake or ninja can neither be found nor installed."""

    code = "build-tool-missing"
