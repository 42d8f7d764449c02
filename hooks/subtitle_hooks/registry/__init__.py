# SPDX-License-Identifier: Apache-2.0
"""Finding plugins in indexes and installing them, so that a failure leaves the environment as it was.

The commands ``subtitle-host plugins search|show|install|update|remove|doctor`` are made of this. An index is a JSON
file, see ``docs/registry.md``; `configured_indexes` says which ones the user named, `read_index` reads one, and
`install` does the rest::

    indexes = [read_index(location) for location in configured_indexes()]
    install(parse_requirement("qwen-asr"), indexes)
"""

from ._doctor import Finding, examine
from ._index import FORMAT, DataPlace, Release, Wheel, parse_index
from ._install import Installation, LeftBehind, Removal, install, remove, update
from ._installed import InstalledPlugin, find_installed, installed_plugins
from ._installer import Change
from ._resolve import Listed, Requirement, listed, parse_requirement, problem_with
from ._sources import INDEX_VARIABLE, MOST_BYTES, Index, config_file, configured_indexes, read_index
from .errors import (
    ContractVersionError,
    DownloadError,
    HashMismatchError,
    IndexInvalidError,
    IndexNotConfiguredError,
    IndexTooLargeError,
    IndexUnreachableError,
    InstallerMissingError,
    InstallFailedError,
    ManagedEnvironmentError,
    PlatformError,
    PluginNotInstalledError,
    PluginNotListedError,
    ProofFailedError,
    PythonVersionError,
    RedirectRefusedError,
    RegistryError,
    RestoreError,
    WheelFolderError,
    YankedError,
)

__all__ = [
    "FORMAT",
    "INDEX_VARIABLE",
    "MOST_BYTES",
    "Change",
    "ContractVersionError",
    "DataPlace",
    "DownloadError",
    "Finding",
    "HashMismatchError",
    "Index",
    "IndexInvalidError",
    "IndexNotConfiguredError",
    "IndexTooLargeError",
    "IndexUnreachableError",
    "InstallFailedError",
    "Installation",
    "InstalledPlugin",
    "InstallerMissingError",
    "LeftBehind",
    "Listed",
    "ManagedEnvironmentError",
    "PlatformError",
    "PluginNotInstalledError",
    "PluginNotListedError",
    "ProofFailedError",
    "PythonVersionError",
    "RedirectRefusedError",
    "RegistryError",
    "Release",
    "Removal",
    "Requirement",
    "RestoreError",
    "Wheel",
    "WheelFolderError",
    "YankedError",
    "config_file",
    "configured_indexes",
    "examine",
    "find_installed",
    "install",
    "installed_plugins",
    "listed",
    "parse_index",
    "parse_requirement",
    "problem_with",
    "read_index",
    "remove",
    "update",
]
