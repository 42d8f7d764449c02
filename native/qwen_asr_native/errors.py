# SPDX-License-Identifier: Apache-2.0
"""What can go wrong between Python and libllama.

Each class has a stable ``code`` for logs, bug reports and programs that react to a certain failure.

::

    NativeError                      native                     anything this package covers
    ├── LibraryError                 library                    something about the shared library
    │   ├── LibraryNotFoundError     library-not-found          no provider has one
    │   ├── LibraryLoadError         library-not-loadable       a file is there, but the system cannot load it
    │   ├── LibraryCrashedError      library-crashed            it killed the process that examined it
    │   ├── LayoutError              library-layout-unknown     its structs are not laid out as any known build's
    │   └── MissingSymbolError       library-symbol-missing     a function this package calls is not exported
    ├── ModelLoadError               model-not-loadable         the GGUF file is missing, cut off or not usable
    ├── ClosedError                  closed                     the model or context was closed before this call
    ├── ContextError                 context                    a context cannot be made or was misused
    ├── DecodeError                  decode                     input refused, or libllama reported a failure
    ├── TokenError                   token                      a text is not one token, or an id is no token
    ├── QuantizeError                quantize                   the model cannot be quantized
    └── QuantizerNotFoundError       quantizer-not-found        no installed library can quantize
"""

from __future__ import annotations

from typing import ClassVar

__all__ = [
    "ClosedError",
    "ContextError",
    "DecodeError",
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
