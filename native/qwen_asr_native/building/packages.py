# SPDX-License-Identifier: Apache-2.0
"""Gets Python packages with the installer the user has, from the index the user has configured."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from qwen_asr_native.building.processes import BuildLog, executable, run_logged
from qwen_asr_native.errors import BuildError, BuildToolError

__all__ = ["download_source", "install_package"]


def download_source(requirement: str, folder: Path, log: BuildLog) -> Path:
    """Download the source distribution of a package.

    Args:
        requirement: ``NAME`` or ``NAME==VERSION``.
        folder: An empty folder for the file.
        log: Where pip's words go.

    Raises:
        BuildToolError: There is no pip.
        BuildError: pip cannot download it, for example because the network is away.
    """
    name = requirement.partition("==")[0]
    if not _has_pip():
        raise BuildToolError(
            f"{executable()} has no pip, which is needed to download {requirement}. Get it with `python -m ensurepip`, "
            "or download the source distribution (.tar.gz) elsewhere and name the file instead."
        )
    options = ["--no-deps", "--no-binary", name, "--disable-pip-version-check", "--progress-bar", "off"]
    command = [executable(), "-m", "pip", "download", *options, "--dest", str(folder), requirement]
    status = run_logged(command, log, folder=folder)
    found = sorted(folder.glob("*.tar.gz"))
    if status == 0 and found:
        return found[0]
    raise log.failure(
        f"pip could not download the source of {requirement} (exit status {status}). Is the computer online? "
        "A source folder or a source distribution (.tar.gz) from elsewhere can be named instead."
    )


def install_package(name: str, target: Path, log: BuildLog) -> None:
    """Install a package's wheel into a folder of our own, with pip or else uv.

    Raises:
        BuildToolError: There is neither, or it fails.
    """
    uv = shutil.which("uv")
    if _has_pip():
        command = [executable(), "-m", "pip", "install", "--disable-pip-version-check"]
    elif uv is not None:
        command = [uv, "pip", "install", "--python", executable()]
    else:
        raise BuildToolError(
            f"{name} is needed, and there is neither pip nor uv to install it with. Install {name} yourself, or get "
            "pip with `python -m ensurepip`."
        )
    target.mkdir(parents=True, exist_ok=True)
    command += ["--no-deps", "--only-binary", ":all:", "--upgrade", "--target", str(target), name]
    if run_logged(command, log, folder=target) != 0:
        raise BuildToolError(
            f"{name} is needed and could not be installed. Install it yourself, with your system's packages or with "
            f"`pip install {name}`.\n{log.excerpt()}\nEverything is in {log.path}"
        )


def _has_pip() -> bool:
    with tempfile.TemporaryDirectory() as elsewhere:  # a file named pip.py in the working folder is not pip
        command = [executable(), "-m", "pip", "--version"]
        try:
            return subprocess.run(command, cwd=elsewhere, capture_output=True, check=False).returncode == 0
        except OSError as error:
            raise BuildError(f"{command[0]} cannot be started: {error.strerror or error}.") from error
