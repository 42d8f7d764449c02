# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest

from qwen_asr_plugin.media import AudioTrack, MediaProbe, choose_track
from subtitle_hooks import NoAudioError, TrackNotFoundError


def film(*languages, default=None):
    tracks = tuple(
        AudioTrack(index=i, stream_index=i + 1, language=language, codec="aac", channels=2, default=i == default)
        for i, language in enumerate(languages)
    )
    return MediaProbe(
        path=Path("film.mkv"), container="matroska", duration_ms=1, clock_offset_ms=0, tracks=tracks, has_video=True
    )


def test_default_then_first():
    assert choose_track(film("deu", "eng", "fra", default=1)).index == 1
    assert choose_track(film("deu", "eng")).index == 0


def test_number_wins_over_language():
    assert choose_track(film("deu", "eng"), index=0, language="eng").index == 0


@pytest.mark.parametrize(
    ("tag", "wanted"),
    [
        ("eng", "en"),
        ("eng", "English"),
        ("en-US", "eng"),
        ("ger", "deu"),
        ("deu", "de"),
        ("chi", "zho"),
        ("zh-Hant", "Chinese"),
        ("cmn", "zh"),
        ("fre", "fra"),
        ("per", "fas"),
        ("tl", "Filipino"),
        ("may", "ms"),
        ("ell", "gre"),
        ("zh_yue", "Cantonese"),
        ("isl", "ISL"),
    ],
)
def test_one_language_has_many_names(tag, wanted):
    assert choose_track(film(None, tag, "qaa", default=0), language=wanted).index == 1


@pytest.mark.parametrize(("tag", "wanted"), [("yue", "zh"), ("dan", "de"), ("eng", "e"), (None, "en")])
def test_different_languages_stay_different(tag, wanted):
    with pytest.raises(TrackNotFoundError):
        choose_track(film(tag), language=wanted)


def test_among_several_of_a_language_the_default_wins():
    assert choose_track(film("eng", "deu", "ger", "de", default=2), language="German").index == 2
    assert choose_track(film("eng", "deu", "ger", default=0), language="German").index == 1


def test_the_message_lists_what_there_is():
    with pytest.raises(TrackNotFoundError) as caught:
        choose_track(film("deu", None, default=0), index=2)
    assert "no audio track 2" in str(caught.value)
    assert "0 (deu, aac, 2 ch, default); 1 (language not marked, aac, 2 ch)" in str(caught.value)
    with pytest.raises(TrackNotFoundError):
        choose_track(film("deu"), index=-1)


def test_no_audio_at_all():
    with pytest.raises(NoAudioError):
        choose_track(film())
