# SPDX-License-Identifier: Apache-2.0
"""The worker process at work: it stays warm, threads share it, a cancel is quick, results are in order."""

import sys
import threading
import time

import psutil
import pytest

from qwen_asr_plugin.engine import shared_engine, shut_down
from qwen_asr_plugin.errors import EngineError, ModelNotFoundError
from qwen_asr_plugin.options import EngineOptions
from subtitle_hooks import CancelledError


@pytest.fixture(autouse=True, scope="module")
def _end_engines():
    yield
    shut_down()


def test_a_worker_is_started_once_and_kept_warm(noise, workers):
    options = EngineOptions()
    with shared_engine(options) as engine:
        list(engine.recognize([noise()]))
        assert engine.alive
        assert engine.peak_memory_bytes > 50e6
        assert engine.info.languages == ("en",)
    before = workers()
    with shared_engine(options) as again:
        assert again is engine
    assert [p.pid for p in workers()] == [p.pid for p in before]


def test_other_options_end_the_worker_before(workers):
    with shared_engine(EngineOptions()):
        pass
    with shared_engine(EngineOptions(lanes=1, threads=1)) as engine:
        assert (engine.info.lanes, engine.info.threads_per_lane) == (1, 1)
        assert len(workers()) == 1


def test_cancelling_is_noticed_at_once_and_the_worker_stays(noise):
    with shared_engine(EngineOptions()) as engine:
        asked = time.monotonic()
        with pytest.raises(CancelledError):
            list(engine.recognize([noise(n, 15.0) for n in range(8)], cancelled=lambda: True))
        assert time.monotonic() - asked < 1.0
        assert [r.index for r in engine.recognize([noise(3)])] == [3]


def test_results_come_in_order_whatever_the_lanes_do(noise):
    chunks = [noise(n, seconds) for n, seconds in enumerate([15.0, 0.5, 8.0, 0.3, 12.0, 1.0])]
    with shared_engine(EngineOptions(lanes=3, threads=3)) as engine:
        assert [r.index for r in engine.recognize(iter(chunks))] == list(range(6))


def test_chunks_are_asked_for_only_when_there_is_room(noise):
    asked = []

    def chunks():
        for number in range(12):
            asked.append(number)
            yield noise(number, 1.0)

    with shared_engine(EngineOptions(lanes=2, threads=2)) as engine:
        for recognition in engine.recognize(chunks()):
            assert asked[-1] - recognition.index <= 4


def test_errors_of_loading_arrive_as_themselves(tmp_path, workers):
    with pytest.raises(ModelNotFoundError) as caught, shared_engine(EngineOptions(model=tmp_path / "nowhere")):
        pass
    assert "nowhere" in str(caught.value)
    assert not [p for p in workers() if p.status() == psutil.STATUS_ZOMBIE]


def test_inline_gives_the_same_text(noise):
    chunks = [noise(0), noise(1, 2.0)]
    texts = []
    for isolation in ("process", "inline"):
        with shared_engine(EngineOptions(isolation=isolation, lanes=1, threads=1)) as engine:
            texts.append([(r.language, r.text) for r in engine.recognize(chunks)])
    assert texts[0] == texts[1]


def test_threads_with_equal_options_share_one_worker_and_one_load(noise, workers):
    shut_down()
    found, loaded = [], []

    def use(number):
        with shared_engine(EngineOptions()) as engine:
            loaded.append(engine)
            found.append([r.index for r in engine.recognize([noise(number, 1.0), noise(number + 1, 1.0)])])

    threads = [threading.Thread(target=use, args=(10 * n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert sorted(found) == [[0, 1], [10, 11], [20, 21], [30, 31]]
    assert len(set(map(id, loaded))) == 1
    assert len(workers()) == 1


def test_a_thread_that_waits_for_a_load_can_cancel_and_the_load_goes_on_for_the_other(noise, workers):
    shut_down()
    done = []

    def patient():
        with shared_engine(EngineOptions()) as engine:
            done.extend(engine.recognize([noise(5, 1.0)]))

    thread = threading.Thread(target=patient)
    thread.start()
    while not workers():
        time.sleep(0.01)
    (worker,) = workers()
    worker.suspend()  # a model that loads for long
    asked = time.monotonic()
    with pytest.raises(CancelledError), shared_engine(EngineOptions(), lambda: time.monotonic() - asked > 0.3):
        pass
    assert time.monotonic() - asked < 1.5
    with shared_engine(EngineOptions(lanes=1, threads=1)) as other:  # nor does it hold up another model
        assert other.info.lanes == 1
    assert not done
    worker.resume()
    thread.join(timeout=60)
    assert [r.index for r in done] == [5]


def test_a_load_that_nobody_waits_for_any_more_is_ended(workers):
    shut_down()
    asked = time.monotonic()
    with pytest.raises(CancelledError), shared_engine(EngineOptions(), lambda: bool(workers())):
        pass
    while workers() and time.monotonic() - asked < 10:
        time.sleep(0.05)
    assert not workers()
    with shared_engine(EngineOptions()) as engine:  # and begins again for the next
        assert engine.info.lanes


def test_a_closed_engine_says_so(noise):
    from qwen_asr_plugin.engine.supervisor import ProcessEngine

    engine = ProcessEngine(EngineOptions())
    engine.wait_loaded()
    work = engine.recognize(noise(n, 1.0) for n in range(50))
    assert next(work).index == 0
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        list(work)
    with pytest.raises(EngineError, match="closed"):
        engine.wait_loaded()
    engine.close()


def test_a_chunk_far_beyond_the_model_is_refused_without_harm(noise):
    with shared_engine(EngineOptions()) as engine:
        for seconds in (25.0, 100.0):
            with pytest.raises(EngineError, match="longer than this model takes"):
                list(engine.recognize([noise(0, seconds)]))
        assert [r.index for r in engine.recognize([noise(1)], context="name " * 300_000)] == [1]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts file descriptors in /proc")
def test_ended_workers_leave_no_process_no_thread_and_no_open_file(workers):
    def open_things():
        return psutil.Process().num_fds(), threading.active_count()

    with shared_engine(EngineOptions(lanes=1, threads=1)):
        pass
    shut_down()
    before = open_things()
    for _ in range(2):
        with shared_engine(EngineOptions(lanes=1, threads=1)):
            pass
        shut_down()
    assert open_things() == before
    assert not workers()
