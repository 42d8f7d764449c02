# SPDX-License-Identifier: Apache-2.0
"""The real yt-dlp downloads from a web server on this computer and runs the post-processor."""

import contextlib
import io
import optparse
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import srt

yt_dlp = pytest.importorskip("yt_dlp", reason="yt-dlp is not installed (extra 'yt-dlp')")
DOCUMENTED = "http://media.example"


@pytest.fixture
def ytdl(elsewhere, ffmpeg_exe):
    """Run yt-dlp in this process, so that the model stays warm, with the options of a command line."""

    def run(*arguments, hooks=(), info=None):
        parsed = yt_dlp.parse_options(["--ignore-config", "--ffmpeg-location", ffmpeg_exe, *map(str, arguments)])
        said = io.StringIO()
        options = {**parsed.ydl_opts, "postprocessor_hooks": list(hooks)}
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said), yt_dlp.YoutubeDL(options) as ydl:
            if info is None:
                status = ydl.download(parsed.urls)
            else:
                ydl.process_ie_result(info, download=True)
                status = ydl._download_retcode
        return SimpleNamespace(status=status, said=said.getvalue())

    return run


def processor(settings=""):
    return ("--use-postprocessor", f"QwenASR:{settings}")


def names():
    return sorted(str(path.relative_to(Path.cwd()).as_posix()) for path in Path.cwd().rglob("*") if path.is_file())


def cues(name):
    return list(srt.parse(Path(name).read_text(encoding="utf-8")))


def test_yt_dlp_lists_it(elsewhere):
    done = subprocess.run(
        [sys.executable, "-m", "yt_dlp", "-v"], capture_output=True, text=True, timeout=60, check=False
    )
    assert re.search(r"Post-Processor Plugins: .*QwenASRPP", done.stderr), done.stderr
    assert "Error while importing module" not in done.stderr


def test_the_sidecar_lies_beside_the_download(ytdl, site, talk):
    ran = ytdl(*processor("lang=en;norm=netflix;when=after_move"), "-o", "%(id)s.%(ext)s", site.add("talk.mp4", talk))
    assert ran.status == 0, ran.said
    assert names() == ["talk.en.srt", "talk.mp4"]
    assert "difficult to help people" in " ".join(cue.content.replace("\n", " ") for cue in cues("talk.en.srt"))
    assert "[QwenASR] Writing subtitles to: talk.en.srt" in ran.said


@pytest.mark.parametrize(("remux", "codec"), [("mp4", "mov_text"), ("mkv", "subrip")])
def test_embedded(ytdl, site, talk, streams, remux, codec):
    url = site.add("talk.mp4", talk)
    ran = ytdl(*processor("lang=en"), "--embed-subs", "--remux-video", remux, "-o", "%(id)s.%(ext)s", url)
    assert ran.status == 0, ran.said
    assert names() == [f"talk.{remux}"]
    (stream,) = streams(Path(f"talk.{remux}"))
    assert "(eng)" in stream
    assert codec in stream
    # A second run finds them in the file.
    ran = ytdl(*processor("lang=en"), "--embed-subs", "-o", "%(id)s.%(ext)s", site.add(f"talk.{remux}", talk))
    assert "Skipping: subtitles (eng) are in the file" in ran.said


def test_the_only_subtitle_of_an_mp4_is_on(ytdl, site, talk, streams):
    ytdl(*processor("lang=en"), "--embed-subs", "-o", "%(id)s.%(ext)s", site.add("talk.mp4", talk))
    (stream,) = streams(Path("talk.mp4"))
    assert stream.endswith("(default)")


def test_embedding_in_webm_takes_webvtt(ytdl, site, talk, make_media, streams, tmp_path):
    webm = make_media("-i", talk, "-t", "6", "-vn", "-c:a", "libopus", tmp_path / "talk.webm")
    ran = ytdl(*processor("lang=en;format=vtt"), "--embed-subs", "-o", "%(id)s.%(ext)s", site.add("talk.webm", webm))
    assert ran.status == 0, ran.said
    (stream,) = streams(Path("talk.webm"))
    assert "webvtt" in stream


