# SPDX-License-Identifier: Apache-2.0
"""Runs cmake: configure, then build the one target that is needed."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

from qwen_asr_native.building.processes import BuildLog, run_logged
from qwen_asr_native.building.tools import Tools

__all__ = ["TARGET", "Progress", "compile_target", "configure", "parse_progress"]

TARGET = "llama"
Progress = Callable[[str, int, int], None]
"""Called with the current step, how many are done, and how many there are (0: not known)."""

_NINJA = re.compile(r"\[(\d+)/(\d+)\] (.+)")
_MAKE = re.compile(r"\[ *(\d+)%\] (.+)")
# Compilers and cmake speak the user's language, ninja's format can be changed, and msbuild keeps servers running.
_ENVIRONMENT = {
    "LC_ALL": "C",
    "LANGUAGE": "",
    "VSLANG": "1033",
    "NINJA_STATUS": "[%f/%t] ",
    "MSBUILDDISABLENODEREUSE": "1",
}


def configure(
    source: Path, folder: Path, tools: Tools, definitions: tuple[str, ...], log: BuildLog, progress: Progress
) -> None:
    """Let cmake examine the system and write the build files.

    Raises:
        BuildError: It fails; with the lines that say why.
    """
    progress("configuring", 0, 0)
    command = [str(tools.cmake), "-S", str(source), "-B", str(folder)]
    if tools.ninja is not None:
        command += ["-G", "Ninja", f"-DCMAKE_MAKE_PROGRAM={tools.ninja.as_posix()}"]
    if run_logged([*command, *definitions], log, environment=_ENVIRONMENT) != 0:
        raise log.failure(f"cmake cannot configure {source}.")


def compile_target(folder: Path, tools: Tools, jobs: int | None, log: BuildLog, progress: Progress) -> None:
    """Compile and link.

    Args:
        folder: The configured folder.
        tools: What the build is done with.
        jobs: How many compilers run at once, None for one per processor.
        log: Where every line goes.
        progress: Told about each step.

    Raises:
        BuildError: It fails; with the lines that say why.
    """
    count = jobs or os.cpu_count() or 1
    command = [str(tools.cmake), "--build", str(folder), "--target", TARGET]
    command += ["--config", "Release", "--parallel", str(count)]

    def follow(line: str) -> None:
        step = parse_progress(line)
        if step is not None:
            progress(*step)

    if run_logged(command, log, environment=_ENVIRONMENT, on_line=follow) != 0:
        raise log.failure("The library cannot be built.")


def parse_progress(line: str) -> tuple[str, int, int] | None:
    """Step, done and total from a line of ninja or make, None for any other line."""
    found = _NINJA.match(line)
    if found:
        return _step(found[3]), int(found[1]), int(found[2])
    found = _MAKE.match(line)
    if found:
        return _step(found[2]), int(found[1]), 100
    return None


def _step(text: str) -> str:
    """``Building CXX object src/CMakeFiles/llama.dir/llama.cpp.o`` becomes ``llama.cpp``."""
    last = re.split(r"[\s/\\]", text)[-1]
    name = last.removesuffix(".obj").removesuffix(".o")
    return f"linking {name}" if "Linking" in text else name
