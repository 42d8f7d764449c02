# SPDX-License-Identifier: Apache-2.0
"""Unpacks source archives from anywhere without trusting them."""

from __future__ import annotations

import gzip
import shutil
import tarfile
import zlib
from pathlib import Path, PurePosixPath

from qwen_asr_native.errors import BuildError

__all__ = ["MAX_BYTES", "MAX_FILES", "unpack"]

MAX_BYTES = 2 << 30
MAX_FILES = 100_000
"""Bounds on what an archive may unpack to; llama.cpp has about 200 MB in 4000 files."""


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a tar archive; a common first folder of all its files is left out.

    Nothing is written outside the folder, links become copies, and special files are refused. Times of change are those
    of unpacking, because build tools are confused by files from the future.

    Args:
        archive: The file, compressed with anything `tarfile` reads.
        folder: A folder that is made.

    Raises:
        BuildError: It is cut off, no tar archive, too large, or wants to write outside the folder.
    """
    try:
        with tarfile.open(archive, "r:*") as tar:
            _unpack(tar, archive, folder)
    except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError, ValueError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0].rstrip(":")
        raise BuildError(f"{archive}: cannot be unpacked: {reason}. Download it again.") from error
    except OSError as error:
        raise BuildError(f"{archive}: cannot be unpacked to {folder}: {error.strerror or error}.") from error


def _unpack(tar: tarfile.TarFile, archive: Path, folder: Path) -> None:
    folder.mkdir(parents=True)
    links: list[tuple[Path, Path]] = []
    files = total = 0
    members: list[tuple[tarfile.TarInfo, tuple[str, ...]]] = []
    for member in tar:
        files, total = files + 1, total + member.size
        if files > MAX_FILES or total > MAX_BYTES:
            raise BuildError(
                f"{archive}: unpacks to more than {MAX_FILES} files or {MAX_BYTES >> 20} MB; not unpacked."
            )
        members.append((member, _parts(member.name, archive)))
    strip = 1 if len({parts[0] for _, parts in members if parts}) == 1 else 0
    for member, parts in members:
        goal = folder.joinpath(*parts[strip:])
        if member.isdir() or len(parts) <= strip:
            goal.mkdir(parents=True, exist_ok=True)
        elif member.isreg():
            goal.parent.mkdir(parents=True, exist_ok=True)
            content = tar.extractfile(member)
            assert content is not None
            with content, goal.open("wb") as file:
                shutil.copyfileobj(content, file)
            if member.mode & 0o100:
                goal.chmod(0o755)
        elif member.issym() or member.islnk():
            links.append((goal, _target(member, parts, strip, archive, folder)))
        else:
            raise BuildError(f"{archive}: {member.name} is a device or pipe; not unpacked.")
    for goal, target in links:
        if target.is_file() and not goal.exists():
            goal.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(target, goal)


def _parts(name: str, archive: Path, base: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The components of a name inside the archive, with ``..`` resolved."""
    if name.startswith("/") or "\\" in name or ":" in name:
        raise BuildError(f"{archive}: {name!r} is no path inside the archive; not unpacked.")
    parts = list(base)
    for part in PurePosixPath(name).parts:
        if part == "..":
            if not parts:
                raise BuildError(f"{archive}: {name!r} leads out of the archive; not unpacked.")
            parts.pop()
        else:
            parts.append(part)
    return tuple(parts)


def _target(member: tarfile.TarInfo, parts: tuple[str, ...], strip: int, archive: Path, folder: Path) -> Path:
    """The file a link stands for; a symbolic one starts at its own folder, a hard one at the top."""
    pointed = _parts(member.linkname, archive, parts[:-1] if member.issym() else ())
    if pointed[:strip] != parts[:strip]:
        raise BuildError(f"{archive}: the link {member.name} leads out of the archive; not unpacked.")
    return folder.joinpath(*pointed[strip:])
