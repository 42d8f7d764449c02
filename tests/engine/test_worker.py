# SPDX-License-Identifier: Apache-2.0
"""The worker process: a crash is one failed file, a cancel is quick, and it does not outlive its host."""

import subprocess
import sys
import time

import numpy as np
import psutil
import pytest

from qwen_asr_plugin.audio import SpeechChunk, SpeechSpan
from qwen_asr_plugin.engine import shared_engine, shut_down
from qwen_asr_plugin.errors import EngineCrashedError, EngineTimeoutError, ModelNotFoundError
from qwen_asr_plugin.options import EngineOptions
from subtitle_hooks import CancelledError


@pytest.fixture(autouse=True, scope="module")
def _end_engines():
    yield
    shut_down()


def _chunk(index=0, seconds=4.0):
    noise = np.random.default_rng(index).normal(0, 0.01, int(seconds * 16000)).astype(np.float32)
    end = int(seconds * 1000)
    return SpeechChunk(index=index, start_ms=0, end_ms=end, samples=noise, spans=(SpeechSpan(start_ms=0, end_ms=end),))


def _workers():
    return [p for p in psutil.Process().children() if "qwen_asr_plugin.engine.worker" in " ".join(p.cmdline())]


def test_a_worker_is_started_once_and_kept_warm():
    options = EngineOptions()
    with shared_engine(options) as engine:
        list(engine.recognize([_chunk()]))
        assert engine.alive
        assert engine.peak_memory_bytes > 50e6
        assert engine.info.languages == ("en",)
    before = _workers()
    with shared_engine(options) as again:
        assert again is engine
    assert [p.pid for p in _workers()] == [p.pid for p in before]


def test_other_options_end_the_worker_before():
    with shared_engine(EngineOptions()):
        pass
    with shared_engine(EngineOptions(lanes=1, threads=1)) as engine:
        assert (engine.info.lanes, engine.info.threads_per_lane) == (1, 1)
        assert len(_workers()) == 1


def test_a_crash_is_one_named_error_and_the_next_file_works():
    def killing():
        yield _chunk(0)
        for worker in _workers():
            worker.kill()
        yield _chunk(1)
        yield _chunk(2)
        yield _chunk(3)

    with shared_engine(EngineOptions()) as engine, pytest.raises(EngineCrashedError, match="ended unexpectedly"):
        list(engine.recognize(killing()))
    with shared_engine(EngineOptions()) as engine:
        assert [r.index for r in engine.recognize([_chunk(7)])] == [7]


def test_cancelling_is_noticed_at_once_and_the_worker_stays():
    with shared_engine(EngineOptions()) as engine:
        asked = time.monotonic()
        with pytest.raises(CancelledError):
            list(engine.recognize([_chunk(n, 19.0) for n in range(8)], cancelled=lambda: True))
        assert time.monotonic() - asked < 1.0
        assert [r.index for r in engine.recognize([_chunk(3)])] == [3]


def test_results_come_in_order_whatever_the_lanes_do():
    chunks = [_chunk(n, seconds) for n, seconds in enumerate([19.0, 0.5, 8.0, 0.3, 12.0, 1.0])]
    with shared_engine(EngineOptions(lanes=3, threads=3)) as engine:
        assert [r.index for r in engine.recognize(iter(chunks))] == list(range(6))


def test_chunks_are_asked_for_only_when_there_is_room():
    asked = []

    def chunks():
        for number in range(12):
            asked.append(number)
            yield _chunk(number, 1.0)

    with shared_engine(EngineOptions(lanes=2, threads=2)) as engine:
        for recognition in engine.recognize(chunks()):
            assert asked[-1] - recognition.index <= 4


def test_a_worker_that_hangs_is_ended():
    from qwen_asr_plugin.engine.process import WorkerProcess

    worker = WorkerProcess(EngineOptions())
    (process,) = [p for p in _workers() if p.pid == worker._process.pid]
    process.suspend()
    future = worker.submit(_chunk(), job=0, context="", language=None)
    with pytest.raises(EngineTimeoutError, match="no answer"):
        worker.wait(future, 0.5, lambda: False, "recognising speech")
    assert not worker.alive


def test_errors_of_loading_arrive_as_themselves(tmp_path):
    with pytest.raises(ModelNotFoundError) as caught, shared_engine(EngineOptions(model=tmp_path / "nowhere")):
        pass
    assert "nowhere" in str(caught.value)
    assert not [p for p in _workers() if p.status() == psutil.STATUS_ZOMBIE]


def test_the_worker_ends_with_its_host():
    code = (
        "import os, psutil\n"
        "from qwen_asr_plugin.engine import shared_engine\n"
        "from qwen_asr_plugin.options import EngineOptions\n"
        "with shared_engine(EngineOptions()):\n"
        "    print([p.pid for p in psutil.Process().children()][0], flush=True)\n"
        "    os._exit(3)\n"  # as a crashed host would
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 3, done.stderr
    pid = int(done.stdout)
    for _ in range(100):
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return
        time.sleep(0.1)
    pytest.fail("the worker outlived its host")


def test_a_host_without_a_main_guard_can_use_it(tmp_path):
    script = tmp_path / "host.py"
    script.write_text(
        "print('once')\n"
        "from qwen_asr_plugin.engine import shared_engine\n"
        "from qwen_asr_plugin.options import EngineOptions\n"
        "with shared_engine(EngineOptions()) as engine: print(engine.info.model)\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "once"
    assert done.stdout.count("once") == 1


def test_inline_gives_the_same_text():
    chunks = [_chunk(0), _chunk(1, 2.0)]
    texts = []
    for isolation in ("process", "inline"):
        with shared_engine(EngineOptions(isolation=isolation, lanes=1, threads=1)) as engine:
            texts.append([(r.language, r.text) for r in engine.recognize(chunks)])
    assert texts[0] == texts[1]
