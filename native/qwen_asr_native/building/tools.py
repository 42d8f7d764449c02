# SPDX-License-Identifier: Apache-2.0
"""The tools a build needs: a compiler, cmake, and ninja where it is of use."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from qwen_asr_native.building.packages import install_package
from qwen_asr_native.building.processes import BuildLog
from qwen_asr_native.errors import BuildToolError, CompilerNotFoundError
from qwen_asr_native.user_folders import data_folder

__all__ = ["Compiler", "Tools", "find_compiler", "find_tools", "tools_folder"]

_OLDEST_CMAKE = (3, 21)
_INSTALL = {
    "debian": "sudo apt install build-essential",
    "ubuntu": "sudo apt install build-essential",
    "fedora": "sudo dnf install gcc-c++ make",
    "rhel": "sudo dnf install gcc-c++ make",
    "alpine": "apk add build-base linux-headers",
    "arch": "sudo pacman -S base-devel",
    "suse": "sudo zypper install gcc-c++ make",
    "opensuse": "sudo zypper install gcc-c++ make",
}


@dataclass(frozen=True, kw_only=True)
class Compiler:
    """A C++ compiler.

    Attributes:
        command: The program, as cmake will find it; empty where cmake finds Visual Studio by itself.
        version: First line of what it says about itself.
    """

    command: str
    version: str


@dataclass(frozen=True, kw_only=True)
class Tools:
    """What the build is done with.

    Attributes:
        compiler: The C++ compiler.
        cmake: The program.
        cmake_version: Its version.
        ninja: The program, None to build with whatever cmake prefers on this system.
    """

    compiler: Compiler
    cmake: Path
    cmake_version: str
    ninja: Path | None

    @property
    def generator(self) -> str:
        """For a record: what cmake generates build files for."""
        return "Ninja" if self.ninja else "cmake's default"


def tools_folder() -> Path:
    """Where cmake and ninja are installed when this computer has none."""
    return data_folder() / "tools"


def find_tools(log: BuildLog, say: Callable[[str], None]) -> Tools:
    """Find everything, and install cmake and ninja as Python packages where they are missing.

    Programs on PATH come first, then those of the Python packages ``cmake`` and ``ninja``, then those in
    `tools_folder`. What is not there is installed there, never into the user's environment.

    Args:
        log: Where the installer's words go.
        say: Told before something is installed.

    Raises:
        CompilerNotFoundError: There is no C++ compiler.
        BuildToolError: cmake can neither be found nor installed.
    """
    compiler = find_compiler()
    cmake = _obtain("cmake", log, say)
    return Tools(
        compiler=compiler, cmake=cmake, cmake_version=_version_of(cmake) or "", ninja=_ninja(compiler, log, say)
    )


def find_compiler(os_release: Path = Path("/etc/os-release")) -> Compiler:
    """The C++ compiler that cmake would take: ``CXX``, else the first of the usual names on PATH.

    Args:
        os_release: The file that says which Linux this is, for the advice.

    Raises:
        CompilerNotFoundError: There is none; the message says how to get one.
    """
    advice = _advice(os_release)
    for variable, language in (("CC", "C"), ("CXX", "C++")):
        named = os.environ.get(variable, "").strip()
        if named and shutil.which(_first_word(named)) is None:
            raise CompilerNotFoundError(
                f"{variable} names {named!r} as the {language} compiler, but there is no such program. Correct or "
                f"unset {variable}. {advice}"
            )
    named = os.environ.get("CXX", "").strip()
    names = (_first_word(named),) if named else ("cl", "clang-cl") if sys.platform == "win32" else ()
    for name in names or ("c++", "g++", "clang++"):
        found = shutil.which(name)
        if found is not None and _works(found):
            return Compiler(command=named or found, version=_first_line(found))
    if sys.platform == "win32":
        studio = _visual_studio()
        if studio is not None:
            return Compiler(command="", version=studio)
        for name in ("g++", "clang++"):
            found = shutil.which(name)
            if found is not None:
                return Compiler(command=found, version=_first_line(found))
    raise CompilerNotFoundError(f"There is no C++ compiler on this computer. {advice}")


def _advice(os_release: Path) -> str:
    if sys.platform == "win32":
        return (
            "Install the Visual Studio Build Tools with the workload 'Desktop development with C++' "
            "(winget install Microsoft.VisualStudio.2022.BuildTools), then try again."
        )
    if sys.platform == "darwin":
        return "Install Apple's command line tools with `xcode-select --install`, then try again."
    try:
        text = os_release.read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    names = re.findall(r"^(?:ID|ID_LIKE)=(.*)$", text, re.MULTILINE)
    for name in " ".join(names).replace('"', "").replace("'", "").split():
        command = _INSTALL.get(name.split("-")[0])
        if command is not None:
            return f"Install one with `{command}`, then try again."
    return "Install g++ or clang with your system's package manager, then try again."


def _first_word(command: str) -> str:
    if sys.platform == "win32" or shutil.which(command) is not None:
        return command.strip('"')
    try:
        return shlex.split(command)[0]
    except (ValueError, IndexError):
        return command


def _works(compiler: str) -> bool:
    """On macOS every computer has a ``c++`` that only offers to install one."""
    if sys.platform == "darwin" and compiler.startswith("/usr/bin/"):
        return subprocess.run(["xcode-select", "-p"], capture_output=True, check=False).returncode == 0
    return True


def _first_line(compiler: str) -> str:
    arguments = [] if Path(compiler).stem.lower() == "cl" else ["--version"]
    said = _output([compiler, *arguments])
    return said.strip().splitlines()[0].strip() if said.strip() else compiler


def _visual_studio() -> str | None:
    """Name of a Visual Studio with C++ that cmake will find, None when there is none."""
    programs = os.environ.get("ProgramFiles(x86)", r"C:\Program Files (x86)")  # noqa: SIM112
    where = Path(programs, "Microsoft Visual Studio", "Installer", "vswhere.exe")
    if not where.is_file():
        return None
    component = "Microsoft.VisualStudio.Component.VC.Tools." + ("ARM64" if "ARM64" in sys.version else "x86.x64")
    query = ["-latest", "-products", "*", "-requires", component, "-property", "displayName"]
    return _output([str(where), *query]).strip() or None


def _ninja(compiler: Compiler, log: BuildLog, say: Callable[[str], None]) -> Path | None:
    if not compiler.command:
        return None  # without the environment of MSVC only cmake's own generator finds it
    try:
        return _obtain("ninja", log, say)
    except BuildToolError:
        if sys.platform != "win32" and shutil.which("make"):
            say("ninja cannot be installed; make is used instead.")
            return None
        raise


def _obtain(name: str, log: BuildLog, say: Callable[[str], None]) -> Path:
    for program in _programs(name):
        if _usable(program):
            return program
    say(f"{name} is not on this computer; installing the Python package {name} into {tools_folder()} ...")
    install_package(name, tools_folder(), log)
    for program in _programs(name):
        if _usable(program):
            return program
    raise BuildToolError(
        f"{name} was installed into {tools_folder()}, but does not run there. Install {name} with your system's "
        f"packages. {log.path} has what was said."
    )


def _programs(name: str) -> Iterator[Path]:
    """Where a program may be, the best place first."""
    file = f"{name}.exe" if sys.platform == "win32" else name
    on_path = shutil.which(name)
    if on_path is not None:
        yield Path(on_path)
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        spec = None
    for location in (spec.submodule_search_locations or ()) if spec else ():
        yield Path(location, "data", "bin", file)
    if spec is not None:
        yield Path(sysconfig.get_path("scripts"), file)
    target = tools_folder()
    yield target / name / "data" / "bin" / file
    yield target / "bin" / file


def _usable(program: Path) -> bool:
    if not program.is_file():
        return False
    version = _version_of(program)
    if version is None:
        return False
    numbers = tuple(int(number) for number in re.findall(r"\d+", version)[:2])
    return numbers >= _OLDEST_CMAKE if program.stem == "cmake" else True


def _version_of(program: Path) -> str | None:
    found = re.search(r"\d+(?:\.\d+)+", _output([str(program), "--version"]))
    return found[0] if found else None


def _output(command: list[str]) -> str:
    try:
        answer = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False
        )
    except OSError:
        return ""
    return answer.stdout or answer.stderr
