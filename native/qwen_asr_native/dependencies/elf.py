# SPDX-License-Identifier: Apache-2.0
"""Reads from an ELF file what the loader of Linux goes by: program headers and the dynamic section.

Section headers are left alone, as the loader does; a stripped file has none. The structs come from pyelftools.
"""

from __future__ import annotations

import functools
import mmap
import os
import struct
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from qwen_asr_native.dependencies.common import UndecidedError, UnusableFileError, parsing

__all__ = ["ELF_MAGIC", "ElfIdentity", "ElfImage", "defined_versions", "elf_identity", "read_elf"]

ELF_MAGIC = b"\x7fELF"
_ET_DYN = 3
_IDENTITY_SIZE = 20
_MAX_SEGMENTS = 512
_MAX_TAGS = 4096
_MAX_VERSIONS = 4096
_MAX_STRING = 65536
_STRING_PIECE = 256
_VERSION_IS_WEAK = 2
_MACHINES = {
    3: "i386",
    8: "mips",
    20: "ppc",
    21: "ppc64",
    22: "s390x",
    40: "arm",
    62: "x86_64",
    183: "aarch64",
    243: "riscv",
    258: "loongarch",
}


class ElfIdentity(NamedTuple):
    """What must agree between a library and the process that loads it.

    Attributes:
        bits: 32 or 64.
        little_endian: The byte order.
        machine: ``e_machine``.
    """

    bits: int
    little_endian: bool
    machine: int

    def __str__(self) -> str:
        order = "" if self.little_endian == (sys.byteorder == "little") else ", other byte order"
        return f"{self.bits}-bit {_MACHINES.get(self.machine, f'machine {self.machine}')}{order}"


@dataclass(frozen=True, kw_only=True)
class ElfImage:
    """What the loader reads of a library.

    Attributes:
        path: Absolute path under which it is loaded; symbolic links are kept, because ``$ORIGIN`` is the link's folder.
        soname: ``DT_SONAME``, empty when it has none.
        needed: ``DT_NEEDED`` in order.
        rpath: ``DT_RPATH``, None when it has none or has a ``runpath``, which overrules it.
        runpath: ``DT_RUNPATH``, None when it has none.
        versions: Pairs of a needed library and a symbol version that must be defined there.
        interpreter: The loader that an executable names, else empty.
    """

    path: Path
    soname: str
    needed: tuple[str, ...]
    rpath: str | None
    runpath: str | None
    versions: tuple[tuple[str, str], ...]
    interpreter: str


