# SPDX-License-Identifier: Apache-2.0
"""Model bundles: get, open, check and inspect them, convert checkpoints into them, make random ones for tests."""

import importlib
from typing import TYPE_CHECKING, Any

from .aligner import AlignerFiles, open_aligner
from .bundle import (
    Bundle,
    default_bundle,
    describe_bundle,
    find_aligner,
    find_bundle,
    open_any,
    open_bundle,
    verify_bundle,
)
from .check import PartCheck, check_conversion
from .convert import convert_checkpoint
from .errors import (
    ArchiveDamagedError,
    ArchiveError,
    ArchiveUnsafeError,
    BundleError,
    BundleExistsError,
    BundleFileDamagedError,
    BundleFileMissingError,
    BundleNotFoundError,
    CatalogueError,
    CheckpointError,
    ChecksumError,
    ConversionError,
    DiskFullError,
    DownloadError,
    GgufDamagedError,
    ManifestError,
    NetworkError,
    OfflineError,
    OnnxDamagedError,
    PrecisionNotFoundError,
    RemoteChangedError,
    RemoteForbiddenError,
    RemoteNotFoundError,
    TruncatedError,
    WrongModelError,
)
from .mmproj import find_pair, import_pair
from .synth import synthesize, synthesize_checkpoint
from .text_table import TextTable

if TYPE_CHECKING:
    from .catalogue import Entry, find_entry, load_catalogue
    from .contents import BundleContents, inspect_bundle
    from .download import DownloadSettings
    from .store import (
        InstalledBundle,
        add_bundle,
        installed_bundle,
        list_installed,
        named_bundle,
        remove_bundle,
        verify_installed,
    )
    from .store_pull import Conversion, pull_bundle

# What the engine does not need is imported when it is asked for: the start of a worker should not wait for it.
_LATER = {
    "BundleContents": "contents",
    "Conversion": "store_pull",
    "DownloadSettings": "download",
    "Entry": "catalogue",
    "InstalledBundle": "store",
    "add_bundle": "store",
    "find_entry": "catalogue",
    "inspect_bundle": "contents",
    "installed_bundle": "store",
    "list_installed": "store",
    "load_catalogue": "catalogue",
    "named_bundle": "store",
    "pull_bundle": "store_pull",
    "remove_bundle": "store",
    "verify_installed": "store",
}

__all__ = [
    "AlignerFiles",
    "ArchiveDamagedError",
    "ArchiveError",
    "ArchiveUnsafeError",
    "Bundle",
    "BundleContents",
    "BundleError",
    "BundleExistsError",
    "BundleFileDamagedError",
    "BundleFileMissingError",
    "BundleNotFoundError",
    "CatalogueError",
    "CheckpointError",
    "ChecksumError",
    "Conversion",
    "ConversionError",
    "DiskFullError",
    "DownloadError",
    "DownloadSettings",
    "Entry",
    "GgufDamagedError",
    "InstalledBundle",
    "ManifestError",
    "NetworkError",
    "OfflineError",
    "OnnxDamagedError",
    "PartCheck",
    "PrecisionNotFoundError",
    "RemoteChangedError",
    "RemoteForbiddenError",
    "RemoteNotFoundError",
    "TextTable",
    "TruncatedError",
    "WrongModelError",
    "add_bundle",
    "check_conversion",
    "convert_checkpoint",
    "default_bundle",
    "describe_bundle",
    "find_aligner",
    "find_bundle",
    "find_entry",
    "find_pair",
    "import_pair",
    "inspect_bundle",
    "installed_bundle",
    "list_installed",
    "load_catalogue",
    "named_bundle",
    "open_aligner",
    "open_any",
    "open_bundle",
    "pull_bundle",
    "remove_bundle",
    "synthesize",
    "synthesize_checkpoint",
    "verify_bundle",
    "verify_installed",
]


def __getattr__(name: str) -> Any:
    module = _LATER.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{module}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})
