# SPDX-License-Identifier: Apache-2.0
"""Slots on real weights: what is kept of a prompt, and sequences that share their steps but nothing else."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from qwen_asr_model import TextTable, default_bundle, open_bundle
from qwen_asr_native import Context, DecodeError, Model, load_library
from qwen_asr_plugin.engine.decoder import Decoder
from qwen_asr_plugin.engine.prompt import Prompt, SpecialTokens, build_prompt
from qwen_asr_plugin.engine.slots import OwnSlot, SharedSlots

POSITIONS = 320


@pytest.fixture(scope="module", params=["ik-llama-cpp-python", "xllamacpp"])
def any_model(request):
    with Model(load_library(request.param), open_bundle(default_bundle()).llm) as model:
        yield model


@pytest.fixture(scope="module")
def model():
    """With a library that can keep sequences apart."""
    with Model(load_library("xllamacpp"), open_bundle(default_bundle()).llm) as model:
        yield model


def _rows(model, seed, count=60):
    return np.random.default_rng(seed).normal(0, 0.05, (count, model.n_embd)).astype(np.float32)


def _prompt(model, context=""):
    return build_prompt(model, SpecialTokens.of(model), context=context, language="en")


def _embed(model):
    return TextTable(model.path).rows


def _own(model, positions=POSITIONS, most=None):
    return OwnSlot(model, _embed(model), positions=positions, most=most, threads=1)


def _shared(model, sequences):
    return SharedSlots(model, _embed(model), positions=POSITIONS, sequences=sequences, threads=1)


def _logits(model, prompt, rows, *, shared=False):
    """Computed once, from nothing, without slots; `shared` as shared ones compute, without flash attention."""
    rows = np.concatenate([rows, _embed(model)(prompt.after_audio)])
    flash = False if shared else None
    with Context(model, n_ctx=POSITIONS, n_batch=128, n_ubatch=128, flash_attention=flash) as context:
        context.decode_tokens(prompt.before_audio, 0, logits=False)
        context.decode_embeddings(rows, len(prompt.before_audio), logits=True)
        return context.logits().tobytes()


def test_tokens_may_go_as_rows_of_the_token_table(any_model):
    prompt, rows = _prompt(any_model), _rows(any_model, 7)
    with Context(any_model, n_ctx=POSITIONS) as context:
        context.decode_tokens(prompt.before_audio, 0, logits=False)
        context.decode_embeddings(rows, len(prompt.before_audio))
        context.decode_tokens(prompt.after_audio, len(prompt.before_audio) + len(rows), logits=True)
        as_tokens = context.logits()
    as_rows = np.frombuffer(_logits(any_model, prompt, rows), np.float32)
    assert np.abs(as_rows - as_tokens).max() < 0.02 * np.abs(as_tokens).max()


def test_large_caches_have_eight_bits_where_that_is_faster(any_model):
    prompt, rows = _prompt(any_model), _rows(any_model, 7)
    large = (40 << 20) // any_model.kv_bytes_per_position
    found = {}
    for exact in (False, True):
        slot = OwnSlot(any_model, _embed(any_model), positions=large, threads=1, exact=exact)
        with slot.take(large) as taken:
            found[exact] = np.array([np.frombuffer(one, np.float32) for one in _generate(taken, prompt, rows, [5, 6])])
        slot.close()
    assert (found[False] != found[True]).any() == (any_model.library.verdict.family == "ik")
    assert np.abs(found[False] - found[True]).max() < 0.03 * np.abs(found[True]).max()


def _generate(slot, prompt, rows, tokens=()):
    """The logits after the prompt and after each of the tokens, as bytes."""
    following = iter(tokens)
    found = []

    def answer(logits):
        found.append(logits.tobytes())
        return next(following, None)

    slot.generate(prompt, rows, answer)
    return found


def test_what_is_kept_of_a_prompt_changes_nothing(any_model):
    slot = _own(any_model)
    plain, named = _prompt(any_model), _prompt(any_model, "Ada Lovelace")
    first, second = _rows(any_model, 1), _rows(any_model, 2, count=45)
    for prompt, rows in [
        (plain, first),
        (plain, second),  # the prompt is there
        (named, second),  # another one is
        (named, second),
        (plain, first),
    ]:
        with slot.take(POSITIONS) as lent:
            assert _generate(lent, prompt, rows, (1, 2))[0] == _logits(any_model, prompt, rows)
    slot.close()


def test_a_prompt_that_failed_is_not_taken_for_kept(any_model):
    slot = _own(any_model)
    prompt, rows = _prompt(any_model), _rows(any_model, 3)
    _generate(slot, prompt, rows)
    with pytest.raises(DecodeError, match="do not fit"):
        _generate(slot, prompt, _rows(any_model, 4, count=POSITIONS))
    with pytest.raises(ValueError, match="token ids"):
        _generate(slot, Prompt(before_audio=prompt.before_audio, after_audio=(-1,)), rows)
    assert _generate(slot, prompt, rows) == [_logits(any_model, prompt, rows)]
    slot.close()


def test_a_cache_grows_for_a_long_prompt_up_to_its_limit(any_model):
    slot = _own(any_model, positions=80, most=160)
    prompt, rows = _prompt(any_model), _rows(any_model, 6)
    with slot.take(80) as lent:
        assert (lent.positions, _generate(lent, prompt, rows)) == (80, [_logits(any_model, prompt, rows)])
    named = _prompt(any_model, "Ada Lovelace, Babbage " * 3)
    with slot.take(150) as lent:
        assert (lent.positions, _generate(lent, named, rows)) == (150, [_logits(any_model, named, rows)])
    with slot.take(70) as lent:
        assert (lent.positions, _generate(lent, prompt, rows)) == (150, [_logits(any_model, prompt, rows)])
    with slot.take(1000) as lent:
        assert lent.positions == 160
    slot.close()


def _decode_all(model, slots, chunks, *, at_once):
    decoder = Decoder(model, slots)
    prompt = _prompt(model)

    def decode(number):  # sampled: noise makes the model say nothing else
        return decoder.decode(prompt, chunks[number], max_tokens=40, temperature=1.5, seed=number).tokens

    with ThreadPoolExecutor(at_once) as threads:
        return list(threads.map(decode, range(len(chunks))))


def test_a_sequence_does_not_notice_the_others(model):
    """The logits of every step are the same to the last bit, whoever else is there, before and after."""
    prompt, rows = _prompt(model), _rows(model, 5)
    slots = _shared(model, 3)

    def trace():
        with slots.take(POSITIONS) as slot:
            return b"".join(_generate(slot, prompt, rows, range(3, 15)))

    alone = trace()
    over = threading.Event()

    def disturb(seed):
        turn = 0
        while not over.is_set():
            with slots.take(POSITIONS) as slot:
                _generate(slot, prompt, _rows(model, seed + turn, count=20 + 7 * (turn % 9)), range(turn % 11))
            turn += 1
        return turn

    with ThreadPoolExecutor(2) as others:
        turns = [others.submit(disturb, seed) for seed in (100, 200)]
        traces = {trace() for _ in range(6)}
        over.set()
        assert min(turn.result() for turn in turns) > 1
    assert traces == {alone}
    slots.close()


def test_more_chunks_than_sequences_are_all_decoded_and_always_the_same(model):
    chunks = [_rows(model, seed, count=30 + 5 * seed) for seed in range(10)]
    slots = _shared(model, 3)
    one_by_one = _decode_all(model, slots, chunks, at_once=1)
    assert len(set(one_by_one)) >= 4
    for at_once in (2, 3, 6):
        assert _decode_all(model, slots, chunks, at_once=at_once) == one_by_one
    slots.close()


def _together(slots, work_of, count):
    """Give each of so many threads a slot, the first a moment before the others."""

    def work(number):
        time.sleep(0.1 if number else 0)
        with slots.take(POSITIONS) as slot:
            return work_of(slot, number)

    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(work, range(count)))


def test_a_step_that_fails_is_told_to_everybody_who_waits_for_it(model, monkeypatch):
    slots = _shared(model, 2)
    prompt = _prompt(model)
    failed = []

    def broken(self, tokens):
        failed.append(tokens)
        raise DecodeError("the device is gone")

    def work(slot, number):
        def answer(logits):
            time.sleep(0 if number else 0.4)  # the second arrives meanwhile
            return 1

        with pytest.raises(DecodeError, match="the device is gone"):
            slot.generate(prompt, _rows(model, number), answer)
        return True

    monkeypatch.setattr(Context, "decode_step", broken)
    assert _together(slots, work, 2) == [True, True]
    assert len(failed) == 1
    monkeypatch.undo()
    with slots.take(POSITIONS) as slot:
        assert _generate(slot, prompt, _rows(model, 1), (1,))[0] == _logits(model, prompt, _rows(model, 1), shared=True)
    slots.close()


def test_what_one_answer_raises_is_its_own_affair(model):
    slots = _shared(model, 3)
    prompt = _prompt(model)
    with slots.take(POSITIONS) as slot:
        alone = _generate(slot, prompt, _rows(model, 7), range(3, 20))
    seen = []

    def work(slot, number):
        if number == 1:
            return _generate(slot, prompt, _rows(model, 7), range(3, 20))

        def answer(logits):
            seen.append(number)
            if seen.count(number) == 5:
                raise ArithmeticError(f"number {number}")
            time.sleep(0.05)
            return 2

        with pytest.raises(ArithmeticError, match=f"number {number}"):
            slot.generate(prompt, _rows(model, number), answer)
        return number

    assert _together(slots, work, 3) == [0, alone, 2]
    slots.close()


def test_libraries_with_one_cache_are_refused():
    with (
        Model(load_library("ik-llama-cpp-python"), open_bundle(default_bundle()).llm) as model,
        pytest.raises(Exception, match="one cache for all"),
    ):
        _shared(model, 2)
