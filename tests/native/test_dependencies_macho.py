# SPDX-License-Identifier: Apache-2.0
"""Mach-O files made by hand, searched as on a Mac whose folders are made up."""

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
from qwen_asr_native.dependencies.macho import CPU_TYPES, MachOImage, read_macho
from qwen_asr_native.dependencies.macho_search import Dyld, find_missing_macho, this_dyld
from qwen_asr_native.errors import LibraryError, LibraryLoadError

pytest.importorskip("macholib")

_ARM, _INTEL = CPU_TYPES["arm64"], CPU_TYPES["x86_64"]
_LOAD, _WEAK, _REEXPORT, _ID, _RPATH, _SEGMENT, _UUID = 0xC, 0x80000018, 0x8000001F, 0xD, 0x8000001C, 0x19, 0x1B


def _command(kind: int, body: bytes, text: str = "") -> bytes:
    data = body + text.encode() + b"\0"
    data += bytes(-len(data) % 8)
    return struct.pack("<II", kind, 8 + len(data)) + data


def _dylib(kind: int, name: str) -> bytes:
    return _command(kind, struct.pack("<IIII", 24, 2, 0x10000, 0x10000), name)


def _dylib_with_flags(name: str, flags: int) -> bytes:
    """The form of macOS 15."""
    return _command(_LOAD, struct.pack("<IIIII", 28, 0x1A741800, 0, 0, flags), name)


def _rpath(folder: str) -> bytes:
    return _command(_RPATH, struct.pack("<I", 12), folder)


def _segment(size: int) -> bytes:
    return _command(_SEGMENT, struct.pack("<16sQQQQIIII", b"__TEXT", 0, 0x4000, 0, size, 5, 5, 0, 0))


def thin(commands: Sequence[bytes], cpu: int = _ARM, filetype: int = 6) -> bytes:
    header = struct.pack("<IIIIIIII", 0xFEEDFACF, cpu, 0, filetype, len(commands), sum(map(len, commands)), 0, 0)
    return header + b"".join(commands) + bytes(256)


def fat(parts: Sequence[tuple[int, bytes]], *, wide: bool = False) -> bytes:
    entry = ">IIQQII" if wide else ">IIIII"
    offset = 8 + len(parts) * struct.calcsize(entry)
    head, data = struct.pack(">II", 0xCAFEBABF if wide else 0xCAFEBABE, len(parts)), b""
    for cpu, part in parts:
        values = (cpu, 0, offset + len(data), len(part), 12)
        head += struct.pack(entry, *values, 0) if wide else struct.pack(entry, *values)
        data += part
    return head + data


def write(path: Path, commands: Sequence[bytes] = (), cpu: int = _ARM) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(thin(commands, cpu))
    return path


def mac(tmp: Path, **environment: str) -> Dyld:
    return Dyld(
        cpu=_ARM,
        executable=tmp / "bin/python",
        callers=(MachOImage(path=tmp / "bin/python", install_name="", needed=(), optional=frozenset(), rpaths=()),),
        environment=environment,
        in_shared_cache=lambda path: path in ("/usr/lib/libSystem.B.dylib", "/usr/lib/libc++.1.dylib"),
        is_loaded=lambda name: name == "/opt/loaded.dylib",
    )


def search(path: Path, tmp: Path, **environment: str) -> list[MissingDependency]:
    return find_missing_macho(path, mac(tmp, **environment), Budget())


def names(path: Path, tmp: Path, **environment: str) -> list[str]:
    return [problem.name for problem in search(path, tmp, **environment)]


