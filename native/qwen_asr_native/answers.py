# SPDX-License-Identifier: Apache-2.0
"""Keeps what libraries answered when they were examined, so that a known file costs no child process.

What a library wrote is kept, not the verdict: new layout tables judge it anew. The answers of a file are found by the
hash of its content, wherever it lies; the hash of a large file takes as long as asking it, so it is kept, too, for the
path, size and time of change it was taken at.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

__all__ = ["Records", "read_answers", "write_answers"]

Records = dict[str, dict[str, Any]]
"""What `interrogate` printed, by the kind of record."""

_BLOCK: Final = 1 << 20


def read_answers(folder: Path, path: Path, required: Iterable[str]) -> Records | None:
    """The answers that were kept for this file; None when there are none, or they are damaged.

    Args:
        folder: The cache folder.
        path: The library file.
        required: Kinds of records without which the answers are of no use.
    """
    try:
        digest = _known_digest(folder, path)
        records: Records = json.loads((folder / f"{digest}.json").read_text(encoding="utf-8"))
        for kind in required:
            bytes.fromhex(records[kind]["data"])
            bytes.fromhex(records[kind]["written"] or "")
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return records


def write_answers(folder: Path, path: Path, records: Records) -> None:
    """Keep the answers of this file. A folder that cannot be written only costs the next check a child process."""
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder / f"{_known_digest(folder, path)}.json", json.dumps(records))


def _known_digest(folder: Path, path: Path) -> str:
    status = path.stat()
    seen = f"{path}|{status.st_size}|{status.st_mtime_ns}".encode("utf-8", "surrogateescape")
    note = folder / f"{hashlib.sha256(seen).hexdigest()}.sha256"
    with contextlib.suppress(OSError):
        digest = note.read_text(encoding="ascii").strip()
        if len(digest) == 64 and set(digest) <= set("0123456789abcdef"):
            return digest
    digest = _digest(path)
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        _write(note, digest)
    return digest


def _digest(path: Path) -> str:
    content = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            content.update(block)
    return content.hexdigest()


def _write(target: Path, text: str) -> None:
    """Write in one step, so that two processes at once do no harm."""
    handle, name = tempfile.mkstemp(dir=target.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(name).replace(target)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise
