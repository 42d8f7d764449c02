# SPDX-License-Identifier: Apache-2.0
"""Real pip, real virtual environments, wheels written by the test."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest


def test_from_a_folder_of_wheels_without_network(environment, wheels):
    wheels.add("tiny-helper", "3.0", files={"tiny_helper.py": "VALUE = 3\n"})
    wheels.add_plugin("good", requires=("tiny-helper>=2", "subtitle-hooks>=0.1"))
    wheels.write(wheels.entry(dependencies=[wheels.described(wheels.folder / "tiny_helper-3.0-py3-none-any.whl")]))
    dry = environment.files()
    done = environment.plugins("install", "--index", wheels.folder, "--dry-run", "good", network=False)
    assert done.returncode == 0, done.stderr
    assert "would be installed" in done.stdout
    assert "tiny-helper 3.0" in done.stdout
    assert environment.files() == dry

    done = environment.plugins("install", "--index", wheels.folder, "good", network=False)
    assert done.returncode == 0, done.stderr
    assert "good 1.0 is installed and works" in done.stdout
    assert "backends: good" in done.stdout
    assert environment.versions() == {"good_plugin": "1.0", "tiny_helper": "3.0"}
    listed = json.loads(environment.plugins("list", "--json", network=False).stdout)
    assert [one["name"] for one in listed["backends"]] == ["good"]

    again = environment.plugins("install", "--index", wheels.folder, "good", "--json", network=False)
    assert (again.returncode, json.loads(again.stdout)[0]["changes"]) == (0, [])


def test_from_a_server(environment, wheels, server):
    wheels.add_plugin("good")
    wheels.write(wheels.entry())
    done = environment.plugins("install", "--json", "--index", f"{server.url}/", "good")
    assert done.returncode == 0, done.stderr
    (report,) = json.loads(done.stdout)
    assert report["backends"] == ["good"]
    assert [(one["distribution"], one["old"], one["new"]) for one in report["changes"]] == [
        ("good-plugin", None, "1.0")
    ]
    assert report["changes"][0]["sha256"] == wheels.entry()["wheels"][0]["sha256"]
    assert "good_plugin-1.0-py3-none-any.whl" in done.stderr
    # The copy of the index serves when the server is gone; wheels are not kept.
    server.stop()
    listed = environment.plugins("search", "--offline", "--index", f"{server.url}/")
    assert re.search(r"^good +1\.0 +1\.0 +The example good$", listed.stdout, re.MULTILINE)
    assert "less than a minute old" in listed.stderr


@pytest.fixture(scope="module")
def untouched(template, tmp_path_factory, new_environment):
    """One environment for all refusals: each test proves that it stays as it is."""
    return new_environment(tmp_path_factory.mktemp("untouched"))


def change_a_byte(wheels, entry):
    path = wheels.folder / entry["wheels"][0]["location"]
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def add_a_byte(wheels, entry):
    path = wheels.folder / entry["wheels"][0]["location"]
    path.write_bytes(path.read_bytes() + b"\n")


REFUSED = {
    "changed byte": (70, "HashMismatchError", change_a_byte),
    "longer wheel": (70, "HashMismatchError", add_a_byte),
    "missing wheel": (78, "DownloadError", lambda w, e: (w.folder / e["wheels"][0]["location"]).unlink()),
    "newer contract": (67, "ContractVersionError", lambda w, e: e.update(api_version={"min": 2, "max": 3})),
    "wrong python": (68, "PythonVersionError", lambda w, e: e.update(python=">=3.99")),
    "wrong platform": (69, "PlatformError", lambda w, e: e.update(platforms=["windows-arm64"])),
    "yanked": (71, "YankedError", lambda w, e: e.update(yanked="eats subtitles")),
    "malformed": (63, "IndexInvalidError", lambda w, e: e["wheels"][0].update(sha256="123")),
    "unknown name": (66, "PluginNotListedError", lambda w, e: e.update(name="other", distribution="good-plugin")),
    "missing dependency": (74, "InstallFailedError", None),
}


@pytest.mark.parametrize(("code", "name", "spoil"), REFUSED.values(), ids=REFUSED)
def test_refusals_change_nothing(untouched, wheels, code, name, spoil):
    wheels.add_plugin("good", requires=("nowhere-to-be-found",) if spoil is None else ())
    entry = wheels.entry()
    if name == "PluginNotListedError":
        entry["name"] = "other"
        entry["distribution"] = "good-plugin"
    elif spoil is not None:
        spoil(wheels, entry)
    wheels.write(entry)
    before = untouched.files()
    wanted = "good" if name != "PluginNotListedError" else "gooood"
    done = untouched.plugins("install", "--json", "--index", wheels.folder, wanted, network=False)
    assert done.returncode == code, done.stderr
    error = json.loads(done.stdout)["error"]
    assert (error["class"], error["code"]) == (name, code)
    assert error["hint"]
    assert untouched.files() == before


@pytest.mark.parametrize(
    ("path", "code", "words"),
    [
        ("redirect/file:///etc/passwd", 65, "another scheme"),
        ("redirect/ftp://127.0.0.1/index.json", 65, "another scheme"),
        ("redirect/https://127.0.0.1/index.json", 65, "another scheme"),
        ("huge", 64, "larger than 8 MB"),
        ("status/404", 62, "404"),
    ],
)
def test_bad_servers_change_nothing(untouched, server, path, code, words):
    before = untouched.files()
    done = untouched.plugins("install", "--index", f"{server.url}/{path}", "good")
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert untouched.files() == before


BAD_PROOFS = {
    "fails to import": ("raise RuntimeError('no GPU')", "no GPU"),
    "crashes": ("import os\nos.abort()", "crashed with SIGABRT" if os.name != "nt" else "crashed"),
    "offers nothing": (
        "from subtitle_hooks import hookimpl\n@hookimpl\ndef subtitle_backends():\n    return []\n",
        "offers no backend",
    ),
    "prints": ("print('hello')\n{good}", "prints to standard output"),
}


@pytest.fixture(scope="module")
def settled(tmp_path_factory, new_environment, new_wheels):
    """An environment with good 1.0 and its helper; each test that uses it proves that it stays as it is."""
    folder = tmp_path_factory.mktemp("settled")
    environment, wheels = new_environment(folder), new_wheels(folder / "wheels")
    wheels.add("tiny-helper", "1.0", files={"tiny_helper.py": "VALUE = 1\n"})
    wheels.add_plugin("good", "1.0", requires=("tiny-helper<2",))
    helper = wheels.described(wheels.folder / "tiny_helper-1.0-py3-none-any.whl")
    wheels.write(wheels.entry(dependencies=[helper]))
    done = environment.plugins("install", "--index", wheels.folder, "good")
    assert done.returncode == 0, done.stderr
    assert environment.versions() == {"good_plugin": "1.0", "tiny_helper": "1.0"}
    return environment


@pytest.mark.parametrize(("code", "reason"), BAD_PROOFS.values(), ids=BAD_PROOFS)
def test_an_upgrade_that_fails_the_proof_leaves_the_old_version_working(settled, wheels, plugin_code, code, reason):
    wheels.add("tiny-helper", "2.0", files={"tiny_helper.py": "VALUE = 2\n", "tiny_more.py": ""})
    helper = wheels.described(wheels.folder / "tiny_helper-2.0-py3-none-any.whl")
    code = code.format(good=plugin_code(name="good", version="2.0"))
    wheels.add_plugin("good", "2.0", code=code, requires=("tiny-helper>=2",))
    wheels.write(wheels.entry(version="2.0", dependencies=[helper]))
    before = settled.files()
    done = settled.plugins("update", "--index", wheels.folder, "good")
    assert done.returncode == 75, done.stdout + done.stderr
    assert reason in done.stderr
    assert "taken back" in done.stderr
    assert settled.files() == before
    listed = json.loads(settled.plugins("list", "--json").stdout)
    assert [(one["name"], one["version"]) for one in listed["backends"]] == [("good", "1.0")]


def test_a_plugin_that_breaks_another_is_taken_back(settled, wheels, plugin_code):
    # The same backend name from another distribution: neither could be used.
    wheels.add_plugin("rival", code=plugin_code(name="good", version="1.0"))
    wheels.write(wheels.entry("rival"))
    before = settled.files()
    done = settled.plugins("install", "--index", wheels.folder, "rival")
    assert done.returncode == 75
    assert "offered by good-plugin" in done.stderr
    assert settled.files() == before


def test_update_then_remove(environment, wheels):
    wheels.add("tiny-helper", "1.0", files={"tiny_helper.py": "VALUE = 1\n"})
    helpers = [wheels.described(wheels.folder / "tiny_helper-1.0-py3-none-any.whl")]
    data = [{"what": "models", "where": "{home}/good-models"}]
    for version in ("1.0", "2.0"):
        wheels.add_plugin("good", version, requires=("tiny-helper",))
    wheels.write(wheels.entry(dependencies=helpers))
    empty = environment.files()
    index = {"SUBTITLE_HOOKS_INDEX": str(wheels.folder)}
    assert environment.plugins("install", "good", **index).returncode == 0
    assert environment.plugins("update", **index).stdout == "good-plugin: up to date\n"
    wheels.write(wheels.entry(dependencies=helpers), wheels.entry(version="2.0", dependencies=helpers, data=data))
    done = environment.plugins("update", "--json", **index)
    assert [one["version"] for one in json.loads(done.stdout)] == ["2.0"]
    assert environment.versions()["good_plugin"] == "2.0"

    models = environment.home / "good-models"
    models.mkdir()
    (models / "model.bin").write_bytes(bytes(2_500_000))
    before = environment.files()
    done = environment.plugins("remove", "--dry-run", "good", **index)
    assert "would be removed" in done.stdout
    assert environment.files() == before
    done = environment.plugins("remove", "good", **index)
    assert done.returncode == 0, done.stderr
    assert f"left behind: models: {models} (2.5 MB)" in done.stdout
    assert "pip uninstall tiny-helper" in done.stdout
    assert models.is_dir()
    assert environment.versions() == {"tiny_helper": "1.0"}
    assert {name for name in environment.files() if "tiny_helper" not in name} - set(empty) <= {
        # pip made it for the helper's bytecode
        next(name for name in environment.files() if name.endswith("site-packages")) + "/__pycache__"
    }
    again = environment.plugins("remove", "good", **index)
    assert again.returncode == 77
    assert "no installed plugin is called 'good'" in again.stderr


def test_what_is_installed_and_fits_is_left_alone(environment, wheels):
    wheels.add("tiny-helper", "1.0", files={"tiny_helper.py": "VALUE = 1\n"})
    wheels.add("tiny-helper", "2.0", files={"tiny_helper.py": "VALUE = 2\n"})
    helpers = [wheels.described(path) for path in sorted(wheels.folder.glob("tiny_*.whl"))]
    wheels.add_plugin("old", requires=("tiny-helper<2",))
    wheels.add_plugin("good", requires=("tiny-helper",))
    wheels.write(wheels.entry("old", dependencies=helpers), wheels.entry(dependencies=helpers))
    assert environment.plugins("install", "--index", wheels.folder, "old", "good").returncode == 0
    assert environment.versions() == {"good_plugin": "1.0", "old_plugin": "1.0", "tiny_helper": "1.0"}


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_ctrl_c_during_the_proof_takes_back(settled, wheels):
    wheels.add_plugin("good", "2.0", code="import time\ntime.sleep(60)")
    wheels.write(wheels.entry(version="2.0"))
    before = settled.files()
    process = subprocess.Popen(
        settled.command("install", "--index", wheels.folder, "good"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=settled.variables(SUBTITLE_HOOKS_CHECK_SECONDS="60"),
    )
    assert process.stderr is not None
    for line in process.stderr:
        if "proving" in line:
            break
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert "putting back" in err
    assert "Traceback" not in err
    assert settled.files() == before


def test_an_environment_of_the_system_is_left_alone(monkeypatch, tmp_path):
    from subtitle_hooks.registry import ManagedEnvironmentError
    from subtitle_hooks.registry._installer import find_installer

    (tmp_path / "EXTERNALLY-MANAGED").write_text("[externally-managed]\n", encoding="utf-8")
    monkeypatch.setattr("sysconfig.get_path", lambda _name: str(tmp_path))
    find_installer("good")  # a virtual environment is the user's own
    monkeypatch.setattr("sys.prefix", sys.base_prefix)
    with pytest.raises(ManagedEnvironmentError, match="plugins install good") as caught:
        find_installer("good")
    assert "-m venv" in caught.value.hint


def without_pip(environment):
    for path in environment.folder.rglob("site-packages/pip*"):
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(path)


def test_without_any_installer_nothing_happens(environment, wheels, tmp_path):
    wheels.add_plugin("good")
    wheels.write(wheels.entry())
    without_pip(environment)
    before = environment.files()
    done = environment.plugins("install", "--index", wheels.folder, "good", PATH=str(tmp_path))
    assert done.returncode == 72
    assert "-m ensurepip" in done.stderr
    assert environment.files() == before


@pytest.mark.skipif(not shutil.which("uv"), reason="uv is not on the PATH (pip install uv)")
def test_uv_where_pip_is_absent(environment, wheels):
    wheels.add("tiny-helper", "1.0", files={"tiny_helper.py": "VALUE = 1\n"})
    helpers = [wheels.described(wheels.folder / "tiny_helper-1.0-py3-none-any.whl")]
    wheels.add_plugin("good", "1.0", requires=("tiny-helper",))
    wheels.add_plugin("good", "2.0", code="raise RuntimeError('no GPU')", requires=("tiny-helper",))
    wheels.write(wheels.entry(dependencies=helpers), wheels.entry(version="2.0", dependencies=helpers))
    without_pip(environment)
    done = environment.plugins("install", "--index", wheels.folder, "good==1.0", network=False)
    assert done.returncode == 0, done.stderr
    assert environment.versions() == {"good_plugin": "1.0", "tiny_helper": "1.0"}
    before = environment.files()
    done = environment.plugins("update", "--index", wheels.folder, network=False)
    assert done.returncode == 75, done.stdout + done.stderr
    assert environment.files() == before
    assert environment.plugins("remove", "good", "--index", wheels.folder).returncode == 0
    assert environment.versions() == {"tiny_helper": "1.0"}
