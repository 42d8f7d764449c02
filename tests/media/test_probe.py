# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses
import functools
import http.server
import json
import os
import shutil
import stat
import sys
import threading
from pathlib import Path

import pytest

from qwen_asr_plugin.media import AudioTrack, FfmpegTools, probe
from qwen_asr_plugin.media.probe_json import parse_document
from qwen_asr_plugin.media.probe_text import parse_listing
from subtitle_hooks import (
    MediaDamagedError,
    MediaEmptyError,
    MediaFormatError,
    MediaIsDirectoryError,
    MediaNotFoundError,
    MediaUnreadableError,
    NoAudioError,
)

DATA = Path(__file__).parent / "data"


@pytest.fixture(scope="module")
def two_tracks(tmp_path_factory, run_ffmpeg, wav):
    """A Matroska file whose titles try to pass for streams."""
    path = tmp_path_factory.mktemp("two") / "two.mkv"
    run_ffmpeg(
        *("-i", wav(), "-i", wav(22_050, 1), "-map", "0:a", "-map", "1:a", "-c:a:0", "flac", "-c:a:1", "libvorbis"),
        *(
            "-metadata",
            "title=Film\n  Stream #0:7(eng): Audio: aac, 48000 Hz, stereo\n  Duration: 99:00:00.00, start: 5.0",
        ),
        *("-metadata:s:a:0", "language=eng", "-metadata:s:a:0", "title=Comments (default)"),
        *(
            "-metadata:s:a:1",
            "language=deu",
            "-metadata:s:a:1",
            "title=x\n  Stream #0:9(fra): Audio: mp3, 48000 Hz, mono",
        ),
        *("-disposition:a:0", "0", "-disposition:a:1", "default", path),
    )
    return path


def test_tracks(two_tracks, tools):
    found = probe(two_tracks, tools)
    assert found.path == two_tracks
    assert found.container == "matroska,webm"
    assert found.duration_ms == pytest.approx(6_000, abs=30)
    assert (found.clock_offset_ms, found.has_video) == (0, False)
    assert found.tracks == (
        AudioTrack(
            index=0,
            stream_index=0,
            language="eng",
            codec="flac",
            channels=2,
            sample_rate_hz=48_000,
            title="Comments (default)",
        ),
        AudioTrack(
            index=1,
            stream_index=1,
            language="deu",
            codec="vorbis",
            channels=1,
            sample_rate_hz=22_050,
            title="x Stream #0:9(fra): Audio: mp3, 48000 Hz, mono",
            default=True,
        ),
    )


def test_video_and_undetermined_language(media, tools):
    found = probe(media("mp4", delay=4, video=True), tools)
    assert found.has_video
    (track,) = found.tracks
    assert (track.index, track.stream_index, track.language, track.default) == (0, 1, None, True)


def test_cover_art_is_no_video(tmp_path, run_ffmpeg, wav, tools):
    path = tmp_path / "song.mp3"
    cover = [
        "-f",
        "lavfi",
        "-i",
        "color=red:s=32x32",
        "-frames:v",
        "1",
        "-c:v",
        "png",
        "-disposition:v",
        "attached_pic",
    ]
    run_ffmpeg("-i", wav(), *cover, "-map", "0:a", "-map", "1:v", path)
    assert not probe(path, tools).has_video


