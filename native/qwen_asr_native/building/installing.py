# SPDX-License-Identifier: Apache-2.0
"""Collects what was built, makes sure that it works, and only then puts it in place."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from qwen_asr_native.building.folders import locked
from qwen_asr_native.building.installed import (
    POINTER,
    RECORD,
    InstalledBuild,
    file_facts,
    library_folder,
)
from qwen_asr_native.building.processes import BuildLog
from qwen_asr_native.dependencies import needed
from qwen_asr_native.errors import BuildError, LibraryError, NativeError
from qwen_asr_native.probe import Verdict, verify
from qwen_asr_native.selftest import run_selftest
from qwen_asr_native.user_folders import data_folder

__all__ = ["Provenance", "install", "remove_builds"]

_NAMES = {"darwin": ("libllama.dylib",), "win32": ("llama.dll", "libllama.dll")}.get(sys.platform, ("libllama.so",))
_MODULES = (".dll",) if sys.platform == "win32" else (".so",)
_STAGING = ".staging"
_OLD = ".old-"
_PATIENCE_S = 600.0


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Where a library comes from; the fields are those of `InstalledBuild`."""

    project: str
    version: str
    origin: str
    options: tuple[str, ...]
    compiler: str
    cmake: str
    generator: str
    seconds: float


def install(folder: Path, provenance: Provenance, log: BuildLog) -> InstalledBuild:
    """Put the library of a build folder in use, if it passes.

    Args:
        folder: The build folder.
        provenance: Where it comes from.
        log: Gets the outcome.

    Raises:
        BuildError: There is no library, or it does not pass: an unknown layout, a crash, wrong results. The build
            that was in use stays.
    """
    goal = library_folder()
    with locked(goal, patience=_PATIENCE_S):
        _sweep(goal)
        staging = goal / _STAGING
        staging.mkdir()
        try:
            original, library = _collect(folder, staging)
            verdict = _examine(library, original, log)
            now = dt.datetime.now(dt.timezone.utc)
            files = {file.name: file_facts(file) for file in sorted(staging.iterdir())}
            final = goal / f"{now:%Y%m%d-%H%M%S}-{files[library.name].sha256[:8]}"
            build = InstalledBuild(
                folder=final,
                library=final / library.name,
                built=now.isoformat(timespec="seconds"),
                layout=verdict.name,
                system=verdict.system,
                files=files,
                **{name: getattr(provenance, name) for name in asdict(provenance)},
            )
            (staging / RECORD).write_text(json.dumps(build.record(), indent=2) + "\n", encoding="utf-8")
            staging.rename(final)
        except OSError as error:
            raise BuildError(f"{goal}: the library cannot be put in place: {error.strerror or error}.") from error
        finally:
            shutil.rmtree(staging, ignore_errors=True)
        _point_to(final)
        for other in _builds(goal):
            if other != final:
                _delete(other)
    return build


def remove_builds(*, everything: bool = False) -> list[Path]:
    """Remove the library that was built, so that the next provider is used.

    Args:
        everything: Also remove unfinished builds, logs, and the cmake and ninja installed for building.

    Returns:
        What was removed; empty when there was nothing.

    Raises:
        BuildError: A build is going on, or a folder cannot be removed, for example because a program uses the library.
    """
    goal = library_folder()
    removed: list[Path] = []
    folders: list[Path] = []
    if goal.is_dir():
        with locked(goal):
            (goal / POINTER).unlink(missing_ok=True)
            _sweep(goal)
            folders = _builds(goal)
            removed += [folder for folder in folders if _delete(folder)]
    if everything:
        places = [data_folder() / name for name in ("build", "tools", "logs") if (data_folder() / name).is_dir()]
        for place in places:
            shutil.rmtree(place, ignore_errors=True)
        folders += places
        removed += [place for place in places if not place.exists()]
    kept = [str(folder) for folder in folders if folder.exists()]
    if kept:
        raise BuildError(
            f"{', '.join(kept)}: cannot be removed, probably because a program uses it. It is no longer chosen; end "
            "the program and try again."
        )
    return removed


def _collect(folder: Path, staging: Path) -> tuple[Path, Path]:
    """Copy libllama and whatever it needs of what was built; returns libllama and its copy."""
    built = {file.name: file for file in _shared_libraries(folder)}
    names = [name for name in _NAMES if name in built]
    if not names:
        raise BuildError(
            f"{folder}: the build made no shared library named {' or '.join(_NAMES)}. Was BUILD_SHARED_LIBS "
            "switched off?"
        )
    waiting, copied = [names[0]], set()
    while waiting:
        name = waiting.pop()
        if name in copied or name not in built:
            continue
        copied.add(name)
        shutil.copyfile(built[name], staging / name)
        try:
            waiting += [Path(entry).name for entry in needed(built[name])]
        except LibraryError as error:
            raise BuildError(f"{built[name]}: was built, but what it needs cannot be read: {error}") from error
    stems = {name.split(".")[0] for name in copied}
    for (
        name,
        file,
    ) in built.items():  # with GGML_BACKEND_DL nothing needs the backends; ggml looks for them beside itself
        if name.removeprefix("lib").startswith("ggml-") and file.suffix in _MODULES and name.split(".")[0] not in stems:
            shutil.copyfile(file, staging / name)
    return built[names[0]], staging / names[0]


def _shared_libraries(folder: Path) -> Iterator[Path]:
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name not in ("CMakeFiles", "s")]
        for name in files:
            if name.endswith((".so", ".dylib", ".dll")) or ".so." in name:
                yield Path(place, name)


def _examine(library: Path, original: Path, log: BuildLog) -> Verdict:
    try:
        verdict = verify(library)
        outcome = run_selftest(library)
    except NativeError as error:
        reason = str(error).replace(str(library), str(original))  # the copy is about to be deleted
        log.write(f"refused [{error.code}]: {reason}")
        raise BuildError(
            f"The library was built, but it does not pass, so it is not used; what was in use before still is. "
            f"{reason}\nEverything is in {log.path}"
        ) from error
    log.write(f"verified: layout {verdict.name}; self-test: {json.dumps(outcome.as_dict())}")
    return verdict


def _point_to(folder: Path) -> None:
    pointer = folder.parent / POINTER
    fresh = folder.parent / f".{POINTER}.new"
    fresh.write_text(json.dumps({"folder": folder.name}) + "\n", encoding="utf-8")
    fresh.replace(pointer)


def _builds(goal: Path) -> list[Path]:
    return sorted(child for child in goal.iterdir() if (child / RECORD).is_file() and not child.name.startswith("."))


def _sweep(goal: Path) -> None:
    """Delete what interrupted runs and former users of the library left."""
    for child in goal.iterdir():
        if child.name == _STAGING or child.name.startswith(_OLD):
            shutil.rmtree(child, ignore_errors=True)


def _delete(folder: Path) -> bool:
    """Delete a build; on Windows one in use cannot even be renamed, and is left whole for a later sweep."""
    doomed = folder.with_name(f"{_OLD}{folder.name}")
    with contextlib.suppress(OSError):
        folder.rename(doomed)
        shutil.rmtree(doomed, ignore_errors=True)
        return True
    return False
