# SPDX-License-Identifier: Apache-2.0
"""Reads from a Mach-O file, universal ones included, what the loader of macOS goes by: the load commands.

The structs come from macholib. Its reader of whole files is not used, because it also reads every section.
"""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from qwen_asr_native.dependencies.common import UndecidedError, UnusableFileError, parsing

__all__ = ["CPU_TYPES", "MachOImage", "macho_cpus", "read_any_macho", "read_macho"]

CPU_TYPES = {"i386": 7, "x86_64": 0x01000007, "arm": 12, "arm64": 0x0100000C}
"""Processors by the name that ``platform.machine`` uses."""

_FILETYPE_EXECUTE = 2
_FILETYPES_LOADABLE = (6, 8)  # MH_DYLIB, MH_BUNDLE
_MAX_SLICES = 32
_MAX_COMMAND_BYTES = 4 << 20
_MAX_COMMANDS = 4096
# Since macOS 15, flags follow the ordinary command where this stands instead of a date.
_USE_MARKER = 0x1A741800
_USE_WEAK = 1


@dataclass(frozen=True, kw_only=True)
class MachOImage:
    """What the loader reads of a library.

    Attributes:
        path: Absolute path under which it is loaded.
        install_name: The name by which others need it, empty for a bundle.
        needed: The install names of the libraries it needs, in order.
        optional: Those of them that may be absent.
        rpaths: ``LC_RPATH`` in order.
    """

    path: Path
    install_name: str
    needed: tuple[str, ...]
    optional: frozenset[str]
    rpaths: tuple[str, ...]


def macho_cpus(path: Path) -> list[int]:
    """The processors that a file is made for.

    Raises:
        UnusableFileError: It is no Mach-O file, or damaged.
        UndecidedError: It is beyond the limits of this reader.
        OSError: It cannot be read.
    """
    with path.open("rb") as file, parsing():
        return [cpu for cpu, _, _ in _slices(file)]


def read_any_macho(path: Path) -> MachOImage:
    """Read the part for this processor, or else the first one; raises what `read_macho` raises."""
    cpus = macho_cpus(path)
    own = CPU_TYPES.get(platform.machine())
    return read_macho(path, own if own in cpus else cpus[0])


def read_macho(path: Path, cpu: int, *, library: bool = True) -> MachOImage:
    """Read the load commands for one processor.

    Args:
        path: The file, absolute.
        cpu: The processor, as in `CPU_TYPES`.
        library: Whether it is meant to be loaded; executables and object files are then refused.

    Raises:
        UnusableFileError: It is no shared library, damaged, cut off, or has no part for this processor.
        UndecidedError: It is beyond the limits of this reader.
        OSError: It cannot be read.
    """
    with path.open("rb") as file, parsing():
        parts = _slices(file)
        for kind, offset, size in parts:
            if kind == cpu:
                return _read_slice(file, path, offset, size, library=library)
        found = ", ".join(_cpu_name(kind) for kind, _, _ in parts)
        raise UnusableFileError(f"it is made for {found}, and this process is {_cpu_name(cpu)}", "architecture")


def _cpu_name(cpu: int) -> str:
    return next((name for name, kind in CPU_TYPES.items() if kind == cpu), f"processor {cpu:#x}")


def _slices(file: BinaryIO) -> list[tuple[int, int, int]]:
    """Processor, offset and size of every part."""
    from macholib import mach_o

    size = os.fstat(file.fileno()).st_size
    magic = int.from_bytes(file.read(4), "big")
    file.seek(0)
    if magic not in (mach_o.FAT_MAGIC, mach_o.FAT_MAGIC_64):
        header, _ = _header(file, 0)
        return [(int(header.cputype), 0, size)]
    count = int(mach_o.fat_header.from_fileobj(file).nfat_arch)
    if not 0 < count <= _MAX_SLICES:
        raise UnusableFileError(f"it is damaged ({count} parts in a universal binary)")
    kind = mach_o.fat_arch if magic == mach_o.FAT_MAGIC else mach_o.fat_arch64
    parts = [kind.from_fileobj(file) for _ in range(count)]
    return [(int(part.cputype), int(part.offset), int(part.size)) for part in parts]


def _header(file: BinaryIO, offset: int) -> tuple[Any, str]:
    """The Mach-O header at an offset, and the byte order."""
    from macholib import mach_o

    file.seek(offset)
    magic = int.from_bytes(file.read(4), "big")
    file.seek(offset)
    kinds = {
        mach_o.MH_MAGIC: (mach_o.mach_header, ">"),
        mach_o.MH_CIGAM: (mach_o.mach_header, "<"),
        mach_o.MH_MAGIC_64: (mach_o.mach_header_64, ">"),
        mach_o.MH_CIGAM_64: (mach_o.mach_header_64, "<"),
    }
    if magic not in kinds:
        raise UnusableFileError("it is not a Mach-O file")
    kind, order = kinds[magic]
    return kind.from_fileobj(file, _endian_=order), order


