# SPDX-License-Identifier: Apache-2.0
"""The whole way from a source to an installed library."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from qwen_asr_native.building.cmake_build import Progress, compile_target, configure
from qwen_asr_native.building.completeness import check_complete
from qwen_asr_native.building.folders import build_folder, locked, short_key
from qwen_asr_native.building.installed import InstalledBuild, library_folder
from qwen_asr_native.building.installing import Provenance, install
from qwen_asr_native.building.options import BuildOptions
from qwen_asr_native.building.processes import BuildLog
from qwen_asr_native.building.sources import DEFAULT_SOURCE, identify, open_source
from qwen_asr_native.building.tools import find_tools
from qwen_asr_native.errors import BuildError
from qwen_asr_native.providers import ENVIRONMENT_VARIABLE
from qwen_asr_native.user_folders import data_folder

__all__ = ["build_library"]

_BUILD = "b"
"""The build folder in our own; short, because paths on Windows are limited."""


def _quiet(*_: object) -> None:
    """Tell nobody."""


def build_library(
    source: str | os.PathLike[str] = DEFAULT_SOURCE,
    *,
    options: BuildOptions | None = None,
    jobs: int | None = None,
    build_dir: str | os.PathLike[str] | None = None,
    keep_build: bool = False,
    say: Callable[[str], None] = _quiet,
    progress: Progress = _quiet,
) -> InstalledBuild:
    """Build libllama from source, verify it, and make it the one that the provider ``built`` finds.

    A build that was interrupted is gone on with when it is asked for again. The library installed before stays in use
    until the new one has passed, and when anything fails.

    Args:
        source: A source folder of llama.cpp or ik_llama.cpp, a folder or source distribution (.tar.gz) that contains
            one, or ``llama-cpp-python`` or ``ik-llama-cpp-python``, with or without ``==VERSION``, to be downloaded.
        options: What to build; None for the processor at hand without accelerators.
        jobs: Compilers that run at once; None for one per processor.
        build_dir: Folder to build in; None for one in the data folder that is deleted in the end.
        keep_build: Keep the build folder in the data folder.
        say: Called with lines for a person: what will be done, and what is done.
        progress: Called with the current step, steps done and steps in all (0: not known).

    Returns:
        The installed build.

    Raises:
        SourceIncompleteError: Files of the source are missing.
        CompilerNotFoundError: There is no compiler.
        BuildToolError: cmake, ninja or pip is missing and cannot be had.
        BuildError: Anything else: no such source, a compile error, a library that does not pass. Names the log.
    """
    options = options or BuildOptions()
    if jobs is not None and jobs < 1:
        raise BuildError(f"The number of jobs must be at least 1, not {jobs}.")
    stamp = dt.datetime.now(dt.timezone.utc).strftime("%Y%m%d-%H%M%S-%f")
    with BuildLog(data_folder() / "logs" / f"build-{stamp}.log") as log, contextlib.ExitStack() as cleanup:
        download = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="qwen-asr-source-")))
        origin = identify(source, download, log, say)
        definitions = options.cmake_definitions()
        work = data_folder() / "build" / short_key(origin.key, *definitions)
        cleanup.callback(_discard_unless_begun, work)
        cleanup.enter_context(locked(work))
        tree = open_source(origin, work)
        check_complete(tree.folder, options.accelerators)
        tools = find_tools(log, say)
        wanted = work / _BUILD if build_dir is None else Path(build_dir).expanduser().absolute()
        folder = build_folder(wanted, tree.folder, tools, definitions, say)
        cleanup.enter_context(locked(folder))
        say(f"Building {tree.project} {tree.version}".rstrip() + f" from {origin.text}")
        say(f"  with {tools.compiler.version}, cmake {tools.cmake_version}, {tools.generator}")
        say(f"  in {folder}")
        say(f"  for {library_folder()}; the log is {log.path}")
        say("  This takes about 10 minutes on two processor cores. After Ctrl-C the same command goes on from there.")
        started = time.monotonic()
        configure(tree.folder, folder, tools, definitions, log, progress)
        compile_target(folder, tools, jobs, log, progress)
        progress("testing the library", 0, 0)
        provenance = Provenance(
            project=tree.project,
            version=tree.version,
            origin=origin.text,
            options=definitions,
            compiler=tools.compiler.version,
            cmake=tools.cmake_version,
            generator=tools.generator,
            seconds=round(time.monotonic() - started, 1),
        )
        built = install(folder, provenance, log)
        say(f"Installed {built.library}: {built.describe()}, layout {built.layout}")
        if os.environ.get(ENVIRONMENT_VARIABLE):
            say(f"{ENVIRONMENT_VARIABLE} is set, and what it names goes first.")
    if not keep_build:
        shutil.rmtree(work, ignore_errors=True)
    return built


def _discard_unless_begun(work: Path) -> None:
    """What was unpacked is of use only to a build that can be gone on with."""
    if not (work / _BUILD).is_dir():
        shutil.rmtree(work, ignore_errors=True)
