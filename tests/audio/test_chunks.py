# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qwen_asr_plugin.audio import SpeechTracker, find_chunks

FRAME = 512
PER_MS = 16


def audio_of(length, seed=0):
    return np.random.default_rng(seed).normal(0, 0.1, length).astype(np.float32)


def scripted(decisions):
    """A detector that follows a script instead of listening, with the real one's rhythm."""

    def detect(blocks):
        waiting, done = 0, 0
        for block in blocks:
            waiting += block.size
            frames = waiting // FRAME
            if frames:
                waiting -= frames * FRAME
                yield np.array(decisions[done : done + frames], dtype=np.float32)
                done += frames
        if waiting:
            yield np.array(decisions[done : done + 1], dtype=np.float32)

    return detect


def chunks_of(audio, decisions, *, start_ms=0, block=16_000, **options):
    blocks = (audio[first : first + block] for first in range(0, len(audio), block))
    return list(filter(None, find_chunks(blocks, start_ms=start_ms, detect=scripted(decisions), **options)))


runs = st.lists(st.tuples(st.integers(1, 200), st.sampled_from([0.0, 0.3, 0.9])), min_size=1, max_size=25)


@settings(max_examples=150, deadline=None)
@given(
    runs=runs,
    tail=st.integers(0, FRAME - 1),
    block=st.sampled_from([16_000, 700, 48_001]),
    max_seconds=st.sampled_from([2.0, 5.0, 11.37]),
    first_seconds=st.sampled_from([None, 2.0, 4.0]),
    padding_ms=st.sampled_from([0, 200, 500]),
    start_ms=st.sampled_from([0, 4_087]),
)
def test_laws(runs, tail, block, max_seconds, first_seconds, padding_ms, start_ms):
    decisions = [value for length, value in runs for _ in range(length)]
    audio = audio_of(len(decisions) * FRAME - tail)
    limits = {"max_seconds": max_seconds, "first_seconds": first_seconds, "padding_ms": padding_ms}
    chunks = chunks_of(audio, decisions, start_ms=start_ms, block=block, **limits)
    assert all(len(chunk.samples) <= (first_seconds or max_seconds) * 16_000 for chunk in chunks[:1])

    assert [chunk.index for chunk in chunks] == list(range(len(chunks)))
    covered = np.zeros(len(audio), dtype=bool)
    for chunk in chunks:
        first = (chunk.start_ms - start_ms) * PER_MS
        assert 1_600 <= len(chunk.samples) <= max_seconds * 16_000
        np.testing.assert_array_equal(chunk.samples, audio[first : first + len(chunk.samples)])
        assert chunk.end_ms - start_ms == -(-(first + len(chunk.samples)) // PER_MS)
        assert not covered[first : first + len(chunk.samples)].any()
        covered[first : first + len(chunk.samples)] = True
        assert chunk.spans
        assert chunk.start_ms <= chunk.spans[0].start_ms
        assert chunk.spans[-1].end_ms <= chunk.end_ms
        assert all(span.start_ms < span.end_ms for span in chunk.spans)
        assert all(a.end_ms <= b.start_ms for a, b in itertools.pairwise(chunk.spans))
    assert all(a.end_ms <= b.start_ms for a, b in itertools.pairwise(chunks))

    tracker = SpeechTracker()
    spans = [tracker.push(p) for p in decisions]
    speech = np.zeros(len(audio), dtype=bool)
    for span in [*spans, tracker.finish()]:
        if span:
            speech[span[0] * FRAME : span[1] * FRAME] = True
    assert not (speech & ~covered).any(), "detected speech was lost"
    marked = np.zeros(len(audio), dtype=bool)
    for chunk in chunks:
        for span in chunk.spans:
            marked[(span.start_ms - start_ms) * PER_MS : (span.end_ms - start_ms) * PER_MS] = True
    assert not (speech & ~marked).any(), "the spans of the chunks miss detected speech"


def seconds(*runs):
    """Decisions for (seconds, speech) pairs, rounded to frames."""
    return [0.9 if speech else 0.0 for length, speech in runs for _ in range(round(length * 16_000 / FRAME))]


def cut(decisions, audio=None, **options):
    audio = audio_of(len(decisions) * FRAME) if audio is None else audio
    return chunks_of(audio, decisions, **{"max_seconds": 20.0, **options})


def test_short_pauses_stay_inside_a_chunk():
    (chunk,) = cut(seconds((1, 0), (3, 1), (0.5, 0), (3, 1), (1.5, 0), (3, 1), (5, 0)))
    assert len(chunk.spans) == 3
    assert chunk.start_ms == pytest.approx(500, abs=32)
    assert chunk.end_ms == pytest.approx(12_500, abs=64)


def test_a_long_silence_is_left_out():
    first, second = cut(seconds((3, 1), (2.5, 0), (3, 1)))
    assert first.end_ms == pytest.approx(3_500, abs=32)
    assert second.start_ms == pytest.approx(5_000, abs=64)


def test_long_speech_is_cut_in_its_longest_late_pause():
    first, second = cut(seconds((8, 1), (0.3, 0), (5, 1), (0.8, 0), (4, 1), (0.2, 0), (8, 1)))
    assert first.end_ms == pytest.approx(8_000 + 300 + 5_000 + 400, abs=64)
    assert second.start_ms == first.end_ms


def test_speech_without_any_pause_is_cut_where_it_is_quietest():
    decisions = seconds((30, 1))
    audio = audio_of(len(decisions) * FRAME)
    audio[int(17.2 * 16_000) : int(17.35 * 16_000)] *= 0.01
    first, second = cut(decisions, audio)
    assert 17_200 <= first.end_ms <= 17_350
    assert second.start_ms == first.end_ms
    np.testing.assert_array_equal(np.concatenate((first.samples, second.samples)), audio)


def test_the_first_chunk_may_be_shorter_for_those_who_wait():
    decisions = seconds((60, 1))
    lengths = [(chunk.end_ms - chunk.start_ms) / 1000 for chunk in cut(decisions, first_seconds=8.0)]
    assert 6 <= lengths[0] <= 8
    assert 15 <= lengths[1] <= 20


def test_a_cut_leaves_enough_for_another_chunk():
    """The quietest sample is just before the limit and the stream ends just after it."""
    audio = audio_of(32_500)
    audio[31_500:32_000] = 0
    first, second = cut([0.9] * 64, audio, max_seconds=2)
    assert len(second.samples) >= 1_600
    assert len(first.samples) + len(second.samples) == len(audio)


def test_chunks_come_before_the_stream_ends():
    taken = []

    def blocks():
        for number in range(60):
            taken.append(number)
            yield np.zeros(16_000, dtype=np.float32)

    decisions = seconds((3, 1), (60, 0))
    chunk = next(filter(None, find_chunks(blocks(), start_ms=0, max_seconds=20, detect=scripted(decisions))))
    assert chunk.end_ms == pytest.approx(3_500, abs=32)
    assert len(taken) <= 7


def test_memory_does_not_grow_with_the_stream():
    """An hour of silence and then an hour of speech: what is kept stays near the limit."""
    import tracemalloc

    silence, talk = 1_800, 1_800
    decisions = np.repeat(np.array([0.0, 0.9], dtype=np.float32), [silence * 31, talk * 32])
    block = np.zeros(16_000, dtype=np.float32)
    tracemalloc.start()
    for _ in find_chunks(
        (block for _ in range(silence + talk)), start_ms=0, max_seconds=20, detect=scripted(decisions)
    ):
        pass
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20_000_000


def test_no_speech_no_chunk():
    assert cut(seconds((60, 0))) == []
    assert list(find_chunks([], start_ms=0, max_seconds=20)) == []


def test_samples_cannot_be_changed():
    (chunk,) = cut(seconds((3, 1)))
    with pytest.raises(ValueError, match="read-only"):
        chunk.samples[0] = 1


@pytest.mark.parametrize(
    "options", [{"max_seconds": 1}, {"padding_ms": -1}, {"padding_ms": 900, "longest_pause_ms": 800}]
)
def test_impossible_limits_are_refused(options):
    with pytest.raises(ValueError, match="max_seconds"):
        cut(seconds((3, 1)), **options)


def test_human_speech_is_covered(human_speech, in_blocks):
    silence = np.zeros(5 * 16_000, dtype=np.float32)
    stream = np.concatenate((silence, human_speech, silence))
    chunks = list(filter(None, find_chunks(in_blocks(stream), start_ms=0, max_seconds=30)))
    assert len(chunks) == 1
    loud = np.flatnonzero(np.abs(stream) > 0.05 * np.abs(stream).max()) / PER_MS
    assert chunks[0].start_ms <= loud[0]
    assert loud[-1] <= chunks[0].end_ms
    assert chunks[0].start_ms > 3_500
    assert chunks[0].end_ms < 17_500
