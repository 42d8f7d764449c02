# SPDX-License-Identifier: Apache-2.0
"""Which release is taken, and why not another."""

from __future__ import annotations

import pytest

from subtitle_hooks import RequestError
from subtitle_hooks.registry import (
    ContractVersionError,
    IndexInvalidError,
    PlatformError,
    PluginNotListedError,
    PythonVersionError,
    YankedError,
    listed,
    parse_requirement,
    read_index,
)


@pytest.fixture
def choose(wheels):
    """Choose from an index of versions, each with changes of its entry."""

    def chosen(wanted, **versions):
        entries = []
        for version, fields in versions.items():
            version = version.removeprefix("v").replace("_", ".")
            wheels.add_plugin("good", version)
            entries.append(wheels.entry(version=version, **fields))
        index = read_index(str(wheels.write(*entries)))
        requirement = parse_requirement(wanted)
        release, problems = listed(requirement.name, [index]).choose(requirement)
        return str(release.version), [type(problem).__name__ for problem in problems]

    return chosen


OLD_PYTHON = {"python": "<3.10"}


def test_the_newest_that_fits(choose):
    assert choose("good", v1_9={}, v1_10={}, v1_2={}) == ("1.10", [])
    assert choose("good==1.9", v1_9={}, v1_10={}) == ("1.9", [])
    assert choose("good", v1_0={}, v2_0=OLD_PYTHON) == ("1.0", ["PythonVersionError"])
    assert choose("good", v1_0={}, v2_0={"yanked": "bad"}) == ("1.0", [])
    assert choose("good", v1_0={}, v2_0a1={}) == ("1.0", [])
    assert choose("good", v2_0a1={}) == ("2.0a1", [])
    assert choose("Good_Plugin", v1_0={}) == ("1.0", [])


@pytest.mark.parametrize(
    ("fields", "error", "words"),
    [
        ({"yanked": "eats cues"}, YankedError, "eats cues"),
        ({"api_version": {"min": 2, "max": 2}}, ContractVersionError, "pip install --upgrade subtitle-hooks"),
        (OLD_PYTHON, PythonVersionError, "needs Python <3.10"),
        ({"platforms": ["windows-arm64"]}, PlatformError, "windows-arm64"),
    ],
)
def test_nothing_fits(choose, fields, error, words):
    for wanted in ("good", "good==1.0"):
        with pytest.raises(error, match=words):
            choose(wanted, v1_0=fields)


def test_a_wheel_for_another_platform_does_not_fit(wheels):
    wheels.add_plugin("good", tag="cp37-cp37m-win32")
    index = read_index(str(wheels.write(wheels.entry())))
    with pytest.raises(PlatformError):
        listed("good", [index]).choose(parse_requirement("good"))


def test_names_and_versions_that_are_not_there(choose):
    with pytest.raises(PluginNotListedError, match=r"There is 1\.0"):
        choose("good==7", v1_0={})
    with pytest.raises(PluginNotListedError, match="Listed: good"):
        choose("gold", v1_0={})


@pytest.mark.parametrize("text", ["", "a b", "good>=1", "good==", "good==x y", "--help", "good==one"])
def test_requirements_are_a_name_and_perhaps_a_version(text):
    with pytest.raises(RequestError, match="NAME==VERSION"):
        parse_requirement(text)


def test_the_first_index_that_has_the_name_counts(wheels, new_wheels, tmp_path):
    wheels.add_plugin("good", "1.0")
    first = read_index(str(wheels.write(wheels.entry())))
    other = new_wheels(tmp_path / "other")
    other.add_plugin("good", "9.0")
    other.add_plugin("extra", "1.0")
    second = read_index(str(other.write(other.entry(version="9.0"), other.entry("extra"))))
    assert str(listed("good", [first, second]).releases[0].version) == "1.0"
    assert listed("extra", [first, second]).index is second


def test_an_index_from_the_web_cannot_name_files_of_this_machine(wheels, server, environment):
    wheels.add_plugin("good")
    entry = wheels.entry()
    entry["wheels"][0]["location"] = (wheels.folder / "good_plugin-1.0-py3-none-any.whl").as_uri()
    wheels.write(entry)
    done = environment.plugins("install", "--index", f"{server.url}/", "good")
    assert done.returncode == IndexInvalidError.code, done.stderr
    assert "not on the web" in done.stderr
