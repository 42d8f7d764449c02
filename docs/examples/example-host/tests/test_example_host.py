# SPDX-License-Identifier: Apache-2.0
import example_host
import pytest

from subtitle_hooks import OutputExistsError, SubtitleHost
from subtitle_hooks.testing import FakeBackend


@pytest.fixture
def host():
    return SubtitleHost(discover=False, plugins=[FakeBackend()])


@pytest.fixture
def film(tmp_path):
    path = tmp_path / "film.mkv"
    path.write_bytes(bytes(160_000))  # five seconds for the fake backend
    return path


def test_subtitles_lie_beside_the_film(host, film):
    target = example_host.make_subtitles(host, film, "en")
    assert target == film.with_name("film.en.srt")
    assert target.read_text(encoding="utf-8").startswith("1\n00:00:00,200 --> 00:00:02,200\nSentence 1 of film.\n")


def test_existing_subtitles_are_safe(host, film):
    film.with_name("film.en.srt").write_text("mine", encoding="utf-8")
    with pytest.raises(OutputExistsError):
        example_host.make_subtitles(host, film, "en")
    assert film.with_name("film.en.srt").read_text(encoding="utf-8") == "mine"