def test_embedding_after_moving_is_too_late_and_said(ytdl, site, talk, streams):
    url = site.add("talk.mp4", talk)
    ran = ytdl(*processor("lang=en;when=after_move"), "--embed-subs", "-o", "%(id)s.%(ext)s", url)
    assert "--embed-subs comes before when=after_move" in ran.said
    assert names() == ["talk.en.srt", "talk.mp4"]
    assert streams(Path("talk.mp4")) == []


@pytest.mark.parametrize("when", ["post_process", "after_move"])
def test_paths(ytdl, site, talk, when):
    paths = ("--paths", "home:videos", "--paths", "temp:temp", "--paths", "subtitle:subs")
    url = site.add("talk.mp4", talk)
    ran = ytdl(*processor(f"lang=en;when={when}"), *paths, "-o", "%(id)s.%(ext)s", url)
    assert ran.status == 0, ran.said
    assert names() == ["videos/subs/talk.en.srt", "videos/talk.mp4"]


def test_the_output_template_of_subtitles_counts(ytdl, site, talk):
    url = site.add("talk.mp4", talk)
    ytdl(*processor("lang=en"), "-o", "%(id)s.%(ext)s", "-o", "subtitle:%(id)s-words.%(ext)s", url)
    assert names() == ["talk-words.en.srt", "talk.mp4"]
    ran = ytdl(*processor("lang=en"), "-o", "again.%(ext)s", "-o", "subtitle:", url)
    assert "the output template for subtitles is empty" in ran.said
    assert names() == ["again.mp4", "talk-words.en.srt", "talk.mp4"]


def test_simulating_does_nothing(ytdl, site, talk):
    url = site.add("talk.mp4", talk)
    for option in ("--simulate", "--skip-download"):
        assert ytdl(*processor("lang=en;when=after_video"), option, url).status == 0
    assert names() == []


def test_the_audio_track_is_chosen_by_language(ytdl, site, two_languages):
    url = site.add("two.mkv", two_languages)
    ytdl(*processor("lang=eng"), "-o", "%(id)s.%(ext)s", url)
    assert "difficult" in Path("two.en.srt").read_text(encoding="utf-8")
    ran = ytdl(*processor(), "-o", "german.%(ext)s", url)  # the default track
    assert "Nobody speaks in it" in ran.said
    assert names() == ["german.mkv", "two.en.srt", "two.mkv"]
    ran = ytdl(*processor("lang=fr"), "-o", "french.%(ext)s", url)
    assert ran.status == 1
    assert "QwenASR error 18" in ran.said
    assert "There is no audio track in the language 'fr'" in ran.said


def test_tracks_that_yt_dlp_merged_have_the_languages_of_their_formats(ytdl, site, talk, make_media, tmp_path):
    picture = make_media("-i", talk, "-an", "-c", "copy", tmp_path / "picture.mp4")
    english = make_media("-i", talk, "-vn", "-c", "copy", tmp_path / "english.m4a")
    sound = ("-f", "lavfi", "-t", "12", "-i", "anullsrc=r=44100:cl=stereo")
    german = make_media(*sound, "-c:a", "aac", tmp_path / "german.m4a")
    formats = [
        {"format_id": "p", "ext": "mp4", "url": site.add("p.mp4", picture), "vcodec": "h264", "acodec": "none"},
        *(
            {"format_id": code, "ext": "m4a", "url": site.add(f"{code}.m4a", path), "vcodec": "none"}
            | {"acodec": "aac", "language": code}
            for code, path in (("de", german), ("en", english))
        ),
    ]
    info = {"id": "merged", "title": "merged", "extractor": "test", "extractor_key": "Test", "formats": formats}
    options = ("-f", "p+de+en", "--audio-multistreams", "--merge-output-format", "mp4", "-o", "%(id)s.%(ext)s")
    ran = ytdl(*processor("lang=en"), *options, info=info)
    assert "difficult" in Path("merged.en.srt").read_text(encoding="utf-8"), ran.said


def test_a_track_marked_otherwise_is_taken_with_a_warning(ytdl, site, talk, make_media, tmp_path):
    marked = make_media("-i", talk, "-c", "copy", "-metadata:s:a:0", "language=fra", tmp_path / "marked.mp4")
    ran = ytdl(*processor("lang=en"), "-o", "%(id)s.%(ext)s", site.add("marked.mp4", marked))
    assert "the only audio track is marked as fra, not as en" in ran.said
    assert names() == ["marked.en.srt", "marked.mp4"]


