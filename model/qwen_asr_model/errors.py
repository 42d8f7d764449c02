# SPDX-License-Identifier: Apache-2.0
"""The error tree of this package.

Every class has a stable ``code`` that logs and callers may match on; messages may change, codes never do.

::

    BundleError                    bundle              anything this package reports
    ├── BundleNotFoundError        bundle-not-found    the folder is not there, or holds no model
    ├── BundleFileMissingError     bundle-file-missing a file of the bundle is not there
    ├── BundleFileDamagedError     bundle-file-damaged a file is not the one the manifest describes
    │   ├── GgufDamagedError       gguf-damaged        the language model file is cut off or corrupt
    │   └── OnnxDamagedError       onnx-damaged        an encoder file is cut off or corrupt
    ├── ManifestError              manifest            bundle.json cannot be used
    ├── PrecisionNotFoundError     precision-not-found the precision or quantisation asked for is not there
    ├── WrongModelError            wrong-model         a sound file, but of another kind of model
    ├── CheckpointError            checkpoint          the checkpoint to convert cannot be used
    ├── ConversionError            conversion          writing the bundle failed
    ├── BundleExistsError          bundle-exists       another bundle has that name already
    ├── CatalogueError             catalogue           a list of models cannot be used
    ├── DiskFullError              disk-full           not enough room, before or while writing
    ├── ArchiveError               archive             a zip cannot be unpacked
    │   ├── ArchiveDamagedError    archive-damaged     it is cut off or corrupt
    │   └── ArchiveUnsafeError     archive-unsafe      it would write where it must not, or far too much
    └── DownloadError              download            a file could not be fetched
        ├── OfflineError           offline             the network was needed, but is forbidden
        ├── NetworkError           network             no connection, no answer, or a server in trouble
        ├── RemoteNotFoundError    remote-not-found    the server does not have the file
        ├── RemoteForbiddenError   remote-forbidden    the server does not hand it out
        ├── RemoteChangedError     remote-changed      the server has another file than it had, or than is known
        ├── TruncatedError         truncated           the server ends before the file does
        └── ChecksumError          checksum            all bytes came, but not the right ones
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import ClassVar

__all__ = [
    "ArchiveDamagedError",
    "ArchiveError",
    "ArchiveUnsafeError",
    "BundleError",
    "BundleExistsError",
    "BundleFileDamagedError",
    "BundleFileMissingError",
    "BundleNotFoundError",
    "CatalogueError",
    "CheckpointError",
    "ChecksumError",
    "ConversionError",
    "DiskFullError",
    "DownloadError",
    "GgufDamagedError",
    "ManifestError",
    "NetworkError",
    "OfflineError",
    "OnnxDamagedError",
    "PrecisionNotFoundError",
    "RemoteChangedError",
    "RemoteForbiddenError",
    "RemoteNotFoundError",
    "TruncatedError",
    "WrongModelError",
]


class BundleError(Exception):
    """Root of the tree.

    Args:
        what: What happened, one sentence, no trailing advice.
        path: The file or folder it happened to, when there is one.
        hint: What the user can do about it.
    """

    code: ClassVar[str] = "bundle"

    def __init__(self, what: str, *, path: str | os.PathLike[str] | None = None, hint: str = "") -> None:
        self.what = what
        self.path = None if path is None else Path(path)
        self.hint = hint
        super().__init__(what)

    def __str__(self) -> str:
        where = f"{self.path}: " if self.path is not None else ""
        advice = f" {self.hint}" if self.hint else ""
        return f"{where}{self.what}{advice}"


class BundleNotFoundError(BundleError):
    """The folder does not exist or holds no model at all."""

    code = "bundle-not-found"


class BundleFileMissingError(BundleError):
    """A file that belongs to the bundle is not there.

    Args:
        name: Name of the missing file.
        folder: The bundle's folder.
    """

    code = "bundle-file-missing"

    def __init__(self, name: str, folder: str | os.PathLike[str]) -> None:
        self.name = name
        super().__init__(
            f"the model bundle is incomplete: {name} is missing.",
            path=folder,
            hint="Copy the whole bundle again, or convert the checkpoint again.",
        )


class BundleFileDamagedError(BundleError):
    """A file is there, but is not the one the manifest describes."""

    code = "bundle-file-damaged"


class GgufDamagedError(BundleFileDamagedError):
    """The language model file is not GGUF, cut off or corrupt."""

    code = "gguf-damaged"


class OnnxDamagedError(BundleFileDamagedError):
    """An encoder file is not ONNX, cut off or corrupt."""

    code = "onnx-damaged"


class ManifestError(BundleError):
    """``bundle.json`` is not JSON, lacks a field, or has a version this package does not know."""

    code = "manifest"


class PrecisionNotFoundError(BundleError):
    """The bundle does not hold the encoder precision or the language model quantisation asked for.

    Args:
        kind: ``"precision"``, ``"quant"`` or ``"aligner quant"``.
        wanted: What was asked for.
        available: What the bundle holds.
        folder: The bundle's folder.
    """

    code = "precision-not-found"

    def __init__(self, kind: str, wanted: str, available: tuple[str, ...], folder: str | os.PathLike[str]) -> None:
        self.kind = kind
        self.wanted = wanted
        self.available = available
        super().__init__(
            f"the model bundle has no {kind} {wanted!r}.",
            path=folder,
            hint=f"It has: {', '.join(available) or 'none'}.",
        )


class WrongModelError(BundleError):
    """A sound file, but not of a model this engine can run."""

    code = "wrong-model"


class CheckpointError(BundleError):
    """The checkpoint to convert is incomplete, corrupt or of another architecture."""

    code = "checkpoint"


class ConversionError(BundleError):
    """The bundle could not be written."""

    code = "conversion"


class BundleExistsError(BundleError):
    """Another bundle is installed under that name."""

    code = "bundle-exists"


class CatalogueError(BundleError):
    """A list of models cannot be read, is not JSON, or an entry of it is wrong."""

    code = "catalogue"


class DiskFullError(BundleError):
    """There is not enough room, or the user's quota is used up.

    Args:
        what: What happened, one sentence, no trailing advice.
        path: The file or folder it happened to.
        hint: What the user can do about it.
        needed: Bytes that are needed; 0: not known.
        free: Bytes that are free; 0 also where that is not known.
    """

    code = "disk-full"

    def __init__(
        self, what: str, *, path: str | os.PathLike[str] | None = None, hint: str = "", needed: int = 0, free: int = 0
    ) -> None:
        self.needed = needed
        self.free = free
        super().__init__(what, path=path, hint=hint)


class ArchiveError(BundleError):
    """A zip file cannot be unpacked."""

    code = "archive"


class ArchiveDamagedError(ArchiveError):
    """A zip file is cut off or corrupt, or not a zip file at all."""

    code = "archive-damaged"


class ArchiveUnsafeError(ArchiveError):
    """A zip file would write outside its folder, make links, give two files one name, or unpack to far too much."""

    code = "archive-unsafe"


class DownloadError(BundleError):
    """A file could not be fetched.

    Args:
        what: What happened, one sentence, no trailing advice; it names the address.
        url: The address.
        path: The file it was to become, when there is one.
        hint: What the user can do about it.
    """

    code = "download"

    def __init__(self, what: str, *, url: str = "", path: str | os.PathLike[str] | None = None, hint: str = "") -> None:
        self.url = url
        super().__init__(what, path=path, hint=hint)


class OfflineError(DownloadError):
    """The network would be needed, but the user has forbidden it."""

    code = "offline"


class NetworkError(DownloadError):
    """No connection, no answer in time, or a server that keeps reporting trouble of its own."""

    code = "network"


class RemoteNotFoundError(DownloadError):
    """The server does not have the file."""

    code = "remote-not-found"


class RemoteForbiddenError(DownloadError):
    """The server does not hand the file out to this user, or a proxy does not let it through."""

    code = "remote-forbidden"


class RemoteChangedError(DownloadError):
    """The server has another file than it had at first, or than the catalogue describes."""

    code = "remote-changed"


class TruncatedError(DownloadError):
    """The server ends its answer before the end of the file, again and again."""

    code = "truncated"


class ChecksumError(DownloadError):
    """All bytes came, but they are not the right ones."""

    code = "checksum"
