# SPDX-License-Identifier: Apache-2.0
import random

import pytest

from qwen_asr_plugin.engine.loop_guard import LADDER, echoes_context, loop_length, token_budget


@pytest.mark.parametrize("period", [1, 2, 3, 4, 7, 12, 25, 40])
def test_a_cycle_of_any_period_is_noticed_and_cut_back_to_its_first_occurrence(period):
    start = list(range(1000, 1010))
    cycle = list(range(period))
    tokens = list(start)
    for _ in range(50):
        for token in cycle:
            tokens.append(token)
            if length := loop_length(tokens):
                del tokens[-length:]
                assert tokens[:10] == start
                assert len(tokens) <= 10 + 2 * period
                return
    pytest.fail("never noticed")


@pytest.mark.parametrize(
    "tokens",
    [[5] * 13, [1, 2] * 8, [1, 2, 3, 4, 5] * 5, list(range(200)), []],
)
def test_what_people_really_repeat_is_no_loop(tokens):
    assert loop_length(tokens) == 0


def test_random_text_is_no_loop():
    numbers = random.Random(4)
    tokens = [numbers.randrange(40) for _ in range(2000)]
    assert all(loop_length(tokens[:end]) == 0 for end in range(len(tokens)))


def test_the_ladder_starts_greedy_and_ends_hot():
    assert LADDER[0].temperature == 0
    assert LADDER[0].with_context
    assert [rung.temperature for rung in LADDER] == sorted(rung.temperature for rung in LADDER)


def test_the_budget_grows_with_the_audio():
    assert token_budget(0.5) < token_budget(10) < token_budget(30)


@pytest.mark.parametrize(
    ("text", "context", "echo"),
    [
        ("Ada Lovelace, Charles Babbage, Luigi Menabrea.", "Ada Lovelace, Charles Babbage, Luigi Menabrea", True),
        ("Then Ada Lovelace wrote to Babbage.", "Ada Lovelace, Charles Babbage, Luigi Menabrea", False),
        ("Paris", "Paris", False),
        ("anything", "", False),
    ],
)
def test_a_context_read_back_is_noticed(text, context, echo):
    assert echoes_context(text, context) is echo
