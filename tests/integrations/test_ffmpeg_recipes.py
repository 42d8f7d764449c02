# SPDX-License-Identifier: Apache-2.0
"""Every command of docs/how-to/ffmpeg.md, as it stands there, and streams that are still coming."""

import os
import queue
import re
import shlex
import shutil
import signal
import subprocess
import sysconfig
import threading
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import srt

from qwen_asr_plugin.media import find_ffmpeg
from qwen_asr_plugin.media.stream_list import list_streams
from qwen_asr_plugin.subtitles.reading import read_subtitles

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "ffmpeg.md"
BLOCK = re.compile(r"^```(?P<shell>sh|bash|powershell) ?(?P<name>\S*)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)
RECIPES = {found["name"]: found for found in BLOCK.finditer(PAGE.read_text(encoding="utf-8"))}
SHELLS = {"sh": ("sh", "-c"), "bash": ("bash", "-c"), "powershell": ("pwsh", "-NoProfile", "-Command")}
WORDS = "It's difficult to help people who don't want your help."
FORCED = "1\n00:00:01,000 --> 00:00:03,000\nBahnhof\n"
WAITED_SECONDS = 60
BYTES_A_SECOND = 2 * 16_000
AT_ONCE = 30 * BYTES_A_SECOND
DROP = BYTES_A_SECOND // 20


@pytest.fixture(scope="session")
def surround(talk, make_media, tmp_path_factory):
    """Six channels: speech in the centre, a loud noise in the others."""
    noise = ("-f", "lavfi", "-t", "12", "-i", "anoisesrc=a=0.5:r=44100:seed=1")
    mixed = "[0:a]pan=mono|c0=FL[v];[v][1:a]amerge,pan=5.1|FL=c1|FR=c1|FC=c0|LFE=c1|BL=c1|BR=c1[a]"
    sound = ("-filter_complex", mixed, "-map", "[a]", "-c:a", "flac")
    return make_media("-i", talk, *noise, *sound, tmp_path_factory.mktemp("surround") / "surround.mkv")


@pytest.fixture(scope="session")
def live(talk, make_media, tmp_path_factory):
    """The talk as an HLS stream: the playlist and its pieces."""
    folder = tmp_path_factory.mktemp("live")
    make_media("-i", talk, "-c", "copy", "-f", "hls", "-hls_time", "4", "-hls_list_size", "0", folder / "live.m3u8")
    return list(folder.iterdir())


@pytest.fixture(scope="session")
def plain(talk, plugin_cli):
    """Subtitles of the talk, made without a pipe."""
    done = plugin_cli("transcribe", talk, "-o", "-", "-q")
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def recipe(shell, site, talk, two_languages, surround, live, broken, plain):
    """Run a command of the page in a folder with the files that the page speaks of."""
    for name, path in (("talk.mp4", talk), ("film.mkv", two_languages), ("surround.mkv", surround)):
        shutil.copyfile(path, name)
    shutil.copyfile(broken, "cut-off.mp4")
    for path in live:
        site.add(path.name, path)

    def run(name: str):
        found = RECIPES[name]
        program, *options = SHELLS[found["shell"]]
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed, in which this command is to be typed")
        if program == "sh":
            return shell(found["text"], ffmpeg=name != "without-ffmpeg")
        return shell(shlex.join([program, *options, found["text"]]), ffmpeg=True)

    def put(*names: str) -> None:
        for name in names:
            Path(name).write_text(FORCED if "forced" in name else plain, encoding="utf-8")

    return SimpleNamespace(run=run, put=put, plain=plain)


def cues(name):
    return list(srt.parse(Path(name).read_text(encoding="utf-8")))


def words(name):
    return " ".join(cue.content.replace("\n", " ") for cue in cues(name))


def subtitles(name):
    """Facts about the subtitle streams of a file."""
    return [
        (stream.codec, stream.language, stream.default)
        for stream in list_streams(Path(name), find_ffmpeg()).of("subtitle")
    ]


def pictures_and_sound(name):
    """What a copy should have kept."""
    found = list_streams(Path(name), find_ffmpeg())
    return [(stream.codec, stream.language) for kind in ("video", "audio") for stream in found.of(kind)]


SAME = ("without-ffmpeg", "first", "raw")
NEARLY_THE_SAME = ("raw-stereo", "centre", "live", "record", "track", "track-of-file")
MANY = ("many", "loop", "loop-powershell")
PARTS = {"part": 5, "part-of-pipe": 5, "cut": 0}
IN_THE_PICTURE = ("burn-in", "mux-burn-in")
SUBTITLED = {
    "embed": ("talk.mp4", "talk.subtitled.mp4", [("mov_text", "eng", True)]),
    "mux-mp4": ("talk.mp4", "talk.subtitled.mp4", [("mov_text", "eng", True)]),
    "mux-language": ("talk.mp4", "talk.subtitled.mkv", [("subrip", "por", False)]),
    "mux-several": (
        "film.mkv",
        "film.subtitled.mkv",
        [("subrip", "eng", True), ("subrip", "ger", False), ("subrip", "eng", False)],
    ),
    "ffmpeg-mux": ("talk.mp4", "talk.subtitled.mp4", [("mov_text", "eng", True)]),
    "through": ("talk.mp4", "talk.subtitled.mkv", [("subrip", "eng", False)]),
}


def test_every_command_of_the_page_is_run_here():
    assert PAGE.read_text(encoding="utf-8").count("\n```") == 2 * len(RECIPES)
    here = {*SAME, *NEARLY_THE_SAME, *PARTS, *MANY, *SUBTITLED, *IN_THE_PICTURE, "lines", "hls", "pipefail"}
    assert set(RECIPES) == here


@pytest.mark.parametrize("name", SAME)
def test_the_same_subtitles_as_without_a_pipe(recipe, name):
    done = recipe.run(name)
    assert done.returncode == 0, done.stderr
    assert Path("talk.en.srt").read_text(encoding="utf-8") == recipe.plain


@pytest.mark.parametrize("name", NEARLY_THE_SAME)
def test_the_same_words_from_other_samples(recipe, name):
    done = recipe.run(name)
    assert done.returncode == 0, done.stderr
    (written,) = Path.cwd().glob("*.srt")
    assert WORDS in words(written)
    assert abs(len(cues(written)) - recipe.plain.count("-->")) <= 1
    assert abs(cues(written)[0].start - next(srt.parse(recipe.plain)).start).total_seconds() < 0.3
    if name == "live":
        assert done.stdout == written.read_text(encoding="utf-8")
    if name == "record":
        assert list_streams(Path("recording.mkv"), find_ffmpeg()).of("video")


def test_a_line_for_each_cue(recipe):
    done = recipe.run("lines")
    assert done.returncode == 0, done.stderr
    head, *lines = done.stdout.splitlines()
    assert head == "from start to end: text"
    assert len(lines) == recipe.plain.count("-->")
    assert re.fullmatch(rf"from \d+ to \d+: {re.escape(WORDS)}", lines[0])


@pytest.mark.parametrize(("name", "begins"), PARTS.items())
def test_only_a_part(recipe, name, begins):
    done = recipe.run(name)
    assert done.returncode == 0, done.stderr
    (written,) = Path.cwd().glob("*.srt")
    found = cues(written)
    assert begins <= found[0].start.total_seconds() < begins + 3
    assert found[-1].start.total_seconds() < begins + 6
    assert "This is the watch that I bought yesterday" in words(written)


@pytest.mark.parametrize("name", MANY)
def test_many_files(recipe, name, talk):
    Path("cut-off.mp4").unlink()
    shutil.copyfile(talk, "a second talk.mp4")
    done = recipe.run(name)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in Path.cwd().glob("*.srt")) == ["a second talk.en.srt", "talk.en.srt"]
    assert WORDS in words("a second talk.en.srt")
    assert not list(Path.cwd().glob("*.wav"))


