# SPDX-License-Identifier: Apache-2.0
"""Building libllama from source, the whole way, and everything that can go wrong on it.

The source is `stand_in`, laid out like llama.cpp, whose library passes calls on to a real one.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from qwen_asr_native import BuildError, CompilerNotFoundError, LibraryNotFoundError, SourceIncompleteError, load_library
from qwen_asr_native.building import BuildOptions, InstalledBuild, build_library, installed_build, remove_builds
from qwen_asr_native.building.cmake_build import parse_progress
from qwen_asr_native.building.folders import locked
from qwen_asr_native.building.tools import find_compiler

STAND_IN = Path(__file__).parent / "stand_in"
_NEEDED = ("cmake", "ninja", "c++")
_MISSING = [name for name in _NEEDED if shutil.which(name) is None]
pytestmark = [
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the stand-in links to a Python extension"),
    pytest.mark.skipif(bool(_MISSING), reason=f"needs {', '.join(_MISSING)}"),
]

Build = Callable[..., InstalledBuild]


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for variable in ("CC", "CXX", "CFLAGS", "CXXFLAGS", "LDFLAGS", "QWEN_ASR_LIBLLAMA"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("QWEN_ASR_DATA_DIR", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return Path(shutil.copytree(STAND_IN, tmp_path / "llama.cpp"))


@pytest.fixture(scope="session")
def real() -> Path:
    pytest.importorskip("importlib.metadata").version("xllamacpp")
    return load_library("xllamacpp").path


@pytest.fixture
def build(tree: Path, real: Path) -> Build:
    def run(source: str | Path = tree, *define: str, **arguments: object) -> InstalledBuild:
        options = BuildOptions(define=(f"STAND_IN_LIBLLAMA={real}", *define))
        return build_library(source, options=options, **arguments)  # type: ignore[arg-type]

    return run


def test_the_whole_way(build: Build, tree: Path, data: Path) -> None:
    said: list[str] = []
    steps: list[tuple[str, int, int]] = []
    built = build(jobs=2, say=said.append, progress=lambda *step: steps.append(step))

    assert installed_build() == built
    assert built.library.parent.parent == data / "libllama"
    assert set(built.files) == {
        "libllama.so",
        "libggml.so.0",
    }  # what libllama needs of what was built, by its name there
    assert built.project == "llama.cpp"
    assert built.layout.startswith("mainline-")
    assert str(tree) in built.origin
    assert "-DGGML_METAL=OFF" in built.options
    assert "-DGGML_NATIVE=ON" in built.options
    assert built.changed_files() == []
    assert not (data / "build").exists() or not any((data / "build").iterdir())
    (log,) = (data / "logs").iterdir()
    assert "self-test" in log.read_text()

    assert steps[0] == ("configuring", 0, 0)
    assert ("llama-vocab.cpp", 1, 6) in steps or any(name == "llama-vocab.cpp" for name, _, _ in steps)
    assert max(done for _, done, _ in steps) == max(total for _, _, total in steps) == 6
    announced = "\n".join(said)
    for fact in (str(tree), str(data / "libllama"), str(log), "10 minutes"):
        assert fact in announced

    assert load_library("built").path == built.library.resolve()
    assert load_library().provider == "built"  # before the packages
    assert remove_builds() == [built.folder]
    assert installed_build() is None
    assert remove_builds() == []
    with pytest.raises(LibraryNotFoundError, match="built"):
        load_library("built")


def test_a_second_build_replaces_the_first_and_what_fails_does_not(build: Build, tree: Path, data: Path) -> None:
    """Everything that must be refused, each with its own reason, while the first library stays."""
    first = build(build_dir=tree.parent / "b")
    for fault, reason in {
        "LAYOUT": r"llama_context_params has a layout that is not known",
        "RESULTS": r"logits differ from the same computation in numpy by \d",
        "CRASH": r"died with signal 6 while it ran a tiny model",
    }.items():
        with pytest.raises(
            BuildError, match=rf"(?s)does not pass.*{tree.parent}/b.*{reason}.*Everything is in .*\.log"
        ):
            build(tree, f"STAND_IN_FAULT={fault}", build_dir=tree.parent / "b")
        assert installed_build() == first
    assert first.changed_files() == []
    assert not list((data / "libllama").glob(".staging*"))

    second = build(build_dir=tree.parent / "b")
    assert second.folder != first.folder
    assert installed_build() == second
    assert not first.folder.exists()
    assert load_library("built").path == second.library.resolve()


def test_a_compile_error_is_shown(build: Build) -> None:
    with pytest.raises(BuildError) as caught:
        build(Path(STAND_IN), "STAND_IN_FAULT=COMPILE")
    lines = str(caught.value).splitlines()
    assert any("error: 'a_name_nobody_declared' was not declared" in line for line in lines)
    assert len(lines) <= 17
    log = Path(lines[-1].removeprefix("Everything is in "))
    assert "a_name_nobody_declared" in log.read_text()
    assert installed_build() is None


def test_a_cmake_error_is_shown(build: Build, tree: Path) -> None:
    with (tree / "CMakeLists.txt").open("a") as file:
        file.write('message(FATAL_ERROR "no such toolkit")\n')
    with pytest.raises(BuildError, match=r"(?s)cannot configure.*CMake Error at CMakeLists.txt.*no such toolkit"):
        build()


def test_an_incomplete_source_is_noticed_before_cmake(build: Build, tree: Path, data: Path) -> None:
    (tree / "src" / "llama-vocab.cpp").unlink()
    (tree / "ggml" / "include" / "ggml.h").unlink()
    with pytest.raises(SourceIncompleteError) as caught:
        build()
    assert "2 missing:\n    ggml/include/ggml.h\n    src/llama-vocab.cpp\n" in str(caught.value)
    assert "submodule" in str(caught.value)
    assert not (data / "logs").exists()  # nothing was run, nothing written
    assert not any((data / "build").iterdir())


def test_a_build_folder_of_another_source_is_not_used(build: Build, tree: Path) -> None:
    other = Path(shutil.copytree(STAND_IN, tree.parent / "other"))
    folder = tree.parent / "b"
    subprocess.run(["cmake", "-S", other, "-B", folder, "-G", "Ninja"], check=True, capture_output=True)
    before = (folder / "CMakeCache.txt").read_bytes()
    said: list[str] = []
    with pytest.raises(BuildError, match="a_name_nobody_declared"):  # it gets that far
        build(tree, "STAND_IN_FAULT=COMPILE", build_dir=folder, say=said.append)
    (line,) = [line for line in said if "fresh folder" in line]
    assert f"was made from another source ({other})" in line
    assert (folder / "CMakeCache.txt").read_bytes() == before
    fresh = Path(line.rsplit(": ", 1)[1])
    assert f"CMAKE_HOME_DIRECTORY:INTERNAL={tree}" in (fresh / "CMakeCache.txt").read_text()


@pytest.mark.parametrize(
    ("cache", "reason"),
    [
        ("CMAKE_GENERATOR:INTERNAL=Unix Makefiles\n", "another build program"),
        ("CMAKE_GENERATOR:INTERNAL=Ninja\nCMAKE_CXX_COMPILER:FILEPATH=/opt/icc\n", "another compiler"),
        ("CMAKE_GENERATOR:INTERNAL=Ninja\nCMAKE_MAKE_PROGRAM:FILEPATH=/opt/ninja\n", "build program that is gone"),
        ("CMAKE_GENERATOR:INTERNAL=Ninja\n", "was not made by this command"),
        (None, "not empty and holds no build"),
    ],
)
def test_a_build_folder_of_other_tools_is_not_used(
    cache: str | None, reason: str, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from qwen_asr_native.building.folders import build_folder
    from qwen_asr_native.building.processes import BuildLog
    from qwen_asr_native.building.tools import find_tools

    folder = tree.parent / "b"
    folder.mkdir()
    if cache is None:
        (folder / "letters.txt").write_text("not to be touched")
    else:
        (folder / "CMakeCache.txt").write_text(f"CMAKE_HOME_DIRECTORY:INTERNAL={tree}\n{cache}")
    said: list[str] = []
    tools = find_tools(BuildLog(tree.parent / "log"), said.append)
    used = build_folder(folder, tree, tools, ("-DA=1",), said.append)
    assert used != folder
    assert reason in said[0]
    assert build_folder(folder, tree, tools, ("-DA=1",), said.append) == used  # a rerun goes on there


def test_a_missing_compiler(build: Build, tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "/opt/nothing/g++ -m64")
    with pytest.raises(CompilerNotFoundError, match=r"CXX names '/opt/nothing/g\+\+ -m64' .* no such program"):
        build()
    monkeypatch.delenv("CXX")
    monkeypatch.setenv("PATH", str(tree))
    with pytest.raises(CompilerNotFoundError, match=r"There is no C\+\+ compiler on this computer. Install one"):
        build()


@pytest.mark.parametrize(
    ("release", "command"),
    [
        ("ID=debian\n", "apt install build-essential"),
        ('NAME="Linux Mint"\nID=linuxmint\nID_LIKE="ubuntu debian"\n', "apt install build-essential"),
        ('ID="rocky"\nID_LIKE="rhel centos fedora"\n', "dnf install gcc-c++"),
        ("ID=alpine\n", "apk add build-base"),
        ("ID=arch\n", "pacman -S base-devel"),
        ('ID="opensuse-leap"\nID_LIKE="suse opensuse"\n', "zypper install gcc-c++"),
        ("ID=plan9\n", "your system's package manager"),
        (None, "your system's package manager"),
    ],
)
def test_advice_fits_the_system(
    release: str | None, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "os-release"
    if release is not None:
        file.write_text(release)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(CompilerNotFoundError) as caught:
        find_compiler(file)
    assert command in str(caught.value)


def test_cxx_may_have_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "g++ -m64")
    assert find_compiler().command == "g++ -m64"


def test_a_build_without_a_shared_library_is_refused(build: Build) -> None:
    with pytest.raises(BuildError, match="BUILD_SHARED_LIBS"):
        build(Path(STAND_IN), "BUILD_SHARED_LIBS=OFF")


def test_an_interrupted_build_leaves_nothing_running_and_goes_on(build: Build, tree: Path, tmp_path: Path) -> None:
    """One compiler hangs when Ctrl-C comes; the second run compiles only what was not done."""
    hold, done, pid = tmp_path / "hold", tmp_path / "done", tmp_path / "pid"
    launcher = tmp_path / "launcher"
    launcher.write_text(
        f'#!/bin/sh\ncase "$*" in *llama.cpp.o*-c*) echo $$ > {pid}; while [ -e {hold} ]; do sleep 0.05; done;; esac\n'
        f'"$@" && echo "$*" >> {done}\n'
    )
    launcher.chmod(0o755)
    hold.touch()
    launchers = [f"CMAKE_{language}_COMPILER_LAUNCHER={launcher}" for language in ("C", "CXX")]

    def interrupt(step: str, count: int, total: int) -> None:
        if step == "llama-vocab.cpp":
            _wait_for(pid.is_file)
            raise KeyboardInterrupt  # as it arrives between two lines

    with pytest.raises(KeyboardInterrupt):
        build(tree, *launchers, progress=interrupt, jobs=4)
    _wait_for(lambda: not _alive(int(pid.read_text())))
    assert installed_build() is None
    assert "llama-vocab.cpp" in done.read_text()
    assert "llama.cpp.o -c" not in done.read_text()

    hold.unlink()
    done.unlink()
    built = build(tree, *launchers)
    assert "llama.cpp.o -c" in done.read_text()
    assert "llama-vocab.cpp" not in done.read_text()
    assert installed_build() == built


def test_two_builds_do_not_share_a_folder(build: Build, tmp_path: Path) -> None:
    folder = tmp_path / "b"
    with locked(folder), pytest.raises(BuildError, match="another build is going on there"):
        build(build_dir=folder)


def test_the_source_folder_is_no_build_folder(build: Build, tree: Path) -> None:
    with pytest.raises(BuildError, match="this is the source folder"):
        build(build_dir=tree)


@pytest.mark.parametrize("bad", ["GGML_NATIVE", "=ON", "A B=1"])
def test_a_definition_must_be_one(bad: str) -> None:
    with pytest.raises(BuildError, match="NAME=VALUE"):
        BuildOptions(define=(bad,))


def test_options_reach_cmake() -> None:
    plain = BuildOptions().cmake_definitions()
    for name in ("METAL", "CUDA", "VULKAN", "BLAS"):
        assert f"-DGGML_{name}=OFF" in plain
        assert f"-DGGML_{name}=ON" in BuildOptions(**{name.lower(): True}).cmake_definitions()
    assert "-DGGML_NATIVE=OFF" in BuildOptions(portable=True).cmake_definitions()
    assert BuildOptions(define=("GGML_OPENMP=OFF",)).cmake_definitions()[-1] == "-DGGML_OPENMP=OFF"
    assert BuildOptions(cuda=True, define=("GGML_HIP:BOOL=ON",)).accelerators == ("CUDA", "HIP")


@pytest.mark.parametrize(
    ("line", "step"),
    [
        ("[3/43] Building CXX object src/CMakeFiles/llama.dir/llama.cpp.o", ("llama.cpp", 3, 43)),
        ("[43/43] Linking CXX shared library src/libllama.so", ("linking libllama.so", 43, 43)),
        ("[ 12%] Building C object ggml/src/CMakeFiles/ggml.dir/ggml.c.o", ("ggml.c", 12, 100)),
        (r"[1/2] Building C object ggml\src\CMakeFiles\ggml.dir\ggml.c.obj", ("ggml.c", 1, 2)),
        ("warning: [1/2]", None),
    ],
)
def test_progress_is_read(line: str, step: tuple[str, int, int] | None) -> None:
    assert parse_progress(line) == step


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("current.json", "{"),
        ("current.json", '{"folder": "../elsewhere"}'),
        ("current.json", '{"folder": "gone"}'),
        ("current.json", "[]"),
    ],
)
def test_a_damaged_installation_is_reported(name: str, content: str, data: Path) -> None:
    (data / "libllama").mkdir(parents=True)
    (data / "libllama" / name).write_text(content)
    with pytest.raises(LibraryNotFoundError, match="native build"):
        installed_build()
    assert load_library().provider != "built"  # the packages are still there


def test_a_library_that_is_gone_or_changed_is_reported(data: Path) -> None:
    folder = data / "libllama" / "x"
    folder.mkdir(parents=True)
    (data / "libllama" / "current.json").write_text(json.dumps({"folder": "x"}))
    record = dict.fromkeys(("project", "version", "origin", "compiler", "cmake", "generator", "layout", "system"), "")
    record |= {"built": "2026-01-01", "library": "libllama.so", "options": [], "seconds": 1.0}
    record["files"] = {"libllama.so": {"size": 3, "sha256": "0" * 64}}
    (folder / "build.json").write_text(json.dumps(record))
    with pytest.raises(LibraryNotFoundError, match=r"libllama\.so gone"):
        installed_build()
    (folder / "libllama.so").write_bytes(b"abc")
    built = installed_build()
    assert built is not None
    assert built.changed_files() == ["libllama.so"]


@pytest.mark.skipif(
    os.environ.get("QWEN_ASR_TEST_SOURCE_BUILD") != "1",
    reason="10 minutes each, and the network; QWEN_ASR_TEST_SOURCE_BUILD=1 pytest tests/native -k real_source",
)
@pytest.mark.parametrize("package", ["llama-cpp-python", "ik-llama-cpp-python"])
def test_the_real_source(package: str) -> None:
    built = build_library(package)
    assert package in built.version
    assert load_library("built").path == built.library.resolve()


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{process}/stat")
    return not (status.is_file() and status.read_text().rsplit(")", 1)[1].split()[0] == "Z")


def _wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)
