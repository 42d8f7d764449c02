# SPDX-License-Identifier: Apache-2.0
"""Finds out before cmake does whether files of a source tree are missing, and which."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from qwen_asr_native.errors import SourceIncompleteError

__all__ = ["check_complete", "missing_files"]

_ALWAYS = (
    "CMakeLists.txt",
    "include/llama.h",
    "src/CMakeLists.txt",
    "src/llama.cpp",
    "ggml/CMakeLists.txt",
    "ggml/include/ggml.h",
    "ggml/src/CMakeLists.txt",
    "ggml/src/ggml.c",
)
_LISTS = ("", "src", "ggml", "ggml/src", "ggml/src/ggml-cpu")
_SHOWN = 10
_COMMENT = re.compile(r"#\[\[.*?\]\]|#[^\n]*", re.DOTALL)
_COMMAND = re.compile(r"\b(if|elseif|else|endif)\s*\(([^\n]*)\)", re.IGNORECASE)
_NAME = re.compile(r"(?<![\w${}/.*<>:-])[\w./+-]+\.(?:cpp|cc|cu|c|mm|m|S|hpp|h|cmake|in)(?![\w${}/.*<>:=-])")
_OWN_FOLDER = re.compile(r"\$\{CMAKE_CURRENT_(?:SOURCE|LIST)_DIR\}/")
_GENERATED = re.compile(r"\$\{(?!CMAKE_CURRENT_(?:SOURCE|LIST)_DIR\})[^}]*\}/?[\w./+-]*")
_NAMING = re.compile(
    r"\b(?:add_library|target_sources|set|list|include|configure_file|configure_package_config_file)"
    r"\s*\(((?:[^()\"]|\"[^\"]*\")*)\)",
    re.IGNORECASE,
)
"""Commands that may name files of the tree, with their arguments."""
_GLOB = re.compile(r"\bfile\s*\(\s*GLOB\s+\w+\s+\"([^\"$]+)\"", re.IGNORECASE)
_ACCELERATOR = re.compile(
    r"\b(?:GGML|LLAMA)_(METAL|CUDA|VULKAN|BLAS|HIP|HIPBLAS|MUSA|SYCL|CANN|KOMPUTE|RPC|OPENCL|WEBGPU|ZDNN|HEXAGON|"
    r"KLEIDIAI|CPU_KLEIDIAI|BUILD_\w+)\b"
)


def check_complete(folder: Path, accelerators: Iterable[str] = ()) -> None:
    """Refuse a source tree that lacks files.

    Args:
        folder: The top of the tree.
        accelerators: Those whose files are needed too, as in ``GGML_...``.

    Raises:
        SourceIncompleteError: Lists the missing files.
    """
    absent = missing_files(folder, accelerators)
    if absent:
        more = f"\n    and {len(absent) - _SHOWN} more" if len(absent) > _SHOWN else ""
        listing = "\n".join(f"    {name}" for name in absent[:_SHOWN])
        raise SourceIncompleteError(
            f"{folder}: this source tree is not complete. {len(absent)} missing:\n{listing}{more}\n"
            "Usually it is a snapshot that was exported in part or without its submodules (`git submodule update "
            "--init` fetches those). Take a complete tree, or a source distribution: `qwen-asr-plugin native build "
            "llama-cpp-python`."
        )


def missing_files(folder: Path, accelerators: Iterable[str] = ()) -> list[str]:
    """Files a build needs that are not there, as paths from the top of the tree.

    Besides a few that every version has, these are the ones that the build files of the library name in full. Names
    made from variables, and blocks for accelerators that are off, are left to cmake.
    """
    wanted = dict.fromkeys(_ALWAYS)
    for place in _LISTS:
        build_file = folder / place / "CMakeLists.txt"
        if build_file.is_file():
            text = build_file.read_text(encoding="utf-8", errors="replace")
            wanted |= dict.fromkeys(_named(folder, place, text, frozenset(accelerators)))
            if re.search(r"\bggml_add_backend\s*\(\s*CPU\s*\)", text):
                wanted["ggml/src/ggml-cpu/CMakeLists.txt"] = None
    return [name for name in wanted if not (folder / name).is_file()]


def _named(folder: Path, place: str, text: str, accelerators: frozenset[str]) -> Iterator[str]:
    text = _without_others(_COMMENT.sub("", text), accelerators)
    prefix = f"{place}/" if place else ""
    for pattern in _GLOB.findall(text):
        if place == "src" and not any((folder / place).glob(pattern)):
            yield f"{prefix}{pattern}"
    text = _GENERATED.sub(" ", _OWN_FOLDER.sub("", "\n".join(_NAMING.findall(text))))
    for name in _NAME.findall(text):
        if "/" not in name and name.endswith((".in", ".cmake")):
            continue  # an output, or a module that cmake brings
        # A function defined in ggml-cpu is called from the folder above, and its names are relative to that.
        bases = (place, place.rpartition("/")[0]) if place == "ggml/src/ggml-cpu" else (place,)
        candidates = [_normal(f"{base}/{name}") for base in bases]
        if not any((folder / candidate).is_file() for candidate in candidates):
            yield candidates[-1]


def _without_others(text: str, accelerators: frozenset[str]) -> str:
    """The text less the blocks that are for accelerators not asked for."""
    kept: list[str] = []
    skipping = [False]
    end = 0
    for command in _COMMAND.finditer(text):
        if not skipping[-1]:
            kept.append(text[end : command.start()])
        end = command.end()
        word = command[1].lower()
        if word == "endif":
            if len(skipping) > 1:
                skipping.pop()
            continue
        other = bool(set(_ACCELERATOR.findall(command[2])) - accelerators)
        if word == "if":
            skipping.append(skipping[-1] or other)
        elif len(skipping) > 1:
            skipping[-1] = skipping[-2] or (other if word == "elseif" else skipping[-1])
    if not skipping[-1]:
        kept.append(text[end:])
    return "".join(kept)


def _normal(path: str) -> str:
    parts: list[str] = []
    for part in path.split("/"):
        if part == ".." and parts:
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)
