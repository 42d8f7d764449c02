# SPDX-License-Identifier: Apache-2.0
"""Reads the import tables of DLLs and follows them as the loader of Windows does.

The headers are read by pefile. Its own walk through the import tables also reads every function's name and has no bound
on the number of libraries, so that the tables are walked here.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import re
import struct
import sys
import sysconfig
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qwen_asr_native.dependencies.common import (
    Budget,
    MissingDependency,
    UndecidedError,
    UnusableFileError,
    ggml_sibling,
    parsing,
)
from qwen_asr_native.dependencies.hints import missing_hint

__all__ = ["MACHINES", "PeImage", "Windows", "find_missing_pe", "read_pe", "this_windows"]

MACHINES = {"win32": 0x14C, "win-amd64": 0x8664, "win-arm32": 0x1C4, "win-arm64": 0xAA64}
"""``Machine`` of the file header by the name that ``sysconfig.get_platform`` uses."""

_NAMES = {0x14C: "x86 (32-bit)", 0x8664: "x86_64", 0x1C4: "arm (32-bit)", 0xAA64: "arm64"}
_INTERCHANGEABLE = {0x8664, 0xAA64}  # a file may hold both (ARM64X), and Windows on Arm runs both
_IS_DLL = 0x2000
_MAX_SECTIONS = 96
_MAX_IMPORTS = 512
_MAX_NAME = 512
_DIRECTORY_IMPORT, _DIRECTORY_DELAY_IMPORT = 1, 13
_IMPORT = struct.Struct("<IIIII")
_DELAY_IMPORT = struct.Struct("<IIIIIIII")
# API sets have no file; the assemblies of old runtimes lie in folders that a manifest names.
_ALWAYS_THERE = re.compile(r"(api|ext)-ms-|(msvc[rp]|mfc|atl)[789]0|comctl32")


@dataclass(frozen=True, kw_only=True)
class PeImage:
    """What the loader reads of a DLL.

    Attributes:
        path: Where it is.
        machine: The processor, as in `MACHINES`.
        needed: The DLLs it imports from, in order.
        delayed: Those that are loaded when first called; they may be absent.
    """

    path: Path
    machine: int
    needed: tuple[str, ...]
    delayed: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Windows:
    """The loader of one process.

    Attributes:
        machine: What a DLL must be made for, as in `MACHINES`.
        folders: Where it looks, in order, each with the reason. These are the places of
            ``LOAD_LIBRARY_SEARCH_DEFAULT_DIRS``, by which Python loads; ``PATH`` is not among them.
        system: The folder of Windows itself; what lies there is not followed further.
        is_loaded: Tells whether the process has a DLL of this name.
    """

    machine: int
    folders: tuple[tuple[Path, str], ...]
    system: Path
    is_loaded: Callable[[str], bool]


def read_pe(path: Path) -> PeImage:
    """Read the names in the import tables of a DLL.

    Raises:
        UnusableFileError: It is no DLL, damaged or cut off.
        UndecidedError: It is beyond the limits of this reader.
        OSError: It cannot be read.
    """
    import pefile

    with (
        path.open("rb") as file,
        parsing(pefile.PEFormatError),
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
    ):
        pe = pefile.PE(data=data, fast_load=True)
        header = pe.FILE_HEADER
        if not header.Characteristics & _IS_DLL:
            raise UnusableFileError("it is not a DLL (a program or an object file)")
        if header.NumberOfSections > _MAX_SECTIONS:
            raise UndecidedError(f"{header.NumberOfSections} sections")
        _refuse_what_is_cut_off(pe, len(data))
        return PeImage(
            path=path,
            machine=int(header.Machine),
            needed=tuple(_imports(pe, _DIRECTORY_IMPORT, _IMPORT, 3)),
            delayed=tuple(_imports(pe, _DIRECTORY_DELAY_IMPORT, _DELAY_IMPORT, 1)),
        )


def _refuse_what_is_cut_off(pe: Any, size: int) -> None:
    for section in pe.sections:
        end = section.PointerToRawData + min(section.SizeOfRawData, section.Misc_VirtualSize or section.SizeOfRawData)
        if section.SizeOfRawData and end > size:
            raise UnusableFileError(f"it is cut off ({size} bytes of at least {end})")


def _imports(pe: Any, directory: int, entry: struct.Struct, name_field: int) -> Iterator[str]:
    """The names of one import table, which ends with an entry of zeros."""
    directories = pe.OPTIONAL_HEADER.DATA_DIRECTORY
    if directory >= len(directories) or not directories[directory].VirtualAddress:
        return
    position = directories[directory].VirtualAddress
    for _ in range(_MAX_IMPORTS):
        fields = entry.unpack(pe.get_data(position, entry.size))
        if not fields[name_field]:
            return
        address = fields[name_field]
        if directory == _DIRECTORY_DELAY_IMPORT and not fields[0] & 1:  # of old compilers: addresses, not offsets
            address -= pe.OPTIONAL_HEADER.ImageBase
        name = pe.get_string_at_rva(address, _MAX_NAME)
        if not name:
            raise UnusableFileError("it is damaged (a name in the import table lies outside the file)")
        yield os.fsdecode(bytes(name))
        position += entry.size
    raise UndecidedError(f"more than {_MAX_IMPORTS} imported libraries")


def this_windows(path: Path) -> Windows:
    """The loader of this process, as it is when a library is opened from its folder.

    Args:
        path: The library; the loader looks for what it needs beside it.

    Raises:
        UndecidedError: This is another system.
    """
    if sys.platform == "win32":
        kernel = ctypes.WinDLL("kernel32")
        kernel.GetModuleHandleW.restype = ctypes.c_void_p
        kernel.GetModuleHandleW.argtypes = [ctypes.c_wchar_p]
        buffer = ctypes.create_unicode_buffer(32768)
        kernel.GetModuleFileNameW.argtypes = [ctypes.c_void_p, ctypes.c_wchar_p, ctypes.c_uint32]
        kernel.GetModuleFileNameW(None, buffer, len(buffer))
        machine = MACHINES.get(sysconfig.get_platform())
        if machine is None or not buffer.value:
            raise UndecidedError("unknown kind of Windows")
        system = Path(os.environ.get("SYSTEMROOT", r"C:\Windows"), "System32")
        return Windows(
            machine=machine,
            folders=(
                (path.parent, "folder of the library"),
                (Path(buffer.value).parent, "folder of the program"),
                (system, "folder of Windows"),
            ),
            system=system,
            is_loaded=lambda name: bool(kernel.GetModuleHandleW(name)),
        )
    raise UndecidedError("not on Windows")


def find_missing_pe(path: Path, windows: Windows, budget: Budget) -> list[MissingDependency]:
    """Everything that keeps the loader from loading a DLL, in the order in which it would come upon it.

    Args:
        path: The DLL, absolute.
        windows: The loader in question.
        budget: Limits of the work.

    Raises:
        UnusableFileError: The file itself is no DLL, or made for another processor.
        UndecidedError: It cannot be told.
        OSError: The file itself cannot be read.
    """
    image = read_pe(path)
    if image.machine != windows.machine:
        if {image.machine, windows.machine} <= _INTERCHANGEABLE:
            raise UndecidedError("a DLL of Windows on Arm")
        made_for, own = _machine(image.machine), _machine(windows.machine)
        raise UnusableFileError(f"it is made for {made_for}, and this process is {own}", "architecture")
    missing: list[MissingDependency] = []
    known = {path.name.lower()}
    waiting = deque([image])
    try:
        while waiting:
            image = waiting.popleft()
            for name in map(_with_suffix, image.needed):
                if name.lower() not in known:
                    known.add(name.lower())
                    waiting.extend(_need(name, image, windows, budget, missing))
    except UndecidedError:
        pass  # what was found until then is certain
    return missing


def _need(
    name: str, image: PeImage, windows: Windows, budget: Budget, missing: list[MissingDependency]
) -> list[PeImage]:
    """Look for one DLL; returns it when its own imports are to be followed."""
    if _ALWAYS_THERE.match(name.lower()) or windows.is_loaded(name):
        return []
    for folder, _ in windows.folders:
        budget.spend_look()
        candidate = folder / name
        if not candidate.is_file():
            continue
        if folder == windows.system:
            return []
        budget.spend_file()
        try:
            found = read_pe(candidate)
        except UnusableFileError as error:
            missing.append(_problem(name, image, windows, "damaged", f"{candidate}: {error}"))
            return []
        except (OSError, UndecidedError):
            return []
        if found.machine != windows.machine and not {found.machine, windows.machine} <= _INTERCHANGEABLE:
            detail = f"{candidate} is made for {_machine(found.machine)}; this process is {_machine(windows.machine)}"
            missing.append(_problem(name, image, windows, "architecture", detail))
            return []
        return [found]
    if ggml_sibling(name, windows.folders[0][0]) is None:
        missing.append(_problem(name, image, windows, "missing", ""))
    return []


def _problem(name: str, image: PeImage, windows: Windows, reason: Any, detail: str) -> MissingDependency:
    return MissingDependency(
        name=name,
        needed_by=image.path,
        searched=tuple(f"{folder} ({why})" for folder, why in windows.folders),
        hint=missing_hint(name, image.path),
        reason=reason,
        detail=detail,
    )


def _with_suffix(name: str) -> str:
    return name if "." in name else f"{name}.dll"


def _machine(machine: int) -> str:
    return _NAMES.get(machine, f"machine {machine:#x}")
