# SPDX-License-Identifier: Apache-2.0
"""The installers of Python packages: pip of the running interpreter, or uv where that is absent."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from packaging.utils import canonicalize_name
from packaging.version import Version

from .errors import InstallerMissingError, InstallFailedError, ManagedEnvironmentError

__all__ = ["Change", "Installer", "Supply", "find_installer"]

_OLDEST_PIP = Version("22.2")  # the first with --dry-run and --report


@dataclass(frozen=True, kw_only=True)
class Change:
    """One distribution that an installation changes.

    Attributes:
        distribution: Its name in the normal form.
        old: The version that is installed, None if there is none.
        new: The version that will be.
        sha256: Of the archive that the installer chose; empty if it does not say.
        source: Where the installer takes it from; empty if it does not say.
    """

    distribution: str
    old: str | None
    new: str
    sha256: str = ""
    source: str = ""


@dataclass(frozen=True, kw_only=True)
class Supply:
    """Where an installation may take wheels from: `folder`, and the user's own sources unless it is `closed`."""

    folder: Path
    closed: bool
    hashes: Mapping[tuple[str, Version], str]
    """SHA-256 of the wheels in `folder`, by distribution and version."""


class Installer(ABC):
    """What is needed of an installer; it always works on the running interpreter's environment."""

    name: str

    @abstractmethod
    def plan(self, requirement: str, supply: Supply) -> list[Change]:
        """Find out what installing `requirement` would change, and change nothing.

        Raises:
            InstallFailedError: It cannot be installed.
        """

    def install(self, changes: Sequence[Change], supply: Supply) -> None:
        """Make exactly these changes, with hashes where the plan has them.

        Raises:
            InstallFailedError: They could not be made; some may have been.
        """
        with tempfile.TemporaryDirectory(prefix="subtitle-hooks-") as folder:
            file = Path(folder, "requirements.txt")
            lines = [
                f"{one.distribution}=={one.new}{f' --hash=sha256:{one.sha256}' if one.sha256 else ''}\n"
                for one in changes
            ]
            file.write_text("".join(lines), encoding="utf-8")
            hashes = ["--require-hashes"] if all(one.sha256 for one in changes) else []
            self._run(
                ["install", "--no-deps", *hashes, *_sources(supply), "--requirement", str(file)],
                supply,
                "the installation failed",
            )

    @abstractmethod
    def uninstall(self, distribution: str) -> None:
        """Remove one distribution.

        Raises:
            InstallFailedError: It could not be removed.
        """

    @abstractmethod
    def _run(self, arguments: list[str], supply: Supply | None, failure: str) -> str: ...


def find_installer(plugin: str) -> Installer:
    """Return pip of the running interpreter, else uv.

    Args:
        plugin: What is to be installed, for the advice in messages.

    Raises:
        ManagedEnvironmentError: The environment belongs to the operating system's package manager.
        InstallerMissingError: There is neither a usable pip nor uv.
    """
    marker = Path(sysconfig.get_path("stdlib"), "EXTERNALLY-MANAGED")
    if sys.prefix == sys.base_prefix and marker.is_file():
        raise ManagedEnvironmentError(
            f"belongs to the operating system's package manager ({marker}).",
            path=sys.prefix,
            hint="Use an environment of your own: " + _in_an_environment_of_its_own(plugin),
        )
    too_old = ""
    if importlib.util.find_spec("pip") is not None:
        with contextlib.suppress(PackageNotFoundError):
            found = version("pip")
            if Version(found) >= _OLDEST_PIP:
                return _Pip()
            too_old = f" (pip {found} is too old: {_OLDEST_PIP} is needed)"
    uv = shutil.which("uv")
    if uv is not None:
        return _Uv(uv)
    raise InstallerMissingError(
        f"this environment has no usable installer, neither pip nor uv{too_old}.",
        path=sys.prefix,
        hint=f"Run: {sys.executable} -m {'pip install --upgrade pip' if too_old else 'ensurepip'}",
    )


def _in_an_environment_of_its_own(plugin: str) -> str:
    if os.name == "nt":
        return (
            rf"py -m venv %USERPROFILE%\subtitles && %USERPROFILE%\subtitles\Scripts\pip install subtitle-hooks && "
            rf"%USERPROFILE%\subtitles\Scripts\subtitle-host plugins install {plugin}"
        )
    return (
        f"python3 -m venv ~/subtitles && ~/subtitles/bin/pip install subtitle-hooks && "
        f"~/subtitles/bin/subtitle-host plugins install {plugin}"
    )


