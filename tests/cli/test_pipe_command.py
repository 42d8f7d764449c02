# SPDX-License-Identifier: Apache-2.0
"""``transcribe -``: media from a pipe, subtitles to a pipe, with real processes."""

import subprocess
import sys
import sysconfig
import threading
import time
from pathlib import Path

import pytest

PROGRAM = str(Path(sysconfig.get_path("scripts")) / ("qwen-asr-plugin" + (".exe" if sys.platform == "win32" else "")))


def pipeline(producer, *arguments):
    first = subprocess.Popen(list(map(str, producer)), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    done = subprocess.run(
        [PROGRAM, "transcribe", "-", *map(str, arguments)], stdin=first.stdout, capture_output=True, check=False
    )
    first.stdout.close()
    first.wait()
    return done.returncode, done.stdout.decode("utf-8"), done.stderr.decode("utf-8", "replace")


@pytest.mark.parametrize(
    ("output", "options"),
    [(("-f", "wav"), ()), (("-ac", "1", "-ar", "16000", "-f", "s16le"), ("--raw-rate", "16000"))],
    ids=["wav", "raw"],
)
def test_the_same_subtitles_as_from_the_file(output, options, ffmpeg_exe, plugin_cli, sample_video, tmp_path):
    code, text, said = pipeline([ffmpeg_exe, "-t", "12", "-i", sample_video, *output, "-"], "-q", *options)
    assert code == 0, said
    assert said == ""
    assert plugin_cli("transcribe", sample_video, "-t", "12", "-q", "-o", tmp_path).returncode == 0
    assert text == (tmp_path / "sample.en.srt").read_text(encoding="utf-8")


def test_a_sidecar_of_a_pipe(ffmpeg_exe, sample_video, tmp_path):
    producer = [ffmpeg_exe, "-t", "4", "-i", sample_video, "-f", "wav", "-"]
    code, text, said = pipeline(producer, "-q", "-o", tmp_path, "-f", "vtt")
    assert code == 0, said
    assert text == f"{tmp_path / 'stdin.en.vtt'}\n"


def test_the_first_cue_comes_while_the_stream_goes_on(ffmpeg_exe, sample_video):
    command = [
        ffmpeg_exe,
        "-loglevel",
        "quiet",
        "-i",
        str(sample_video),
        "-ac",
        "1",
        "-ar",
        "16000",
        "-f",
        "s16le",
        "-",
    ]
    samples = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
    process = subprocess.Popen(
        [PROGRAM, "transcribe", "-", "-q", "--raw-rate", "16000"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    ended = threading.Event()

    def write():
        process.stdin.write(samples * 2)
        process.stdin.flush()
        ended.wait(60)
        process.stdin.close()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert process.stdout.readline() == b"1\n"
        assert b"-->" in process.stdout.readline()
        assert not ended.is_set()
        ended.set()
        rest = process.stdout.read().decode("utf-8")
        assert rest.count("-->") > 20
        assert process.wait() == 0
    finally:
        ended.set()
        writer.join()
        process.kill()
        process.wait()
        process.stdout.close()


def test_a_reader_that_goes_ends_the_work_in_order(ffmpeg_exe, sample_video):
    command = [ffmpeg_exe, "-loglevel", "quiet", "-i", str(sample_video), "-f", "wav", "-"]
    producer = subprocess.Popen(command, stdout=subprocess.PIPE)
    process = subprocess.Popen(
        [PROGRAM, "transcribe", "-", "-q"], stdin=producer.stdout, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    producer.stdout.close()
    process.stdout.readline()
    process.stdout.close()
    began = time.monotonic()
    said = process.stderr.read().decode("utf-8", "replace")
    process.stderr.close()
    assert process.wait() == 42
    assert "Traceback" not in said
    assert "Standard output" in said
    assert time.monotonic() - began < 30
    producer.kill()
    producer.wait()


@pytest.mark.parametrize(
    ("content", "code"),
    [(b"", 14), (b"no media\n" * 99, 15), (b"\0\0\0\x10ftypisom\0\0\0\0\0\0\0\x20mdat" + bytes(99), 15)],
)
def test_what_cannot_be_used(content, code):
    done = subprocess.run([PROGRAM, "transcribe", "-", "-q"], input=content, capture_output=True, check=False)
    assert done.returncode == code
    assert done.stdout == b""
    assert f"[{code}] standard input" in done.stderr.decode("utf-8", "replace")
