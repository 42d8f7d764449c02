# SPDX-License-Identifier: Apache-2.0
"""Writes a bundle's folder whole or not at all."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from .errors import BundleError, ConversionError
from .manifest import MANIFEST_NAME, read_manifest

__all__ = ["staging"]


@contextmanager
def staging(out: Path) -> Iterator[Path]:
    """A folder beside ``out`` that takes its place when the block ends well, and vanishes when it does not."""
    old: tuple[str, ...] = ()
    if out.exists() and any(out.iterdir()) if out.is_dir() else out.exists():
        if not (out / MANIFEST_NAME).is_file():
            raise ConversionError(
                "something else is already there.", path=out, hint="Name a new folder, or an old bundle to replace."
            )
        try:
            old = tuple(entry.name for entry in read_manifest(out / MANIFEST_NAME).files)
        except BundleError:
            old = ()
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        folder = out.parent / f".{out.name}.{uuid.uuid4().hex[:8]}.partial"
        folder.mkdir()
    except OSError as error:
        raise ConversionError(f"cannot be written ({error.strerror}).", path=out) from error
    try:
        yield folder
        _take_place(folder, out, old)
    except OSError as error:
        raise ConversionError(f"cannot be written ({error.strerror}).", path=out) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _take_place(folder: Path, out: Path, old: Sequence[str]) -> None:
    if not out.exists():
        folder.replace(out)
        return
    # The manifest goes last: until then the old one names sizes or hashes that no longer fit, so a half-replaced
    # bundle is refused when it is opened.
    new = sorted(folder.iterdir(), key=lambda file: file.name == MANIFEST_NAME)
    for file in new:
        file.replace(out / file.name)
    for name in set(old) - {file.name for file in new}:
        (out / name).unlink(missing_ok=True)
