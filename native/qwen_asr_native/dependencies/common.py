# SPDX-License-Identifier: Apache-2.0
"""What the search for needed libraries has in common on all systems: its result, its limits and its doubts."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

__all__ = ["Budget", "MissingDependency", "Reason", "UndecidedError", "UnusableFileError", "ggml_sibling", "parsing"]

Reason = Literal["missing", "version", "architecture", "damaged"]
"""Nowhere to be found; found without a symbol version; found for another processor; found and not a library."""


@dataclass(frozen=True, kw_only=True)
class MissingDependency:
    """One library that the system's loader would not find or not accept.

    Attributes:
        name: The name as it stands in the needed-list.
        needed_by: The file whose needed-list names it.
        searched: Every place that was looked in, in order, each with the reason why it was.
        hint: What to do about it.
        reason: What is wrong.
        detail: What is wrong in words, empty when it is plainly missing.
    """

    name: str
    needed_by: Path
    searched: tuple[str, ...]
    hint: str
    reason: Reason
    detail: str = ""

    def describe(self) -> str:
        """All of it in a few sentences."""
        state = {
            "missing": "missing",
            "version": "too old",
            "architecture": "made for another processor",
            "damaged": "not usable",
        }[self.reason]
        detail = f": {self.detail}" if self.detail else ""
        places = f" Looked in: {'; '.join(self.searched)}." if self.searched and self.reason != "version" else ""
        return f"{self.name}, needed by {self.needed_by}: {state}{detail}.{places} {self.hint}"


class UndecidedError(Exception):
    """What the loader would do cannot be told from here, so that it must be asked."""


class UnusableFileError(Exception):
    """A file that no loader of this system accepts; the text says why, as the end of a sentence."""

    def __init__(self, text: str, reason: Reason = "damaged") -> None:
        super().__init__(text)
        self.reason = reason


@dataclass(kw_only=True)
class Budget:
    """Limits of the work on one library, far above what any honest one needs.

    Attributes:
        files: How many files may still be read.
        looks: How many places may still be looked in.
    """

    files: int = 512
    looks: int = 20_000

    def spend_file(self) -> None:
        """One more file is read."""
        self.files -= 1
        if self.files < 0:
            raise UndecidedError("too many libraries")

    def spend_look(self) -> None:
        """One more place is looked in."""
        self.looks -= 1
        if self.looks < 0:
            raise UndecidedError("too many places")


_PARSER_ERRORS: tuple[type[Exception], ...] = (
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    AssertionError,
    struct.error,
)


@contextlib.contextmanager
def parsing(*errors: type[Exception]) -> Iterator[None]:
    """Turn whatever a parser raises about a malformed file into an `UnusableFileError`.

    Args:
        errors: The parser's own exceptions.
    """
    try:
        yield
    except (*errors, *_PARSER_ERRORS) as error:
        raise UnusableFileError(f"it is damaged or cut off ({error or type(error).__name__})") from error


def ggml_sibling(name: str, folder: Path) -> Path | None:
    """The ggml library of that name beside a libllama; `open_library` loads those first when the loader misses one.

    Args:
        name: The needed library; versions at its end (``libggml.so.0``) do not count.
        folder: The folder of the libllama.
    """
    wanted = _stem(name)
    if not wanted.startswith("ggml"):
        return None
    with contextlib.suppress(OSError):
        for file in sorted(folder.iterdir()):
            if _stem(file.name) == wanted and file.suffix not in (".lib", ".a", ".pdb", ".exp") and file.is_file():
                return file
    return None


def _stem(name: str) -> str:
    return name.replace("\\", "/").rsplit("/", 1)[-1].removeprefix("lib").split(".")[0]