def test_what_stands_in_the_file(tmp_path: Path) -> None:
    commands = [
        _segment(64),
        _dylib(_ID, "@rpath/liba.dylib"),
        _dylib(_LOAD, "@rpath/libb.dylib"),
        _command(_UUID, bytes(16)),
        _dylib(_WEAK, "/opt/weak.dylib"),
        _dylib(_REEXPORT, "/usr/lib/libSystem.B.dylib"),
        _dylib_with_flags("/opt/new.dylib", 1),
        _dylib_with_flags("/opt/needed.dylib", 0),
        _rpath("@loader_path/x"),
    ]
    image = read_macho(write(tmp_path / "liba.dylib", commands), _ARM)
    assert image.install_name == "@rpath/liba.dylib"
    assert image.needed == (
        "@rpath/libb.dylib",
        "/opt/weak.dylib",
        "/usr/lib/libSystem.B.dylib",
        "/opt/new.dylib",
        "/opt/needed.dylib",
    )
    assert image.optional == {"/opt/weak.dylib", "/opt/new.dylib"}
    assert image.rpaths == ("@loader_path/x",)
    assert needed(tmp_path / "liba.dylib") == list(image.needed)


def test_the_other_byte_order_and_word_size_are_read(tmp_path: Path) -> None:
    body = struct.pack(">IIIII", 24, 2, 0, 0, 0)[:16] + b"/opt/b.dylib\0\0\0\0"
    command = struct.pack(">II", _LOAD, 8 + len(body)) + body
    (tmp_path / "a.dylib").write_bytes(struct.pack(">IIIIIII", 0xFEEDFACE, 18, 0, 6, 1, len(command), 0) + command)
    assert needed(tmp_path / "a.dylib") == ["/opt/b.dylib"]


@pytest.mark.parametrize("wide", [False, True])
def test_of_a_universal_binary_the_own_part_counts(wide: bool, tmp_path: Path) -> None:
    parts = [
        (_INTEL, thin([_dylib(_LOAD, "/opt/intel.dylib")], _INTEL)),
        (_ARM, thin([_dylib(_LOAD, "/opt/arm.dylib")])),
    ]
    path = tmp_path / "liba.dylib"
    path.write_bytes(fat(parts, wide=wide))
    assert names(path, tmp_path) == ["/opt/arm.dylib"]
    assert read_macho(path, _INTEL).needed == ("/opt/intel.dylib",)
    path.write_bytes(fat(parts[:1], wide=wide))
    with pytest.raises(UnusableFileError, match="made for x86_64, and this process is arm64") as error:
        search(path, tmp_path)
    assert error.value.reason == "architecture"
    assert needed(path) == ["/opt/intel.dylib"]


