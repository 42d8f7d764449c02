# SPDX-License-Identifier: Apache-2.0
"""Where mpv looks for scripts, by the rules of its manual (sections FILES and FILES ON WINDOWS)."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

__all__ = ["config_folder"]


def config_folder(
    environ: Mapping[str, str] | None = None, *, platform: str = sys.platform, program: str | None = None
) -> Path:
    """Return the configuration folder that mpv reads first; it need not exist.

    Args:
        environ: Environment variables; None is those of this process.
        platform: As `sys.platform`.
        program: Path of mpv, beside which a ``portable_config`` may lie; None searches the PATH. Windows only.
    """
    environ = os.environ if environ is None else environ
    if environ.get("MPV_HOME"):
        return Path(environ["MPV_HOME"])
    if platform == "win32":
        program = program or shutil.which("mpv")
        portable = None if program is None else Path(program).resolve().parent / "portable_config"
        if portable is not None and portable.is_dir():
            return portable
        return Path(environ.get("APPDATA") or _home(environ) / "AppData" / "Roaming") / "mpv"
    home = _home(environ)
    folder = Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "mpv"
    old = home / ".mpv"
    return old if old.exists() and not folder.exists() else folder


def _home(environ: Mapping[str, str]) -> Path:
    return Path(environ["HOME"]) if environ.get("HOME") else Path.home()
