# SPDX-License-Identifier: Apache-2.0
"""A worker that gets on with the rest of the computer: low priority where asked for, and gone when nobody needs it."""

import os
import sys
import time

import psutil
import pytest

from qwen_asr_plugin.engine import shared_engine, shut_down
from qwen_asr_plugin.options import EngineOptions


def _texts(speech, **options):
    with shared_engine(EngineOptions(lanes=2, threads=2, **options)) as engine:
        return [recognition.text for recognition in engine.recognize(speech[:2])]


def _wait_until(condition, seconds=20.0):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    return condition()


def test_an_idle_engine_ends_and_comes_back_for_the_next_file(speech, workers):
    first = _texts(speech, idle_seconds=0.5)
    (before,) = workers()
    assert _wait_until(lambda: not workers())
    assert _texts(speech, idle_seconds=0.5) == first
    (after,) = workers()
    assert after.pid != before.pid
    shut_down()


def test_an_engine_in_use_is_not_idle_and_a_new_use_begins_the_time_anew(speech, workers):
    options = EngineOptions(lanes=2, threads=2, idle_seconds=1.0)
    with shared_engine(options):
        (worker,) = workers()
        time.sleep(1.5)
        assert workers() == [worker]
    for _ in range(3):
        time.sleep(0.6)
        with shared_engine(options):
            assert workers() == [worker]
    assert _wait_until(lambda: not workers())


def test_zero_keeps_it(speech, workers):
    _texts(speech, idle_seconds=0)
    assert len(workers()) == 1
    time.sleep(0.5)
    assert len(workers()) == 1
    shut_down()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads the priority of every thread from /proc")
def test_a_nice_worker_computes_at_a_low_priority(speech, workers):
    plain = _texts(speech)
    ordinary = os.getpriority(os.PRIO_PROCESS, 0)
    shut_down()
    assert _texts(speech, nice=True) == plain
    (worker,) = workers()
    priorities = {os.getpriority(os.PRIO_PROCESS, thread.id) for thread in worker.threads()}
    assert priorities == {min(ordinary + 10, 19)}
    assert psutil.Process().nice() == ordinary, "the host itself goes on as it was"
    shut_down()
