# SPDX-License-Identifier: Apache-2.0
import importlib.util
import json
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwen_asr_plugin.alignment import repair_times

HERE = Path(__file__).parent
HASHES, *CASES = json.loads((HERE / "data" / "repair_golden.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def maker():
    spec = importlib.util.spec_from_file_location("make_golden", HERE / "make_golden.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("times", "repaired"),
    [
        ([], []),
        ([7], [7]),
        ([1, 9, 2, 3], [1, 1, 2, 3]),
        ([10, 1, 2, 3, 20, 21], [1, 1, 2, 3, 20, 21]),
        ([3, 2, 1], [3, 3, 3]),
        ([1, 50, 60, 70, 2, 3], [1, 50, 60, 70, 70, 70]),
        ([80, 800, 720, 160], [80, 800, 800, 800]),
        ([0, 900, 800, 700, 100, 200, 300], [0, 25, 50, 75, 100, 200, 300]),
        ([900, 800, 700, 100, 200, 300, 400], [100, 100, 100, 100, 200, 300, 400]),
        ([0, 90, 80, 70, 10, 11, 12, 13], [0, 2, 5, 7, 10, 11, 12, 13]),
        ([5, 5, 5], [5, 5, 5]),
    ],
)
def test_examples(times, repaired):
    assert repair_times(times) == repaired


@pytest.mark.parametrize("number", range(0, len(CASES), 50))
def test_cases_of_the_official_code(number):
    for times, repaired in CASES[number : number + 50]:
        assert repair_times(times) == repaired


def test_ten_thousand_cases_of_the_official_code(maker):
    assert maker.CASES == 10_000
    assert len(HASHES) * maker.BLOCK == maker.CASES
    for at, expected in enumerate(HASHES):
        cases = range(at * maker.BLOCK, (at + 1) * maker.BLOCK)
        assert maker.block_hash([repair_times(maker.random_times(case)) for case in cases]) == expected, at


@given(st.lists(st.integers(0, 4000), max_size=60))
def test_laws(times):
    repaired = repair_times(times)
    assert len(repaired) == len(times)
    assert all(before <= after for before, after in pairwise(repaired))
    assert all(isinstance(time, int) for time in repaired)
    assert set(repaired[:1] + repaired[-1:]) <= set(times)
    if times == sorted(times):
        assert repaired == times
