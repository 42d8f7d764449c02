# SPDX-License-Identifier: Apache-2.0
"""Getting files from the network onto the disk, and zip files apart, without leaving anything broken behind."""

from .names import name_fault, same_name_key
from .settings import MIRROR_VARIABLE, OFFLINE_VARIABLE, DownloadSettings
from .space import require_space, write_error
from .transfer import Fetched, Progress, fetch, fetch_text
from .unpack import UnpackLimits, unpack

__all__ = [
    "MIRROR_VARIABLE",
    "OFFLINE_VARIABLE",
    "DownloadSettings",
    "Fetched",
    "Progress",
    "UnpackLimits",
    "fetch",
    "fetch_text",
    "name_fault",
    "require_space",
    "same_name_key",
    "unpack",
    "write_error",
]
