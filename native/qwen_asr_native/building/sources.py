# SPDX-License-Identifier: Apache-2.0
"""Where the source comes from: a folder, a source distribution, or the package index."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from qwen_asr_native.building.archives import unpack
from qwen_asr_native.building.installed import file_facts
from qwen_asr_native.building.packages import download_source
from qwen_asr_native.building.processes import BuildLog
from qwen_asr_native.errors import BuildError, SourceIncompleteError

__all__ = ["DEFAULT_SOURCE", "Origin", "Source", "identify", "open_source"]

DEFAULT_SOURCE = "llama-cpp-python"

_REQUIREMENT = re.compile(r"(llama-cpp-python|ik-llama-cpp-python)(==[\w.!+]+)?", re.IGNORECASE)
_ARCHIVES = (".tar.gz", ".tgz", ".tar.xz", ".tar.bz2", ".tar")
_VENDORED = ("vendor/llama.cpp", "vendor/ik_llama.cpp")
_SIGNS = ("include/llama.h", "src/llama.cpp", "ggml/CMakeLists.txt", "ggml/src/ggml.c")
_IK_SIGN = "ggml/src/iqk"
_COMPLETE = ".unpacked"


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Which source the user named.

    Attributes:
        key: Differs for different sources, and is the same for the same one.
        text: For a person.
        folder: The folder, when it is one.
        archive: The file, when it is one; also a downloaded one.
    """

    key: str
    text: str
    folder: Path | None = None
    archive: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Source:
    """A source tree that cmake can be pointed at.

    Attributes:
        folder: The top of the tree.
        project: ``llama.cpp`` or ``ik_llama.cpp``.
        version: As far as it says so, else empty.
    """

    folder: Path
    project: str
    version: str


def identify(source: str | os.PathLike[str], download: Path, log: BuildLog, say: Callable[[str], None]) -> Origin:
    """Find out what the user named; a package is downloaded.

    Args:
        source: A folder, a source distribution, or ``llama-cpp-python`` or ``ik-llama-cpp-python`` with or without
            ``==VERSION``.
        download: An empty folder for a download.
        log: Where pip's words go.
        say: Told about a download before it begins.

    Raises:
        BuildError: It is none of these, or cannot be downloaded.
    """
    named = Path(source).expanduser()
    text = os.fspath(source)
    if named.is_dir():
        folder = named.resolve()
        return Origin(key=os.fspath(folder), text=f"folder {folder}", folder=folder)
    if named.is_file():
        if not named.name.endswith(_ARCHIVES):
            raise BuildError(
                f"{named}: neither a source folder nor a source distribution ({', '.join(_ARCHIVES)}). "
                "Unpack it and name the folder."
            )
        archive = named.resolve()
        return Origin(key=file_facts(archive).sha256, text=f"file {archive}", archive=archive)
    requirement = text.replace("_", "-").lower() if "/" not in text and "\\" not in text else ""
    if not _REQUIREMENT.fullmatch(requirement):
        raise BuildError(
            f"{text}: no such file or folder. Name a source folder of llama.cpp, a source distribution (.tar.gz), or "
            "llama-cpp-python or ik-llama-cpp-python, with ==VERSION if it matters."
        )
    say(f"Downloading the source distribution of {requirement} with pip ...")
    archive = download_source(requirement, download, log)
    return Origin(key=file_facts(archive).sha256, text=f"package {archive.name}", archive=archive)


def open_source(origin: Origin, work: Path) -> Source:
    """Unpack an archive if need be, and find the tree.

    Args:
        origin: What `identify` found.
        work: Folder to unpack in; what was unpacked there before from the same archive is used again.

    Raises:
        BuildError: It cannot be unpacked, or holds no source of llama.cpp.
        SourceIncompleteError: The place of the tree is there, but empty.
    """
    top = origin.folder
    if top is None:
        assert origin.archive is not None
        top = work / "s"  # short, because paths on Windows are limited
        if not (top / _COMPLETE).is_file():
            shutil.rmtree(top, ignore_errors=True)
            unpack(origin.archive, top)
            (top / _COMPLETE).write_text(origin.key, encoding="utf-8")
    tree = _tree_in(top, origin.text)
    ik = (tree / _IK_SIGN).is_dir() or tree.name == "ik_llama.cpp"
    return Source(folder=tree, project="ik_llama.cpp" if ik else "llama.cpp", version=_version(tree, top))


def _tree_in(top: Path, text: str) -> Path:
    children = sorted(child for child in top.iterdir() if child.is_dir()) if top.is_dir() else []
    for base in (top, *children):
        for candidate in (base, *(base / name for name in _VENDORED)):
            if any((candidate / sign).is_file() for sign in _SIGNS):
                return candidate
    for name in _VENDORED:
        if (top / name).is_dir():
            raise SourceIncompleteError(
                f"{top / name}: this folder is where the source of llama.cpp should be, and it holds none of it. It is "
                "filled by `git submodule update --init`; source distributions have it."
            )
    raise BuildError(
        f"{text}: there is no source of llama.cpp in it; looked for {_SIGNS[0]} there, in its folders and in "
        f"{' and '.join(_VENDORED)}."
    )


def _version(tree: Path, top: Path) -> str:
    for place in (top, tree.parent.parent):
        info = place / "PKG-INFO"
        if info.is_file():
            text = info.read_text(encoding="utf-8", errors="replace")
            fields = dict(re.findall(r"^(Name|Version): (\S+)", text, re.MULTILINE))
            if len(fields) == 2:
                return f"{fields['Name'].replace('_', '-')} {fields['Version']}"
    git = shutil.which("git")
    if git is not None and (tree / ".git").exists():
        command = [git, "-C", str(tree), "describe", "--tags", "--always"]
        answer = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
        if answer.returncode == 0:
            return answer.stdout.strip()
    return ""
