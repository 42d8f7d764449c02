# SPDX-License-Identifier: Apache-2.0
"""Whatever the container and codec: same words, right times."""

import pytest

LATE_MS = 4000


@pytest.fixture(scope="module")
def clip(speech_folder):
    return speech_folder / "12-hibari.flac"


@pytest.fixture(scope="module")
def other_clip(speech_folder):
    return speech_folder / "29-hibari.flac"


@pytest.fixture(scope="module")
def expected(subtitles, clip):
    return subtitles(clip)


@pytest.fixture(scope="module")
def texts(speech_folder):
    rows = [line.split("\t") for line in (speech_folder / "transcripts.tsv").read_text().splitlines()]
    return {row[0]: row[rows[0].index("text")] for row in rows[1:]}


def _text(segments):
    return " ".join(segment.text for segment in segments)


def test_the_clip_itself_is_recognised(expected, clip, texts, wrong_words):
    assert wrong_words(texts[clip.name], _text(expected)) <= 0.10


AUDIO = {
    "mp3": ["-c:a", "libmp3lame", "-b:a", "96k"],
    "m4a": ["-c:a", "aac", "-b:a", "96k"],
    "ogg": ["-c:a", "libvorbis"],
    "opus": ["-c:a", "libopus", "-b:a", "48k"],
    "flac": ["-c:a", "flac"],
    "wma": ["-c:a", "wmav2"],
    "ac3": ["-c:a", "ac3"],
    "8k.wav": ["-ar", "8000", "-ac", "2"],
    "22k.wav": ["-ar", "22050", "-ac", "2"],
    "44k.wav": ["-ar", "44100", "-ac", "2"],
    "48k.wav": ["-ar", "48000", "-ac", "2"],
}


@pytest.mark.parametrize("kind", AUDIO)
def test_audio_files(kind, make_media, subtitles, clip, expected, tmp_path, wrong_words):
    heard = subtitles(make_media("-i", clip, *AUDIO[kind], tmp_path / f"clip.{kind}"))
    # half the band is gone at 8 kHz, and lossy codecs change a sound here and there
    assert wrong_words(_text(expected), _text(heard)) <= (0.15 if kind == "8k.wav" else 0.05)
    assert abs(heard[0].start_ms - expected[0].start_ms) <= 150
    assert abs(heard[-1].end_ms - expected[-1].end_ms) <= 300


VIDEO = {
    "mp4": ["-c:v", "libx264", "-c:a", "aac"],
    "mkv": ["-c:v", "libx264", "-c:a", "libvorbis"],
    "webm": ["-c:v", "libvpx", "-deadline", "realtime", "-c:a", "libopus"],
    "ts": ["-c:v", "libx264", "-c:a", "aac"],
    "avi": ["-c:v", "mpeg4", "-c:a", "libmp3lame"],  # knows no late start
    "mov": ["-c:v", "libx264", "-c:a", "pcm_s16le"],
}
CASES = [(kind, late) for kind in VIDEO for late in (0, LATE_MS) if (kind, late) != ("avi", LATE_MS)]
PICTURE = ["-f", "lavfi", "-i", "color=c=navy:s=64x36:r=5:d=18"]


@pytest.mark.parametrize(("kind", "late_ms"), CASES)
def test_video_files_and_audio_that_starts_late(
    kind, late_ms, make_media, subtitles, clip, expected, tmp_path, wrong_words
):
    video = make_media(
        *PICTURE, "-itsoffset", late_ms / 1000, "-i", clip, "-map", "0:v", "-map", "1:a", *VIDEO[kind],
        tmp_path / f"clip.{kind}",
    )  # fmt: skip
    heard = subtitles(video)
    assert wrong_words(_text(expected), _text(heard)) <= 0.05
    assert abs(heard[0].start_ms - expected[0].start_ms - late_ms) <= 200


@pytest.mark.parametrize("kind", ["mka", "m4a"])
def test_audio_alone_that_starts_late_on_a_time_line_from_zero(kind, make_media, subtitles, clip, expected, tmp_path):
    codec = {"mka": "flac", "m4a": "aac"}[kind]
    heard = subtitles(make_media("-itsoffset", "4", "-i", clip, "-c:a", codec, tmp_path / f"late.{kind}"))
    assert abs(heard[0].start_ms - expected[0].start_ms - LATE_MS) <= 200


@pytest.fixture(scope="module")
def two_tracks(make_media, clip, other_clip, tmp_path_factory):
    return make_media(
        *PICTURE, "-i", clip, "-i", other_clip, "-map", "0:v", "-map", "1:a", "-map", "2:a",
        "-metadata:s:a:0", "language=eng", "-metadata:s:a:1", "language=deu", "-disposition:a:0", "0",
        "-disposition:a:1", "default", "-c:v", "libx264", "-c:a", "flac", tmp_path_factory.mktemp("two") / "two.mkv",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("choice", "name"),
    [
        ({"track_language": "en"}, "12-hibari.flac"),
        ({"track_language": "German"}, "29-hibari.flac"),
        ({"track": 0}, "12-hibari.flac"),
        ({"track": 1, "track_language": "en"}, "29-hibari.flac"),
        ({}, "29-hibari.flac"),  # the default track
    ],
)
def test_tracks_are_chosen_by_language_number_or_default(choice, name, subtitles, two_tracks, texts, wrong_words):
    assert wrong_words(texts[name], _text(subtitles(two_tracks, **choice))) <= 0.10


def test_a_range_gives_times_on_the_clock_of_the_whole(subtitles, sample_video, sample_reference):
    first, last = sample_reference[4], sample_reference[6]
    start = first["start_ms"] - 300
    heard = subtitles(sample_video, start_ms=start, duration_ms=last["end_ms"] + 300 - start)
    assert abs(heard[0].start_ms - first["start_ms"]) <= 300
    assert heard[-1].end_ms <= last["end_ms"] + 1000
    assert "carefully" in _text(heard)
    assert "parrot" not in _text(heard)


def test_stereo_whose_channels_cancel_out_is_heard(make_media, subtitles, clip, expected, tmp_path, wrong_words):
    turned = make_media("-i", clip, "-af", "pan=stereo|c0=c0|c1=-1*c0", tmp_path / "turned.wav")
    heard = subtitles(turned)
    assert wrong_words(_text(expected), _text(heard)) <= 0.05
