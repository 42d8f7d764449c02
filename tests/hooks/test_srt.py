# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
import srt
from hypothesis import given
from hypothesis import strategies as st

from subtitle_hooks import OutputError, Segment, SubtitleHost, SubtitleRequest, in_time_order, render_srt
from subtitle_hooks.testing import FakeBackend


def cue(start_ms, end_ms, text):
    return Segment(start_ms=start_ms, end_ms=end_ms, text=text)


def test_exact_text():
    segments = [
        cue(0, 1234, "Hello,\nworld."),
        cue(1234, 3_600_000 + 61_001, "Später?"),
        cue(360_000_000, 360_000_001, "字"),
    ]
    assert render_srt(segments) == (
        "1\n00:00:00,000 --> 00:00:01,234\nHello,\nworld.\n\n"
        "2\n00:00:01,234 --> 01:01:01,001\nSpäter?\n\n"
        "3\n100:00:00,000 --> 100:00:00,001\n字\n\n"
    )


def test_two_runs_are_put_together_when_asked():
    first, second = cue(6000, 7000, "Later."), cue(1000, 2000, "Earlier.")
    assert in_time_order(iter([first, second])) == [second, first]
    with pytest.raises(OutputError, match="starts before the cue in front of it"):
        render_srt([first, second])


def test_no_segments_give_an_empty_file():
    assert render_srt([]) == ""


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\n\nb", "a\nb"),
        ("\n a \n \t \nb\n", "a\nb"),
        ("a\r\nb\rc", "a\nb\nc"),
        ("a\u2028b\x0bc\x85d", "a\nb\nc\nd"),
        ("a --> b", "a → b"),
        ("a ----> b", "a --→ b"),
        ("00:00:01,000 --> 00:00:02,000\nx", "00:00:01,000 → 00:00:02,000\nx"),
        ("--\x00>", "→"),
        ("\ufeffa\x00b\x1b[0m\tc", "ab[0m c"),
        ("\ud83d!", "\ufffd!"),
        ("42", "42"),
        ("\u202bש\u202c", "\u202bש\u202c"),
    ],
)
def test_text_is_made_safe(text, shown):
    assert render_srt([cue(0, 1, text)]) == f"1\n00:00:00,000 --> 00:00:00,001\n{shown}\n\n"


@pytest.mark.parametrize(
    ("segments", "reason"),
    [
        ([cue(0, 1, "a"), cue(1, 2, " \n ")], r"cue 2 .* no visible text"),
        ([cue(0, 1, "\x00")], r"no visible text"),
        ([cue(0, 0, "a")], r"ends when or before"),
        ([cue(5, 4, "a")], r"ends when or before"),
        ([cue(-1, 4, "a")], r"before zero"),
        ([cue(5, 9, "a"), cue(4, 9, "b")], r"cue 2 .* before the cue in front"),
    ],
)
def test_a_cue_that_would_be_lost_is_an_error(segments, reason):
    with pytest.raises(OutputError, match=reason):
        render_srt(segments)


texts = st.text(st.characters() | st.sampled_from("\n\r\t ->\x00\u2028\ufeff"), max_size=60)


@given(st.lists(st.tuples(st.integers(0, 5000), st.integers(1, 5000), texts), max_size=8))
def test_every_cue_that_the_contract_allows_survives(parts):
    segments, clock = [], 0
    for gap, duration, text in parts:
        segments.append(cue(clock + gap, clock + gap + duration, text + "x"))
        clock += gap + duration
    request = SubtitleRequest(media=Path(__file__), options={"duration_ms": 100_000})
    host = SubtitleHost(discover=False, plugins=[FakeBackend(segments=segments)])
    text = render_srt(host.generate(request))
    text.encode("utf-8")
    read = list(srt.parse(text))
    assert [(sub.start, sub.end) for sub in read] == [
        (timedelta(milliseconds=one.start_ms), timedelta(milliseconds=one.end_ms)) for one in segments
    ]
    assert all(sub.content.strip() for sub in read)
    assert text.count("-->") == len(segments)