def test_what_is_there_is_left_alone(ytdl, site, talk):
    url = site.add("talk.mp4", talk)
    for name in ("talk.eng.vtt", "talk.de.srt"):
        Path(name).write_text("mine", encoding="utf-8")
    output = ("-o", "%(id)s.%(ext)s")
    ran = ytdl(*processor("lang=en"), "--embed-subs", *output, url)
    assert "Skipping: subtitles are already present: talk.eng.vtt" in ran.said
    assert names() == ["talk.de.srt", "talk.eng.vtt", "talk.mp4"]  # not embedded: yt-dlp would delete it
    ran = ytdl(*processor("lang=en;only_if_missing=no"), *output, url)
    assert names() == ["talk.de.srt", "talk.en.srt", "talk.eng.vtt", "talk.mp4"]
    assert Path("talk.eng.vtt").read_text(encoding="utf-8") == "mine"


def test_overwriting(ytdl, site, talk):
    url = site.add("talk.mp4", talk)
    Path("talk.en.srt").write_text("mine", encoding="utf-8")
    output = ("-o", "%(id)s.%(ext)s")
    ran = ytdl(*processor("lang=en;only_if_missing=no"), "--no-overwrites", *output, url)
    assert ran.status == 0
    assert Path("talk.en.srt").read_text(encoding="utf-8") == "mine"
    ytdl(*processor("only_if_missing=no"), "--no-overwrites", *output, url)  # the language shows later
    assert Path("talk.en.srt").read_text(encoding="utf-8") == "mine"
    ytdl(*processor("lang=en"), "--force-overwrites", *output, url)
    assert cues("talk.en.srt")


def test_subtitles_of_the_site_are_enough(ytdl, site, talk):
    site.files["site.srt"] = b"1\n00:00:01,000 --> 00:00:02,000\nWords of the site.\n"
    info = {"id": "talk", "title": "talk", "extractor": "test", "extractor_key": "Test", "ext": "mp4"}
    info |= {"url": site.add("talk.mp4", talk), "subtitles": {"en-US": [{"url": f"{site.url}/site.srt", "ext": "srt"}]}}
    options = ("--write-subs", "--sub-langs", "en.*", "-o", "%(id)s.%(ext)s")
    ran = ytdl(*processor("lang=en;when=after_move"), *options, info=dict(info))
    assert "Skipping: subtitles (en-US) were downloaded" in ran.said
    assert names() == ["talk.en-US.srt", "talk.mp4"]


def test_a_playlist_goes_on(ytdl, site, talk, silent, broken, mute):
    for name, path in (("one", talk), ("two", silent), ("three", broken), ("four", mute), ("five", talk)):
        site.add(f"{name}.mp4", path)
    url = site.playlist("list.xml", [f"{name}.mp4" for name in ("one", "two", "three", "four", "five")])
    ran = ytdl(*processor("lang=en;when=after_move"), "-o", "%(title)s.%(ext)s", url)
    assert ran.status == 1
    videos = [f"{name}.mp4" for name in ("one", "two", "three", "four", "five")]
    assert names() == sorted([*videos, "one.en.srt", "five.en.srt"])
    (error,) = re.findall("ERROR: .*", ran.said)
    assert error.startswith("ERROR: Postprocessing: QwenASR error 16: ")
    assert "three.mp4" in error
    assert Path("three.mp4").read_bytes() == broken.read_bytes()


def test_a_failure_is_yt_dlps_own_error(ytdl, site, broken):
    url = site.add("broken.mp4", broken)
    with pytest.raises(yt_dlp.utils.DownloadError, match=r"Postprocessing: QwenASR error 16: .*broken"):
        ytdl(*processor("lang=en"), "--abort-on-error", "-o", "%(id)s.%(ext)s", url)


