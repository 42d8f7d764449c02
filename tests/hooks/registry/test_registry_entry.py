# SPDX-License-Identifier: Apache-2.0
"""Writing the index of a folder of wheels."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from subtitle_hooks.registry import parse_index
from subtitle_hooks.registry.entry import main

SCHEMA = Path(__file__).parents[3] / "docs" / "registry-index.schema.json"


@pytest.fixture
def write(wheels, capsys):
    def run(*options):
        status = main([str(wheels.folder), *options])
        captured = capsys.readouterr()
        index = wheels.folder / "index.json"
        entries = json.loads(index.read_text(encoding="utf-8"))["plugins"] if index.exists() else []
        return status, captured.out + captured.err, entries

    return run


@pytest.fixture
def folder(wheels):
    wheels.add_plugin("good", requires=("tiny-helper>=1", "extra-thing; extra == 'more'", "win-only; os_name == 'x'"))
    wheels.add("tiny-helper", requires=("deeper",))
    wheels.add("deeper", tag="cp310-abi3-manylinux_2_17_x86_64.manylinux2014_x86_64")
    wheels.add("deeper", tag="cp310-abi3-macosx_11_0_arm64")
    wheels.add("unrelated")
    return wheels


def test_an_entry_says_everything(folder, write):
    status, out, (entry,) = write("--data", "models={user_data}/good")
    assert status == 0, out
    assert "good 1.0" in out
    jsonschema.validate({"format": 1, "plugins": [entry]}, json.loads(SCHEMA.read_text(encoding="utf-8")))
    own = folder.described(folder.folder / "good_plugin-1.0-py3-none-any.whl")
    assert entry["wheels"] == [own]
    assert [one["location"].split("-")[0] for one in entry["dependencies"]] == ["deeper", "deeper", "tiny_helper"]
    assert entry["platforms"] == ["linux-x86_64", "macos-arm64"]
    assert (entry["licence"], entry["homepage"], entry["python"]) == ("MIT", "https://example.org/", ">=3.10")
    assert entry["api_version"] == {"min": 1, "max": 1}
    assert entry["data"] == [{"what": "models", "where": "{user_data}/good"}]
    assert entry["summary"] == "The example good-plugin"


def test_an_index_grows_with_versions(folder, write):
    write()
    folder.add_plugin("good", "1.10", requires=("tiny-helper",))
    folder.add_plugin("good", "1.9", requires=("tiny-helper",))
    status, _, entries = write("--yank", "good==1.9=eats cues", "--api-version", "1-2")
    assert status == 0
    assert [(one["version"], one.get("yanked")) for one in entries] == [
        ("1.0", None),
        ("1.9", "eats cues"),
        ("1.10", None),
    ]
    (folder.folder / "good_plugin-1.9-py3-none-any.whl").unlink()
    assert len(write()[2]) == 3
    assert not list(folder.folder.glob(".*"))


def test_a_missing_dependency_is_named(folder, write):
    (folder.folder / "tiny_helper-1.0-py3-none-any.whl").unlink()
    status, out, entries = write()
    assert (status, entries) == (79, [])
    assert "tiny-helper>=1" in out
    assert "pip wheel" in out
    status, _, (entry,) = write("--open-ended")
    assert status == 0
    assert "dependencies" not in entry


@pytest.mark.parametrize(
    ("options", "status"),
    [
        (["--data", "models"], 2),
        (["--yank", "good==1.0"], 2),
        (["--yank", "bad==1=x"], 79),
        (["--api-version", "x"], 2),
    ],
)
def test_options_that_make_no_sense(folder, write, options, status):
    assert write(*options)[0] == status


def test_folders_that_make_no_sense(wheels, write):
    assert write()[0] == 79
    (wheels.folder / "good_plugin-1.0-py3-none-any.whl").write_bytes(b"PK")
    assert write()[0] == 79


def test_what_is_written_can_be_installed(folder, write, environment):
    (folder.folder / "deeper-1.0-cp310-abi3-macosx_11_0_arm64.whl").unlink()
    (folder.folder / "deeper-1.0-cp310-abi3-manylinux_2_17_x86_64.manylinux2014_x86_64.whl").unlink()
    folder.add("deeper")
    write()
    assert parse_index((folder.folder / "index.json").read_bytes(), "i")
    done = environment.plugins("install", "good", "--index", folder.folder, network=False)
    assert done.returncode == 0, done.stderr
