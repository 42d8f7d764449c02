# SPDX-License-Identifier: Apache-2.0
"""The kit as a pytest plugin: what its options do, and that runs without them notice nothing of it."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

import subtitle_hooks.testing
from subtitle_hooks.testing._media_files import copy_media, wav_duration_ms, write_wav

BACKEND = """
from subtitle_hooks.testing import FakeBackend

plugin = FakeBackend(name="of-the-test", seconds_per_segment=0.01)
"""


@pytest.fixture
def project(tmp_path):
    """A folder with a test of its own, and an installed backend beside it."""
    site, folder = tmp_path / "site", tmp_path / "project"
    info = site / "of_the_test-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "of_the_test.py").write_text(BACKEND, encoding="utf-8")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: of-the-test\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text("[subtitle_hooks]\nx = of_the_test:plugin\n", encoding="utf-8")
    folder.mkdir()
    (folder / "test_own.py").write_text("def test_own():\n    pass\n", encoding="utf-8")
    return folder


@pytest.fixture
def pytest_in(project):
    def run(*arguments, **environment):
        return subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", *map(str, arguments)],
            check=False,
            capture_output=True,
            text=True,
            timeout=120,
            cwd=project,
            env={
                **os.environ,
                "PYTHONPATH": str(project.parent / "site"),
                "SUBTITLE_HOOKS_PLUGINS": "of-the-test",
                "COLUMNS": "200",
                **environment,
            },
        )

    return run


KIT = ("-p", "subtitle_hooks.testing")
NAMED = (*KIT, "--subtitle-backend", "of-the-test")


def collected(done):
    assert done.returncode == 0, done.stdout + done.stderr
    return [line for line in done.stdout.splitlines() if "::" in line]


def test_without_being_asked_it_is_not_even_imported(pytest_in, project):
    (project / "test_own.py").write_text(
        "import sys\n\ndef test_own():\n    assert not [name for name in sys.modules if name.startswith('subtitle')]\n",
        encoding="utf-8",
    )
    done = pytest_in()
    assert (done.returncode, "1 passed" in done.stdout) == (0, True), done.stdout


def test_the_doubles_need_no_pytest():
    code = "import sys, subtitle_hooks.testing; sys.exit('pytest' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_loaded_without_its_options_it_adds_nothing(pytest_in):
    assert collected(pytest_in(*KIT, "--collect-only")) == ["test_own.py::test_own"]


@pytest.mark.parametrize("mode", ["prepend", "importlib"])
def test_a_named_backend_is_held_to_the_contract_and_nothing_else_is_run(pytest_in, mode):
    found = collected(pytest_in(*NAMED, "--collect-only", f"--import-mode={mode}"))
    assert len(found) > 40
    assert all("::TestContract::test_" in line and "of-the-test" in line for line in found)


def test_beside_tests_that_are_named(pytest_in):
    found = collected(pytest_in(*NAMED, "--collect-only", "test_own.py"))
    assert found[0] == "test_own.py::test_own"
    assert len(found) > 40


def test_two_backends_and_the_usual_choice_of_tests(pytest_in):
    again = ("--subtitle-backend", "of-somebody")
    found = collected(pytest_in(*NAMED, *again, "--collect-only", "-k", "in_order or silent"))
    assert len(found) == 4


def test_the_verdict_names_rule_and_reason(pytest_in):
    done = pytest_in(*NAMED)
    # The fake backend makes its segments without looking into the file.
    failed = re.findall(r"^FAILED .*?::(test_\w+(?:\[[^\]]*\])?)", done.stdout, re.MULTILINE)
    assert {name.partition("[")[0] for name in failed} == {"test_broken_media", "test_a_missing_track_is_refused"}
    assert "MediaFormatError was to be raised; it was nothing" in done.stdout
    assert "_rules_" not in done.stdout.partition("short test summary")[0], "tracebacks through the kit help nobody"


def test_a_backend_that_is_not_there_is_one_failure_with_the_reason(pytest_in):
    done = pytest_in(*KIT, "--subtitle-backend", "gone", "-k", "not broken_media")
    assert done.returncode == 1
    assert re.search(r"^1 failed, \d+ skipped", done.stdout, re.MULTILINE), done.stdout
    assert "no usable backend 'gone'; usable: of-the-test." in done.stdout


def test_media_and_options_reach_the_backend(pytest_in, tmp_path):
    media = write_wav(tmp_path, "speech")
    given = ("--subtitle-media", media, "--subtitle-option", "duration_ms=5000", "-k", "inside_the_media or sees_it")
    (tmp_path / "project" / "test_own.py").write_text(
        "from subtitle_hooks.testing.suite import TestContract as Contract\n\n"
        "class TestSees(Contract):\n"
        "    def test_sees_it(self, subject):\n"
        "        assert [one.text for one in subject.run.segments] == ['Sentence 1 of film.', 'Sentence 2 of film.']\n"
        "        assert subject.settings.options == {'duration_ms': '5000'}\n\n"
        "from subtitle_hooks.testing.suite import pytest_generate_tests\n",
        encoding="utf-8",
    )
    done = pytest_in(*NAMED, *given, "test_own.py")
    assert done.returncode == 0, done.stdout
    assert "3 passed" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--subtitle-media", "gone.wav"), "gone.wav: no such file"),
        (("--subtitle-option", "speed"), "'speed' is not KEY=VALUE"),
        (("--subtitle-option", "=1"), "'=1' is not KEY=VALUE"),
    ],
)
def test_options_that_make_no_sense(pytest_in, arguments, said):
    done = pytest_in(*NAMED, *arguments)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert said in done.stderr


def test_companions_of_a_media_file_go_with_it(tmp_path):
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    target.mkdir()
    media = write_wav(source, "talk")
    media.with_suffix(".txt").write_text("text", encoding="utf-8")
    (source / "other.txt").write_text("other", encoding="utf-8")
    copied = copy_media(media, target, "film")
    assert {path.name for path in target.iterdir()} == {"film.wav", "film.txt"}
    assert wav_duration_ms(copied) == 12_000


def test_there_is_no_entry_point_of_pytest():
    from importlib.metadata import distribution

    assert [one for one in distribution("subtitle-hooks").entry_points if one.group == "pytest11"] == []
    assert subtitle_hooks.testing.pytest_plugins == ["subtitle_hooks.testing.plugin"]