@pytest.mark.parametrize(
    "name",
    [
        "sp ace.wav",
        "per%03dcent%.wav",
        "-leading.wav",
        "co:lon.wav",
        "quo'te\".wav",
        "日本語 ü.wav",
        "a\nb.wav",
        "http:x",
    ],
)
@pytest.mark.skipif(os.name == "nt", reason="Windows allows few of these names")
def test_odd_names(tmp_path, monkeypatch, wav, tools, name):
    shutil.copy(wav(), tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert probe(name, tools).duration_ms == 6_000


def test_a_name_cannot_pass_for_a_stream(tmp_path, wav, tools):
    if os.name == "nt":
        pytest.skip("Windows does not allow line ends in names")
    path = tmp_path / "x':\n  Stream #0:1(eng): Audio: aac, 48000 Hz, stereo"
    shutil.copy(wav(), path)
    assert [track.codec for track in probe(path, tools).tracks] == ["pcm_s16le"]


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_links_are_followed(tmp_path, wav, tools):
    link = tmp_path / "link"
    link.symlink_to(wav())
    assert probe(link, tools).tracks
    (tmp_path / "broken").symlink_to(tmp_path / "nowhere")
    with pytest.raises(MediaNotFoundError):
        probe(tmp_path / "broken", tools)


def test_what_is_wrong_with_a_path(tmp_path, tools):
    (tmp_path / "empty.mp4").touch()
    with pytest.raises(MediaNotFoundError, match=r"gone\.mp4"):
        probe(tmp_path / "gone.mp4", tools)
    with pytest.raises(MediaNotFoundError):
        probe(tmp_path / "nul\0name.mp4", tools)
    with pytest.raises(MediaIsDirectoryError):
        probe(tmp_path, tools)
    with pytest.raises(MediaEmptyError):
        probe(tmp_path / "empty.mp4", tools)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_pipes_and_devices_are_refused_without_being_opened(tmp_path, tools):
    os.mkfifo(tmp_path / "pipe.mp4")
    for path in (tmp_path / "pipe.mp4", "/dev/zero"):
        with pytest.raises(MediaFormatError, match="not a regular file"):
            probe(path, tools)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs POSIX permissions")
def test_no_permission(tmp_path, tools):
    path = tmp_path / "secret.wav"
    path.write_bytes(b"x")
    path.chmod(0)
    was_root = os.geteuid() == 0
    if was_root:
        os.seteuid(65_534)
    try:
        with pytest.raises(MediaUnreadableError, match="Permission denied"):
            probe(path, tools)
    finally:
        if was_root:
            os.seteuid(0)
        path.chmod(stat.S_IRUSR | stat.S_IWUSR)


def test_no_audio(tmp_path, run_ffmpeg, tools):
    path = tmp_path / "silent.mp4"
    run_ffmpeg("-f", "lavfi", "-i", "testsrc=s=64x64:d=1", "-c:v", "mpeg4", path)
    with pytest.raises(NoAudioError):
        probe(path, tools)


@pytest.mark.parametrize(
    "content", [b"hello\n", b"x" * 5_000, bytes(range(256)) * 40, b"\0" * 9_000, b"%PDF-1.7\n" * 99]
)
def test_not_media(tmp_path, tools, content):
    path = tmp_path / "file.mp4"
    path.write_bytes(content)
    with pytest.raises(MediaFormatError):
        probe(path, tools)


@pytest.mark.parametrize(("extension", "kept"), [("mp4", 0.5), ("mkv", 0.02)])
def test_cut_off_before_it_can_be_opened(tmp_path, media, tools, extension, kept):
    whole = media(extension, video=True).read_bytes()
    path = tmp_path / f"cut.{extension}"
    path.write_bytes(whole[: max(200, int(len(whole) * kept))] if extension == "mp4" else whole[:200])
    with pytest.raises(MediaDamagedError, match="ffmpeg: "):
        probe(path, tools)


@pytest.fixture
def web_server(tmp_path):
    """Serve a folder on this computer and note what is asked for."""
    asked = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            asked.append(arguments)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(tmp_path)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("name", ["list.mp4", "list.m3u8", "list.txt"])
@pytest.mark.parametrize("kind", ["hls", "concat", "dash", "sdp"])
@pytest.mark.parametrize("where", ["local", "web"])
def test_play_lists_are_refused_and_not_followed(tmp_path, wav, tools, web_server, name, kind, where):
    address, asked = web_server
    shutil.copy(wav(), tmp_path / "target.wav")
    target = f"{address}/target.wav" if where == "web" else str(tmp_path / "target.wav")
    text = {
        "hls": f"#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXTINF:6,\n{target}\n#EXT-X-ENDLIST\n",
        "concat": f"ffconcat version 1.0\nfile '{target}'\n",
        "dash": '<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" mediaPresentationDuration="PT6S" '
        'profiles="urn:mpeg:dash:profile:isoff-on-demand:2011"><Period><AdaptationSet mimeType="audio/wav">'
        f'<Representation id="1" bandwidth="1"><BaseURL>{target}</BaseURL></Representation>'
        "</AdaptationSet></Period></MPD>",
        "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n",
    }[kind]
    (tmp_path / name).write_text(text)
    with pytest.raises(MediaFormatError):
        probe(tmp_path / name, tools)
    assert asked == []


def test_a_list_named_like_its_kind_is_called_a_list(tmp_path, tools):
    path = tmp_path / "list.ffconcat"
    path.write_text("ffconcat version 1.0\nfile 'x.wav'\n")
    with pytest.raises(MediaFormatError, match="points at other files"):
        probe(path, tools)


# The two ways of reading stream facts


CASES = sorted(path.stem for path in DATA.glob("*.json"))


@pytest.mark.parametrize("case", CASES)
def test_both_readers_agree_on_what_one_ffmpeg_said(case):
    """Recorded from ffmpeg and ffprobe of the same installation, see data/README.md."""
    path = Path("/media/file")
    document = json.loads((DATA / f"{case}.json").read_text(encoding="utf-8"))
    listing = (DATA / f"{case}.txt").read_text(encoding="utf-8")
    by_json = parse_document(document, path=path)
    by_text = parse_listing(listing, path=path, url=document["format"]["filename"])
    assert by_text == by_json
    assert by_json.tracks


def test_both_programs_agree(installed_ffprobe, media, two_tracks):
    ffmpeg = shutil.which("ffmpeg", path=str(installed_ffprobe.parent))
    if ffmpeg is None:
        pytest.skip("no ffmpeg beside ffprobe")
    both = FfmpegTools(ffmpeg=Path(ffmpeg), ffprobe=installed_ffprobe, source="test")
    for path in (two_tracks, media("mp4", delay=4), media("mkv", delay=4, video=True), media("ts"), media("mp3")):
        assert probe(path, both) == probe(path, dataclasses.replace(both, ffprobe=None))


@pytest.mark.skipif(os.name == "nt", reason="a script stands in for ffprobe")
def test_ffprobe_is_used_when_there_is_one(tmp_path, wav, tools):
    """A stand-in answers with recorded JSON, so that its answer can be told from ffmpeg's own."""
    document = tmp_path / "answer.json"
    shutil.copy(DATA / "titles.json", document)
    arguments = tmp_path / "arguments"
    script = tmp_path / "ffprobe"
    script.write_text(
        f"#!{sys.executable}\nimport pathlib, sys\npathlib.Path({str(arguments)!r}).write_text(repr(sys.argv))\n"
        f"print(pathlib.Path({str(document)!r}).read_text())\n"
    )
    script.chmod(0o755)
    found = probe(wav(), dataclasses.replace(tools, ffprobe=script))
    assert [track.language for track in found.tracks] == ["eng", "deu"]
    assert "'-protocol_whitelist', 'file'" in arguments.read_text()
    assert "-format_whitelist" in arguments.read_text()


@pytest.mark.parametrize(
    ("layout", "channels"),
    [
        ("mono", 1),
        ("stereo", 2),
        ("5.1(side)", 6),
        ("7.1.4", 12),
        ("22.2", 24),
        ("quad", 4),
        ("3 channels (FL+FR+LFE)", 3),
        ("1 channels", 1),
        ("0 channels", None),
        ("unheard-of", None),
    ],
)
def test_channel_layouts(layout, channels):
    stream = f"  Stream #0:0: Audio: pcm_s16le, 8000 Hz, {layout}, s16\n"
    listing = f"Input #0, wav, from 'file:x':\n  Duration: N/A, bitrate: N/A\n{stream}"
    found = parse_listing(listing, path=Path("x"), url="file:x")
    assert found.tracks[0].channels == channels
    assert found.duration_ms is None


def test_streams_listed_under_several_programmes_count_once():
    stream = "  Stream #0:1[0x101](fra): Audio: mp2, 48000 Hz, stereo, fltp, 192 kb/s\n"
    header = "Input #0, mpegts, from 'file:x':\n  Duration: 00:10:00.00, start: 1.4, bitrate: 1 kb/s\n"
    listing = f"{header}  Program 1\n{stream}  Program 2\n{stream}"
    found = parse_listing(listing, path=Path("x"), url="file:x")
    assert len(found.tracks) == 1
    assert (found.duration_ms, found.clock_offset_ms) == (600_000, 0)
