# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import inspect
import json
import re
from pathlib import Path

import pytest

from subtitle_hooks import SubtitleError, registry
from subtitle_hooks.host import main
from subtitle_hooks.registry import RegistryError, errors

DOCS = Path(__file__).parents[3] / "docs"


def classes():
    return [getattr(errors, name) for name in errors.__all__]


def test_codes_are_unique_and_of_the_registrys_range():
    codes = [error.code for error in classes()]
    assert sorted(codes) == list(range(60, 80))
    assert all(issubclass(error, RegistryError) for error in classes())
    assert issubclass(RegistryError, SubtitleError)


def test_the_tree_in_the_docstring_and_the_table_are_the_tree_in_the_code():
    expected = {error.__name__: error.code for error in classes()}
    drawn = dict(re.findall(r"(\w+Error) +(\d+) ", str(errors.__doc__)))
    assert {name: int(code) for name, code in drawn.items()} == expected
    table = re.findall(r"^\| (\d+) \| `(\w+)` \|", (DOCS / "registry.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert {name: int(code) for code, name in table} == expected


def test_every_public_name_is_there_and_explained():
    for name in registry.__all__:
        value = getattr(registry, name)
        if inspect.isclass(value) or inspect.isfunction(value):
            assert inspect.getdoc(value), name


def test_the_example_of_the_document_runs(wheels, user_folders, monkeypatch, capsys):
    wheels.add_plugin("good")
    wheels.write(wheels.entry())
    (example,) = re.findall(
        r"^```python\n(.*?)^```", (DOCS / "registry.md").read_text("utf-8"), re.DOTALL | re.MULTILINE
    )
    monkeypatch.setenv("SUBTITLE_HOOKS_INDEX", str(wheels.folder))
    exec(compile(example.replace("qwen-asr", "good"), "registry.md", "exec"), {})
    assert capsys.readouterr().out == "good-plugin None 1.0\n"


@pytest.mark.parametrize("command", ["list", "search", "show", "install", "update", "remove", "doctor"])
def test_every_command_takes_json_and_dry_run_before_and_after_its_name(capsys, user_folders, command):
    assert main(["plugins", command, "--help"]) == 0
    out = capsys.readouterr().out
    assert "--json" in out
    assert "--dry-run" in out
    assert max(map(len, out.splitlines())) <= 120
    if command in ("search", "update"):
        for arguments in (["--json", command], [command, "--json"]):
            assert main(["plugins", *arguments]) == 61
            assert json.loads(capsys.readouterr().out)["error"]["code"] == 61


def test_doctor_finds_what_is_wrong(good_site, user_folders, wheels, capsys):
    wheels.add_plugin("good")
    wheels.write(wheels.entry())
    (wheels.folder / "bad").mkdir()
    (wheels.folder / "bad" / "index.json").write_text("{", encoding="utf-8")
    arguments = ["plugins", "doctor", "--json", "--index", str(wheels.folder)]
    main(arguments)
    findings = json.loads(capsys.readouterr().out)
    assert {one["subject"] for one in findings} == {"python", "contract", "installer", "index", "plugin"}
    assert [one["level"] for one in findings if one["subject"] == "index"] == ["ok"]
    assert main([*arguments, "--index", str(wheels.folder / "bad")]) == 1
    findings = json.loads(capsys.readouterr().out)
    (problem,) = [one["text"] for one in findings if (one["subject"], one["level"]) == ("index", "problem")]
    assert "line 1, column 2" in problem