def test_without_a_file_it_says_when_to_run(ytdl, site, talk):
    ran = ytdl(*processor("when=before_dl"), "-o", "%(id)s.%(ext)s", site.add("talk.mp4", talk))
    assert "QwenASR needs a file: run it when=post_process" in ran.said


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ("lang=xx", "does not know the language 'xx'"),
        ("oops=1", "There is no option 'oops'"),
        ("norm=nonsense", "nonsense"),
        ("track=first", "Option track is 'first'"),
        ("only_if_missing=perhaps", "must be yes or no"),
        ("format=json", "must be one of: srt, vtt, ass"),
        ("threads=many", "Option threads"),
    ],
)
def test_impossible_options_are_wrong_usage(ytdl, settings, text):
    with pytest.raises(optparse.OptionValueError, match="QwenASR error 2: ") as caught:
        ytdl(*processor(settings), "http://127.0.0.1:9/never.mp4")
    assert text in str(caught.value)


def test_wrong_usage_ends_yt_dlp_before_the_download(elsewhere):
    command = [sys.executable, "-m", "yt_dlp", "--ignore-config", *processor("lang=xx"), "http://127.0.0.1:9/never.mp4"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stderr.strip().startswith("ERROR: QwenASR error 2: ")


def test_progress_goes_through_yt_dlps_hooks(ytdl, site, talk):
    seen = []

    def hook(status):
        if status["postprocessor"] == "QwenASR":
            assert status["info_dict"]["id"] == "talk"
            seen.append((status["status"], status.get("_percent")))

    url = site.add("talk.mp4", talk)
    ytdl(*processor("lang=en"), "-o", "%(id)s.%(ext)s", url, hooks=[hook])
    percents = [percent for status, percent in seen if status == "processing"]
    assert seen[0] == ("started", None)
    assert seen[-1] == ("finished", None)
    assert percents == sorted(percents)
    assert len(set(percents)) > 2
    assert percents[-1] == 100


def test_a_hook_can_stop_it(ytdl, site, talk):
    class Enough(yt_dlp.utils.DownloadCancelled):
        msg = "enough"

    def hook(status):
        if status["status"] == "processing":
            raise Enough

    with pytest.raises(Enough):
        ytdl(*processor("lang=en"), "-o", "%(id)s.%(ext)s", site.add("talk.mp4", talk), hooks=[hook])
    assert names() == ["talk.mp4"]


def test_documented_commands(shell, documented, site, sample_video, talk, silent, broken, streams):
    for name in ("talk", "lecture", "interview", "story"):
        site.add(f"{name}.mp4", talk)
    for name, path in (("Ada", talk), ("Pause", silent), ("Cut", broken), ("Grace", talk), ("Joan", talk)):
        site.add(f"{name}.mp4", path)
    site.playlist("lectures.xml", [f"{name}.mp4" for name in ("Ada", "Pause", "Cut", "Grace", "Joan")], DOCUMENTED)
    site.add("talk.mp4", sample_video)
    first, embedded, with_ffmpeg, playlist, progress = documented("yt-dlp.md")

    assert shell(first).returncode == 0
    assert names() == ["talk [talk].en.srt", "talk [talk].mp4"]
    assert len(cues("talk [talk].en.srt")) >= 13

    done = shell(embedded, ffmpeg=True)
    assert done.returncode == 0, done.stderr
    (stream,) = streams(Path("lecture [lecture].mkv"))
    assert "(eng): Subtitle: subrip" in stream
    assert not Path("lecture [lecture].en.srt").exists()

    done = shell(with_ffmpeg)
    assert done.returncode == 0, done.stderr
    (stream,) = streams(Path("interview [interview].mp4"))
    assert "(eng): Subtitle: mov_text" in stream
    assert stream.endswith("(default)")
    assert Path("interview [interview].en.srt").exists()

    done = shell(playlist)
    assert done.returncode == 1
    written = [name for name in names() if name[0].isdigit()]
    assert written == ["1 Ada.en.srt", "1 Ada.mp4", "2 Pause.mp4", "3 Cut.mp4"] + [
        f"{name}{end}" for name in ("4 Grace", "5 Joan") for end in (".en.srt", ".mp4")
    ]
    assert done.stderr.count("ERROR: ") == 1

    done = shell(progress)
    assert done.returncode == 0
    assert re.search(r"^QwenASR 100\.0%$", done.stdout, re.MULTILINE), done.stdout