@pytest.mark.parametrize(
    "name", ["@rpath/libb.dylib", "@loader_path/x/libb.dylib", "@executable_path/../x/libb.dylib", "{tmp}/x/libb.dylib"]
)
def test_found_in_each_way(name: str, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    path = write(
        tmp_path / "liba.dylib", [_dylib(_LOAD, name.format(tmp=tmp_path)), _rpath("/no"), _rpath("@loader_path/x")]
    )
    assert names(path, tmp_path) == [name.format(tmp=tmp_path)]
    write(tmp_path / "x/libb.dylib")
    assert names(path, tmp_path) == []


def test_what_macos_has_needs_no_file(tmp_path: Path) -> None:
    wanted = ["/usr/lib/libSystem.B.dylib", "/usr/lib/libnever.dylib", "/opt/loaded.dylib"]
    path = write(tmp_path / "liba.dylib", [_dylib(_LOAD, name) for name in wanted])
    assert names(path, tmp_path) == ["/usr/lib/libnever.dylib"]


def test_a_weak_one_may_be_missing_but_must_be_complete(tmp_path: Path) -> None:
    path = write(tmp_path / "liba.dylib", [_dylib(_WEAK, "@loader_path/libb.dylib")])
    assert names(path, tmp_path) == []
    write(tmp_path / "libb.dylib", [_dylib(_LOAD, "/opt/gone.dylib")])
    assert names(path, tmp_path) == ["/opt/gone.dylib"]


def test_rpaths_are_inherited_and_named(tmp_path: Path) -> None:
    path = write(tmp_path / "liba.dylib", [_dylib(_LOAD, "@rpath/libb.dylib"), _rpath("@loader_path/x")])
    second = write(tmp_path / "x/libb.dylib", [_dylib(_LOAD, "@rpath/libomp.dylib"), _rpath("@loader_path/y")])
    (problem,) = search(path, tmp_path, HOME="/home")
    assert (problem.name, problem.needed_by, problem.reason) == ("@rpath/libomp.dylib", second, "missing")
    assert problem.searched == (
        f"{tmp_path}/x/y/libomp.dylib (rpath '@loader_path/y' of libb.dylib)",
        f"{tmp_path}/x/libomp.dylib (rpath '@loader_path/x' of liba.dylib)",
        "/home/lib/libomp.dylib (fallback folder)",
        "/usr/local/lib/libomp.dylib (fallback folder)",
        "/usr/lib/libomp.dylib (fallback folder)",
    )
    assert "brew install libomp" in problem.hint
    write(tmp_path / "x/libomp.dylib")
    assert search(path, tmp_path) == []


def test_the_variables_of_the_loader(tmp_path: Path) -> None:
    path = write(tmp_path / "liba.dylib", [_dylib(_LOAD, "/opt/b.dylib"), _dylib(_LOAD, "/F/C.framework/Versions/A/C")])
    write(tmp_path / "x/b.dylib")
    write(tmp_path / "f/C.framework/Versions/A/C")
    assert names(path, tmp_path) == ["/opt/b.dylib", "/F/C.framework/Versions/A/C"]
    folders = {"DYLD_LIBRARY_PATH": f"/no:{tmp_path}/x", "DYLD_FRAMEWORK_PATH": f"{tmp_path}/f"}
    assert names(path, tmp_path, **folders) == []
    folders = {"DYLD_FALLBACK_LIBRARY_PATH": f"{tmp_path}/x", "DYLD_FALLBACK_FRAMEWORK_PATH": f"{tmp_path}/f"}
    assert names(path, tmp_path, **folders) == []


def test_one_for_another_processor_is_passed_over(tmp_path: Path) -> None:
    commands = [_dylib(_LOAD, "@rpath/libb.dylib"), _rpath("@loader_path/x"), _rpath("@loader_path/y")]
    path = write(tmp_path / "liba.dylib", commands)
    write(tmp_path / "x/libb.dylib", cpu=_INTEL)
    (problem,) = search(path, tmp_path)
    assert problem.reason == "architecture"
    assert f"{tmp_path}/x/libb.dylib" in problem.detail
    write(tmp_path / "y/libb.dylib")
    assert search(path, tmp_path) == []


def test_an_install_name_that_is_loaded_already(tmp_path: Path) -> None:
    """libc.dylib finds libb.dylib by the name it gave itself, though no folder of its own leads there."""
    third = _dylib(_LOAD, "@loader_path/y/libc.dylib")
    path = write(tmp_path / "liba.dylib", [_dylib(_LOAD, "@loader_path/x/libb.dylib"), third])
    write(tmp_path / "x/libb.dylib", [_dylib(_ID, "/install/libb.dylib")])
    write(tmp_path / "y/libc.dylib", [_dylib(_LOAD, "/install/libb.dylib")])
    assert search(path, tmp_path) == []


def test_the_wheels_that_set_no_rpath(tmp_path: Path) -> None:
    """open_library loads the ggml libraries beside a libllama first."""
    path = write(tmp_path / "libllama.dylib", [_dylib(_LOAD, "@rpath/libggml.dylib")])
    assert names(path, tmp_path) == ["@rpath/libggml.dylib"]
    write(tmp_path / "libggml.dylib", [_dylib(_LOAD, "@rpath/libggml-base.dylib")])
    assert names(path, tmp_path) == ["@rpath/libggml-base.dylib"]
    write(tmp_path / "libggml-base.dylib")
    assert search(path, tmp_path) == []


def test_a_circle(tmp_path: Path) -> None:
    path = write(tmp_path / "liba.dylib", [_dylib(_LOAD, "@loader_path/libb.dylib")])
    write(tmp_path / "libb.dylib", [_dylib(_LOAD, "@loader_path/liba.dylib")])
    assert search(path, tmp_path) == []


def test_no_library(tmp_path: Path) -> None:
    path = tmp_path / "liba.dylib"
    whole = thin([_segment(64), _dylib(_LOAD, "/opt/b.dylib")])
    for data, said in (
        (thin([], filetype=2), "it is an executable"),
        (thin([], filetype=1), "it is a file of type 1"),
        (thin([_segment(9999)]), r"it is cut off \(\d+ bytes of at least 9999\)"),
        (whole[:100], "load commands"),
        (whole[:20], "damaged or cut off"),
        (fat([(_ARM, whole)])[:-1], "it is cut off"),
        (thin([b"\x0c\0\0\0\4\0\0\0"]), "wrong size"),
        (thin([struct.pack("<IIIIII", _LOAD, 24, 99, 0, 0, 0)]), "outside its load command"),
    ):
        path.write_bytes(data)
        with pytest.raises(UnusableFileError, match=said):
            search(path, tmp_path)
        with pytest.raises(LibraryLoadError, match=said):
            needed(path)


def test_a_damaged_one_that_is_needed(tmp_path: Path) -> None:
    path = write(tmp_path / "liba.dylib", [_dylib(_LOAD, "@loader_path/libb.dylib")])
    (tmp_path / "libb.dylib").write_bytes(thin([_segment(9999)]))
    (problem,) = search(path, tmp_path)
    assert (problem.name, problem.reason) == ("libb.dylib", "damaged")
    assert "cut off" in problem.detail


def test_the_work_is_bounded(tmp_path: Path) -> None:
    path = write(tmp_path / "liba.dylib", [_dylib(_LOAD, f"/opt/{index}.dylib") for index in range(4000)])
    assert len(find_missing_macho(path, mac(tmp_path), Budget(looks=40))) == 13
    path.write_bytes(thin([_command(_UUID, bytes(16))] * 5000))
    with pytest.raises(UndecidedError, match="5000 load commands"):
        search(path, tmp_path)


@pytest.mark.skipif(sys.platform != "darwin", reason="needs macOS")
def test_on_a_mac() -> None:
    dyld = this_dyld()
    assert dyld.in_shared_cache("/usr/lib/libSystem.B.dylib")
    assert not dyld.in_shared_cache("/usr/lib/libnever.dylib")
    extension = Path(str(sys.modules["_ctypes"].__file__))
    assert find_missing(extension) == []


@pytest.mark.skipif(sys.platform == "darwin", reason="needs another system")
def test_elsewhere_it_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LibraryLoadError, match=r"a library for macOS \(Mach-O\), not for this system"):
        find_missing(write(tmp_path / "liba.dylib"))


