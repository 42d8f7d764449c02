# SPDX-License-Identifier: Apache-2.0
"""What a context computes, and what it refuses."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from qwen_asr_native import (
    ClosedError,
    Context,
    ContextError,
    DecodeError,
    Library,
    Model,
    ModelLoadError,
    load_library,
)

IDS = [104, 101, 108, 300 - 44, 33, 70, 12, 200, 5, 17, 90, 31, 64, 7, 88, 150, 9, 42, 111, 3]


def _logits(model: Model, ids: list[int], **options: Any) -> np.ndarray:
    with Context(model, n_ctx=128, **options) as context:
        context.decode_tokens(ids, 0, logits=True)
        return context.logits()


def _close(first: np.ndarray, second: np.ndarray) -> bool:
    """Equal up to the rounding of a 16-bit KV cache."""
    return float(np.abs(first - second).max()) < 0.01 * float(np.abs(second).max())


def test_tokens_give_the_logits_of_the_reference(model: Model, reference: Callable[[list[int]], np.ndarray]) -> None:
    found = _logits(model, IDS)
    assert found.dtype == np.float32
    assert found.shape == (model.n_vocab,)
    assert _close(found, reference(IDS))


def test_the_reference_notices_another_order(model: Model, reference: Callable[[list[int]], np.ndarray]) -> None:
    assert not _close(_logits(model, IDS), reference([*IDS[5:10], *IDS[:5], *IDS[10:]]))


@pytest.mark.parametrize("n_ubatch", [64, 8])
def test_rows_of_the_token_table_are_the_tokens(model: Model, tiny: Any, n_ubatch: int) -> None:
    with Context(model, n_ctx=128, n_batch=64, n_ubatch=n_ubatch) as context:
        context.decode_embeddings(tiny.rows(IDS), 0, logits=True)
        assert _close(context.logits(), _logits(model, IDS))


@pytest.mark.parametrize("n_ubatch", [64, 8])
def test_several_rows_are_scored_in_one_pass(model: Model, tiny: Any, n_ubatch: int) -> None:
    wanted = np.array([0, 7, 8, 9, 15, len(IDS) - 1])
    with Context(model, n_ctx=128, n_batch=64, n_ubatch=n_ubatch) as context:
        scores = context.score_embeddings(tiny.rows(IDS), 0, wanted)
        assert (scores.shape, scores.dtype) == ((6, model.n_vocab), np.float32)
        for row, index in zip(scores, wanted, strict=True):
            assert _close(row, _logits(model, IDS[: index + 1]))
        assert context.length() == len(IDS)
        with pytest.raises(ContextError, match="no logits"):
            context.logits()
        context.clear()
        first = context.score_embeddings(tiny.rows(IDS), 0, wanted, columns=10)
        assert first.tobytes() == np.ascontiguousarray(scores[:, :10]).tobytes()
        context.clear()
        assert context.score_embeddings(tiny.rows(IDS), 0, np.array([], dtype=np.int64)).shape == (0, model.n_vocab)
        for wrong in ([3, 2], [1, 1], [-1], [len(IDS)]):
            with pytest.raises(DecodeError, match="rising numbers from 0 to 19"):
                context.score_embeddings(tiny.rows(IDS), len(IDS), np.array(wrong))
        with pytest.raises(DecodeError, match="logits, not 0"):
            context.score_embeddings(tiny.rows(IDS), len(IDS), wanted, columns=0)


@pytest.mark.parametrize("first", [0, 4])
def test_a_single_row_in_a_new_context(library: Library, tiny: Any, first: int) -> None:
    """In a process of its own, because ik libraries crash on it when they are not prepared."""
    code = f"""if True:
        import numpy as np
        from qwen_asr_native import Context, Model, load_library
        rows = np.load({str(tiny.path.with_suffix(".npy"))!r})
        with Model(load_library({str(library.path)!r}), {str(tiny.path)!r}) as model:
            with Context(model, n_ctx=64, n_batch=4, n_ubatch=4) as context:
                if {first}:
                    context.decode_embeddings(rows[:{first}], 0)
                context.decode_embeddings(rows[{first} : {first} + 1], {first}, logits=True)
                assert context.length() == {first} + 1
                found = context.logits()
            with Context(model, n_ctx=64) as context:
                context.decode_tokens({IDS[: first + 1]}, 0, logits=True)
                assert np.abs(found - context.logits()).max() < 0.01 * np.abs(found).max()
    """
    np.save(tiny.path.with_suffix(".npy"), tiny.rows(IDS))
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert (child.returncode, child.stderr) == (0, "")


@pytest.mark.parametrize("count", [5, 9, 17])
def test_no_piece_is_a_single_row(model: Model, tiny: Any, count: int) -> None:
    with Context(model, n_ctx=64, n_batch=4, n_ubatch=4) as context:
        context.decode_embeddings(tiny.rows(IDS[:count]), 0, logits=True)
        assert _close(context.logits(), _logits(model, IDS[:count]))


def test_tokens_and_rows_mix_and_generation_goes_on(model: Model, tiny: Any) -> None:
    with Context(model, n_ctx=128, n_batch=8, n_ubatch=8) as context:
        context.decode_tokens(IDS[:3], 0, logits=False)
        context.decode_embeddings(tiny.rows(IDS[3:15]), 3)
        for index, token in enumerate(IDS[15:], start=15):
            context.decode_tokens([token], index, logits=True)
        assert context.length() == len(IDS)
        assert _close(context.logits(), _logits(model, IDS))


def test_rows_may_be_a_view(model: Model, tiny: Any) -> None:
    rows = np.repeat(tiny.rows(IDS), 2, axis=0)[::2]
    assert not rows.flags.c_contiguous
    with Context(model, n_ctx=128) as context:
        context.decode_embeddings(rows, 0, logits=True)
        assert _close(context.logits(), _logits(model, IDS))


def test_long_input_is_split(model: Model) -> None:
    split = _logits(model, IDS, n_batch=7, n_ubatch=3)
    assert _close(split, _logits(model, IDS))


def test_same_input_same_bytes(model: Model) -> None:
    assert _logits(model, IDS).tobytes() == _logits(model, IDS).tobytes()


@pytest.mark.parametrize("flash_attention", [False, True])
def test_flash_attention_changes_nothing(model: Model, flash_attention: bool) -> None:
    assert _close(_logits(model, IDS, flash_attention=flash_attention), _logits(model, IDS))


def test_a_cache_of_eight_bits_changes_little(model: Model) -> None:
    exact = _logits(model, IDS)
    found = _logits(model, IDS, kv_type="q8_0")
    assert found.tobytes() != exact.tobytes()
    assert np.abs(found - exact).max() < 0.03 * np.abs(exact).max()
    with pytest.raises(ContextError, match="flash attention"):
        Context(model, n_ctx=64, flash_attention=False, kv_type="q8_0")


@pytest.mark.parametrize("repack", [False, True])
def test_repacking_changes_nothing(library: Library, tiny: Any, repack: bool) -> None:
    with Model(library, tiny.path, repack=repack, use_mmap=not repack) as model, Model(library, tiny.path) as plain:
        assert _close(_logits(model, IDS), _logits(plain, IDS))


def test_libraries_agree(tiny: Any) -> None:
    found = []
    for name in ("ik-llama-cpp-python", "xllamacpp"):
        with Model(load_library(name), tiny.path) as model:
            found.append(_logits(model, IDS))
    assert _close(*found)


def test_clear_forgets(model: Model) -> None:
    with Context(model, n_ctx=128) as context:
        context.decode_tokens(IDS[::-1], 0, logits=True)
        context.clear()
        assert context.length() == 0
        context.decode_tokens(IDS, 0, logits=True)
        assert context.logits().tobytes() == _logits(model, IDS).tobytes()


def test_truncate_goes_back(model: Model) -> None:
    with Context(model, n_ctx=128) as context:
        context.decode_tokens([*IDS[:12], 1, 2, 3, 4], 0, logits=True)
        context.truncate(12)
        with pytest.raises(ContextError, match="no logits"):
            context.logits()
        context.decode_tokens(IDS[12:], 12, logits=True)
        assert _close(context.logits(), _logits(model, IDS))
        with pytest.raises(ContextError, match="Cannot cut at 21"):
            context.truncate(21)


def test_sequences_are_independent(model: Model) -> None:
    with Context(model, n_ctx=128, n_seq_max=3) as context:
        context.decode_tokens(IDS[::-1], 0, logits=False, sequence=0)
        context.decode_tokens(IDS[:9], 0, logits=False, sequence=2)
        context.decode_tokens(IDS[3:6], len(IDS), logits=False)
        context.decode_tokens(IDS[9:], 9, logits=True, sequence=2)
        assert _close(context.logits(), _logits(model, IDS))
        context.truncate(0)
        assert [context.length(sequence) for sequence in range(3)] == [0, 0, len(IDS)]
        with pytest.raises(ContextError, match="no sequence 3"):
            context.decode_tokens([1], 0, logits=False, sequence=3)


def test_a_step_is_one_token_for_each_of_several_sequences(model: Model) -> None:
    prompts = {0: IDS[:7], 2: IDS[3:12], 1: IDS[::-1][:5]}
    with Context(model, n_ctx=128, n_seq_max=3) as context:
        for sequence, ids in prompts.items():
            context.decode_tokens(ids, 0, logits=False, sequence=sequence)
        found = context.decode_step([(2, 9), (0, 8)])
        assert _close(found[0], _logits(model, [*prompts[2], 9]))
        assert _close(found[1], _logits(model, [*prompts[0], 8]))
        assert [context.length(sequence) for sequence in range(3)] == [8, 5, 10]
        with pytest.raises(ContextError, match="no logits"):
            context.logits()


def test_a_step_that_cannot_be_is_refused_and_changes_nothing(model: Model) -> None:
    with Context(model, n_ctx=16, n_seq_max=4) as context:
        context.decode_tokens(IDS[:7], 0, logits=False)
        context.decode_tokens(IDS[:7], 0, logits=False, sequence=1)
        for tokens, message in [
            ([], "one row"),
            ([(0, -1)], "not a token id"),
            ([(0, 1), (0, 2)], "each sequence once"),
        ]:
            with pytest.raises(DecodeError, match=message):
                context.decode_step(tokens)
        with pytest.raises(ContextError, match="no sequence 4"):
            context.decode_step([(0, 1), (4, 1)])
        context.decode_step([(0, 1), (1, 1)])
        with pytest.raises(DecodeError, match="1 more positions do not fit"):
            context.decode_step([(0, 1)])
        assert [context.length(sequence) for sequence in range(4)] == [8, 8, 0, 0]


def test_batches_smaller_than_the_number_of_sequences_are_refused(model: Model) -> None:
    """Mainline libraries abort on them."""
    for sizes in ({"n_batch": 2}, {"n_ubatch": 2}, {"n_ctx": 2}):
        with pytest.raises(ContextError, match="number of sequences, 3"):
            Context(model, **{"n_ctx": 64, **sizes}, n_seq_max=3)


def test_separate_sequences_do_not_share_room_or_sums(tiny: Any) -> None:
    with (
        Model(load_library("xllamacpp"), tiny.path) as model,
        Context(model, n_ctx=64, n_seq_max=2, separate=True) as context,
    ):
        context.decode_tokens(IDS, 0, logits=True)
        alone = context.logits().tobytes()
        context.decode_tokens((IDS * 8)[:64], 0, logits=False, sequence=1)
        context.truncate(0)
        context.decode_tokens(IDS, 0, logits=True)
        assert context.logits().tobytes() == alone
        with pytest.raises(DecodeError, match="64 of 64 are in use"):
            context.decode_step([(0, 1), (1, 1)])
    with Model(load_library("ik-llama-cpp-python"), tiny.path) as model, pytest.raises(ContextError, match="one cache"):
        Context(model, n_ctx=64, n_seq_max=2, separate=True)


def test_flash_attention_that_would_abort_is_refused(tiny: Any) -> None:
    library = load_library("ik-llama-cpp-python")
    with Model(library, tiny.path) as model, pytest.raises(ContextError, match="more than one sequence"):
        Context(model, n_ctx=64, n_seq_max=2, flash_attention=True)


def test_contexts_of_one_model_run_in_threads(model: Model) -> None:
    expected = {turn: _logits(model, IDS[turn:]) for turn in range(4)}
    failures: list[str] = []

    def work(turn: int) -> None:
        with Context(model, n_ctx=128) as context:
            for _ in range(5):
                context.clear()
                context.decode_tokens(IDS[turn:], 0, logits=True)
                if context.logits().tobytes() != expected[turn].tobytes():
                    failures.append(f"thread {turn} computed something else")

    threads = [threading.Thread(target=work, args=(turn,)) for turn in expected]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_the_number_of_threads_changes_no_bit_of_several_rows(model: Model) -> None:
    rows = np.random.default_rng(0).normal(0, 0.05, (90, model.n_embd)).astype(np.float32)
    found = set()
    with Context(model, n_ctx=128, n_batch=64, n_ubatch=64) as context:
        for threads, threads_batch in ((1, None), (1, 2), (3, 3), (2, 1)):
            context.set_threads(threads, threads_batch)
            address = context._address
            assert model.library.functions.n_threads(address) == threads
            assert model.library.functions.n_threads_batch(address) == (threads_batch or threads)
            context.clear()
            context.decode_embeddings(rows, 0, logits=True)
            found.add(context.logits().tobytes())
        for wrong in ((0, 1), (1, 0), (513, 1)):
            with pytest.raises(ContextError, match="from 1 to 512"):
                context.set_threads(*wrong)
    assert len(found) == 1


def test_one_context_in_two_threads_is_refused(model: Model) -> None:
    with Context(model, n_ctx=128) as context:
        refused: list[BaseException] = []
        with context._exclusively():

            def work() -> None:
                try:
                    context.decode_tokens(IDS, 0, logits=False)
                except ContextError as error:
                    refused.append(error)

            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
        assert "another thread" in str(refused[0])


@pytest.mark.parametrize(
    ("tokens", "position", "message"),
    [
        ([], 0, "whole numbers in one row"),
        ([1.5], 0, "whole numbers in one row"),
        ([[1, 2]], 0, "whole numbers in one row"),
        ([-1], 0, "-1 is not a token id"),
        ([1, 100_000], 0, "100000 is not a token id"),
        ([1], 1, "Position 1 is not the next one of the sequence, which is 0"),
        ([1], -1, "Position -1"),
        ([1] * 129, 0, "129 more positions do not fit: 0 of 128"),
    ],
)
def test_tokens_that_would_abort_are_refused(model: Model, tokens: Any, position: int, message: str) -> None:
    with Context(model, n_ctx=128) as context:
        with pytest.raises(DecodeError, match=message):
            context.decode_tokens(tokens, position, logits=True)
        assert context.length() == 0
        context.decode_tokens([1], 0, logits=True)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (np.zeros((3, 255), np.float32), r"shape \(n, 256\)"),
        (np.zeros((3, 256), np.float64), "must be float32"),
        (np.zeros((0, 256), np.float32), "must be float32 of shape"),
        (np.zeros(256, np.float32), "must be float32 of shape"),
        (np.full((2, 256), np.nan, np.float32), "not finite"),
        (np.zeros((129, 256), np.float32), "do not fit"),
    ],
)
def test_rows_that_would_abort_are_refused(model: Model, rows: np.ndarray, message: str) -> None:
    with Context(model, n_ctx=128) as context:
        with pytest.raises(DecodeError, match=message):
            context.decode_embeddings(rows, 0)
        assert context.length() == 0


def test_a_full_context_says_so(model: Model) -> None:
    with Context(model, n_ctx=64) as context:
        context.decode_tokens([1] * 64, 0, logits=False)
        with pytest.raises(DecodeError, match="64 of 64 are in use"):
            context.decode_tokens([1], 64, logits=False)
        context.truncate(63)
        context.decode_tokens([1], 63, logits=True)


@pytest.mark.parametrize("setting", ["n_ctx", "n_batch", "n_ubatch", "threads", "threads_batch", "n_seq_max"])
def test_settings_without_sense_are_refused(model: Model, setting: str) -> None:
    with pytest.raises(ContextError, match=f"{setting} must be from 1"):
        Context(model, **{"n_ctx": 64, setting: 0})


def test_closed_things_say_so(library: Library, tiny: Any) -> None:
    model = Model(library, tiny.path)
    context = Context(model, n_ctx=64)
    model.close()
    model.close()
    context.decode_tokens([1], 0, logits=True)  # the weights live as long as the context
    assert context.logits().shape == (model.n_vocab,)
    context.close()
    context.close()
    for call in (
        lambda: context.decode_tokens([1], 1, logits=True),
        context.logits,
        context.clear,
        lambda: context.truncate(0),
        lambda: context.set_threads(1),
        lambda: model.tokenize("x"),
        lambda: model.piece(1),
        lambda: model.meta("general.name"),
        lambda: Context(model, n_ctx=64),
    ):
        with pytest.raises(ClosedError):
            call()


def test_damaged_weights_are_noticed(library: Library, tiny: Any, tmp_path: Any) -> None:
    norm = tiny.weights["output_norm.weight"].tobytes()
    data = tiny.path.read_bytes()
    assert data.count(norm) == 1
    broken = tmp_path / "nan.gguf"
    broken.write_bytes(data.replace(norm, np.full(256, np.nan, np.float32).tobytes()))
    with Model(library, broken) as model, Context(model, n_ctx=64) as context:
        context.decode_tokens([1], 0, logits=True)
        with pytest.raises(DecodeError, match="damaged"):
            context.logits()
        with pytest.raises(DecodeError, match="damaged"):
            context.score_embeddings(tiny.rows([1]), 1, np.array([0]))


def test_nothing_is_printed(library: Library, tiny: Any, capfd: pytest.CaptureFixture[str]) -> None:
    with Model(library, tiny.path) as model:
        _logits(model, IDS)
    with pytest.raises(ModelLoadError):
        Model(library, tiny.path.with_name("absent.gguf"))
    assert capfd.readouterr() == ("", "")
