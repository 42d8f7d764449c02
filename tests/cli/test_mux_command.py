# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: RUF001
"""``qwen-asr-plugin mux``, and where ``transcribe`` puts what it makes."""

import subprocess

import pytest
from typer.testing import CliRunner

from qwen_asr_plugin.cli.app import app
from subtitle_hooks import SubtitleError

SRT = (
    "1\n00:00:01,000 --> 00:00:02,500\nПривет, меня зовут Иван и я живу в Москве.\n\n"
    "2\n00:00:03,000 --> 00:00:04,000\nСегодня очень хорошая погода.\n\n"
)


def refusal(*arguments):
    """Run a command in this process and return the code and text of its error."""
    result = CliRunner().invoke(app, [str(word) for word in arguments])
    assert isinstance(result.exception, SubtitleError), (arguments, result.exception, result.output)
    return result.exception.code, str(result.exception)


@pytest.fixture(scope="module")
def listed(ffmpeg_exe):
    def lines(path, kind="Subtitle"):
        done = subprocess.run([ffmpeg_exe, "-hide_banner", "-i", str(path)], capture_output=True, check=False)
        return [line.strip() for line in done.stderr.decode("utf-8", "replace").splitlines() if f"{kind}:" in line]

    return lines


@pytest.fixture(scope="module")
def text_of(ffmpeg_exe):
    def text(path, number=0):
        command = [ffmpeg_exe, "-loglevel", "error", "-i", str(path), "-map", f"0:s:{number}", "-f", "srt", "-"]
        return subprocess.run(command, capture_output=True, check=True).stdout.decode("utf-8")

    return text


def test_files_of_any_format_and_encoding(plugin_cli, sample_video, listed, text_of, tmp_path):
    (tmp_path / "film.ru.forced.srt").write_bytes(SRT.encode("cp1251"))
    (tmp_path / "film.srt").write_bytes(b"\xff\xfe" + SRT.encode("utf-16-le"))
    (tmp_path / "film.deu.sdh.tsv").write_text("start\tend\ttext\n1000\t2000\tHallo\n", encoding="utf-8")
    target = tmp_path / "out.mkv"
    done = plugin_cli(
        "mux", sample_video, *sorted(tmp_path.glob("film*")), "-o", target, "--default", "--title", "German", "--title",
        "Russian", "--title", "Unknown",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{target}\n"
    german, russian, unknown = listed(target)
    assert "(ger)" in german
    assert "(default)" in german
    assert "(hearing impaired)" in german
    assert "(rus)" in russian
    assert "(forced)" in russian
    assert "(default)" not in russian + unknown
    assert "Hallo" in text_of(target, 0)
    assert text_of(target, 1) == SRT
    assert text_of(target, 2) == SRT
    assert len(listed(target, "Video")) == 1


def test_refusals_have_their_codes_and_touch_nothing(sample_video, tmp_path):
    text = tmp_path / "film.ru.srt"
    text.write_text(SRT, encoding="utf-8")
    video = tmp_path / "film.mp4"
    video.write_bytes(sample_video.read_bytes())
    for arguments, code in [
        ((video, text, "-o", video, "-y"), 41),
        ((video, text, "-o", text), 2),
        ((video, text, "-o", tmp_path / "x.avi"), 2),
        ((video, text, text, "-o", tmp_path / "x.mkv", "-l", "ru"), 2),
        ((video, text, text, "-o", tmp_path / "x.mkv", "--burn-in"), 2),
        ((video, tmp_path / "gone.srt", "-o", tmp_path / "x.mkv"), 11),
    ]:
        assert refusal("mux", *arguments)[0] == code, arguments
    assert video.read_bytes() == sample_video.read_bytes()


def test_burn_in(plugin_cli, sample_video, make_media, listed, tmp_path):
    short = make_media("-i", sample_video, "-t", "3", "-c", "copy", tmp_path / "short.mp4")
    text = tmp_path / "short.en.vtt"
    text.write_text("WEBVTT\n\n00:01.000 --> 00:02.000\nHello\n", encoding="utf-8")
    done = plugin_cli("mux", short, text, "--burn-in", "-o", tmp_path / "burnt.mkv", "-q")
    assert done.returncode == 0, done.stderr
    assert listed(tmp_path / "burnt.mkv") == []
    assert "h264" in listed(tmp_path / "burnt.mkv", "Video")[0]


def test_transcribe_embeds_what_it_writes(plugin_cli, sample_video, listed, text_of, tmp_path):
    done = plugin_cli(
        "transcribe", sample_video, "-o", tmp_path, "-t", "12", "-q", "--embed", "--default-track", "--tag", "sdh",
        "--name-language", "iso639-2b", "--crlf", "--bom",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    sidecar, copy = tmp_path / "sample.eng.sdh.srt", tmp_path / "sample.subtitled.mp4"
    assert done.stdout.split() == [str(sidecar), str(copy)]
    raw = sidecar.read_bytes()
    assert raw.startswith(b"\xef\xbb\xbf1\r\n")
    assert text_of(copy) == raw.decode("utf-8-sig").replace("\r\n", "\n")
    (line,) = listed(copy)
    assert "(eng)" in line
    assert "(default)" in line


def test_a_file_of_the_same_meaning_is_left_alone_or_replaced_under_its_name(plugin_cli, sample_video, tmp_path):
    mine = tmp_path / "sample.eng.srt"
    mine.write_text("mine", encoding="utf-8")
    arguments = ("transcribe", sample_video, "-o", tmp_path, "-t", "4", "-q", "-l", "en")
    done = plugin_cli(*arguments)
    assert done.returncode == 41
    assert "means the same as sample.en.srt" in done.stderr
    assert mine.read_text(encoding="utf-8") == "mine"
    assert plugin_cli(*arguments, "-y").returncode == 0
    assert [path.name for path in tmp_path.iterdir()] == ["sample.eng.srt"]
    assert mine.read_text(encoding="utf-8").startswith("1\n")


def test_impossible_wishes_fail_before_the_work(plugin_cli, sample_video, make_media, tmp_path):
    sound = make_media("-i", sample_video, "-t", "2", tmp_path / "sound.wav")
    for arguments in [
        (sample_video, "--embed", "--burn-in", "-o", tmp_path),
        (sample_video, "--name-language", "iso", "-o", tmp_path),
        (sample_video, sound, "-o", "-"),
        (sample_video, "-f", "srt,vtt", "-o", "-"),
        (sample_video, "--raw-rate", "16000", "-o", tmp_path),
        ("-", sample_video),
    ]:
        assert refusal("transcribe", *arguments)[0] == 2, arguments
    done = plugin_cli("transcribe", sound, sample_video, "--embed", "--tag", "fr", "-o", tmp_path)
    assert done.returncode == 2
    assert "would be taken for a language" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["sound.wav"]


@pytest.mark.parametrize("kind", ["srt", "json"])
def test_a_file_to_standard_output_is_what_the_sidecar_is(kind, plugin_cli, sample_video, tmp_path):
    arguments = ("transcribe", sample_video, "-t", "4", "-f", kind)
    done = plugin_cli(*arguments, "-o", "-")
    assert done.returncode == 0, done.stderr
    assert plugin_cli(*arguments, "-q", "-o", tmp_path).returncode == 0
    (sidecar,) = tmp_path.iterdir()
    if kind == "json":  # times taken differ
        assert done.stdout[:60] == sidecar.read_text(encoding="utf-8")[:60]
    else:
        assert done.stdout == sidecar.read_text(encoding="utf-8")
