# SPDX-License-Identifier: Apache-2.0
"""The catalogue: known models as data, and users' own lists of further ones."""

from .entries import Entry, Kind, RemoteFile, parse_catalogue, valid_name
from .loading import CATALOGUE_VARIABLE, builtin_catalogue, find_entry, load_catalogue

__all__ = [
    "CATALOGUE_VARIABLE",
    "Entry",
    "Kind",
    "RemoteFile",
    "builtin_catalogue",
    "find_entry",
    "load_catalogue",
    "parse_catalogue",
    "valid_name",
]
