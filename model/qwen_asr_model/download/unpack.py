# SPDX-License-Identifier: Apache-2.0
"""Takes a zip file apart without trusting it."""

from __future__ import annotations

import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from qwen_asr_model.errors import ArchiveDamagedError, ArchiveUnsafeError

from .names import name_fault, same_name_key
from .space import require_space, write_error

__all__ = ["UnpackLimits", "unpack"]

_BLOCK_BYTES = 1 << 20
_AGAIN = "Fetch it again."
_OTHER_TOOL = "Unpack it with another program, then `qwen-asr-plugin model add FOLDER`."
_ENCRYPTED = 0x1
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# What macOS and Windows put beside the files that were meant.
_LITTER = ("__MACOSX/", ".DS_Store", "Thumbs.db", "desktop.ini")

_END = struct.Struct("<4s4H2LH")
_END_64_PLACE = struct.Struct("<4sLQL")
_END_64 = struct.Struct("<4sQ2H2L4Q")
_LONGEST_COMMENT = 0xFFFF
_IN_64 = 0xFFFFFFFF


@dataclass(frozen=True, kw_only=True)
class UnpackLimits:
    """How much a zip file may unpack to.

    Attributes:
        most_files: Files and folders in it.
        most_directory_bytes: Length of its own list of files; bounds the memory needed to read it.
        most_ratio: Times its own length that all files together may have; weights hardly shrink.
        free_bytes: Bytes that are allowed whatever the ratio.
    """

    most_files: int = 1000
    most_directory_bytes: int = 1 << 20
    most_ratio: int = 20
    free_bytes: int = 16 << 20


def unpack(
    archive: Path,
    folder: Path,
    *,
    limits: UnpackLimits | None = None,
    progress: Callable[[str, int, int | None], None] | None = None,
) -> tuple[Path, ...]:
    """Unpack a zip file into a folder.

    The whole list is checked before anything is written: names that leave the folder or that some system cannot store,
    two names that are one on some system, links, encryption, methods other than stored and deflated, and the total
    length. Then every file's length and CRC is checked as it is written. Rights and dates are not taken over.

    Args:
        archive: The zip file.
        folder: The folder; it is made. After an error there may be files in it.
        limits: How much it may unpack to.
        progress: Called with a name, the bytes of all files written so far, and how many there will be.

    Returns:
        The files written.

    Raises:
        ArchiveDamagedError: It is no zip file, cut off or corrupt, cannot be read, or needs what cannot be done here.
        ArchiveUnsafeError: It would do harm.
        DiskFullError: There is no room.
        ConversionError: The files cannot be written.
    """
    limits = limits or UnpackLimits()
    report = progress or (lambda _name, _done, _total: None)
    try:
        _check_directory_size(archive, limits)
        with zipfile.ZipFile(archive) as source:
            members = _checked(archive, source, limits)
            total = sum(member.file_size for member in members.values())
            require_space(folder, total, what=f"unpacking {archive.name}")
            done = 0
            for name, member in members.items():
                for written in _write(source, member, folder / name):
                    report(name, done + written, total)
                done += member.file_size
    except (zipfile.BadZipFile, zlib.error, EOFError, struct.error, ValueError) as error:
        raise ArchiveDamagedError(
            f"cut off or corrupt: {error or 'unexpected end'}.", path=archive, hint=_AGAIN
        ) from error
    except NotImplementedError as error:
        raise ArchiveDamagedError(f"cannot be read: {error}.", path=archive, hint=_OTHER_TOOL) from error
    except OSError as error:  # also what comes of places that are outside of the file
        raise ArchiveDamagedError(f"cannot be read ({error.strerror}).", path=archive, hint=_AGAIN) from error
    return tuple(folder / name for name in members)


