# SPDX-License-Identifier: Apache-2.0
"""DLLs made by hand, searched as on a Windows whose folders are made up."""

from __future__ import annotations

import random
import struct
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from qwen_asr_native.dependencies import find_missing, needed
from qwen_asr_native.dependencies.common import Budget, MissingDependency, UndecidedError, UnusableFileError
from qwen_asr_native.dependencies.pe import MACHINES, Windows, find_missing_pe, read_pe, this_windows
from qwen_asr_native.errors import LibraryError, LibraryLoadError

pytest.importorskip("pefile")

_X64, _X86, _ARM = MACHINES["win-amd64"], MACHINES["win32"], MACHINES["win-arm64"]
_BASE, _RVA, _AT = 0x180000000, 0x1000, 0x200


def dll(
    imports: Sequence[str] = (),
    delayed: Sequence[str] = (),
    *,
    machine: int = _X64,
    flags: int = 0x2022,
    old: bool = False,
) -> bytes:
    """One section that holds both import tables and the names; ``old`` writes addresses into the delayed one."""
    tables = 20 * (len(imports) + 1) + 32 * (len(delayed) + 1)
    names, first, second = b"", b"", b""
    for name in imports:
        first += struct.pack("<IIIII", 0, 0, 0, _RVA + tables + len(names), _RVA)
        names += name.encode() + b"\0"
    for name in delayed:
        address = _RVA + tables + len(names) + (0x400000 if old else 0)
        second += struct.pack("<IIIIIIII", 0 if old else 1, address, 0, 0, 0, 0, 0, 0)
        names += name.encode() + b"\0"
    body = first + bytes(20) + second + bytes(32) + names
    body += bytes(-len(body) % 512)
    directories = [(0, 0)] * 16
    directories[1] = (_RVA, len(first) + 20)
    directories[13] = (_RVA + len(first) + 20, len(second) + 32) if delayed else (0, 0)
    packed = b"".join(struct.pack("<II", *entry) for entry in directories)
    if machine == _X86:
        places = (_RVA, _RVA, 0x400000)
        optional = struct.pack("<HBB8I", 0x10B, 14, 0, 0, 0, 0, 0, *places, 4096)
    else:
        optional = struct.pack("<HBB5IQI", 0x20B, 14, 0, 0, 0, 0, 0, _RVA, _BASE, 4096)
    sizes = (_RVA + 4096, _AT)
    optional += struct.pack("<I6H4IHH", 512, 6, 0, 0, 0, 6, 0, 0, *sizes, 0, 2, 0)
    optional += struct.pack("<4III" if machine == _X86 else "<4QII", 0, 0, 0, 0, 0, 16)
    optional += packed
    head = struct.pack("<2s58xI", b"MZ", 64) + b"PE\0\0"
    head += struct.pack("<HHIIIHH", machine, 1, 0, 0, 0, len(optional), flags) + optional
    head += struct.pack("<8sIIIIIIHHI", b".rdata", len(body), _RVA, len(body), _AT, 0, 0, 0, 0, 0x40000040)
    return head + bytes(_AT - len(head)) + body


def windows(tmp: Path) -> Windows:
    for name in ("lib", "program", "system"):
        (tmp / name).mkdir(exist_ok=True)
    for name in ("KERNEL32.dll", "MSVCP140.dll"):
        (tmp / "system" / name).write_bytes(b"whatever Windows has")
    return Windows(
        machine=_X64,
        folders=(
            (tmp / "lib", "folder of the library"),
            (tmp / "program", "folder of the program"),
            (tmp / "system", "folder of Windows"),
        ),
        system=tmp / "system",
        is_loaded=lambda name: name.lower() == "vcruntime140.dll",
    )


def search(tmp: Path, data: bytes, budget: Budget | None = None) -> list[MissingDependency]:
    system = windows(tmp)
    path = tmp / "lib/llama.dll"
    path.write_bytes(data)
    return find_missing_pe(path, system, budget or Budget())


def names(tmp: Path, data: bytes) -> list[str]:
    return [problem.name for problem in search(tmp, data)]


@pytest.mark.parametrize(("machine", "old"), [(_X64, False), (_X86, False), (_X86, True), (_ARM, False)])
def test_what_stands_in_the_file(machine: int, old: bool, tmp_path: Path) -> None:
    path = tmp_path / "a.dll"
    path.write_bytes(dll(["KERNEL32.dll", "ggml.dll"], ["nvcuda.dll"], machine=machine, old=old))
    image = read_pe(path)
    assert (image.machine, image.needed, image.delayed) == (machine, ("KERNEL32.dll", "ggml.dll"), ("nvcuda.dll",))
    assert needed(path) == ["KERNEL32.dll", "ggml.dll", "nvcuda.dll"]
    path.write_bytes(dll())
    assert needed(path) == []


def test_complete(tmp_path: Path) -> None:
    wanted = ["KERNEL32.dll", "VCRUNTIME140.dll", "api-ms-win-crt-heap-l1-1-0.dll", "ext-ms-win-x.dll", "MSVCR90.dll"]
    assert search(tmp_path, dll(wanted, ["nvcuda.dll"])) == []


