# SPDX-License-Identifier: Apache-2.0
"""Every rule of the contract kit fails for the backend made to break it, and for no other."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections import defaultdict
from pathlib import Path

import pytest

from subtitle_hooks.testing.contract import BROKEN_MEDIA, BackendContract

FILE = Path(__file__).parent / "data" / "broken_backends.py"


def load():
    spec = importlib.util.spec_from_file_location("broken_backends", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


BROKEN = load()
BACKENDS = {one.__name__: one for one in BROKEN.with_one_fault(BROKEN.Sound)}


@pytest.fixture(scope="session")
def outcomes(tmp_path_factory):
    """What came of every test, by backend: the kit runs with half of them in each of two processes."""
    folder = tmp_path_factory.mktemp("kit")
    classes = [f"{FILE}::Test{name}" for name in ("Sound", *BACKENDS)]
    runs = [
        subprocess.Popen(
            [
                *(sys.executable, "-m", "pytest", "-q", "-c", os.devnull, "--rootdir", str(folder), "-W", "error"),
                *("-p", "no:cacheprovider", "--import-mode=importlib", "--basetemp", str(folder / f"scratch{half}")),
                *(f"--junitxml={folder / f'report{half}.xml'}", *classes[half::2]),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for half in (0, 1)
    ]
    said = [run.communicate(timeout=300)[0] for run in runs]
    assert [run.returncode for run in runs] == [1, 1], "\n".join(said)
    found = defaultdict(dict)
    for half in (0, 1):
        for case in ET.parse(folder / f"report{half}.xml").iter("testcase"):
            backend = case.get("classname").rpartition(".Test")[2]
            found[backend][case.get("name")] = next((child.tag for child in case), "passed")
    return found


def names(outcomes, outcome):
    return {name for name, what in outcomes.items() if what == outcome}


@pytest.mark.parametrize("name", BACKENDS)
def test_one_fault_breaks_one_rule(outcomes, name):
    rule = BACKENDS[name].breaks
    failed = names(outcomes[name], "failure") | names(outcomes[name], "error")
    if outcomes["Sound"].get(rule) == "skipped":
        pytest.skip("this system or user cannot judge the rule")
    parameters = {one for one in failed if one.partition("[")[0] == rule}
    assert failed == (parameters or {rule})


def test_the_sound_backend_breaks_none(outcomes):
    assert names(outcomes["Sound"], "failure") | names(outcomes["Sound"], "error") == set()
    # What is skipped depends on the system; never more than these.
    possible = {f"test_broken_media[{name}]" for name in ("unreadable", "pipe", "cut video", "silent video")}
    assert names(outcomes["Sound"], "skipped") <= possible


def test_every_rule_has_a_backend_that_breaks_it():
    rules = {name for name in dir(BackendContract) if name.startswith("test_")}
    media = {f"test_broken_media[{name}]" for name in BROKEN_MEDIA}
    broken = {backend.breaks for backend in BACKENDS.values()}
    assert {name.partition("[")[0] for name in broken} == rules
    assert media <= broken


def test_every_rule_is_explained():
    document = (Path(__file__).parents[2] / "docs" / "contract.md").read_text(encoding="utf-8")
    for name in dir(BackendContract):
        if name.startswith("test_"):
            assert getattr(BackendContract, name).__doc__, name
            assert f"`{name}`" in document, name
    for name in BROKEN_MEDIA:
        assert f"`{name}`" in document, name
