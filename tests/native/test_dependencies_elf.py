# SPDX-License-Identifier: Apache-2.0
"""Libraries made by the compiler: the search and the real loader of Linux must come to the same verdict."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import shutil
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

import qwen_asr_native
from qwen_asr_native.dependencies import check_dependencies, find_missing, needed
from qwen_asr_native.dependencies.common import Budget, MissingDependency, UndecidedError
from qwen_asr_native.errors import DependencyError, LibraryError, LibraryLoadError

if sys.platform != "linux" or shutil.which("gcc") is None:
    pytest.skip("needs Linux and gcc", allow_module_level=True)

from qwen_asr_native.dependencies.elf import defined_versions
from qwen_asr_native.dependencies.elf_loader import ElfLoader, parse_cache, this_loader
from qwen_asr_native.dependencies.elf_search import find_missing_elf

if this_loader().kind != "glibc":
    pytest.skip("the loader of musl differs in details", allow_module_level=True)

_CHILD = """
import ctypes, json, sys
from pathlib import Path
from qwen_asr_native.dependencies import find_missing
from qwen_asr_native.errors import LibraryLoadError
path, *first = sys.argv[1:]
for other in first:
    ctypes.CDLL(other)
try:
    found = [[one.name, one.reason, one.describe(), list(one.searched)] for one in find_missing(Path(path))]
except LibraryLoadError as error:
    found = [["", "refused", str(error), []]]
try:
    ctypes.CDLL(path)
    said = ""
except OSError as error:
    said = str(error)
