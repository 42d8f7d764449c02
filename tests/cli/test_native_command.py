# SPDX-License-Identifier: Apache-2.0
"""``qwen-asr-plugin native``: build, list, test, remove, on a stand-in for the source of llama.cpp."""

import json
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import pytest

from qwen_asr_native import load_library
from qwen_asr_plugin.errors import LibraryNotFoundError, NativeBuildError

STAND_IN = Path(__file__).parents[1] / "native" / "stand_in"
_MISSING = [name for name in ("cmake", "ninja", "c++") if shutil.which(name) is None]
_builds = [
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the stand-in links to a Python extension"),
    pytest.mark.skipif(bool(_MISSING), reason=f"needs {', '.join(_MISSING)}"),
]


@pytest.fixture
def native(plugin_cli, tmp_path, monkeypatch):
    """The command with a data folder of its own."""
    for variable in ("CC", "CXX", "QWEN_ASR_LIBLLAMA"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("QWEN_ASR_DATA_DIR", str(tmp_path / "data"))
    return lambda *arguments: plugin_cli("native", *arguments)


@pytest.fixture
def real():
    pytest.importorskip("xllamacpp", reason="needs a libllama that another library can link to")
    return f"STAND_IN_LIBLLAMA={load_library('xllamacpp').path}"


def test_help_teaches(native):
    assert all(command in native("--help").stdout for command in ("build", "list", "remove", "test"))
    done = native("build", "--help")
    assert "Examples" in done.stdout
    for option in ("--metal", "--cuda", "--vulkan", "--blas", "--portable", "--jobs", "--build-dir", "--keep-build"):
        assert option in done.stdout


def test_nothing_built(native):
    done = native("list")
    assert done.returncode == 0
    assert "native build" in done.stderr
    assert json.loads(native("list", "--json").stdout) is None
    assert json.loads(native("remove", "--json").stdout) == {"removed": []}
    done = native("test", "built")
    assert done.returncode == LibraryNotFoundError.code
    assert "Build it with: qwen-asr-plugin native build" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere"], "no such file or folder"),
        (["tree", "-D", "X"], "NAME=VALUE"),
        (["tree"], "1 missing:\n    src/llama.cpp\n"),
    ],
)
def test_a_build_that_cannot_be_is_status_105(arguments, words, native, tmp_path, monkeypatch):
    shutil.copytree(STAND_IN, tmp_path / "tree")
    (tmp_path / "tree" / "src" / "llama.cpp").unlink()
    monkeypatch.chdir(tmp_path)
    done = native("build", *arguments)
    assert done.returncode == NativeBuildError.code == 105
    assert words in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["ik-llama-cpp-python", "xllamacpp"])
def test_any_library_can_be_tested(name, native):
    pytest.importorskip(name.replace("-", "_").removesuffix("_python"))
    facts = json.loads(native("test", name, "--json").stdout)
    assert facts["provider"] == name
    assert facts["selftest"]["passed"] is True
    assert facts["selftest"]["difference"] < 0.05
    assert facts["selftest"]["rows_difference"] == 0
    assert len(set(facts["selftest"]["tokens"])) > 3


def test_what_is_no_library_does_not_pass(native, tmp_path):
    file = tmp_path / "libllama.so"
    file.write_bytes(b"\x7fELF" + bytes(100))
    done = native("test", file)
    assert done.returncode not in (0, 1, 139)
    assert str(file) in done.stderr
    assert "Traceback" not in done.stderr


class TestBuilding:
    pytestmark = _builds

    def test_build_use_remove(self, native, real, plugin_cli, sample_video, tmp_path):
        done = native("build", STAND_IN, "-D", real, "--json")
        assert done.returncode == 0, done.stderr
        for words in (str(STAND_IN), str(tmp_path / "data" / "libllama"), "10 minutes", "Installed", ".log"):
            assert words in done.stderr
        facts = json.loads(done.stdout)
        folder = Path(facts["folder"])
        assert (folder / facts["library"]).is_file()
        assert facts["changed_files"] == []

        assert json.loads(native("list", "--json").stdout) == facts
        listing = native("list").stderr
        assert str(folder) in listing
        assert facts["compiler"] in listing

        tested = json.loads(native("test", "--json").stdout)  # the one in use
        assert tested["provider"] == "built"
        assert Path(tested["path"]).parent == folder.resolve()

        (tmp_path / "out").mkdir()
        done = plugin_cli("transcribe", sample_video, "-o", tmp_path / "out", "--libllama", "built")
        assert done.returncode == 0, done.stderr
        assert list((tmp_path / "out").glob("*.srt"))

        done = native("remove")
        assert done.returncode == 0
        assert f"Removed {folder}" in done.stderr
        assert not folder.exists()
        assert native("remove", "--all").returncode == 0
        assert not (tmp_path / "data" / "logs").exists()

    def test_ctrl_c_is_status_130_and_leaves_nothing_running(self, native, real, tmp_path):
        pid = tmp_path / "pid"
        launcher = tmp_path / "launcher"
        launcher.write_text(f'#!/bin/sh\ncase "$*" in *ggml.c.o*-c*) echo $$ > {pid}; exec sleep 60;; esac\n"$@"\n')
        launcher.chmod(0o755)
        command = [str(Path(sysconfig.get_path("scripts"), "qwen-asr-plugin")), "native", "build", str(STAND_IN)]
        command += ["-D", real, "-D", f"CMAKE_C_COMPILER_LAUNCHER={launcher}"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            _wait_for(lambda: pid.is_file() and pid.read_text().strip())
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=30)
        assert process.returncode == 130
        assert "The same command goes on from there" in said
        assert "Traceback" not in said
        _wait_for(lambda: not Path("/proc", pid.read_text().strip()).exists())
        assert json.loads(native("list", "--json").stdout) is None


def _wait_for(condition):
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)