def test_missing(tmp_path: Path) -> None:
    (problem,) = search(tmp_path, dll(["KERNEL32.dll", "VCOMP140.DLL"]))
    assert (problem.name, problem.reason) == ("VCOMP140.DLL", "missing")
    assert problem.searched == (
        f"{tmp_path / 'lib'} (folder of the library)",
        f"{tmp_path / 'program'} (folder of the program)",
        f"{tmp_path / 'system'} (folder of Windows)",
    )
    assert "Visual C++ Redistributable" in problem.hint


def test_missing_through_another(tmp_path: Path) -> None:
    windows(tmp_path)
    (tmp_path / "lib/helper.dll").write_bytes(dll(["cudart64_12.dll", "llama.dll"]))
    (tmp_path / "program/python3.dll").write_bytes(dll(["gone.dll"]))
    first, second = search(tmp_path, dll(["helper", "python3.dll"]))
    assert (first.name, first.needed_by) == ("cudart64_12.dll", tmp_path / "lib/helper.dll")
    assert "nvidia-cuda-runtime-cu12" in first.hint
    assert (second.name, second.needed_by) == ("gone.dll", tmp_path / "program/python3.dll")


def test_another_processor(tmp_path: Path) -> None:
    with pytest.raises(UnusableFileError, match=r"made for x86 \(32-bit\), and this process is x86_64") as error:
        search(tmp_path, dll(machine=_X86))
    assert error.value.reason == "architecture"
    with pytest.raises(UndecidedError):  # Windows on Arm runs both, and a file may hold both
        search(tmp_path, dll(machine=_ARM))
    (tmp_path / "lib/ggml.dll").write_bytes(dll(machine=_X86))
    (problem,) = search(tmp_path, dll(["ggml.dll"]))
    assert problem.reason == "architecture"
    assert problem.detail.endswith("ggml.dll is made for x86 (32-bit); this process is x86_64")
    (tmp_path / "lib/ggml.dll").write_bytes(dll(machine=_ARM))
    assert search(tmp_path, dll(["ggml.dll"])) == []


def test_no_library(tmp_path: Path) -> None:
    whole = dll(["a.dll"])
    for data, said in (
        (dll(flags=0x22), "it is not a DLL"),
        (whole[:-100], r"it is cut off \(\d+ bytes of at least \d+\)"),
        (whole[:100], "damaged or cut off"),
        (b"MZ", "damaged or cut off"),
    ):
        with pytest.raises(UnusableFileError, match=said):
            search(tmp_path, data)
        with pytest.raises(LibraryLoadError, match=said):
            needed(tmp_path / "lib/llama.dll")
    (tmp_path / "lib/ggml.dll").write_bytes(whole[:-100])
    (problem,) = search(tmp_path, dll(["ggml.dll"]))
    assert (problem.name, problem.reason) == ("ggml.dll", "damaged")


def test_the_work_is_bounded(tmp_path: Path) -> None:
    with pytest.raises(UndecidedError, match="more than 512 imported libraries"):
        search(tmp_path, dll([f"{index}.dll" for index in range(600)]))
    wanted = dll([f"{index}.dll" for index in range(100)])
    assert len(search(tmp_path, wanted, Budget(looks=30))) == 10


@pytest.mark.skipif(sys.platform != "win32", reason="needs Windows")
def test_on_windows() -> None:
    extension = Path(str(sys.modules["_ctypes"].__file__))
    assert find_missing(extension) == []
    system = this_windows(extension)
    assert system.is_loaded("kernel32.dll")
    assert not system.is_loaded("never.dll")


@pytest.mark.skipif(sys.platform == "win32", reason="needs another system")
def test_elsewhere_it_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "llama.dll"
    path.write_bytes(dll(["KERNEL32.dll"]))
    with pytest.raises(LibraryLoadError, match=r"a library for Windows \(PE\), not for this system"):
        find_missing(path)
    with pytest.raises(UndecidedError):
        this_windows(path)


def _outcome(tmp: Path, data: bytes) -> object:
    try:
        problems = search(tmp, data)
        needed(tmp / "lib/llama.dll")
        return bool(problems)
    except (LibraryError, UnusableFileError, UndecidedError) as error:
        return type(error)


def test_mutated_files_raise_nothing_but_the_named_errors(tmp_path: Path) -> None:
    data = dll(["KERNEL32.dll", "MSVCP140.dll", "VCOMP140.DLL"], ["nvcuda.dll"])
    generator = random.Random(20260101)
    outcomes = set()
    for _ in range(200):
        mutated = bytearray(data)
        for _ in range(generator.randint(1, 6)):
            at = generator.randrange(len(data))
            mutated[at : at + 4] = generator.choice([generator.randbytes(4), b"\xff" * 4, bytes(4)])
        if generator.random() < 0.25:
            mutated = mutated[: generator.randrange(len(mutated))]
        start = time.perf_counter()
        outcomes.add(_outcome(tmp_path, bytes(mutated)))
        assert time.perf_counter() - start < 2
    assert {UnusableFileError, True} <= outcomes
