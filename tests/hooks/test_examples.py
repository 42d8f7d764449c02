# SPDX-License-Identifier: Apache-2.0
"""The example packages, installed from their own projects and started through their entry points."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import wave
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"


@pytest.fixture(scope="session")
def installed(tmp_path_factory) -> Path:
    """Install both examples into an empty folder."""
    target = tmp_path_factory.mktemp("installed")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(target)]
    if importlib.util.find_spec("hatchling"):
        command.append("--no-build-isolation")  # no need to fetch the build tool
    subprocess.run([*command, str(EXAMPLES / "example-backend"), str(EXAMPLES / "example-host")], check=True)
    return target


@pytest.fixture
def start(installed, tmp_path):
    """Run a command in a folder of its own, with the installed examples and no other plugin."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(installed), os.environ.get("PYTHONPATH", "")]),
        "PYTHONDONTWRITEBYTECODE": "1",
        "SUBTITLE_HOOKS_PLUGINS": "example-subtitle-backend",
    }

    def run(*command):
        return subprocess.run(
            [str(part) for part in command],
            check=False,
            capture_output=True,
            text=True,
            env=environment,
            cwd=tmp_path,
            timeout=60,
        )

    return run


@pytest.fixture
def talk(tmp_path) -> Path:
    folder = tmp_path / "talks"
    folder.mkdir()
    with wave.open(str(folder / "talk.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(bytes(2 * 16000 * 6))
    (folder / "talk.txt").write_text("One two three. Four five six seven! Eight?", encoding="utf-8")
    return folder / "talk.wav"


EXPECTED = """\
1
00:00:00,000 --> 00:00:02,100
One two three.

2
00:00:02,100 --> 00:00:05,100
Four five six seven!

3
00:00:05,100 --> 00:00:06,000
Eight?

"""


def test_the_reference_host_finds_the_example_backend(start):
    found = json.loads(start(sys.executable, "-m", "subtitle_hooks.host", "plugins", "--json").stdout)
    assert [(one["name"], one["distribution"]) for one in found["backends"]] == [
        ("read-along", "example-subtitle-backend")
    ]
    assert found["broken"] == []


def test_the_reference_host_runs_the_example_backend(start, talk):
    done = start(sys.executable, "-m", "subtitle_hooks.host", "run", "-q", talk)
    assert (done.returncode, done.stderr) == (0, "")
    assert Path(done.stdout.strip()).read_text(encoding="utf-8") == EXPECTED
    assert done.stdout.strip().endswith("talk.und.srt")


def test_the_reference_host_refuses_what_the_example_backend_cannot_do(start, talk):
    done = start(sys.executable, "-m", "subtitle_hooks.host", "run", "--start", "1", talk)
    assert done.returncode == 2
    assert "'read-along' cannot work on a part of a file" in done.stderr


def test_the_example_host_makes_subtitles_for_a_folder(start, talk, installed):
    script = installed / "bin" / ("subtitle-folder.exe" if os.name == "nt" else "subtitle-folder")
    (talk.parent / "notes.md").write_text("not a media file", encoding="utf-8")
    done = start(script, talk.parent, "en")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{talk.with_name('talk.en.srt')}\n"
    assert talk.with_name("talk.en.srt").read_text(encoding="utf-8") == EXPECTED
    assert {path.name for path in talk.parent.iterdir()} == {"notes.md", "talk.wav", "talk.txt", "talk.en.srt"}

    again = start(script, talk.parent, "en")
    assert (again.returncode, again.stdout) == (0, "")
    assert "has subtitles already" in again.stderr


def test_the_example_host_goes_on_after_a_failure(start, talk, installed):
    (talk.parent / "a-broken.wav").write_bytes(b"RIFF")
    (talk.parent / "a-broken.txt").write_text("Text.", encoding="utf-8")
    done = start(sys.executable, "-m", "example_host", talk.parent, "en")
    assert done.returncode == 1
    assert "a-broken.wav" in done.stderr
    assert done.stdout == f"{talk.with_name('talk.en.srt')}\n"


@pytest.mark.parametrize("name", ["example-backend", "example-host"])
def test_their_own_tests_pass(start, name):
    done = start(
        *(sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", "--rootdir", "."),
        *("-c", os.devnull, EXAMPLES / name / "tests"),
    )
    assert done.returncode == 0, done.stdout + done.stderr