def elf_identity(path: Path) -> ElfIdentity:
    """Word size, byte order and processor of an ELF file.

    Raises:
        UnusableFileError: It is no ELF file.
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        return _identity(file.read(_IDENTITY_SIZE))


def _identity(head: bytes) -> ElfIdentity:
    if len(head) < _IDENTITY_SIZE:
        raise UnusableFileError(f"the file is too short ({len(head)} bytes)")
    if head[:4] != ELF_MAGIC or head[4] not in (1, 2) or head[5] not in (1, 2):
        raise UnusableFileError("it is not an ELF file")
    little = head[5] == 1
    (machine,) = struct.unpack_from("<H" if little else ">H", head, 18)
    return ElfIdentity(bits=32 * head[4], little_endian=little, machine=machine)


def read_elf(path: Path, *, library: bool = True) -> ElfImage:
    """Read the dynamic section of a library or an executable.

    Args:
        path: The file, absolute.
        library: Whether it is meant to be loaded; executables and object files are then refused.

    Raises:
        UnusableFileError: It is no shared library, damaged or cut off.
        UndecidedError: It is beyond the limits of this reader.
        OSError: It cannot be read.
    """
    from elftools.common.exceptions import ELFError

    with path.open("rb") as file, parsing(ELFError):
        reader = _Reader(file)
        if library:
            reader.refuse_what_is_no_library()
        tags = reader.dynamic()
        runpath = _last(tags, "DT_RUNPATH")
        rpath = _last(tags, "DT_RPATH")
        return ElfImage(
            path=path,
            soname="" if (soname := _last(tags, "DT_SONAME")) is None else reader.string(soname),
            needed=tuple(reader.string(value) for tag, value in tags if tag == "DT_NEEDED"),
            rpath=None if rpath is None or runpath is not None else reader.string(rpath),
            runpath=None if runpath is None else reader.string(runpath),
            versions=tuple(reader.needed_versions(tags)),
            interpreter=reader.interpreter(),
        )


def defined_versions(path: Path) -> tuple[str, ...] | None:
    """The symbol versions that a library defines (``.gnu.version_d``), None when it knows no versions.

    Raises:
        UnusableFileError: It is damaged.
        UndecidedError: It is beyond the limits of this reader.
        OSError: It cannot be read.
    """
    from elftools.common.exceptions import ELFError

    with path.open("rb") as file, parsing(ELFError):
        reader = _Reader(file)
        return reader.defined_versions(reader.dynamic())


def _last(tags: list[tuple[Any, int]], name: str) -> int | None:
    """The value of a tag; the loader keeps the last one."""
    return next((value for tag, value in reversed(tags) if tag == name), None)


@functools.lru_cache(maxsize=8)
def _structs(identity: ElfIdentity) -> Any:
    """The structs of pyelftools for one kind of ELF file; making them takes as long as reading a small library."""
    from elftools.elf.enums import ENUM_E_MACHINE
    from elftools.elf.structs import ELFStructs

    structs = ELFStructs(little_endian=identity.little_endian, elfclass=identity.bits)
    structs.create_basic_structs()
    names = {number: name for name, number in ENUM_E_MACHINE.items()}
    structs.create_advanced_structs(e_machine=names.get(identity.machine))
    return structs


@functools.lru_cache(maxsize=64)
def _size(kind: Any) -> int:
    return int(kind.sizeof())


class _Reader:
    """One open ELF file."""

    def __init__(self, file: BinaryIO) -> None:
        from elftools.common.utils import struct_parse

        self._file = file
        self._parse = struct_parse
        self._size = os.fstat(file.fileno()).st_size
        self._strings: int | None = None
        identity = _identity(file.read(_IDENTITY_SIZE))
        self._structs = _structs(identity)
        header = self._read(self._structs.Elf_Ehdr, 0)
        self._type = header["e_type"]
        count, size = header["e_phnum"], header["e_phentsize"]
        if count > _MAX_SEGMENTS:
            raise UndecidedError(f"{count} program headers")
        if count and size != _size(self._structs.Elf_Phdr):
            raise UnusableFileError(f"it is damaged (program headers of {size} bytes)")
        self._segments = [self._read(self._structs.Elf_Phdr, header["e_phoff"] + size * i) for i in range(count)]

    def refuse_what_is_no_library(self) -> None:
        if self._type == "ET_REL":
            raise UnusableFileError("it is an object file, not a shared library")
        if self._type != "ET_DYN":
            raise UnusableFileError("it is not a shared library (an executable or a core file)")
        if not any(segment["p_type"] == "PT_DYNAMIC" for segment in self._segments):
            raise UnusableFileError("it is not a shared library (it has no dynamic section)")
        end = max((s["p_offset"] + s["p_filesz"] for s in self._segments if s["p_type"] == "PT_LOAD"), default=0)
        if end > -(-self._size // mmap.PAGESIZE) * mmap.PAGESIZE:  # the rest of the last page reads as zeros
            raise UnusableFileError(f"it is cut off ({self._size} bytes of at least {end})")

    def dynamic(self) -> list[tuple[Any, int]]:
        """Tags and values of the dynamic section, empty when there is none."""
        entry = self._structs.Elf_Dyn
        length = _size(entry)
        tags: list[tuple[Any, int]] = []
        for segment in self._segments:
            if segment["p_type"] != "PT_DYNAMIC":
                continue
            start = self._offset(segment["p_vaddr"])
            for index in range(_MAX_TAGS):
                read = self._read(entry, start + index * length)
                if read["d_tag"] == "DT_NULL":
                    break
                tags.append((read["d_tag"], read["d_val"]))
            else:
                raise UndecidedError(f"more than {_MAX_TAGS} dynamic tags")
            break
        address = _last(tags, "DT_STRTAB")
        self._strings = None if address is None else self._offset(address)
        return tags

    def needed_versions(self, tags: list[tuple[Any, int]]) -> list[tuple[str, str]]:
        """Every (library, version) that must be there; weak ones may be absent."""
        found: list[tuple[str, str]] = []
        for entry, position in self._chain(tags, "DT_VERNEED", self._structs.Elf_Verneed, "vn_next"):
            name = self.string(entry["vn_file"])
            position += entry["vn_aux"]
            for _ in range(entry["vn_cnt"]):
                part = self._read(self._structs.Elf_Vernaux, position)
                if not part["vna_flags"] & _VERSION_IS_WEAK:
                    found.append((name, self.string(part["vna_name"])))
                if len(found) > _MAX_VERSIONS:
                    raise UndecidedError("too many symbol versions")
                if not part["vna_next"]:
                    break
                position += part["vna_next"]
        return found

    def defined_versions(self, tags: list[tuple[Any, int]]) -> tuple[str, ...] | None:
        if _last(tags, "DT_VERDEF") is None:
            return None
        entries = self._chain(tags, "DT_VERDEF", self._structs.Elf_Verdef, "vd_next")
        return tuple(
            self.string(self._read(self._structs.Elf_Verdaux, position + entry["vd_aux"])["vda_name"])
            for entry, position in entries
        )

    def interpreter(self) -> str:
        for segment in self._segments:
            if segment["p_type"] == "PT_INTERP":
                return self._text(segment["p_offset"])
        return ""

    def string(self, offset: int) -> str:
        """A string of the dynamic string table."""
        if self._strings is None:
            raise UnusableFileError("it is damaged (no string table)")
        return self._text(self._strings + offset)

    def _chain(self, tags: list[tuple[Any, int]], tag: str, kind: Any, following: str) -> list[tuple[Any, int]]:
        """The entries of a version table, each with its offset."""
        address = _last(tags, tag)
        if address is None:
            return []
        position = self._offset(address)
        entries: list[tuple[Any, int]] = []
        for _ in range(_MAX_VERSIONS):
            entry = self._read(kind, position)
            entries.append((entry, position))
            if not entry[following]:
                return entries
            position += entry[following]
        raise UndecidedError("too many symbol versions")

    def _offset(self, address: int) -> int:
        """Where in the file the byte is that the loader maps to an address."""
        for segment in self._segments:
            start = segment["p_vaddr"]
            if segment["p_type"] == "PT_LOAD" and start <= address < start + segment["p_filesz"]:
                return int(address - start + segment["p_offset"])
        raise UnusableFileError(f"it is damaged (address {address:#x} is not in the file)")

    def _read(self, kind: Any, position: int) -> Any:
        if position + _size(kind) > self._size:
            raise UnusableFileError(f"it is damaged or cut off ({self._size} bytes)")
        return self._parse(kind, self._file, position)

    def _text(self, position: int) -> str:
        if position >= self._size:
            raise UnusableFileError("it is damaged or cut off (a name lies outside the file)")
        self._file.seek(position)
        text = b""
        while len(text) < _MAX_STRING:
            piece, end, _ = self._file.read(_STRING_PIECE).partition(b"\0")
            text += piece
            if end:
                return os.fsdecode(text)
            if not piece:
                raise UnusableFileError("it is damaged or cut off (a name does not end)")
        raise UndecidedError(f"a name longer than {_MAX_STRING} bytes")