@pytest.mark.parametrize("name", SUBTITLED)
def test_subtitles_in_a_copy(recipe, name, streams, make_media):
    original, copy, expected = SUBTITLED[name]
    if name == "mux-several":
        recipe.put("film.en.srt", "film.de.forced.srt", "film.en.sdh.srt")
    elif name == "mux-language":
        recipe.put("notes.srt")
    elif "mux" in name:
        recipe.put("talk.en.srt")
    done = recipe.run(name)
    assert done.returncode == 0, done.stderr
    assert subtitles(copy) == expected
    assert pictures_and_sound(copy) == pictures_and_sound(original)
    back = make_media("-i", copy, "-map", "0:s:0", Path("back.srt"))
    assert words(back) == " ".join(cue.content.replace("\n", " ") for cue in srt.parse(recipe.plain))
    if name == "mux-several":
        english, german, sdh = streams(Path(copy))
        assert "(forced)" in german
        assert "(hearing impaired)" in sdh
        assert "(forced)" not in english + sdh
        said = subprocess.run([find_ffmpeg().ffmpeg, "-i", copy], capture_output=True, check=False).stderr.decode()
        assert re.findall(r"title +: (.*)", said)[-3:] == ["English", "Deutsch (Schilder)", "English (SDH)"]


@pytest.mark.parametrize("name", IN_THE_PICTURE)
def test_subtitles_in_the_picture(recipe, name, make_media, ffmpeg_exe):
    if name == "mux-burn-in":
        recipe.put("talk.en.srt")
    done = recipe.run(name)
    assert done.returncode == 0, done.stderr
    copy = Path("talk.burnt.mp4" if name == "mux-burn-in" else "talk.subtitled.mp4")
    assert subtitles(copy) == []

    def picture(path):
        command = [ffmpeg_exe, "-loglevel", "error", "-ss", "2", "-i", path, "-frames:v", "1"]
        crop = ("-vf", "crop=iw/2:ih/4:iw/4:ih*3/4,format=gray", "-f", "rawvideo", "-")
        return subprocess.run([*command, *crop], capture_output=True, check=True).stdout

    before, after = picture("talk.mp4"), picture(copy)
    changed = sum(abs(a - b) > 60 for a, b in zip(before, after, strict=True))
    assert changed > len(before) / 200