def _outcome(path: Path, tmp: Path) -> object:
    try:
        needed(path)
        return bool(search(path, tmp))
    except (LibraryError, UnusableFileError, UndecidedError) as error:
        return type(error)


def test_mutated_files_raise_nothing_but_the_named_errors(tmp_path: Path) -> None:
    commands = [
        _segment(64),
        _dylib(_ID, "a"),
        _dylib(_LOAD, "@rpath/libb.dylib"),
        _dylib_with_flags("/c", 1),
        _rpath("/x"),
    ]
    data = fat([(_INTEL, thin(commands, _INTEL)), (_ARM, thin(commands))])
    path = tmp_path / "liba.dylib"
    generator = random.Random(20260101)
    outcomes = set()
    for _ in range(200):
        mutated = bytearray(data)
        for _ in range(generator.randint(1, 6)):
            at = generator.randrange(len(data))
            mutated[at : at + 4] = generator.choice([generator.randbytes(4), b"\xff" * 4, bytes(4)])
        if generator.random() < 0.25:
            mutated = mutated[: generator.randrange(len(mutated))]
        path.write_bytes(mutated)
        start = time.perf_counter()
        outcomes.add(_outcome(path, tmp_path))
        assert time.perf_counter() - start < 2
    assert {LibraryLoadError, True} <= outcomes
