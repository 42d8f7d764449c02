# SPDX-License-Identifier: Apache-2.0
"""One pass of a forced aligner with random weights, which answer all over the scale; tests/golden has trained ones."""

import dataclasses
import threading
import time

import numpy as np
import pytest

from qwen_asr_model import open_bundle, synthesize
from qwen_asr_native import ClosedError, Context, DecodeError, Model, load_library
from qwen_asr_plugin.alignment import forced
from qwen_asr_plugin.alignment.forced import ForcedAligner
from qwen_asr_plugin.errors import ModelError

UNITS = ["He", "was", "not", "an", "illdisposed", "young", "man"]
FOREVER_MS = 10**6


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    out = tmp_path_factory.mktemp("bundle") / "tiny"
    return open_bundle(synthesize("tiny", out, quants=("f16",), aligner="aligner-tiny"))


@pytest.fixture(scope="module")
def tokenizer(bundle):
    with Model(load_library(), bundle.llm) as model:
        yield model


@pytest.fixture
def aligner(bundle, tokenizer):
    aligner = _load(bundle, tokenizer)
    yield aligner
    aligner.close()


def _load(bundle, tokenizer, **changes):
    options = {"tokenizer_sha256": bundle.tokenizer_sha256, "threads": 1, **changes}
    return ForcedAligner(bundle.aligner, tokenizer.library, tokenizer, **options)


def _together(count, job):
    """Run ``job(0)`` to ``job(count - 1)`` in a thread each; one that waits for ever fails the test."""
    results = {}
    threads = [
        threading.Thread(target=lambda n=number: results.update({n: job(n)}), daemon=True) for number in range(count)
    ]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 30
    for thread in threads:
        thread.join(max(0, deadline - time.monotonic()))
    assert sorted(results) == list(range(count))
    return [results[number] for number in range(count)]


def _audio(aligner, seed, rows=60):
    return np.random.default_rng(seed).normal(0, 0.3, (rows, aligner.width)).astype(np.float32)


def test_two_times_for_each_unit(aligner):
    times = aligner.align(_audio(aligner, 0), UNITS, FOREVER_MS)
    assert len(times) == 2 * len(UNITS)
    assert all(type(at) is int and at % 80 == 0 and 0 <= at < 300 * 80 for at in times)
    # Weights that always give one answer would show nothing in the tests below.
    assert len(set(times)) >= 5
    assert aligner.align(_audio(aligner, 1), UNITS, FOREVER_MS) != times


def test_no_time_beyond_the_chunk(aligner):
    audio = _audio(aligner, 0)
    anywhere = aligner.align(audio, UNITS, FOREVER_MS)
    for duration_ms in (10_000, 999, 79, 0):
        times = aligner.align(audio, UNITS, duration_ms)
        assert max(times) <= duration_ms
        # What lies inside is chosen as before.
        assert all(at == before for at, before in zip(times, anywhere, strict=True) if before <= duration_ms)
    assert aligner.align(audio, UNITS, 23_920) == anywhere


def test_text_without_units_needs_no_pass(aligner):
    aligner.close()
    assert aligner.align(_audio(aligner, 0), [], FOREVER_MS) == ()


def test_the_number_of_threads_changes_nothing(bundle, tokenizer, monkeypatch):
    scores = []
    score = Context.score_embeddings

    def watch(*arguments, **options):
        found = score(*arguments, **options)
        scores.append(found.tobytes())
        return found

    monkeypatch.setattr(Context, "score_embeddings", watch)
    aligner = _load(bundle, tokenizer)
    times = {aligner.align(_audio(aligner, 1), ["one", "two", "three"], 5000, threads=n) for n in (None, 1, 2, 3)}
    aligner.close()
    assert len(times) == len(set(scores)) == 1
    assert len(scores) == 4


def test_several_threads_get_what_one_gets(aligner):
    jobs = [(_audio(aligner, seed, rows=20 + 30 * (seed % 4)), UNITS[: 1 + seed % 7]) for seed in range(24)]
    one = [aligner.align(audio, units, FOREVER_MS) for audio, units in jobs]
    assert _together(24, lambda number: aligner.align(*jobs[number], FOREVER_MS)) == one


