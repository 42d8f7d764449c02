# SPDX-License-Identifier: Apache-2.0
"""Words of a segment: what a host may rely on, and what it is spared."""

from pathlib import Path

import pytest

from subtitle_hooks import (
    BackendInfo,
    ContractViolationError,
    Segment,
    SubtitleHost,
    SubtitleRequest,
    Transcript,
    Word,
    hookimpl,
)


def word(start_ms=0, end_ms=400, text="Hello.", **more):
    return Word(start_ms=start_ms, end_ms=end_ms, text=text, **more)


def through_a_host(words):
    class Plugin:
        @hookimpl
        def subtitle_backends(self):
            yield BackendInfo(name="made", version="1.0")

        @hookimpl
        def probe_media(self):
            return None

        @hookimpl
        def generate_subtitles(self):
            segment = Segment(start_ms=0, end_ms=900, text="Hello.", words=words)
            return Transcript(backend="made", segments=[segment])

    host = SubtitleHost(discover=False, plugins=[Plugin()])
    (segment,) = host.generate(SubtitleRequest(media=Path("film.mkv")), backend="made")
    return segment


@pytest.mark.parametrize(
    "words",
    [
        (),
        (word(),),
        (word(end_ms=0),),  # no length
        (word(start_ms=2000, end_ms=3000),),  # said after the cue is shown
        (word(estimated=True), word(start_ms=400, end_ms=500, repaired=True)),
    ],
)
def test_words_come_through_as_they_are(words):
    assert through_a_host(words).words == words


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ([word()], "instead of a tuple"),
        (None, "instead of a tuple"),
        (("Hello.",), "instead of a Word"),
        ((word(start_ms=0.5),), "not integer milliseconds"),
        ((word(end_ms=True),), "not integer milliseconds"),
        ((word(start_ms=-1),), "from -1 to 400 ms"),
        ((word(start_ms=401),), "from 401 to 400 ms"),
        ((word(text=" \n"),), "whose text is"),
        ((word(text=None),), "whose text is None"),
        ((word(), word(text="")), "whose text is ''"),
    ],
)
def test_what_no_host_need_cope_with(words, reason):
    with pytest.raises(ContractViolationError) as caught:
        through_a_host(words)
    assert "segment 1" in str(caught.value)
    assert reason in str(caught.value)
    assert "broke the subtitle contract" in str(caught.value)


def test_words_are_optional_and_measured_unless_they_say_otherwise():
    assert Segment(start_ms=0, end_ms=1, text="x").words == ()
    assert not word().estimated
    assert not word().repaired
