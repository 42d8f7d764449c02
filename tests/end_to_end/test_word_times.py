# SPDX-License-Identifier: Apache-2.0
"""Word times through the whole product: what is promised of every word, and what happens when the aligner is lost.

The bundled aligner puts words into the first half of each sentence (docs/word-times.md), so that the check of its
times always has something to find.
"""

import itertools
import json

import pytest

from qwen_asr_plugin import backend
from subtitle_hooks import SubtitleRequest
from subtitle_hooks.testing import RecordingEvents

LOST_AFTER = 3


class Run:
    """One run over the sample video."""

    def __init__(self, host, media, **options):
        events = RecordingEvents()
        request = SubtitleRequest(media=media, options={key: str(value) for key, value in options.items()})
        with host.generate(request, backend="qwen-asr", events=events) as transcript:
            self.segments = list(transcript)
        self.duration_ms = transcript.duration_ms
        self.statistics = transcript.statistics
        self.words = [word for segment in self.segments for word in segment.words]
        self.messages = [message for _, message in events.messages]

    def count(self, name):
        return sum(getattr(word, name) for word in self.words)


@pytest.fixture(scope="module")
def run(host, sample_video):
    """Make a run; one with the same options is made once."""
    made = {}

    def make(**options):
        key = tuple(sorted(options.items()))
        if key not in made:
            made[key] = Run(host, sample_video, **options)
        return made[key]

    return make


EVERY_WAY = [{}, {"check_alignment": "no"}, {"aligner": "off"}]


@pytest.mark.parametrize("options", EVERY_WAY, ids=str)
def test_every_word_is_in_its_cue_and_in_the_media(run, options):
    done = run(**options)
    assert len(done.words) > 90
    for segment in done.segments:
        assert segment.words
        # The words are the text of the cue, in order; only white space is between them.
        assert "".join(word.text for word in segment.words).replace(" ", "") == "".join(segment.text.split())
        assert all(word.text == word.text.strip() != "" for word in segment.words)
    for word in done.words:
        assert 0 <= word.start_ms <= word.end_ms <= done.duration_ms
        assert not (word.estimated and word.repaired)
    assert all(one.end_ms <= following.start_ms for one, following in itertools.pairwise(done.words))


@pytest.mark.parametrize("options", EVERY_WAY, ids=str)
def test_the_statistics_count_what_the_words_say(run, options):
    done = run(**options)
    assert done.statistics["words"] == len(done.words)
    assert done.statistics["estimated_words"] == done.count("estimated")
    assert done.statistics["repaired_words"] == done.count("repaired")
    assert done.statistics["aligned_chunks"] + done.statistics["implausible_chunks"] <= done.statistics["chunks"]


def test_an_implausible_alignment_is_not_used(run):
    done = run()
    assert done.statistics["aligner"] != "none"
    assert done.statistics["alignment_seconds"] > 0
    assert done.count("estimated") == len(done.words)
    assert done.count("repaired") == 0
    assert done.statistics["aligned_chunks"] == 0
    # Then nothing more is counted: the aligner is given up.
    assert done.statistics["implausible_chunks"] == LOST_AFTER < done.statistics["chunks"]
    # What is left is what there is without an aligner, at most cut into other chunks.
    assert [word.text for word in done.words] == [word.text for word in run(aligner="off").words]


def test_the_user_is_told_once(run):
    told = [message for message in run().messages if "forced aligner" in message]
    assert len(told) == 1
    assert "estimated" in told[0]
    for options in ({"check_alignment": "no"}, {"aligner": "off"}):
        assert not [message for message in run(**options).messages if "align" in message]


def test_words_are_said_where_sentences_are(run, sample_reference):
    """Without trust in the aligner: its times are checked against the sound."""
    starts = [word.start_ms for word in run().words]
    for sentence in sample_reference:
        nearest = min(abs(start - sentence["start_ms"]) for start in starts)
        assert nearest <= 150, sentence["text"]


def test_without_the_check_the_aligner_is_trusted(run):
    done = run(check_alignment="no")
    assert done.count("estimated") == 0
    assert done.statistics["aligned_chunks"] == done.statistics["chunks"] > 0
    assert done.statistics["implausible_chunks"] == 0
    assert 0 < done.count("repaired") < len(done.words)
    measured, estimated = ([word.start_ms for word in made.words] for made in (done, run()))
    assert measured != estimated


def test_without_an_aligner(run):
    done = run(aligner="off")
    assert done.statistics["aligner"] == "none"
    assert done.statistics["alignment_seconds"] < 0.1
    assert done.count("estimated") == len(done.words)
    assert (done.statistics["aligned_chunks"], done.statistics["implausible_chunks"]) == (0, 0)


@pytest.mark.parametrize("check", ["yes", "no"])
def test_neither_lanes_nor_a_second_run_change_a_word(run, host, sample_video, check):
    """Where the aligner is given up depends on what came out, not on what was under way at the time."""
    one = run(check_alignment=check, lanes=1, threads=1)
    two = run(check_alignment=check, lanes=2, threads=2)
    again = Run(host, sample_video, check_alignment=check, lanes=2, threads=2) if check == "yes" else two
    assert one.segments == two.segments == again.segments
    for name in ("words", "estimated_words", "repaired_words", "aligned_chunks", "implausible_chunks"):
        assert one.statistics[name] == two.statistics[name] == again.statistics[name], name


def test_one_good_chunk_keeps_the_aligner(host, sample_video, monkeypatch):
    answers = (number == 2 for number in itertools.count())  # the third alone
    monkeypatch.setattr(backend, "is_plausible", lambda *_: next(answers))
    done = Run(host, sample_video)
    chunks = done.statistics["chunks"]
    assert chunks > LOST_AFTER + 1
    assert done.statistics["aligned_chunks"] == 1
    assert done.statistics["implausible_chunks"] == chunks - 1
    assert 0 < done.count("estimated") < len(done.words)
    assert not [message for message in done.messages if "forced aligner" in message]


def test_json_has_the_words_with_their_flags(plugin_cli, run, sample_video, tmp_path):
    done = plugin_cli("transcribe", sample_video, "-f", "json", "-o", tmp_path)
    assert done.returncode == 0, done.stderr
    document = json.loads((tmp_path / "sample.en.json").read_text(encoding="utf-8"))
    assert [segment["words"] for segment in document["segments"]] == [
        [vars(word) for word in segment.words] for segment in run().segments
    ]
    assert "forced aligner" in done.stderr
