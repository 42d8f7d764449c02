# SPDX-License-Identifier: Apache-2.0
"""Where the source and the tools come from: folders, archives, and pip with a folder of packages for an index."""

from __future__ import annotations

import importlib
import io
import multiprocessing.spawn
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from qwen_asr_native import BuildError, BuildToolError, SourceIncompleteError
from qwen_asr_native.building import archives
from qwen_asr_native.building.archives import unpack
from qwen_asr_native.building.completeness import missing_files
from qwen_asr_native.building.processes import BuildLog
from qwen_asr_native.building.sources import identify, open_source
from qwen_asr_native.building.tools import find_tools, tools_folder

STAND_IN = Path(__file__).parent / "stand_in"
_posix = pytest.mark.skipif(sys.platform == "win32", reason="the programs are shell scripts")


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("QWEN_ASR_DATA_DIR", str(tmp_path / "data"))
    for variable in ("CC", "CXX"):
        monkeypatch.delenv(variable, raising=False)
    return tmp_path / "data"


@pytest.fixture
def log(tmp_path: Path) -> Iterator[BuildLog]:
    with BuildLog(tmp_path / "log.log") as opened:
        yield opened


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """pip finds packages in this folder only."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.fixture
def no_pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A real interpreter without pip, and no uv on PATH."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)
    former = multiprocessing.spawn.get_executable()
    scripts = "Scripts/python.exe" if sys.platform == "win32" else "bin/python"
    multiprocessing.set_executable(str(tmp_path / "bare" / scripts))
    monkeypatch.setattr(shutil, "which", _which_without("uv"))
    yield
    multiprocessing.set_executable(former)


def _which_without(*absent: str) -> Callable[..., str | None]:
    real = shutil.which
    return lambda name, *rest, **more: None if name in absent else real(name, *rest, **more)


def make_archive(path: Path, *entries: tuple[str, str | bytes | tarfile.TarInfo]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, content in entries:
            if isinstance(content, tarfile.TarInfo):
                tar.addfile(content)
                continue
            data = content.encode() if isinstance(content, str) else content
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tuple[str, tarfile.TarInfo]:
    member = tarfile.TarInfo(name)
    member.type = kind
    member.linkname = target
    return name, member


# Archives


def test_an_archive_is_unpacked_without_its_first_folder(tmp_path: Path) -> None:
    archive = make_archive(
        tmp_path / "a.tar.gz",
        ("top/a/b.txt", "b"),
        link("top/a/soft", "b.txt"),
        link("top/hard", "top/a/b.txt", tarfile.LNKTYPE),
        link("top/dangling", "nowhere"),
    )
    unpack(archive, tmp_path / "out")
    assert {
        path.relative_to(tmp_path / "out").as_posix(): path.read_text() for path in tmp_path.glob("out/**/*.*")
    } == {"a/b.txt": "b"}
    for name in ("a/soft", "hard"):
        assert (tmp_path / "out" / name).read_text() == "b"
        assert not (tmp_path / "out" / name).is_symlink()
    assert not (tmp_path / "out" / "dangling").exists()


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        (("../evil.txt", "x"), "leads out of the archive"),
        (("top/../../evil.txt", "x"), "leads out of the archive"),
        (("/evil.txt", "x"), "no path inside"),
        (("C:/evil.txt", "x"), "no path inside"),
        (("top\\..\\..\\evil.txt", "x"), "no path inside"),
        (link("top/evil", "/etc/passwd"), "no path inside"),
        (link("top/evil", "../../etc/passwd"), "leads out of the archive"),
        (link("top/evil", "../etc/passwd"), "leads out of the archive"),
        (link("top/evil", "../etc/passwd", tarfile.LNKTYPE), "leads out of the archive"),
        (link("top/evil", "", tarfile.FIFOTYPE), "device or pipe"),
    ],
)
def test_an_archive_that_reaches_out_is_refused(entry: tuple[str, str], reason: str, tmp_path: Path) -> None:
    archive = make_archive(tmp_path / "a.tar.gz", ("top/good.txt", "x"), entry)
    with pytest.raises(BuildError, match=reason):
        unpack(archive, tmp_path / "in" / "out")
    assert not [path for path in tmp_path.rglob("*") if "evil" in path.name]


def test_a_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = make_archive(tmp_path / "a.tar.gz", ("top/zeros", bytes(100_000)))
    monkeypatch.setattr(archives, "MAX_BYTES", 99_999)
    with pytest.raises(BuildError, match="unpacks to more than"):
        unpack(archive, tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize("content", [b"", b"not an archive", None])
def test_a_damaged_archive_is_refused(content: bytes | None, tmp_path: Path) -> None:
    archive = tmp_path / "a.tar.gz"
    if content is None:
        make_archive(archive, ("top/noise", bytes(range(256)) * 4000))
        content = archive.read_bytes()[:-200]
    archive.write_bytes(content)
    with pytest.raises(BuildError, match=r"a\.tar\.gz: cannot be unpacked.*Download it again"):
        unpack(archive, tmp_path / "out")


# Sources


def test_a_tree_is_found_wherever_it_is(tmp_path: Path, log: BuildLog) -> None:
    plain = shutil.copytree(STAND_IN, tmp_path / "plain")
    vendored = tmp_path / "ik_llama_cpp_python-1.2.3"
    shutil.copytree(STAND_IN, vendored / "vendor" / "ik_llama.cpp")
    (vendored / "PKG-INFO").write_text("Metadata-Version: 2.2\nName: ik_llama_cpp_python\nVersion: 1.2.3\n")
    archive = tmp_path / "sdist.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(vendored, vendored.name)
    for named, tree, project, version in (
        (plain, plain, "llama.cpp", ""),
        (vendored, vendored / "vendor/ik_llama.cpp", "ik_llama.cpp", "ik-llama-cpp-python 1.2.3"),
        (archive, tmp_path / "work/s/vendor/ik_llama.cpp", "ik_llama.cpp", "ik-llama-cpp-python 1.2.3"),
    ):
        origin = identify(named, tmp_path, log, print)
        source = open_source(origin, tmp_path / "work")
        assert (source.folder, source.project, source.version) == (tree, project, version)
        assert str(named) in origin.text
    (tmp_path / "work/s/mark").touch()
    open_source(identify(archive, tmp_path, log, print), tmp_path / "work")
    assert (tmp_path / "work/s/mark").exists()  # unpacked once


@pytest.mark.parametrize("name", ["no/such/folder", "numpy", "llama-cpp-python>=0.3", "llama-cpp-python @ file:///x"])
def test_a_source_that_is_none_is_refused(name: str, tmp_path: Path, log: BuildLog) -> None:
    with pytest.raises(BuildError, match=r"no such file or folder\. Name a source folder"):
        identify(name, tmp_path, log, print)


def test_a_folder_or_file_without_a_source_is_refused(tmp_path: Path, log: BuildLog) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(BuildError, match=r"no source of llama.cpp in it; looked for include/llama.h"):
        open_source(identify(tmp_path / "empty", tmp_path, log, print), tmp_path / "work")
    (tmp_path / "notes.zip").write_bytes(b"PK")
    with pytest.raises(BuildError, match="Unpack it and name the folder"):
        identify(tmp_path / "notes.zip", tmp_path, log, print)


def test_a_submodule_that_was_not_fetched_is_recognised(tmp_path: Path, log: BuildLog) -> None:
    (tmp_path / "checkout" / "vendor" / "llama.cpp").mkdir(parents=True)
    with pytest.raises(SourceIncompleteError, match="git submodule update --init"):
        open_source(identify(tmp_path / "checkout", tmp_path, log, print), tmp_path / "work")


def test_missing_files_are_named(tmp_path: Path) -> None:
    tree = shutil.copytree(STAND_IN, tmp_path / "tree")
    assert missing_files(tree) == []
    assert missing_files(tree, ["CUDA"]) == ["ggml/src/ggml-cuda/absent.cu"]
    with (tree / "src" / "CMakeLists.txt").open("a") as file:
        file.write(
            'file(GLOB SOURCES "models/*.cpp")\n'
            "set(MORE a.cpp ${DIR}/b.cpp ${CMAKE_CURRENT_SOURCE_DIR}/c.h # d.cpp\n    sub/e.c)\n"
            'message(STATUS "see f.cpp")\nfind_path(X omp.h)\nconfigure_file(v.h.in ${CMAKE_CURRENT_BINARY_DIR}/v.h)\n'
            "include(GNUInstallDirs)\ninclude(../cmake/git.cmake)\n"
            "if (GGML_VULKAN)\n  set(V v.cpp)\n  if (X)\n  set(W w.cpp)\n  endif()\nelse()\n  set(N n.cpp)\nendif()\n"
        )
    found = ["src/models/*.cpp", "src/a.cpp", "src/c.h", "src/sub/e.c", "cmake/git.cmake"]
    assert missing_files(tree) == found
    (tree / "ggml" / "src" / "CMakeLists.txt").write_text("ggml_add_backend(CPU)\n")
    assert missing_files(tree) == [*found, "ggml/src/ggml-cpu/CMakeLists.txt"]
    shutil.rmtree(tree)
    assert "include/llama.h" in missing_files(tree)


# pip


def make_sdist(folder: Path, name: str = "llama_cpp_python", version: str = "9.9") -> Path:
    """A source distribution that pip can look into without anything else."""
    root = folder / "sdist" / f"{name}-{version}"
    shutil.copytree(STAND_IN, root / "vendor" / "llama.cpp")
    (root / "PKG-INFO").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (root / "pyproject.toml").write_text(
        f'[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        f'[project]\nname = "{name}"\nversion = "{version}"\n'
    )
    (root / "backend.py").write_text(
        "import os\n"
        "def build_wheel(*_, **__): raise SystemExit('must not be built')\n"
        "def prepare_metadata_for_build_wheel(folder, settings=None):\n"
        f"    info = '{name}-{version}.dist-info'\n"
        "    os.mkdir(os.path.join(folder, info))\n"
        "    with open(os.path.join(folder, info, 'METADATA'), 'w') as file:\n"
        f"        file.write('Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\n')\n"
        "    with open(os.path.join(folder, info, 'WHEEL'), 'w') as file:\n"
        "        file.write('Wheel-Version: 1.0\\nGenerator: x\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')\n"
        "    return info\n"
    )
    archive = folder / f"{name}-{version}.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(root, root.name)
    shutil.rmtree(folder / "sdist")
    return archive


def test_a_source_is_downloaded_with_pip(index: Path, tmp_path: Path, log: BuildLog) -> None:
    make_sdist(index)
    said: list[str] = []
    (tmp_path / "download").mkdir()
    origin = identify("LLama_cpp_python==9.9", tmp_path / "download", log, said.append)
    assert said == ["Downloading the source distribution of llama-cpp-python==9.9 with pip ..."]
    source = open_source(origin, tmp_path / "work")
    assert source.version == "llama-cpp-python 9.9"
    assert missing_files(source.folder) == []


def test_a_download_that_fails_says_why(index: Path, tmp_path: Path, log: BuildLog) -> None:
    with pytest.raises(
        BuildError, match=r"(?s)could not download the source of llama-cpp-python==1.*online.*No matching"
    ):
        identify("llama-cpp-python==1", tmp_path, log, print)


def test_without_pip_a_download_is_impossible(no_pip: None, tmp_path: Path, log: BuildLog) -> None:
    with pytest.raises(BuildToolError, match=r"has no pip.*ensurepip.*name the file instead"):
        identify("llama-cpp-python", tmp_path, log, print)


# Tools


def make_wheel(folder: Path, name: str, program: str) -> None:
    """A wheel that holds a program where the real packages hold theirs: cmake in the package, ninja as a script."""
    info = f"{name}-99.0.dist-info"
    script = f"#!/bin/sh\n{program}\n"
    places = {"cmake": "cmake/data/bin/cmake", "ninja": "ninja-99.0.data/scripts/ninja"}
    files = {
        f"{name}/__init__.py": "",
        places[name]: script,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 99.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(folder / f"{name}-99.0-py3-none-any.whl", "w") as wheel:
        for path, text in files.items():
            entry = zipfile.ZipInfo(path)
            entry.external_attr = (0o100755 if text is script else 0o100644) << 16
            wheel.writestr(entry, text)


@pytest.fixture
def bare_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """PATH with a compiler and a shell, and neither cmake nor ninja there or among the Python packages."""
    compiler = shutil.which("c++")
    if compiler is None:
        pytest.skip("needs c++")
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("c++", "sh"):
        (folder / name).symlink_to(shutil.which(name) or "")
    monkeypatch.setenv("PATH", str(folder))
    for name in ("cmake", "ninja"):
        monkeypatch.setitem(sys.modules, name, None)
    importlib.invalidate_caches()
    return folder


@_posix
def test_missing_tools_are_installed_apart(bare_path: Path, index: Path, data: Path, log: BuildLog) -> None:
    make_wheel(index, "cmake", "echo cmake version 99.0")
    make_wheel(index, "ninja", "echo 99.0")
    said: list[str] = []
    tools = find_tools(log, said.append)
    assert tools.cmake == data / "tools" / "cmake" / "data" / "bin" / "cmake"
    assert tools.ninja == data / "tools" / "bin" / "ninja"
    assert tools.cmake_version == "99.0"
    assert [line.split(" is not on")[0] for line in said] == ["cmake", "ninja"]
    assert all(str(tools_folder()) in line for line in said)
    said.clear()
    assert find_tools(log, said.append) == tools
    assert said == []  # installed once


@_posix
def test_a_cmake_that_is_too_old_is_not_used(bare_path: Path, index: Path, log: BuildLog) -> None:
    for name, words in (("cmake", "echo cmake version 3.20.6"), ("ninja", "echo 1.11")):
        (bare_path / name).write_text(f"#!/bin/sh\n{words}\n")
        (bare_path / name).chmod(0o755)
    make_wheel(index, "cmake", "echo cmake version 99.0")
    tools = find_tools(log, print)
    assert tools.cmake_version == "99.0"
    assert tools.ninja == bare_path / "ninja"


@_posix
def test_a_cmake_that_cannot_be_had_is_an_error(bare_path: Path, index: Path, log: BuildLog) -> None:
    with pytest.raises(BuildToolError, match=r"(?s)cmake is needed and could not be installed.*No matching"):
        find_tools(log, print)


@_posix
def test_without_ninja_make_will_do(bare_path: Path, index: Path, log: BuildLog) -> None:
    make_wheel(index, "cmake", "echo cmake version 99.0")
    with pytest.raises(BuildToolError, match="ninja is needed"):
        find_tools(log, print)
    (bare_path / "make").write_text("#!/bin/sh\n")
    (bare_path / "make").chmod(0o755)
    said: list[str] = []
    assert find_tools(log, said.append).ninja is None
    assert said[-1] == "ninja cannot be installed; make is used instead."


@_posix
def test_without_pip_tools_cannot_be_installed(bare_path: Path, no_pip: None, log: BuildLog) -> None:
    with pytest.raises(BuildToolError, match=r"cmake is needed, and there is neither pip nor uv"):
        find_tools(log, print)


@_posix
def test_uv_does_when_there_is_no_pip(
    bare_path: Path, no_pip: None, data: Path, log: BuildLog, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    uv = tmp_path / "uv"
    target = data / "tools" / "bin"
    uv.write_text(
        f"#!/bin/sh\nfor name; do :; done\nmkdir -p {target}\n"
        f'printf "#!/bin/sh\\necho version 99.0\\n" > {target}/$name\nchmod 755 {target}/$name\n'
    )
    uv.chmod(0o755)
    monkeypatch.setenv("PATH", f"{bare_path}:/usr/bin:/bin")  # mkdir and chmod; cmake stays hidden below
    real = _which_without("cmake", "ninja")
    monkeypatch.setattr(shutil, "which", lambda name, *rest, **more: str(uv) if name == "uv" else real(name))
    tools = find_tools(log, print)
    assert tools.cmake == target / "cmake"
    assert "pip install --python" in log.path.read_text()
