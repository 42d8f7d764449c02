# SPDX-License-Identifier: Apache-2.0
"""What holds on every system: messages, hints, files that are no libraries, and the check in the child process."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from qwen_asr_native import interrogate
from qwen_asr_native.dependencies import MissingDependency, check_dependencies, find_missing, needed
from qwen_asr_native.dependencies.hints import missing_hint, version_hint
from qwen_asr_native.errors import DependencyError, LibraryError, LibraryLoadError
from qwen_asr_native.loading import open_library


@pytest.fixture
def extension() -> Path:
    """A library that loads."""
    path = getattr(sys.modules.get("_ctypes"), "__file__", None)
    if path is None:
        pytest.skip("this Python has no extension modules in files")
    return Path(path)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "the file is empty"),
        (b"this is text", r"it is not a shared library \(it starts with b'this is text'\)"),
        (b"!<arch>\n" + bytes(100), "it is a static library"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"\xca\xfe\xba\xbe\0\0\0\x34" + bytes(100), "it is not a shared library"),  # a Java class
        (b"\x7fELF", "too short|not for this system"),
        (b"\xcf\xfa\xed\xfe", "damaged or cut off|not for this system"),
        (b"MZ", "damaged or cut off|not for this system"),
    ],
)
def test_what_is_no_library(data: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "libllama.so"
    path.write_bytes(data)
    for function in (find_missing, check_dependencies):
        with pytest.raises(LibraryLoadError, match=rf"libllama\.so: the system cannot load this library: .*({said})"):
            function(path)
    with pytest.raises(LibraryLoadError, match=r"libllama\.so: cannot be read as a shared library: "):
        needed(path)


def test_what_is_not_there(tmp_path: Path) -> None:
    for function in (find_missing, check_dependencies, needed):
        with pytest.raises(LibraryLoadError, match="No such file"):
            function(tmp_path / "libllama.so")
        with pytest.raises(LibraryLoadError):
            function(tmp_path)


def test_on_a_system_that_is_not_known_the_loader_decides(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "libllama.so"
    path.write_bytes(b"a format of that system")
    monkeypatch.setattr(sys, "platform", "aix")
    assert find_missing(path) == []


def test_without_the_parser_the_loader_decides(monkeypatch: pytest.MonkeyPatch, extension: Path) -> None:
    path = extension
    for name in [name for name in sys.modules if name.split(".")[0] in ("elftools", "macholib", "pefile")]:
        monkeypatch.delitem(sys.modules, name)
    for name in ("elftools", "macholib", "pefile"):
        monkeypatch.setitem(sys.modules, name, None)
    for name in [name for name in sys.modules if name.startswith("qwen_asr_native.dependencies.elf")]:
        monkeypatch.delitem(sys.modules, name)
    assert find_missing(path) == []
    with pytest.raises(LibraryError, match=r"pip install (pyelftools|macholib|pefile)"):
        needed(path)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("libcudart.so.12", "nvidia-cuda-runtime-cu12"),
        ("cublas64_13.dll", "nvidia-cuda-runtime-cu13"),
        ("libcublasLt.so.12", "CUDA runtime 12"),
        ("libcuda.so.1", "NVIDIA driver"),
        ("libvulkan.so.1", "Vulkan loader"),
        ("vulkan-1.dll", "Vulkan loader"),
        ("@rpath/libvulkan.1.dylib", "Vulkan loader"),
        ("libgomp.so.1", "libgomp1"),
        ("/opt/homebrew/opt/libomp/lib/libomp.dylib", "brew install libomp"),
        ("VCRUNTIME140_1.dll", "Visual C++"),
        ("MSVCP140.dll", "Visual C++"),
        ("VCOMP140.DLL", "Visual C++"),
        ("libstdc++.so.6", "apt install libstdc++6"),
        ("ld-linux-x86-64.so.2", "musl"),
        ("libc.musl-x86_64.so.1", "manylinux"),
        ("libopenblas.so.0", "OpenBLAS"),
        ("@rpath/libggml-base.dylib", "same build"),
        ("ggml.dll", "same build"),
        ("libsomething.so.3", "put it beside /x/liba.so"),
    ],
)
def test_every_known_library_has_its_advice(name: str, said: str) -> None:
    assert said in missing_hint(name, Path("/x/liba.so")).replace("\\", "/")


def test_advice_on_versions() -> None:
    assert "C library is older" in version_hint("GLIBC_2.38")
    assert "C++ runtime is older" in version_hint("GLIBCXX_3.4.32")
    assert "newer version" in version_hint("LIBV_2")


def test_alike_problems_are_told_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def problem(name: str) -> MissingDependency:
        return MissingDependency(
            name=name, needed_by=Path("llama.dll"), searched=("here", "there"), hint="Install it.", reason="missing"
        )

    monkeypatch.setattr(
        "qwen_asr_native.dependencies.finding.find_missing", lambda path: [problem("a.dll"), problem("b.dll")]
    )
    with pytest.raises(DependencyError) as error:
        check_dependencies(tmp_path / "llama.dll")
    assert str(error.value) == (
        f"{tmp_path / 'llama.dll'}: the system cannot load this library: a.dll, b.dll, needed by llama.dll: missing. "
        "Looked in: here; there. Install it."
    )


def test_the_child_tells_which_error_it_was(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "libllama.so"
    path.write_bytes(b"this is text")
    assert interrogate.main([str(path)]) == 1
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert records[-1]["code"] == "library-not-loadable"
    assert "it is not a shared library" in records[-1]["error"]


def test_in_the_child_the_loader_has_the_last_word(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], extension: Path
) -> None:
    """A library that loads is examined, whatever the check thought was missing."""

    def complain(path: Path) -> None:
        raise DependencyError("libneeded.so is missing")

    monkeypatch.setattr(interrogate, "check_dependencies", complain)
    assert interrogate.main([str(extension)]) == 0
    monkeypatch.setattr(interrogate, "open_library", lambda path: open_library(Path("/nowhere/libllama.so")))
    assert interrogate.main(["libllama.so"]) == 1
    record = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert record == {"error": "libneeded.so is missing", "code": "library-dependency-missing"}


def test_open_library_adds_what_the_system_says(tmp_path: Path) -> None:
    path = tmp_path / "libllama.so"
    path.write_bytes(b"this is text")
    with pytest.raises(
        LibraryLoadError, match=r"the system cannot load this library: it is not.*\(The system says: .+\)"
    ):
        open_library(path)