@pytest.fixture
def passes(monkeypatch):
    """What happens in passes: call `entered` in each; `most` is how many there were at once."""

    class Passes:
        def __init__(self):
            self.lock = threading.Lock()
            self.now = self.most = 0
            self.entered = lambda: None

    seen = Passes()

    class Watched(Context):
        def __enter__(self):
            with seen.lock:
                seen.now += 1
                seen.most = max(seen.most, seen.now)
            seen.entered()
            return super().__enter__()

        def __exit__(self, *error):
            with seen.lock:
                seen.now -= 1
            super().__exit__(*error)

    monkeypatch.setattr(forced, "Context", Watched)
    return seen


def _need(aligner, audio, units):
    """Bytes of KV cache a pass takes."""
    rows, _ = aligner._prompt(audio, units)
    return -(-len(rows) // 64) * 64 * aligner._per_position


@pytest.mark.parametrize(("room", "at_once"), [(2, 2), (1, 1), (0.5, 1)])
def test_more_than_the_memory_budget_waits(aligner, passes, monkeypatch, room, at_once):
    audio = _audio(aligner, 0)
    alone = aligner.align(audio, UNITS, FOREVER_MS)
    monkeypatch.setattr(forced, "_MEMORY_BUDGET", int(room * _need(aligner, audio, UNITS)))
    if at_once == 2:
        # Both have to be inside before either goes on.
        passes.entered = threading.Barrier(2, timeout=30).wait
    else:
        passes.entered = lambda: time.sleep(0.02)
    assert _together(4, lambda _: aligner.align(audio, UNITS, FOREVER_MS)) == [alone] * 4
    assert passes.most == at_once
    assert aligner._in_use == 0


def test_a_failed_pass_gives_its_room_back(aligner, monkeypatch):
    audio = _audio(aligner, 0)
    monkeypatch.setattr(forced, "_MEMORY_BUDGET", _need(aligner, audio, UNITS))
    broken = audio.copy()
    broken[5, 5] = np.nan
    with pytest.raises(DecodeError, match="not finite"):
        aligner.align(broken, UNITS, FOREVER_MS)
    assert aligner._in_use == 0
    assert _together(1, lambda _: len(aligner.align(audio, UNITS, FOREVER_MS))) == [2 * len(UNITS)]


def test_another_vocabulary_is_refused(bundle, tokenizer):
    with pytest.raises(ModelError, match="another vocabulary") as caught:
        _load(bundle, tokenizer, tokenizer_sha256="0" * 64)
    assert str(bundle.path) in str(caught.value)
    # Not known: taken on trust, as with a folder without a manifest.
    _load(bundle, tokenizer, tokenizer_sha256="").close()
    unknown = dataclasses.replace(bundle, aligner=dataclasses.replace(bundle.aligner, tokenizer_sha256=""))
    _load(unknown, tokenizer, tokenizer_sha256="0" * 64).close()


@pytest.mark.parametrize(("written", "composed"), [("\u1112\u1161\u11ab", "\ud55c"), ("\u212b", "\u00c5")])
def test_letters_are_composed_before_they_become_tokens(aligner, tokenizer, written, composed):
    assert tokenizer.tokenize(written) != tokenizer.tokenize(composed)
    audio = _audio(aligner, 0)
    rows, slots = aligner._prompt(audio, [written])
    wanted, wanted_slots = aligner._prompt(audio, [composed])
    np.testing.assert_array_equal(rows, wanted)
    np.testing.assert_array_equal(slots, wanted_slots)


def test_closing(bundle, tokenizer, passes):
    aligner = _load(bundle, tokenizer)
    audio = _audio(aligner, 0)
    times = aligner.align(audio, UNITS, FOREVER_MS)
    # A pass that is on its way ends well.
    passes.entered = aligner.close
    assert aligner.align(audio, UNITS, FOREVER_MS) == times
    passes.entered = lambda: None
    with pytest.raises(ClosedError):
        aligner.align(audio, UNITS, FOREVER_MS)
    aligner.close()
    assert aligner._in_use == 0
    # The recogniser's model is not the aligner's to close.
    assert tokenizer.tokenize("man")