def _read_slice(file: BinaryIO, path: Path, offset: int, size: int, *, library: bool) -> MachOImage:
    from macholib import mach_o

    total = os.fstat(file.fileno()).st_size
    if offset + size > total:
        raise UnusableFileError(f"it is cut off ({total} bytes of at least {offset + size})")
    header, order = _header(file, offset)
    if library and header.filetype not in _FILETYPES_LOADABLE:
        what = "an executable" if header.filetype == _FILETYPE_EXECUTE else f"a file of type {int(header.filetype)}"
        raise UnusableFileError(f"it is {what}, not a shared library")
    length, count = int(header.sizeofcmds), int(header.ncmds)
    if length > _MAX_COMMAND_BYTES or count > _MAX_COMMANDS:
        raise UndecidedError(f"{count} load commands of {length} bytes")
    data = file.read(length)
    if len(data) < length:
        raise UnusableFileError(f"it is damaged or cut off ({len(data)} bytes of load commands, {length} expected)")

    needed: list[str] = []
    optional: set[str] = set()
    rpaths: list[str] = []
    install_name = ""
    dylib_commands = (
        mach_o.LC_LOAD_DYLIB,
        mach_o.LC_LOAD_WEAK_DYLIB,
        mach_o.LC_REEXPORT_DYLIB,
        mach_o.LC_LAZY_LOAD_DYLIB,
        mach_o.LC_LOAD_UPWARD_DYLIB,
    )
    start = mach_o.load_command._size_
    position = 0
    for _ in range(count):
        command = mach_o.load_command.from_str(data[position : position + start], _endian_=order)
        body = data[position : position + int(command.cmdsize)]
        if len(body) < int(command.cmdsize) or len(body) < start:
            raise UnusableFileError("it is damaged (a load command has the wrong size)")
        position += len(body)
        if command.cmd in dylib_commands:
            dylib = mach_o.dylib_command.from_str(body[start : start + mach_o.dylib_command._size_], _endian_=order)
            name = _string(body, int(dylib.name))
            needed.append(name)
            lazy = command.cmd in (mach_o.LC_LOAD_WEAK_DYLIB, mach_o.LC_LAZY_LOAD_DYLIB)
            if lazy or (_flags(body, dylib, order) & _USE_WEAK):
                optional.add(name)
        elif command.cmd == mach_o.LC_ID_DYLIB:
            dylib = mach_o.dylib_command.from_str(body[start : start + mach_o.dylib_command._size_], _endian_=order)
            install_name = _string(body, int(dylib.name))
        elif command.cmd == mach_o.LC_RPATH:
            rpath = mach_o.rpath_command.from_str(body[start : start + mach_o.rpath_command._size_], _endian_=order)
            rpaths.append(_string(body, int(rpath.path)))
        elif command.cmd in (mach_o.LC_SEGMENT, mach_o.LC_SEGMENT_64):
            _check_segment(body[start:], size, order, wide=command.cmd == mach_o.LC_SEGMENT_64)
    return MachOImage(
        path=path,
        install_name=install_name,
        needed=tuple(needed),
        optional=frozenset(optional),
        rpaths=tuple(rpaths),
    )


def _check_segment(body: bytes, size: int, order: str, *, wide: bool) -> None:
    """A segment that goes beyond the end of the file is refused by the loader."""
    from macholib import mach_o

    kind = mach_o.segment_command_64 if wide else mach_o.segment_command
    segment = kind.from_str(body[: kind._size_], _endian_=order)
    end = int(segment.fileoff) + int(segment.filesize)
    if end > size:
        raise UnusableFileError(f"it is cut off ({size} bytes of at least {end})")


def _flags(body: bytes, dylib: Any, order: str) -> int:
    if dylib.timestamp != _USE_MARKER or int(dylib.name) < 28:
        return 0
    return int.from_bytes(body[24:28], "little" if order == "<" else "big")


def _string(body: bytes, offset: int) -> str:
    """A text in a load command, which ends with a zero byte or with the command."""
    if not 8 <= offset < len(body):
        raise UnusableFileError("it is damaged (a name lies outside its load command)")
    return os.fsdecode(body[offset:].split(b"\0", 1)[0])
