# SPDX-License-Identifier: Apache-2.0
"""Threads lent to lanes that are alone: who gets how many, and what they compute stays the same to the last bit."""

import threading
from concurrent.futures import CancelledError

import numpy as np
import pytest

from qwen_asr_model import TextTable, default_bundle, open_bundle
from qwen_asr_native import Context, Model, load_library
from qwen_asr_plugin.engine import recognizer as recognizer_module
from qwen_asr_plugin.engine import spare_threads
from qwen_asr_plugin.engine.lanes import LanePool
from qwen_asr_plugin.engine.prompt import SpecialTokens, build_prompt
from qwen_asr_plugin.engine.recognizer import load_model
from qwen_asr_plugin.engine.slots import OwnSlot
from qwen_asr_plugin.engine.spare_threads import Pace, SpareThreads
from qwen_asr_plugin.options import EngineOptions

ROWS = 290
"""With so many positions mainline divides one row's attention among threads."""


@pytest.fixture
def at_once(monkeypatch):
    """Lend without waiting."""
    monkeypatch.setattr(spare_threads, "_SETTLED_SECONDS", 0)


@pytest.mark.parametrize(
    ("lanes", "own", "shares"),
    [(2, 1, [1, 2, 1, 1]), (4, 1, [1, 4, 2, 1, 1, 1]), (4, 2, [2, 8, 4, 2, 2]), (1, 3, [3, 3, 3])],
)
def test_threads_are_divided_among_the_lanes_that_have_something_to_do(at_once, lanes, own, shares):
    spare = SpareThreads(lanes, own)
    found = [spare.share()]
    for _ in shares[1:]:
        spare.begin()
        found.append(spare.share())
    assert found == shares
    for wanted in reversed(shares):
        assert spare.share() == wanted
        spare.end()


def test_nothing_is_lent_as_long_as_another_chunk_may_be_near(monkeypatch):
    now = 100.0
    monkeypatch.setattr(spare_threads.time, "monotonic", lambda: now)
    spare = SpareThreads(2, 1)
    spare.begin()
    assert spare.share() == 1
    now += 1
    assert spare.share() == 2
    spare.begin()
    spare.end()
    assert spare.share() == 1
    now += 1
    assert spare.share() == 2


def _choices(pace, offered, seconds, steps):
    found = []
    for _ in range(steps):
        threads = pace.choose(offered)
        pace.took(threads, seconds[threads])
        found.append(threads)
    return found


def test_what_one_thread_takes_is_known_before_two_are_tried():
    assert _choices(Pace(1), 2, {1: 0.02, 2: 0.01}, 8) == [1, 1, 1, 1, 2, 2, 2, 2]


def test_threads_that_make_it_slower_are_given_back_until_the_next_chunk():
    pace = Pace(1)
    seconds = {1: 0.02, 2: 0.05}
    assert _choices(pace, 2, seconds, 12) == [1, 1, 1, 1, 2, 2, 2, 2, 1, 1, 1, 1]
    pace.begin()
    assert _choices(pace, 2, seconds, 6) == [2, 2, 2, 2, 1, 1]
    pace.begin()
    assert _choices(pace, 2, {1: 0.02, 2: 0.01}, 6) == [2] * 6
    assert _choices(pace, 2, seconds, 4) == [2, 2, 1, 1]  # a neighbour came


@pytest.fixture(scope="module", params=["ik-llama-cpp-python", "xllamacpp"])
def model(request):
    with Model(load_library(request.param), open_bundle(default_bundle()).llm) as model:
        yield model


@pytest.fixture
def threads_used(monkeypatch):
    """The numbers of threads that contexts were told, for one row and for several."""
    used = []
    tell = Context.set_threads

    def watch(self, threads, threads_batch=None):
        used.append((threads, threads_batch))
        tell(self, threads, threads_batch)

    monkeypatch.setattr(Context, "set_threads", watch)
    return used


def test_lent_threads_change_no_bit(at_once, model, threads_used, monkeypatch):
    monkeypatch.setattr(Pace, "choose", lambda _, offered: offered)  # whatever else this machine does
    rows = np.random.default_rng(1).normal(0, 0.05, (ROWS, model.n_embd)).astype(np.float32)
    prompt = build_prompt(model, SpecialTokens.of(model), language="en")
    lent = SpareThreads(2, 1)
    lent.begin()
    found = {}
    for name, threads in (("own", 1), ("lent", lent)):
        slot = OwnSlot(model, TextTable(model.path).rows, positions=400, threads=threads)
        following = iter(range(5, 17))
        found[name] = logits = []

        def answer(values, following=following, logits=logits):
            logits.append(values.tobytes())
            return next(following, None)

        slot.generate(prompt, rows, answer)
        slot.close()
    assert found["own"] == found["lent"]
    steps = [(2, None)] if model.library.verdict.family == "ik" else []
    assert threads_used == [(1, 1), (1, 2), *steps]


def test_a_lane_alone_gets_the_threads_of_all(at_once, speech, threads_used, monkeypatch):
    options = EngineOptions(lanes=2, threads=2)
    samples = speech[0].samples

    def work(*, large):
        monkeypatch.setattr(recognizer_module, "is_large", lambda *_: large)
        pool = LanePool(load_model(options))
        arguments = {"context": "", "language": None, "align": True, "cancelled": lambda: False}
        spoken = pool.submit(samples, **arguments).result()
        pool.close()
        return spoken.text, spoken.aligned

    apart = work(large=False)
    assert {batch for _, batch in threads_used} == {1}
    threads_used.clear()
    assert work(large=True) == apart
    assert threads_used[0] == (1, 2)


def test_chunks_that_never_begin_do_not_count(speech):
    pool = LanePool(load_model(EngineOptions(lanes=2, threads=2)))
    begun, go_on = threading.Event(), threading.Event()
    spare = pool._spare_threads

    def cancelled():
        begun.set()
        return go_on.wait()

    def submit(cancelled):
        return pool.submit(speech[0].samples, context="", language=None, align=False, cancelled=cancelled)

    first = submit(cancelled)
    begun.wait()
    others = [submit(lambda: True) for _ in range(3)]
    go_on.set()
    for future in (first, *others):
        with pytest.raises(CancelledError):
            future.result()
    pool.close()
    with pytest.raises(RuntimeError):
        submit(lambda: False)
    assert spare._chunks == 0