print(json.dumps([found, said]))
"""


def build(
    target: Path,
    needs: Sequence[Path] = (),
    *,
    soname: str | None = "",
    rpath: str = "",
    runpath: str = "",
    versions: str = "",
    uses: Sequence[str] = (),
) -> Path:
    """Compile a library that needs others; ``soname`` is its file name unless another, or None, is given."""
    target.parent.mkdir(parents=True, exist_ok=True)
    command = ["gcc", "-shared", "-fPIC", "-o", str(target), "-x", "c", "-", "-x", "none", "-Wl,--no-as-needed"]
    command += ["-Wl,--unresolved-symbols=ignore-all", *map(str, needs)]
    if soname is not None:
        command += [f"-Wl,-soname,{soname or target.name}"]
    if rpath:
        command += [f"-Wl,-rpath,{rpath}", "-Wl,--disable-new-dtags"]
    if runpath:
        command += [f"-Wl,-rpath,{runpath}", "-Wl,--enable-new-dtags"]
    if versions:
        script = target.with_suffix(".map")
        script.write_text(versions)
        command += [f"-Wl,--version-script={script}"]
    stem = target.name.split(".")[0].replace("-", "_")
    calls = " + ".join(f"{name}()" for name in uses) or "0"
    source = "".join(f"extern int {name}(void);\n" for name in uses)
    source += f"int {stem}_one(void) {{ return 1; }}\nint {stem}_two(void) {{ return {calls}; }}\n"
    subprocess.run(command, input=source, text=True, check=True)
    return target


@dataclasses.dataclass
class Case:
    """A library to load, and what is expected of it: names and reasons, nothing when it loads."""

    path: Path
    problems: list[tuple[str, str]]
    library_path: str = ""
    first: list[Path] = dataclasses.field(default_factory=list)


def _found_by_runpath(tmp: Path) -> Case:
    return Case(build(tmp / "liba.so", [build(tmp / "libb.so")], runpath="$ORIGIN"), [])


def _origin_in_braces(tmp: Path) -> Case:
    return Case(build(tmp / "liba.so", [build(tmp / "x/libb.so")], runpath="/nowhere:${ORIGIN}/x"), [])


def _lib_token(tmp: Path) -> Case:
    other = build(tmp / "libb.so")
    for folder in ("lib", "lib64", f"lib/{os.uname().machine}-linux-gnu"):
        (tmp / folder).mkdir(exist_ok=True)
        shutil.copy(other, tmp / folder)
    path = build(tmp / "liba.so", [other], runpath="$ORIGIN/$LIB")
    other.unlink()
    return Case(path, [])


def _missing(tmp: Path) -> Case:
    other = build(tmp / "libb.so")
    path = build(tmp / "liba.so", [other], runpath="$ORIGIN")
    other.unlink()
    return Case(path, [("libb.so", "missing")])


def _missing_beside_without_rpath(tmp: Path) -> Case:
    return Case(build(tmp / "liba.so", [build(tmp / "libb.so")]), [("libb.so", "missing")])


def _missing_through_another(tmp: Path) -> Case:
    third = build(tmp / "libc3.so")
    path = build(tmp / "liba.so", [build(tmp / "libb.so", [third])], runpath="$ORIGIN")
    return Case(path, [("libc3.so", "missing")])


def _runpath_is_not_inherited(tmp: Path) -> Case:
    second = build(tmp / "x/libb.so", [build(tmp / "x/libc3.so")])
    return Case(build(tmp / "liba.so", [second], runpath="$ORIGIN/x"), [("libc3.so", "missing")])


def _rpath_is_inherited(tmp: Path) -> Case:
    second = build(tmp / "x/libb.so", [build(tmp / "x/libc3.so")])
    return Case(build(tmp / "liba.so", [second], rpath="$ORIGIN/x"), [])


def _runpath_overrules_inherited_rpath(tmp: Path) -> Case:
    second = build(tmp / "x/libb.so", [build(tmp / "x/libc3.so")], runpath="/nowhere")
    return Case(build(tmp / "liba.so", [second], rpath="$ORIGIN/x"), [("libc3.so", "missing")])


def _rpath_goes_before_library_path(tmp: Path) -> Case:
    old = "LIBV_1 { libv_one; };"
    linked = build(tmp / "link/libv.so", versions=old + "LIBV_2 { libv_two; } LIBV_1;")
    build(tmp / "x/libv.so", versions=old)
    path = build(tmp / "liba.so", [linked], rpath="$ORIGIN/x", uses=["libv_two"])
    return Case(path, [("libv.so", "version")], library_path=str(tmp / "link"))


def _library_path_goes_before_runpath(tmp: Path) -> Case:
    old = "LIBV_1 { libv_one; };"
    linked = build(tmp / "link/libv.so", versions=old + "LIBV_2 { libv_two; } LIBV_1;")
    build(tmp / "x/libv.so", versions=old)
    path = build(tmp / "liba.so", [linked], runpath="$ORIGIN/x", uses=["libv_two"])
    return Case(path, [], library_path=str(tmp / "link"))


def _library_path(tmp: Path) -> Case:
    path = build(tmp / "liba.so", [build(tmp / "x/libb.so")])
    return Case(path, [], library_path=f"/nowhere;{tmp / 'x'}")


def _empty_entry_is_the_working_folder(tmp: Path) -> Case:
    return Case(build(tmp / "x/liba.so", [build(tmp / "libb.so")], runpath="/nowhere:"), [])


def _name_with_folder(tmp: Path) -> Case:
    return Case(build(tmp / "liba.so", [build(tmp / "x/libb.so", soname=None)]), [])


def _name_with_folder_missing(tmp: Path) -> Case:
    other = build(tmp / "x/libb.so", soname=None)
    path = build(tmp / "liba.so", [other])
    other.unlink()
    return Case(path, [(str(other), "missing")])


def _circle(tmp: Path) -> Case:
    build(tmp / "liba.so")
    second = build(tmp / "libb.so", [tmp / "liba.so"], runpath="$ORIGIN")
    return Case(build(tmp / "liba.so", [second], runpath="$ORIGIN"), [])


def _soname_of_an_earlier_one(tmp: Path) -> Case:
    """libb.so calls itself libx.so; what needs libx.so later is content, though there is no such file."""
    second = build(tmp / "y/libb.so", soname="libx.so")
    third = build(tmp / "libc3.so", [second])
    stand_in = build(tmp / "libb.so", soname="libb.so")
    path = build(tmp / "liba.so", [stand_in, third], runpath="$ORIGIN")
    shutil.copy(second, stand_in)
    second.unlink()
    return Case(path, [])


def _loaded_already(tmp: Path) -> Case:
    other = build(tmp / "x/libb.so")
    return Case(build(tmp / "liba.so", [other]), [], first=[other])


def _loaded_already_without_a_soname(tmp: Path) -> Case:
    path = build(tmp / "liba.so", [build(tmp / "x/libb.so")])
    return Case(path, [("libb.so", "missing")], first=[build(tmp / "x/libb.so", soname=None)])


def _version_not_there(tmp: Path) -> Case:
    old = "LIBV_1 { libv_one; };"
    other = build(tmp / "libv.so", versions=old + "LIBV_2 { libv_two; } LIBV_1;")
    path = build(tmp / "liba.so", [other], runpath="$ORIGIN", uses=["libv_two"])
    build(other, versions=old)
    return Case(path, [("libv.so", "version")])


def _version_there(tmp: Path) -> Case:
    other = build(tmp / "libv.so", versions="LIBV_1 { libv_one; }; LIBV_2 { libv_two; } LIBV_1;")
    return Case(build(tmp / "liba.so", [other], runpath="$ORIGIN", uses=["libv_one", "libv_two"]), [])


def _versions_gone_altogether(tmp: Path) -> Case:
    other = build(tmp / "libv.so", versions="LIBV_1 { libv_two; };")
    path = build(tmp / "liba.so", [other], runpath="$ORIGIN", uses=["libv_two"])
    build(other)
    return Case(path, [])


def _glibc_too_old(tmp: Path) -> Case:
    newer = build(tmp / "link/libc.so.6", versions="GLIBC_2.999 { libc_two; };")
    return Case(build(tmp / "liba.so", [newer], uses=["libc_two"]), [("libc.so.6", "version")])


def _glibc_too_old_for_a_dependency(tmp: Path) -> Case:
    newer = build(tmp / "link/libc.so.6", versions="GLIBC_2.999 { libc_two; };")
    second = build(tmp / "libb.so", [newer], uses=["libc_two"])
    return Case(build(tmp / "liba.so", [second], runpath="$ORIGIN"), [("libc.so.6", "version")])


def _patched(path: Path, at: int, value: bytes) -> None:
    data = bytearray(path.read_bytes())
    data[at : at + len(value)] = value
    path.write_bytes(data)


def _other_machine(path: Path) -> None:
    _patched(path, 18, struct.pack("=H", 0xF7))


def _other_word_size(path: Path) -> None:
    _patched(path, 4, b"\1" if path.read_bytes()[4] == 2 else b"\2")


def _other_machine_skipped(tmp: Path) -> Case:
    first, second = build(tmp / "x/libb.so"), build(tmp / "y/libb.so")
    path = build(tmp / "liba.so", [second], runpath="$ORIGIN/x:$ORIGIN/y")
    _other_machine(first)
    return Case(path, [])


def _other_word_size_skipped(tmp: Path) -> Case:
    first, second = build(tmp / "x/libb.so"), build(tmp / "y/libb.so")
    path = build(tmp / "liba.so", [second], runpath="$ORIGIN/x:$ORIGIN/y")
    _other_word_size(first)
    return Case(path, [])


def _only_another_machine(tmp: Path) -> Case:
    other = build(tmp / "libb.so")
    path = build(tmp / "liba.so", [other], runpath="$ORIGIN")
    _other_machine(other)
    return Case(path, [("libb.so", "architecture")])


def _only_another_word_size(tmp: Path) -> Case:
    other = build(tmp / "libb.so")
    path = build(tmp / "liba.so", [other], runpath="$ORIGIN")
    _other_word_size(other)
    return Case(path, [("libb.so", "architecture")])


def _a_text_in_the_way(tmp: Path) -> Case:
    other = build(tmp / "y/libb.so")
    path = build(tmp / "liba.so", [other], runpath="$ORIGIN/x:$ORIGIN/y")
    (tmp / "x").mkdir()
    (tmp / "x/libb.so").write_text("INPUT(libb.so.1)  /* a script for the linker */")
    return Case(path, [("libb.so", "damaged")])


def _a_stub_in_the_way(tmp: Path) -> Case:
    other = build(tmp / "libb.so")
    path = build(tmp / "liba.so", [other], runpath="$ORIGIN")
    other.write_bytes(other.read_bytes()[:10])
    return Case(path, [("libb.so", "damaged")])


def _a_folder_in_the_way(tmp: Path) -> Case:
    path = build(tmp / "liba.so", [build(tmp / "y/libb.so")], runpath="$ORIGIN/x:$ORIGIN/y")
    (tmp / "x/libb.so").mkdir(parents=True)
    return Case(path, [("libb.so", "damaged")])


def _origin_of_a_link(tmp: Path) -> Case:
    """``$ORIGIN`` is the folder of the link, not of the file."""
    path = build(tmp / "x/liba.so", [build(tmp / "x/libb.so")], runpath="$ORIGIN")
    (tmp / "liba.so").symlink_to(path)
    return Case(tmp / "liba.so", [("libb.so", "missing")])


def _itself_for_another_machine(tmp: Path) -> Case:
    path = build(tmp / "liba.so")
    _other_machine(path)
    return Case(path, [("", "refused")])


def _itself_of_another_word_size(tmp: Path) -> Case:
    path = build(tmp / "liba.so")
    _other_word_size(path)
    return Case(path, [("", "refused")])


def _text(tmp: Path) -> Case:
    (tmp / "liba.so").write_text("this is text")
    return Case(tmp / "liba.so", [("", "refused")])


def _empty(tmp: Path) -> Case:
    (tmp / "liba.so").touch()
    return Case(tmp / "liba.so", [("", "refused")])


def _header_only(tmp: Path) -> Case:
    path = build(tmp / "liba.so")
    path.write_bytes(path.read_bytes()[:64])
    return Case(path, [("", "refused")])


def _object_file(tmp: Path) -> Case:
    subprocess.run(["gcc", "-c", "-x", "c", "-", "-o", str(tmp / "liba.so")], input=b"int a;", check=True)
    return Case(tmp / "liba.so", [("", "refused")])


def _absent(tmp: Path) -> Case:
    return Case(tmp / "liba.so", [("", "refused")])


_CASES = {
    name[1:]: make
    for name, make in list(globals().items())
    if name.startswith("_") and getattr(make, "__annotations__", {}).get("return") == "Case"
}


def _ask(case: Case, folder: Path) -> tuple[list[tuple[str, str, str, list[str]]], str]:
    """What the search says in a fresh process, and what the loader says there."""
    environment = {**os.environ, "PYTHONPATH": str(Path(qwen_asr_native.__file__).parent.parent)}
    environment |= {"LD_LIBRARY_PATH": case.library_path} if case.library_path else {}
    child = subprocess.run(
        [sys.executable, "-W", "error", "-c", _CHILD, str(case.path), *map(str, case.first)],
        capture_output=True,
        check=True,
        cwd=folder,
        env=environment,
    )
    found, said = json.loads(child.stdout)
    return [tuple(one) for one in found], said


def test_there_are_cases() -> None:
    assert len(_CASES) > 35


@pytest.mark.parametrize("name", _CASES)
def test_search_and_loader_agree(name: str, tmp_path: Path) -> None:
    case = _CASES[name](tmp_path)
    found, said = _ask(case, tmp_path)
    assert [(problem, reason) for problem, reason, _, _ in found] == case.problems
    assert bool(found) == bool(said), said
    for problem, reason, text, _ in found:
        assert problem in text
        if reason in ("missing", "damaged"):
            assert problem.rsplit("/", 1)[-1] in said


def test_a_library_that_is_cut_off_is_refused_before_the_loader_sees_it(tmp_path: Path) -> None:
    """The loader would map what is not there, and the process would die of it."""
    path = build(tmp_path / "liba.so")
    data = path.read_bytes() + bytes(65536)
    path.write_bytes(data)
    assert find_missing(path) == []
    fields = struct.unpack_from("=QHH", data, 32)[0], struct.unpack_from("=H", data, 56)[0]
    offsets = [struct.unpack_from("=IIQQQQ", data, fields[0] + 56 * index) for index in range(fields[1])]
    end = max(offset + size for kind, _, offset, _, _, size in offsets if kind == 1)
    path.write_bytes(data[: end - end % 4096 - 1])
    with pytest.raises(LibraryLoadError, match=r"liba\.so: the system cannot load this library: it is cut off \(\d+ b"):
        find_missing(path)


def test_the_places_are_named_in_the_order_of_the_loader(tmp_path: Path) -> None:
    other = build(tmp_path / "libgomp.so.99")
    path = build(tmp_path / "liba.so", [other], runpath="$ORIGIN:$ORIGIN/none")
    other.unlink()
    ((_, _, text, searched),), said = _ask(Case(path, [], library_path=f"{tmp_path}/env"), tmp_path)
    assert said
    assert searched[:4] == [
        f"{tmp_path}/env (LD_LIBRARY_PATH, no such folder)",
        f"{tmp_path} (runpath '$ORIGIN' of liba.so)",
        f"{tmp_path}/none (runpath '$ORIGIN/none' of liba.so, no such folder)",
        "/etc/ld.so.cache",
    ]
    assert "/usr/lib (default folder)" in searched[4:]
    assert text.startswith(f"libgomp.so.99, needed by {path}: missing. Looked in: {tmp_path}/env (LD_LIBRARY_PATH")
    assert "apt install libgomp1" in text


def test_a_rpath_names_the_library_it_is_inherited_from(tmp_path: Path) -> None:
    third = build(tmp_path / "libc3.so")
    path = build(tmp_path / "liba.so", [build(tmp_path / "x/libb.so", [third])], rpath="$ORIGIN/x")
    (problem,) = find_missing(path)
    assert problem.needed_by == tmp_path / "x/libb.so"
    assert f"{tmp_path}/x (rpath '$ORIGIN/x' of liba.so)" in problem.searched


def test_a_version_that_is_not_there_is_said_in_those_words(tmp_path: Path) -> None:
    with pytest.raises(DependencyError) as error:
        check_dependencies(_glibc_too_old(tmp_path).path)
    assert "needs GLIBC_2.999, but " in str(error.value)
    assert "/libc.so.6 defines up to GLIBC_2." in str(error.value)
    assert "C library is older than the build" in str(error.value)
    (problem,) = find_missing(_version_not_there(tmp_path / "v").path)
    assert problem.detail == f"it needs LIBV_2, but {tmp_path}/v/libv.so defines up to LIBV_1"


def test_versions_that_a_library_defines(tmp_path: Path) -> None:
    path = Path(this_loader().is_loaded("libc.so.6") or "")
    defined = defined_versions(path)
    assert defined is not None
    assert {"GLIBC_2.17", "GLIBC_PRIVATE"} <= set(defined)
    assert defined_versions(build(tmp_path / "liba.so")) is None


def test_what_was_found_for_another_machine_is_said(tmp_path: Path) -> None:
    (problem,) = find_missing(_only_another_machine(tmp_path).path)
    assert problem.detail.startswith(f"{tmp_path}/libb.so is made for 64-bit machine 247; this process is 64-bit ")
    with pytest.raises(LibraryLoadError, match=r"made for 64-bit machine 247, and this process is 64-bit .*build for"):
        check_dependencies(_itself_for_another_machine(tmp_path).path)


def test_several_problems_are_all_named(tmp_path: Path) -> None:
    others = [build(tmp_path / f"lib{name}") for name in ("vulkan.so.99", "cudart.so.99", "ggml.so")]
    path = build(tmp_path / "liba.so", others)
    for other in others:
        other.unlink()
    with pytest.raises(DependencyError) as error:
        check_dependencies(path)
    assert str(error.value).count("\n  - lib") == 3
    for hint in ("Vulkan loader", "CUDA runtime", "belongs to the same build"):
        assert hint in str(error.value)
    (tmp_path / "libggml.so.0").write_bytes(path.read_bytes())
    assert [problem.name for problem in find_missing(path)][:2] == ["libvulkan.so.99", "libcudart.so.99"]


def _open(path: Path) -> str:
    """What open_library says in a process of its own, nothing when it loads the library."""
    code = "import sys; from pathlib import Path; from qwen_asr_native.loading import open_library; "
    environment = {**os.environ, "PYTHONPATH": str(Path(qwen_asr_native.__file__).parent.parent)}
    command = [sys.executable, "-W", "error", "-c", code + "open_library(Path(sys.argv[1]))", str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment).stderr


@pytest.mark.parametrize("name", ["libggml.so", "libggml.so.0"])
def test_ggml_beside_the_library_is_found_as_open_library_finds_it(name: str, tmp_path: Path) -> None:
    other = build(tmp_path / name)
    path = build(tmp_path / "libllama.so", [other])
    build(tmp_path / "libggml-broken.so", [build(tmp_path / "x/libgone.so")])
    shutil.rmtree(tmp_path / "x")
    found, said = _ask(Case(path, []), tmp_path)
    assert found == []
    assert name in said  # without open_library
    assert _open(path) == ""


def test_ggml_beside_the_library_must_be_complete_itself(tmp_path: Path) -> None:
    third = build(tmp_path / "libcudart.so.99")
    path = build(tmp_path / "libllama.so", [build(tmp_path / "libggml.so", [third])])
    third.unlink()
    (problem,) = find_missing(path)
    assert (problem.name, problem.needed_by) == ("libcudart.so.99", tmp_path / "libggml.so")
    assert "nvidia-cuda-runtime-cu99" in problem.hint
    said = _open(path)
    assert f"DependencyError: {path}: the system cannot load this library: libcudart.so.99, needed by" in said
    assert "(The system says: libggml.so: cannot open" in said


def test_a_variant_for_some_processors_is_left_to_the_loader(tmp_path: Path) -> None:
    path = build(tmp_path / "liba.so", [build(tmp_path / "glibc-hwcaps/x86-64-v2/libb.so")], runpath="$ORIGIN")
    assert find_missing(path) == []


def test_needed_is_the_list_in_the_file(tmp_path: Path) -> None:
    path = build(tmp_path / "liba.so", [build(tmp_path / "libb.so"), build(tmp_path / "libc3.so", soname=None)])
    assert needed(path) == ["libb.so", f"{tmp_path}/libc3.so", "libc.so.6"]
    with pytest.raises(LibraryLoadError, match=r"liba\.so: cannot be read: No such file"):
        needed(tmp_path / "none/liba.so")


def test_stripped_of_its_section_headers(tmp_path: Path) -> None:
    """The loader does not need them, so the search must not either."""
    path = _missing_through_another(tmp_path).path
    _patched(path, 40, bytes(8))
    _patched(path, 58, bytes(6))
    assert [problem.name for problem in find_missing(path)] == ["libc3.so"]


def _cache(entries: Sequence[tuple[str, str]], *, old: bool = False) -> bytes:
    header, strings, table = 48, b"", b""
    start = header + 24 * len(entries)
    for name, path in entries:
        offsets = []
        for text in (name, path):
            offsets.append(start + len(strings))
            strings += text.encode() + b"\0"
        table += struct.pack("=iIIIQ", 0x303, *offsets, 0, 0)
    data = struct.pack("=20sIIB3xI12x", b"glibc-ld.so.cache1.1", len(entries), len(strings), 2, 0) + table + strings
    return struct.pack("=11sxI", b"ld.so-1.7.0", 0) + data if old else data


@pytest.mark.parametrize("old", [False, True])
def test_the_cache_is_read(old: bool) -> None:
    entries = [
        ("libz.so.1", "/usr/lib/libz.so.1"),
        ("libz.so.1", "/lib32/libz.so.1"),
        ("libm.so.6", "/usr/lib/libm.so.6"),
    ]
    assert parse_cache(_cache(entries, old=old)) == {
        "libz.so.1": ("/usr/lib/libz.so.1", "/lib32/libz.so.1"),
        "libm.so.6": ("/usr/lib/libm.so.6",),
    }
    for damaged in (b"", b"ld.so-1.7.0", _cache(entries)[:60], _cache(entries)[:-1], _cache(entries)[:30]):
        with pytest.raises(UndecidedError):
            parse_cache(damaged)


def test_the_cache_of_this_system_agrees_with_ldconfig() -> None:
    tool = shutil.which("ldconfig") or "/sbin/ldconfig"
    if not Path(tool).exists() or not Path("/etc/ld.so.cache").exists():
        pytest.skip("there is no ldconfig")
    listing = subprocess.run([tool, "-p"], capture_output=True, text=True, check=True).stdout.splitlines()
    expected: dict[str, list[str]] = {}
    for line in listing:
        if " => " in line:
            name, _, path = line.strip().partition(" => ")
            expected.setdefault(name.split(" ")[0], []).append(path)
    cache = this_loader().cache
    assert cache is not None
    assert {name: list(paths) for name, paths in cache.items()} == expected


@pytest.fixture
def loader_with() -> Callable[..., ElfLoader]:
    def make(**changes: Any) -> ElfLoader:
        return dataclasses.replace(this_loader(), **changes)

    return make


def test_a_library_in_the_cache_is_found(tmp_path: Path, loader_with: Callable[..., ElfLoader]) -> None:
    other = build(tmp_path / "x/libb.so")
    path = build(tmp_path / "liba.so", [other])

    def names(cache: Any) -> list[str]:
        return [problem.name for problem in find_missing_elf(path, loader_with(cache=cache), Budget())]

    assert names({"libb.so": (str(other),)}) == []
    assert names({"libb.so": ("/gone/libb.so",)}) == names({}) == ["libb.so"]
    assert names(None) == []  # who cannot read the cache does not know


def test_musl(tmp_path: Path, loader_with: Callable[..., ElfLoader]) -> None:
    """LD_LIBRARY_PATH first, every rpath inherited, and no symbol versions."""
    second = build(tmp_path / "x/libb.so", [build(tmp_path / "x/libc3.so")], runpath="/nowhere")
    path = build(tmp_path / "liba.so", [second], runpath="$ORIGIN/x")

    def find(path: Path, **changes: Any) -> list[MissingDependency]:
        loader = loader_with(kind="musl", cache={}, callers=(), default_folders=("/lib",), **changes)
        return find_missing_elf(path, loader, Budget())

    assert find(path) == []
    (problem,) = find(build(tmp_path / "liba.so", [second]), library_path=("/env",))
    assert problem.searched == ("/env (LD_LIBRARY_PATH, no such folder)", "/lib (default folder)")
    assert find(_version_not_there(tmp_path / "v").path) == []


def test_the_work_is_bounded(tmp_path: Path, loader_with: Callable[..., ElfLoader]) -> None:
    other = build(tmp_path / "libb.so")
    folders = [f"/nowhere/{index}" for index in range(2000)]
    path = build(tmp_path / "liba.so", [other], rpath=":".join(folders[:900]))
    far = build(tmp_path / "libfar.so", [other], rpath=":".join(folders))
    farther = build(tmp_path / "libfarther.so", [other], rpath=":".join(folders * 4))
    other.unlink()
    loader = loader_with()
    (problem,) = find_missing_elf(path, loader, Budget())
    assert len(problem.searched) > 900
    assert find_missing_elf(path, loader, Budget(looks=3)) == []
    assert find_missing_elf(far, loader, Budget()) == []
    assert find_missing(farther) == []
    chain = build(tmp_path / "x/lib0.so", [tmp_path / "liba.so"])
    for index in range(1, 6):
        chain = build(tmp_path / f"x/lib{index}.so", [chain], runpath="$ORIGIN:$ORIGIN/..")
    assert find_missing_elf(chain, loader, Budget(files=3)) == []


def test_the_installed_libraries_are_complete() -> None:
    found = 0
    for pattern in ("ik_llama_cpp/lib/*.so", "xllamacpp/*.so", "numpy/_core/*.so"):
        for folder in map(Path, sys.path):
            for path in folder.glob(pattern):
                found += 1
                assert find_missing(path) == []
    if not found:
        pytest.skip("none is installed")


def _outcome(function: Callable[[Path], Any], path: Path) -> Any:
    try:
        return bool(function(path))
    except LibraryError as error:
        return type(error)


def test_mutated_files_raise_nothing_but_the_named_errors(tmp_path: Path) -> None:
    versions = "LIBV_1 { libb_one; }; LIBV_2 { libb_two; } LIBV_1;"
    other = build(tmp_path / "libb.so", versions=versions)
    whole = build(tmp_path / "liba.so", [other], runpath="$ORIGIN", uses=["libb_one", "libb_two"])
    user = build(tmp_path / "libuser.so", [whole], runpath="$ORIGIN")
    data = whole.read_bytes()
    generator = random.Random(20260101)
    # where the loader reads: headers, strings and version tables at the front, the dynamic section behind
    spots = [*range(2048), *range(data.index(b"libb.so\0") - 256, data.index(b"libb.so\0") + 256)]
    outcomes = set()
    for _ in range(200):
        mutated = bytearray(data)
        for _ in range(generator.randint(1, 6)):
            at = generator.choice(spots) if generator.random() < 0.8 else generator.randrange(len(data))
            mutated[at : at + 4] = generator.choice([generator.randbytes(4), b"\xff" * 4, bytes(4)])
        if generator.random() < 0.25:
            mutated = mutated[: generator.randrange(len(mutated))]
        whole.write_bytes(mutated)
        start = time.perf_counter()
        outcomes |= {_outcome(function, path) for function in (find_missing, needed) for path in (whole, user)}
        assert time.perf_counter() - start < 2
    assert {LibraryLoadError, True, False} <= outcomes
