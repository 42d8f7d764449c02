# SPDX-License-Identifier: Apache-2.0
"""The user's folders for configuration, caches and data, as each system names them, and this package's version."""

from __future__ import annotations

import os
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

__all__ = ["cache_folder", "config_folder", "expand", "own_version"]

_NAME = "subtitle-hooks"


def config_folder() -> Path:
    """Where `indexes.txt` lies."""
    return _base("config") / _NAME


def cache_folder() -> Path:
    """Where copies of indexes are kept; may be deleted at any time."""
    return _base("cache") / _NAME


def expand(where: str) -> Path:
    """Fill in ``{user_data}``, ``{user_cache}``, ``{user_config}`` and ``{home}`` of an index entry."""
    for name in ("data", "cache", "config"):
        where = where.replace(f"{{user_{name}}}", str(_base(name)))
    return Path(where.replace("{home}", str(Path.home())))


def own_version() -> str:
    """Return the version of subtitle-hooks; a copy inside of another program has none."""
    try:
        return version(_NAME)
    except PackageNotFoundError:
        return "unknown"


def _base(kind: str) -> Path:
    home = Path.home()
    if sys.platform == "win32":
        roaming, local = os.environ.get("APPDATA"), os.environ.get("LOCALAPPDATA")
        if kind == "config" and roaming:
            return Path(roaming)
        return Path(local) if local else home / "AppData" / "Local"
    if sys.platform == "darwin":
        return home / "Library" / ("Caches" if kind == "cache" else "Application Support")
    # XDG Base Directory Specification: a relative path is to be ignored.
    standard = {"config": ".config", "cache": ".cache", "data": ".local/share"}[kind]
    named = os.environ.get(f"XDG_{kind.upper()}_HOME", "")
    return Path(named) if os.path.isabs(named) else home / standard  # noqa: PTH117
