# SPDX-License-Identifier: Apache-2.0
"""The registry's branch of the error tree: codes 60 to 79, on `subtitle_hooks.SubtitleError`.

::

    RegistryError                    60   anything about indexes of plugins and installing from them
    ├── IndexNotConfiguredError      61   no index is named anywhere
    ├── IndexUnreachableError        62   an index cannot be read, and there is no copy of it
    ├── IndexInvalidError            63   an index is not what the schema says; the message names the place
    ├── IndexTooLargeError           64   an index is larger than 8 MB
    ├── RedirectRefusedError         65   a server sends the reader to another scheme
    ├── PluginNotListedError         66   no index has a plugin, or a version of it, by that name
    ├── ContractVersionError         67   made for another version of the subtitle contract
    ├── PythonVersionError           68   made for other versions of Python
    ├── PlatformError                69   made for other platforms
    ├── HashMismatchError            70   a file is not the one that the index describes
    ├── YankedError                  71   withdrawn by its publisher
    ├── InstallerMissingError        72   neither a usable pip nor uv is there
    ├── ManagedEnvironmentError      73   this Python belongs to the operating system's package manager
    ├── InstallFailedError           74   the installer failed; the environment is as it was
    ├── ProofFailedError             75   installed, but it does not work; the environment is as it was
    ├── RestoreError                 76   what was there before could not be put back completely
    ├── PluginNotInstalledError      77   no installed plugin has that name
    ├── DownloadError                78   a wheel cannot be fetched
    └── WheelFolderError             79   wheels that an index cannot be written for
"""

from __future__ import annotations

from subtitle_hooks import SubtitleError

__all__ = [
    "ContractVersionError",
    "DownloadError",
    "HashMismatchError",
    "IndexInvalidError",
    "IndexNotConfiguredError",
    "IndexTooLargeError",
    "IndexUnreachableError",
    "InstallFailedError",
    "InstallerMissingError",
    "ManagedEnvironmentError",
    "PlatformError",
    "PluginNotInstalledError",
    "PluginNotListedError",
    "ProofFailedError",
    "PythonVersionError",
    "RedirectRefusedError",
    "RegistryError",
    "RestoreError",
    "WheelFolderError",
    "YankedError",
]


class RegistryError(SubtitleError):
    """Something about an index of plugins, or installing from it."""

    code = 60


class IndexNotConfiguredError(RegistryError):
    """No index is named by option, environment or configuration file."""

    code = 61


class IndexUnreachableError(RegistryError):
    """An index cannot be read, and no copy of it is kept."""

    code = 62


class IndexInvalidError(RegistryError):
    """An index is not JSON, or not what the schema says; the message names the place."""

    code = 63


class IndexTooLargeError(RegistryError):
    """An index is larger than 8 MB; it was not read."""

    code = 64


class RedirectRefusedError(RegistryError):
    """A server sends the reader to an address with another scheme."""

    code = 65


class PluginNotListedError(RegistryError):
    """No index has a plugin, or a version of it, by that name."""

    code = 66


class ContractVersionError(RegistryError):
    """The plugin is made for another version of the subtitle contract."""

    code = 67


class PythonVersionError(RegistryError):
    """The plugin is made for other versions of Python."""

    code = 68


class PlatformError(RegistryError):
    """The plugin is made for other platforms."""

    code = 69


class HashMismatchError(RegistryError):
    """A file has another size or SHA-256 than the index says; nothing was installed."""

    code = 70


class YankedError(RegistryError):
    """The publisher withdrew this version; the message gives the reason."""

    code = 71


class InstallerMissingError(RegistryError):
    """Neither a pip that is new enough nor uv is there."""

    code = 72


class ManagedEnvironmentError(RegistryError):
    """This Python belongs to the operating system's package manager (PEP 668)."""

    code = 73


class InstallFailedError(RegistryError):
    """The installer failed; the environment is as it was."""

    code = 74


class ProofFailedError(RegistryError):
    """What was installed does not work, or breaks another plugin; the environment is as it was."""

    code = 75


class RestoreError(RegistryError):
    """What was installed before could not be put back completely; the message says where the copies are."""

    code = 76


class PluginNotInstalledError(RegistryError):
    """No installed plugin has that name."""

    code = 77


class DownloadError(RegistryError):
    """A wheel cannot be fetched; nothing was installed."""

    code = 78


class WheelFolderError(RegistryError):
    """An index cannot be written for these wheels."""

    code = 79