def test_hls(recipe, make_media):
    done = recipe.run("hls")
    assert done.returncode == 0, done.stderr
    playlist = Path("talk.m3u8").read_text(encoding="utf-8")
    assert 'TYPE=SUBTITLES,GROUP-ID="subs"' in playlist
    assert 'LANGUAGE="en"' in playlist
    pieces = sorted(Path.cwd().glob("talk_*.vtt"))
    assert len(pieces) > 1
    times = [cue.start_ms for piece in pieces for cue in read_subtitles(piece).cues]
    expected = [cue.start.total_seconds() * 1000 for cue in srt.parse(recipe.plain)]
    assert len(set(times)) == len(expected)
    assert all(abs(a - b) < 100 for a, b in zip(sorted(set(times)), expected, strict=True))
    command = [find_ffmpeg().ffmpeg, "-hide_banner", "-i", "talk_0.m3u8"]
    said = subprocess.run(command, capture_output=True, check=False).stderr.decode()
    assert float(re.search(r"start: (\d+\.\d+)", said)[1]) < 0.1  # pictures and cues count from the same zero


def test_a_failure_before_the_pipe_shows(recipe):
    done = recipe.run("pipefail")
    assert done.returncode == 0  # of the last command, rm
    assert not Path("cut-off.en.srt").exists()
    Path("cut-off.mp4").unlink()
    shutil.copyfile("talk.mp4", "cut-off.mp4")
    assert recipe.run("pipefail").returncode == 0
    assert len(cues("cut-off.en.srt")) == recipe.plain.count("-->")


@pytest.fixture
def coming():
    """Start ``transcribe -`` on raw samples that are still to come; its lines arrive in a queue."""
    program = str(Path(sysconfig.get_path("scripts")) / "qwen-asr-plugin")
    started = []

    def start(*options):
        command = [program, "transcribe", "-", "-q", "--raw-rate", "16000", *options]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        lines = queue.Queue()
        reader = threading.Thread(target=read, args=(process.stdout, lines))
        reader.start()
        started.append((process, reader))
        return process, lines

    def read(stream, lines):
        while line := stream.readline():
            lines.put(line)
        lines.put(b"")

    yield start
    for process, reader in started:
        process.kill()
        process.wait()
        reader.join()
        for pipe in (process.stdin, process.stdout, process.stderr):
            pipe.close()


@pytest.fixture(scope="session")
def samples(sample_video, ffmpeg_exe):
    """Seventy-five seconds of speech as 16 kHz mono s16le."""
    source = [ffmpeg_exe, "-loglevel", "error", "-stream_loop", "1", "-i", sample_video]
    return subprocess.run(
        [*source, "-t", "75", "-ac", "1", "-ar", "16000", "-f", "s16le", "-"], capture_output=True, check=True
    ).stdout


def feed_until_the_first_cue(process, lines, samples):
    """Send what may be needed for it, then drop by drop, half as fast as it is spoken; return how many bytes."""
    sent = AT_ONCE
    process.stdin.write(samples[:sent])
    pause = threading.Event()
    while lines.empty() and sent < len(samples):
        process.stdin.write(samples[sent : sent + DROP])
        process.stdin.flush()
        sent += DROP
        pause.wait(0.1)
    return sent


def test_the_first_cue_is_there_before_the_stream_ends(coming, samples, plugin_cli, make_media, tmp_path):
    process, lines = coming()
    sent = feed_until_the_first_cue(process, lines, samples)
    assert sent < len(samples)
    assert lines.get() == b"1\n"
    assert b"-->" in lines.get(timeout=WAITED_SECONDS)
    process.stdin.write(samples[sent:])
    process.stdin.close()
    assert process.wait(WAITED_SECONDS) == 0
    later = b"".join(iter(lambda: lines.get(timeout=WAITED_SECONDS), b""))
    raw = tmp_path / "all.raw"
    raw.write_bytes(samples)
    file = make_media("-f", "s16le", "-ar", "16000", "-ac", "1", "-i", raw, tmp_path / "all.wav")
    whole = plugin_cli("transcribe", file, "-o", "-", "-q")
    assert 1 + later.count(b"-->") == whole.stdout.count("-->")


@pytest.mark.skipif(os.name == "nt", reason="no signal asks a program on Windows to stop")
@pytest.mark.parametrize("begun", [False, True])
def test_a_stream_that_stands_still_can_be_left(coming, samples, begun):
    process, lines = coming()
    if begun:
        feed_until_the_first_cue(process, lines, samples)
    else:
        wait_for_ffmpeg(process)
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 130
    assert b"Stopped as asked" in process.stderr.read()


def wait_for_ffmpeg(process):
    """Wait until there is an ffmpeg to read the stream, and with it somebody who heeds signals."""
    pause = threading.Event()
    while not any("ffmpeg" in child.name() for child in psutil.Process(process.pid).children()):
        assert process.poll() is None
        pause.wait(0.05)
