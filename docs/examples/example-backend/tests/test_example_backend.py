# SPDX-License-Identifier: Apache-2.0
import wave

import example_backend
import pytest

from subtitle_hooks import MediaFormatError, RequestError, SubtitleHost, SubtitleRequest


@pytest.fixture
def host():
    return SubtitleHost(discover=False, plugins=[example_backend])


@pytest.fixture
def talk(tmp_path):
    with wave.open(str(tmp_path / "talk.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(bytes(2 * 16000 * 6))
    (tmp_path / "talk.txt").write_text("One two three. Four five six seven! Eight?", encoding="utf-8")
    return tmp_path / "talk.wav"


def test_sentences_share_the_duration_by_their_length(host, talk):
    segments = list(host.generate(SubtitleRequest(media=talk)))
    assert [segment.text for segment in segments] == ["One two three.", "Four five six seven!", "Eight?"]
    assert [(segment.start_ms, segment.end_ms) for segment in segments] == [(0, 2100), (2100, 5100), (5100, 6000)]


def test_a_missing_text_is_named(host, talk):
    talk.with_suffix(".txt").unlink()
    with pytest.raises(RequestError, match=r"talk\.txt"):
        host.generate(SubtitleRequest(media=talk))


def test_other_formats_are_refused_with_advice(host, talk):
    talk.write_bytes(b"\0" * 100)
    with pytest.raises(MediaFormatError, match="ffmpeg"):
        host.probe(SubtitleRequest(media=talk))