def _write(source: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path) -> Iterator[int]:
    """Write one file; yield how much of it is there."""
    done = 0
    with source.open(member) as packed:
        with _write_errors(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            file = target.open("xb")
        with file:
            # At most the length in the list is given out, and its end compares the CRC.
            while block := packed.read(_BLOCK_BYTES):
                with _write_errors(target):
                    file.write(block)
                done += len(block)
                yield done
            with _write_errors(target):
                file.flush()
                os.fsync(file.fileno())
    if done != member.file_size:
        raise zipfile.BadZipFile(f"{_shown(member)} is shorter than the list says")


@contextmanager
def _write_errors(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise write_error(error, target) from error


def _checked(archive: Path, source: zipfile.ZipFile, limits: UnpackLimits) -> dict[str, zipfile.ZipInfo]:
    """The files by the path they get, in the order of the list."""

    def refuse(member: zipfile.ZipInfo, why: str) -> ArchiveUnsafeError:
        return ArchiveUnsafeError(
            f"holds {_shown(member)}, which {why}.", path=archive, hint="Do not use it; get the model elsewhere."
        )

    infos = source.infolist()
    if len(infos) > limits.most_files:
        raise ArchiveUnsafeError(f"holds {len(infos)} files; {limits.most_files} are allowed.", path=archive)
    files: dict[str, zipfile.ZipInfo] = {}
    kinds: dict[str, tuple[str, bool]] = {}
    for member in infos:
        # The name as it stands in the list: the other one is cut at a NUL, and its separators are changed on Windows.
        raw = member.orig_filename
        is_folder = raw.endswith("/")
        parts = (raw.removesuffix("/")).split("/")
        kind = stat.S_IFMT(member.external_attr >> 16)
        for part in parts:
            fault = name_fault(part)
            if fault:
                raise refuse(member, f"leads out of the folder: {part!r} {fault}" if part in ("", "..") else fault)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise refuse(member, "is a link" if kind == stat.S_IFLNK else "is no ordinary file")
        if member.flag_bits & _ENCRYPTED:
            raise refuse(member, "is encrypted")
        if not is_folder and member.compress_type not in _METHODS:
            raise NotImplementedError(f"{_shown(member)} is packed with method {member.compress_type}")
        for depth in range(1, len(parts) + 1):
            spelling, folder = "/".join(parts[:depth]), is_folder or depth < len(parts)
            before = kinds.setdefault(same_name_key(spelling), (spelling, folder))
            if before != (spelling, folder):
                raise refuse(member, f"is the same as {before[0]!r} on some systems")
        if not is_folder:
            if raw in files:
                raise refuse(member, "is there twice")
            files[raw] = member
    return _within_bounds(archive, {n: m for n, m in files.items() if not _is_litter(n)}, limits)


def _within_bounds(
    archive: Path, files: dict[str, zipfile.ZipInfo], limits: UnpackLimits
) -> dict[str, zipfile.ZipInfo]:
    if not files:
        raise ArchiveDamagedError("holds no files.", path=archive, hint=_AGAIN)
    total, allowed = sum(m.file_size for m in files.values()), limits.most_ratio * archive.stat().st_size
    if total > allowed + limits.free_bytes:
        raise ArchiveUnsafeError(
            f"would unpack to {total} bytes, {total / archive.stat().st_size:.0f} times its length.",
            path=archive,
            hint="Do not use it; get the model elsewhere.",
        )
    return files


def _is_litter(name: str) -> bool:
    return name.startswith(_LITTER[0]) or name.rsplit("/", 1)[-1] in _LITTER[1:]


def _shown(member: zipfile.ZipInfo) -> str:
    return repr(member.orig_filename[:200])


def _check_directory_size(archive: Path, limits: UnpackLimits) -> None:
    """Look at the end of the file before `zipfile` reads the list into memory, which may be as long as the file."""
    length = archive.stat().st_size
    with archive.open("rb") as file:
        file.seek(max(0, length - _END.size - _LONGEST_COMMENT - _END_64_PLACE.size))
        tail = file.read()
        at = tail.rfind(b"PK\x05\x06")
        if at < 0 or at + _END.size > len(tail):
            raise ArchiveDamagedError("cut off, or no zip file: its end is missing.", path=archive, hint=_AGAIN)
        sizes = [_END.unpack_from(tail, at)[5]]
        place = at - _END_64_PLACE.size
        if place >= 0 and tail.startswith(b"PK\x06\x07", place):
            # Right before its locator, or where the locator points: versions of `zipfile` look in either place.
            end = length - len(tail) + place
            for begin in (end - _END_64.size, _END_64_PLACE.unpack_from(tail, place)[2]):
                file.seek(min(max(0, begin), length))
                record = file.read(_END_64.size)
                if len(record) == _END_64.size and record.startswith(b"PK\x06\x06"):
                    sizes = [size for size in sizes if size != _IN_64] + [_END_64.unpack(record)[8]]
    if max(sizes) > limits.most_directory_bytes:
        raise ArchiveUnsafeError(f"has a list of files of {max(sizes)} bytes.", path=archive)
