# SPDX-License-Identifier: Apache-2.0
"""Where this package keeps things for the user: the platform's folders, or one that an environment variable names."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

__all__ = ["DATA_DIR_VARIABLE", "cache_folder", "data_folder"]

DATA_DIR_VARIABLE: Final = "QWEN_ASR_DATA_DIR"
"""Environment variable that names another folder for everything this package keeps."""

_NAME: Final = "qwen-asr-plugin"


def data_folder() -> Path:
    """The folder for what must stay: ``QWEN_ASR_DATA_DIR``, or the platform's folder for application data."""
    from platformdirs import user_data_path

    return _named() or user_data_path(_NAME, appauthor=False)


def cache_folder() -> Path:
    """The folder for what can be made again: in ``QWEN_ASR_DATA_DIR``, or the platform's folder for caches."""
    from platformdirs import user_cache_path

    named = _named()
    return named / "cache" if named else user_cache_path(_NAME, appauthor=False)


def _named() -> Path | None:
    named = os.environ.get(DATA_DIR_VARIABLE)
    return Path(named).expanduser().absolute() if named else None
