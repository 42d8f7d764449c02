# SPDX-License-Identifier: Apache-2.0
"""Copies with subtitles in them, in the eyes of ffmpeg: streams, flags, and the packets of picture and sound."""

import os
import re
import stat
import subprocess
import time
from pathlib import Path

import pytest

from qwen_asr_plugin.errors import FfmpegError
from qwen_asr_plugin.media import FfmpegTools, SubtitleFile, burn_in, check_target, embed_subtitles
from qwen_asr_plugin.media.mux_burn import check_burn_in
from subtitle_hooks import (
    CancelledError,
    MediaEmptyError,
    MediaError,
    MediaFormatError,
    OutputError,
    OutputExistsError,
    RequestError,
)

SRT = "1\n00:00:05,000 --> 00:00:06,500\nHello there\n\n2\n00:00:07,000 --> 00:00:08,000\nÄ second, 你好\n\n"
TEXTS = {"mkv": "subrip", "mp4": "mov_text", "mov": "mov_text", "webm": "webvtt"}


@pytest.fixture(scope="module")
def subtitles(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("subtitles") / "film.de.srt"
    path.write_text(SRT, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def cover(tmp_path_factory, run_ffmpeg) -> Path:
    path = tmp_path_factory.mktemp("cover") / "cover.png"
    run_ffmpeg("-f", "lavfi", "-i", "testsrc=s=32x32", "-frames:v", "1", path)
    return path


@pytest.fixture(scope="module")
def chapters(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("chapters") / "chapters.txt"
    path.write_text(
        ";FFMETADATA1\ntitle=My film\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=4000\ntitle=One\n"
        "[CHAPTER]\nTIMEBASE=1/1000\nSTART=4000\nEND=10000\ntitle=Two\n",
        encoding="utf-8",
    )
    return path


@pytest.fixture(scope="module")
def ask(tools):
    def run(*arguments: str | Path) -> str:
        command = [str(tools.ffmpeg), "-hide_banner", "-nostdin", *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, check=False)
        return (done.stdout + done.stderr).decode("utf-8", "replace")

    return run


@pytest.fixture(scope="module")
def packets(ask):
    """Every packet of picture and sound with its times and its hash."""

    def listed(path: Path) -> str:
        return ask("-loglevel", "error", "-copyts", "-i", path, "-map", "0:V?", "-map", "0:a", "-c", "copy",
                   "-f", "framemd5", "-")  # fmt: skip

    return listed


def subtitle_lines(ask, path):
    return [line for line in ask("-i", path).splitlines() if "Subtitle:" in line]


def text_of(ask, path, number=0):
    return ask("-loglevel", "error", "-copyts", "-i", path, "-map", f"0:s:{number}", "-f", "srt", "-")


@pytest.mark.parametrize("extension", TEXTS)
def test_stream_language_and_flags_are_there_and_the_packets_are_the_same(
    extension, media, subtitles, tools, ask, packets, tmp_path
):
    video = media(extension, video=True)
    before = video.read_bytes()
    target = tmp_path / f"film.{extension}"
    file = SubtitleFile(path=subtitles, language="de", default=True)
    assert embed_subtitles(video, [file], target, tools) == []
    (line,) = subtitle_lines(ask, target)
    assert f"Subtitle: {TEXTS[extension]}" in line
    assert ("(deu)" if extension == "mp4" else "(ger)") in line
    assert "(default)" in line
    assert packets(target) == packets(video)
    assert packets(target).count("\n") > 400
    assert text_of(ask, target) == SRT
    assert video.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [target.name]


@pytest.mark.parametrize("extension", ["mkv", "mp4"])
def test_everything_else_is_kept(
    extension, media, subtitles, cover, chapters, tools, run_ffmpeg, ask, packets, tmp_path
):
    plain = media(extension, video=True)
    video, target = tmp_path / f"full.{extension}", tmp_path / f"copy.{extension}"
    inputs = ("-i", plain, "-i", chapters, "-i", subtitles)
    common = ("-map_metadata", "1", "-map_chapters", "1", "-c", "copy", "-metadata:s:s:0", "language=fre",
              "-disposition:s:0", "default+forced", "-map", "0", "-map", "2")  # fmt: skip
    if extension == "mkv":
        font = tmp_path / "font.ttf"
        font.write_bytes(b"not really a font")
        run_ffmpeg(*inputs, *common, "-c:s", "srt", "-attach", cover, "-metadata:s:t:0", "mimetype=image/png",
                   "-attach", font, "-metadata:s:t:1", "mimetype=font/ttf", video)  # fmt: skip
    else:
        run_ffmpeg(*inputs, "-i", cover, *common, "-map", "3", "-c:s", "mov_text", "-disposition:v:1",
                   "attached_pic", video)  # fmt: skip
    assert embed_subtitles(video, [SubtitleFile(path=subtitles, language="en", title="Mine")], target, tools) == []
    listing = ask("-i", target)
    assert "My film" in listing
    assert listing.count("Chapter #0:") == 2
    assert listing.count("(attached pic)") == 1
    assert listing.count("Video:") == 2
    old, new = subtitle_lines(ask, target)
    assert re.search(r"\((fre|fra)\).*\(default\) \(forced\)" if extension == "mkv" else r"\((fre|fra)\)", old)
    assert "(eng)" in new
    assert "(default)" not in new
    assert packets(target) == packets(video)
    if extension == "mkv":
        assert "cover.png" in listing
        assert "font.ttf" in listing
        out = tmp_path / "out"
        out.mkdir()
        subprocess.run(
            [str(tools.ffmpeg), "-loglevel", "quiet", "-dump_attachment:t", "", "-i", str(target)], cwd=out, check=False
        )
        assert (out / "font.ttf").read_bytes() == b"not really a font"


def test_a_new_default_takes_the_mark_from_the_others(media, subtitles, tools, ask, tmp_path):
    first, second = tmp_path / "1.mkv", tmp_path / "2.mkv"
    one = SubtitleFile(path=subtitles, language="fr", default=True, forced=True)
    embed_subtitles(media("mkv", video=True), [one], first, tools)
    two = SubtitleFile(path=subtitles, language="ja", default=True, hearing_impaired=True)
    embed_subtitles(first, [two], second, tools)
    old, new = subtitle_lines(ask, second)
    assert old.endswith("(forced)")
    assert "(default)" not in old
    assert "(jpn)" in new
    assert "(default)" in new
    assert "(hearing impaired)" in new


def test_cues_stay_with_the_picture_of_a_late_start(media, subtitles, tools, run_ffmpeg, ask, packets, tmp_path):
    late, target = tmp_path / "late.mkv", tmp_path / "copy.mkv"
    run_ffmpeg("-itsoffset", "1.4", "-i", media("mkv", video=True), "-map", "0", "-c", "copy", "-copyts", late)
    embed_subtitles(late, [SubtitleFile(path=subtitles)], target, tools)
    assert packets(target) == packets(late)
    assert text_of(ask, target).startswith("1\n00:00:05,000 -->")


def test_no_sample_is_cut_off_an_mp4(sample_video, subtitles, tools, ask, packets, tmp_path):
    target = tmp_path / "copy.mp4"
    embed_subtitles(sample_video, [SubtitleFile(path=subtitles)], target, tools)
    assert packets(target) == packets(sample_video)


def test_time_code_tracks_do_not_stand_in_the_way(media, subtitles, tools, run_ffmpeg, ask, packets, tmp_path):
    video, target = tmp_path / "camera.mov", tmp_path / "copy.mov"
    run_ffmpeg("-i", media("mov", video=True), "-c", "copy", "-timecode", "01:00:00:00", video)
    embed_subtitles(video, [SubtitleFile(path=subtitles, language="en")], target, tools)
    assert "tmcd" in ask("-i", target)
    assert packets(target) == packets(video)


def test_ass_stays_ass_in_matroska_and_is_converted_for_mp4(media, tools, run_ffmpeg, subtitles, ask, tmp_path):
    styled = tmp_path / "film.ass"
    run_ffmpeg("-i", subtitles, styled)
    for extension, codec in (("mkv", "ass"), ("mp4", "mov_text")):
        target = tmp_path / f"film.{extension}"
        embed_subtitles(media("mkv", video=True), [SubtitleFile(path=styled)], target, tools)
        assert f"Subtitle: {codec}" in subtitle_lines(ask, target)[0]
    again = tmp_path / "again.mp4"
    embed_subtitles(tmp_path / "film.mkv", [SubtitleFile(path=subtitles)], again, tools)
    assert all("mov_text" in line for line in subtitle_lines(ask, again))


def test_the_input_is_replaced_only_when_told(media, subtitles, tools, ask, tmp_path):
    video = tmp_path / "film.mkv"
    video.write_bytes(media("mkv", video=True).read_bytes())
    video.chmod(0o640)
    file = SubtitleFile(path=subtitles, language="en")
    with pytest.raises(OutputExistsError, match="input itself"):
        embed_subtitles(video, [file], video, tools, overwrite=True)
    link = tmp_path / "link.mkv"
    os.link(video, link)
    with pytest.raises(OutputExistsError, match="input itself"):
        check_target(video, link, overwrite=True)
    assert subtitle_lines(ask, video) == []
    embed_subtitles(video, [file], video, tools, replace_input=True)
    assert len(subtitle_lines(ask, video)) == 1
    if os.name != "nt":
        assert stat.S_IMODE(video.stat().st_mode) == 0o640


def test_nothing_is_left_when_it_cannot_be_done(media, subtitles, tools, tmp_path):
    target = tmp_path / "film.webm"  # which holds no MPEG-4
    with pytest.raises(OutputError, match="ffmpeg could not write"):
        embed_subtitles(media("mp4", video=True), [SubtitleFile(path=subtitles)], target, tools)
    target = tmp_path / "film.mkv"
    with pytest.raises(CancelledError):
        embed_subtitles(media("mp4", video=True), [SubtitleFile(path=subtitles)], target, tools, cancelled=lambda: True)
    target.write_bytes(b"mine")
    with pytest.raises(OutputExistsError):
        embed_subtitles(media("mp4", video=True), [SubtitleFile(path=subtitles)], target, tools)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"film.mkv": b"mine"}


def test_what_cannot_be_is_said_at_once(media, subtitles, tools, tmp_path):
    video = media("mkv", video=True)
    with pytest.raises(RequestError, match=r"\.avi is no container"):
        embed_subtitles(video, [SubtitleFile(path=subtitles)], tmp_path / "film.avi", tools)
    (tmp_path / "x.srt").write_text("\n\n", encoding="utf-8")
    (tmp_path / "x.sub").write_text("{1}{2}x", encoding="utf-8")
    with pytest.raises(MediaEmptyError):
        embed_subtitles(video, [SubtitleFile(path=tmp_path / "x.srt")], tmp_path / "film.mkv", tools)
    with pytest.raises(RequestError, match="no format"):
        embed_subtitles(video, [SubtitleFile(path=tmp_path / "x.sub")], tmp_path / "film.mkv", tools)
    with pytest.raises(MediaError):
        embed_subtitles(subtitles.parent / "gone.mkv", [SubtitleFile(path=subtitles)], tmp_path / "film.mkv", tools)
    assert not list(tmp_path.glob("film*"))


@pytest.mark.parametrize("name", ["a:b 'c' %03d.mkv", "-x.mkv", "фильм [1].mkv"])
def test_names_with_meaning_to_ffmpeg(name, media, subtitles, tools, ask, tmp_path, monkeypatch):
    if os.name == "nt" and ":" in name:
        pytest.skip("no such names on Windows")
    monkeypatch.chdir(tmp_path)
    Path(name).write_bytes(media("mkv", video=True).read_bytes())
    text = Path(name).with_suffix(".srt")
    text.write_text(SRT, encoding="utf-8")
    embed_subtitles(Path(name), [SubtitleFile(path=text)], Path(f"out {name}"), tools)
    assert len(subtitle_lines(ask, tmp_path / f"out {name}")) == 1
    burn_in(Path(name), SubtitleFile(path=text), Path(f"burnt {name}"), tools)
    assert (tmp_path / f"burnt {name}").stat().st_size > 1000


@pytest.mark.parametrize("extension", ["mp4", "webm"])
def test_burning_in_changes_the_picture_where_a_cue_is_and_copies_the_sound(
    extension, media, subtitles, tools, ask, tmp_path
):
    video, target, plain = media(extension, video=True), tmp_path / f"b.{extension}", tmp_path / f"p.{extension}"
    told = []
    empty = tmp_path / "late.srt"
    empty.write_text(SRT.replace("00:00:0", "01:00:0"), encoding="utf-8")
    burn_in(video, SubtitleFile(path=subtitles), target, tools, on_progress=told.append)
    burn_in(video, SubtitleFile(path=empty), plain, tools)
    sound = [ask("-loglevel", "error", "-i", path, "-map", "0:a", "-c", "copy", "-f", "streamhash", "-")
             for path in (video, target)]  # fmt: skip
    assert sound[0] == sound[1]
    assert told
    assert told == sorted(told)

    def frame(path, at):
        command = [str(tools.ffmpeg), "-loglevel", "error", "-ss", str(at), "-i", str(path), "-frames:v", "1",
                   "-f", "rawvideo", "-pix_fmt", "gray", "-"]  # fmt: skip
        return subprocess.run(command, capture_output=True, check=True).stdout

    def difference(at):
        left, right = frame(target, at), frame(plain, at)
        return sum(abs(a - b) > 60 for a, b in zip(left, right, strict=True))

    assert difference(5.5) > 5
    assert difference(2) == 0


def test_missing_glyphs_are_told(media, tools, tmp_path):
    text = tmp_path / "x.srt"
    text.write_text("1\n00:00:01,000 --> 00:00:02,000\n\U0001e900\U0001e901\n", encoding="utf-8")
    (warning,) = burn_in(media("mp4", video=True), SubtitleFile(path=text), tmp_path / "x.mp4", tools)
    assert "\U0001e900 \U0001e901" in warning


def test_sound_alone_has_no_picture_to_draw_into(media, subtitles, tools, tmp_path):
    with pytest.raises(MediaFormatError, match="no moving picture"):
        burn_in(media("mkv"), SubtitleFile(path=subtitles), tmp_path / "x.mkv", tools)


@pytest.mark.skipif(os.name == "nt", reason="needs a shell script")
def test_an_ffmpeg_without_libass_is_named(tmp_path):
    program = tmp_path / "ffmpeg"
    program.write_text("#!/bin/sh\necho ' .. scale V->V  Scale'\n", encoding="utf-8")
    program.chmod(0o755)
    with pytest.raises(FfmpegError, match="libass"):
        check_burn_in(FfmpegTools(ffmpeg=program, ffprobe=None, source="test"))


def test_cancelling_ends_ffmpeg_within_seconds(media, subtitles, tools, tmp_path):
    began = time.monotonic()
    with pytest.raises(CancelledError):
        burn_in(
            media("mp4", video=True), SubtitleFile(path=subtitles), tmp_path / "x.mp4", tools, cancelled=lambda: True
        )
    assert time.monotonic() - began < 5
    assert list(tmp_path.iterdir()) == []