class _Pip(Installer):
    name = "pip"

    def plan(self, requirement: str, supply: Supply) -> list[Change]:
        with tempfile.TemporaryDirectory(prefix="subtitle-hooks-") as folder:
            report = Path(folder, "report.json")
            self._run(
                ["install", "--dry-run", "--report", str(report), *_sources(supply), requirement],
                supply,
                f"{requirement} cannot be installed",
            )
            data = json.loads(report.read_text(encoding="utf-8"))
        return [self._change(item) for item in data["install"]]

    def uninstall(self, distribution: str) -> None:
        self._run(["uninstall", "--yes", distribution], None, f"{distribution} could not be removed")

    def _run(self, arguments: list[str], supply: Supply | None, failure: str) -> str:
        environment = dict(os.environ, PIP_DISABLE_PIP_VERSION_CHECK="1", PIP_NO_INPUT="1")
        if supply is not None and supply.closed:
            # Even with --no-index pip would look into the folders that the user's configuration names.
            environment = {name: value for name, value in environment.items() if not name.startswith("PIP_")}
            environment |= {"PIP_CONFIG_FILE": os.devnull, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"}
        return _run([sys.executable, "-m", "pip", arguments[0], "--quiet", *arguments[1:]], environment, failure)

    @staticmethod
    def _change(item: dict[str, object]) -> Change:
        metadata, download = item["metadata"], item["download_info"]
        assert isinstance(metadata, dict)
        assert isinstance(download, dict)
        archive = download.get("archive_info") or {}
        name = canonicalize_name(metadata["name"])
        return Change(
            distribution=name,
            old=_installed_version(name),
            new=metadata["version"],
            sha256=(archive.get("hashes") or {}).get("sha256", ""),
            source=download.get("url", ""),
        )


class _Uv(Installer):
    name = "uv"

    def __init__(self, program: str) -> None:
        self._program = program

    def plan(self, requirement: str, supply: Supply) -> list[Change]:
        said = self._run(
            ["install", "--dry-run", *_sources(supply), requirement],
            supply,
            f"{requirement} cannot be installed",
        )
        # " + name==version" and " - name==version", one in each line; the order is uv's.
        return [
            Change(
                distribution=canonicalize_name(found[1]),
                old=_installed_version(canonicalize_name(found[1])),
                new=found[2],
                sha256=supply.hashes.get((canonicalize_name(found[1]), Version(found[2])), ""),
            )
            for found in re.finditer(r"^ \+ (\S+?)==(\S+)", said, re.MULTILINE)
        ]

    def uninstall(self, distribution: str) -> None:
        self._run(["uninstall", distribution], None, f"{distribution} could not be removed")

    def _run(self, arguments: list[str], supply: Supply | None, failure: str) -> str:
        environment = dict(os.environ)
        isolation = []
        if supply is not None and supply.closed:
            environment = {name: value for name, value in environment.items() if not name.startswith("UV_")}
            isolation = ["--offline", "--no-config"]
        command = [self._program, "pip", arguments[0], "--python", sys.executable, *isolation, *arguments[1:]]
        return _run(command, environment, failure)


def _sources(supply: Supply) -> list[str]:
    closed = ["--no-index", "--only-binary", ":all:"] if supply.closed else []
    return [*closed, "--find-links", str(supply.folder)]


def _run(command: Sequence[str], environment: Mapping[str, str], failure: str) -> str:
    """Run an installer to its end and return what it said; Ctrl-C ends it first."""
    process = subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,  # Ctrl-C must not reach it before this program has decided what to do
    )
    try:
        said, _ = process.communicate()
    except BaseException:
        _end(process)
        raise
    if process.returncode:
        lines = [line.strip() for line in said.splitlines() if line.strip()]
        # uv begins its reasons with a cross or a corner.
        errors = [line for line in lines if line.lower().startswith(("error", "\u00d7 ", "\u2570\u2500"))] or lines[-3:]
        raise InstallFailedError(
            f"{failure}: {Path(command[0]).stem} said: {' '.join(errors)[:1000] or '(nothing)'}",
            hint="The environment is as it was.",
        )
    return said


def _end(process: subprocess.Popen[str]) -> None:
    with contextlib.suppress(OSError):
        if os.name == "nt":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdout is not None:
        process.stdout.close()


def _installed_version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None
