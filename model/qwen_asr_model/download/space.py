# SPDX-License-Identifier: Apache-2.0
"""Room on the disk: asked for before something large is written, and told apart when a write fails."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

from qwen_asr_model.errors import BundleError, ConversionError, DiskFullError

__all__ = ["MARGIN_BYTES", "require_space", "write_error"]

MARGIN_BYTES = 32 << 20
"""What is left free."""

# EFBIG: the largest file that the file system or a limit of this process allows (FAT: 4 GB).
_NO_ROOM = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}


def require_space(folder: Path, needed: int, *, what: str) -> None:
    """Check that a folder's disk has room.

    Args:
        folder: The folder; it need not be there yet.
        needed: Bytes that will be written.
        what: What they are for, as the subject of a sentence.

    Raises:
        DiskFullError: There is not enough room.
    """
    needed += MARGIN_BYTES
    existing = next((place for place in (folder, *folder.parents) if place.exists()), folder)
    free = shutil.disk_usage(existing).free
    if needed > free:
        raise DiskFullError(
            f"not enough room: {what} needs {_megabytes(needed)}, {_megabytes(free)} are free.",
            path=folder,
            hint="Free some, or name another folder with QWEN_ASR_MODELS_DIR.",
            needed=needed,
            free=free,
        )


def write_error(error: OSError, path: Path, *, kept: str = "") -> BundleError:
    """Return the error to raise for a write that failed.

    Args:
        error: What the system said.
        path: The file or folder.
        kept: What is kept nevertheless; a sentence.
    """
    if error.errno in _NO_ROOM:
        hint = f"{kept} Free some room, or name another folder with QWEN_ASR_MODELS_DIR.".lstrip()
        return DiskFullError(f"the disk is full ({error.strerror}).", path=path, hint=hint)
    return ConversionError(f"cannot be written ({error.strerror or error}).", path=path, hint=kept)


def _megabytes(size: int) -> str:
    return f"{-(-size // 1_000_000)} MB"
