# SPDX-License-Identifier: Apache-2.0
"""Build folders: one per source and options, never mixed, and never two builds in one."""

from __future__ import annotations

import contextlib
import hashlib
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from qwen_asr_native.building.tools import Tools
from qwen_asr_native.errors import BuildError

__all__ = ["build_folder", "locked", "short_key"]

_CACHE = "CMakeCache.txt"
_OPTIONS = "qwen-asr-options.txt"
"""What cmake was told, and the sign that a folder is ours."""
_LOCK = ".lock"


def short_key(*parts: str) -> str:
    """A name of 12 letters for a combination of texts."""
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()[:12]


def build_folder(
    wanted: Path, source: Path, tools: Tools, definitions: tuple[str, ...], say: Callable[[str], None]
) -> Path:
    """The folder to build in: the one wanted, or a fresh one beside it when that belongs to another build.

    What was built there before from the same source with the same options and tools is gone on with. With other
    options cmake starts anew, and objects that do not change are kept.

    Args:
        wanted: The folder named or chosen.
        source: Top of the source tree.
        tools: What the build is done with.
        definitions: What cmake is told.
        say: Told when another folder is used.

    Raises:
        BuildError: It is a file or the source itself.
    """
    if wanted.resolve() == source.resolve():
        raise BuildError(f"{wanted}: this is the source folder. Name another folder to build in.")
    if wanted.exists() and not wanted.is_dir():
        raise BuildError(f"{wanted}: is a file. Name a folder to build in.")
    folder = wanted
    reason = _foreign(folder, source, tools)
    if reason:
        folder = wanted.with_name(f"{wanted.name}-{short_key(str(source), tools.generator, tools.compiler.command)}")
        say(f"{wanted} {reason}; a fresh folder is used instead: {folder}")
        if _foreign(folder, source, tools):
            shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    marker = folder / _OPTIONS
    options = "\n".join(definitions)
    if (folder / _CACHE).is_file() and marker.read_text(encoding="utf-8") != options:
        (folder / _CACHE).unlink()  # definitions of an earlier build would stay in force
    marker.write_text(options, encoding="utf-8")
    return folder


@contextlib.contextmanager
def locked(folder: Path, *, patience: float = 0.0) -> Iterator[None]:
    """Keep other builds out of a folder; the system lets go of it when this process ends, however it ends.

    Args:
        folder: The folder; it is made.
        patience: How many seconds to wait for another build to leave it.

    Raises:
        BuildError: Another build is in it, or it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / _LOCK).open("a")
    except OSError as error:
        raise BuildError(f"{folder}: cannot be written: {error.strerror or error}.") from error
    end = time.monotonic() + patience
    with file:
        while not _try_lock(file.fileno()):
            if time.monotonic() >= end:
                raise BuildError(f"{folder}: another build is going on there. Wait for it to end.")
            time.sleep(0.2)
        yield


def _try_lock(descriptor: int) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _foreign(folder: Path, source: Path, tools: Tools) -> str:
    """Why a folder cannot be used for this build, empty when it can."""
    cache = folder / _CACHE
    ours = (folder / _OPTIONS).is_file()
    if not cache.is_file():
        return "" if ours or not _occupied(folder) else "is not empty and holds no build"
    text = cache.read_text(encoding="utf-8", errors="replace")
    values = dict(re.findall(r"^(CMAKE_\w+):\w+=(.*)$", text, re.MULTILINE))
    home = values.get("CMAKE_HOME_DIRECTORY", "")
    if not home or Path(home).resolve() != source.resolve():
        return f"was made from another source ({home or 'unknown'})"
    generator = values.get("CMAKE_GENERATOR", "")
    if (generator == "Ninja") != (tools.ninja is not None):
        return f"was made for another build program ({generator})"
    ninja = values.get("CMAKE_MAKE_PROGRAM", "")
    if ninja and not Path(ninja).exists():
        return f"was made with a build program that is gone ({ninja})"
    compiler = values.get("CMAKE_CXX_COMPILER", "")
    present = shutil.which(tools.compiler.command) if tools.compiler.command else None
    if compiler and present and Path(compiler).resolve() != Path(present).resolve():
        return f"was made with another compiler ({compiler})"
    return "" if ours else "was not made by this command"


def _occupied(folder: Path) -> bool:
    return folder.is_dir() and any(child.name != _LOCK for child in folder.iterdir())
