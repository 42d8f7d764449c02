# SPDX-License-Identifier: Apache-2.0
"""The command line beside `transcribe`'s results: help, doctor, model commands, stopping."""

import json
import os
import re
import signal
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import onnxruntime
import pytest

from qwen_asr_native.providers import PROVIDERS
from qwen_asr_plugin import errors
from subtitle_hooks import SubtitleError


def test_help_teaches(plugin_cli):
    done = plugin_cli("--help")
    assert done.returncode == 0
    for command in ("transcribe", "doctor", "model"):
        assert command in done.stdout
    done = plugin_cli("transcribe", "--help")
    assert "Examples" in done.stdout
    for option in ("--language", "--track", "--start", "--model-dir", "--precision", "--threads", "--no-ts", "-y"):
        assert option in done.stdout


def test_quiet_leaves_out_what_is_no_warning(plugin_cli, sample_video, tmp_path):
    note = "The forced aligner of this model leaves much speech without words"
    for option, said in (("--overwrite", True), ("--quiet", False)):
        folder = tmp_path / option
        folder.mkdir()
        done = plugin_cli("transcribe", sample_video, "-o", folder, option)
        assert done.returncode == 0, done.stderr
        assert (note in done.stderr) == said
        assert said or not done.stderr


def test_version(plugin_cli):
    assert re.fullmatch(r"qwen-asr-plugin \d+\.\d+\.\d+\n", plugin_cli("--version").stdout)


@pytest.mark.parametrize("arguments", [["transcribe"], ["transcribe", "x", "--nonsense"], ["nonsense"]])
def test_wrong_usage_is_status_2(arguments, plugin_cli):
    done = plugin_cli(*arguments)
    assert done.returncode == 2
    assert done.stderr


def test_doctor_finds_everything_here(plugin_cli):
    done = plugin_cli("doctor", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["well"] is True
    for fact in ("qwen-asr-plugin", "system", "processor", "memory", "Python", "packages", "environment"):
        assert report["system"][fact], fact
    assert f"onnxruntime {onnxruntime.__version__}" in report["system"]["packages"]
    findings = {finding["subject"]: finding for finding in report["findings"]}
    for subject in ("ffmpeg", "onnxruntime", "model bundle", "engine", "plugin"):
        assert findings[subject]["well"] is True, subject
    providers = {subject: f["details"] for subject, f in findings.items() if subject.startswith("libllama: ")}
    assert list(providers) == [f"libllama: {provider.name}" for provider in PROVIDERS]
    (chosen,) = (facts for facts in providers.values() if facts["chosen"])
    assert chosen["verified"]
    assert chosen["layout"]
    assert all(facts["chosen"] or facts["reason"] for facts in providers.values())
    assert findings["engine"]["details"]["library"].startswith(chosen["name"])
    devices = [f["details"] for subject, f in findings.items() if subject.startswith("device: ")]
    assert any(device["kind"] == "cpu" for device in devices)


def test_the_doctors_report_can_be_pasted(plugin_cli, tmp_path, monkeypatch):
    monkeypatch.setenv("QWEN_ASR_FFMPEG", "")
    monkeypatch.setenv("HOME", str(Path(sys.prefix).parent))
    done = plugin_cli("doctor")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert str(Path(sys.prefix).parent) not in done.stdout
    assert "~/" in done.stdout
    assert "\x1b" not in done.stdout
    subjects = [line[8:32].strip() for line in lines if line[8:9].strip()]
    for subject in ("system", "processor", "ffmpeg", "libllama: built", "onnxruntime", "engine", "verdict"):
        assert subject in subjects, subject
    assert "QWEN_ASR_FFMPEG=" in done.stdout


def test_the_doctor_names_a_library_that_does_not_fit(plugin_cli, tmp_path):
    library = tmp_path / "libllama.so"
    library.write_bytes(b"not a library")
    done = plugin_cli("doctor", "--libllama", library, "--json")
    assert done.returncode == 1
    findings = {finding["subject"]: finding for finding in json.loads(done.stdout)["findings"]}
    assert findings["libllama: path"]["details"]["code"] == "library-not-loadable"
    assert findings["libllama"]["well"] is False
    assert not any(finding["details"].get("chosen") for finding in findings.values())


def test_doctor_says_what_to_do(plugin_cli, tmp_path):
    done = plugin_cli("doctor", "--ffmpeg", tmp_path / "ffmpeg", "--model-dir", tmp_path / "nowhere")
    assert done.returncode == 1
    assert "MISSING" in done.stdout
    assert "[100]" in done.stdout
    assert "[111]" in done.stdout


def test_a_made_model_can_be_shown_verified_and_run(plugin_cli, tmp_path, sample_video):
    bundle = tmp_path / "tiny"
    done = plugin_cli("model", "synth", bundle, "--size", "TINY", "--precision", "fp32,int8", "--quant", "f16")
    assert done.returncode == 0, done.stderr
    facts = json.loads(plugin_cli("model", "show", bundle, "--json").stdout)
    assert "int8" in json.dumps(facts)
    assert plugin_cli("model", "verify", bundle).returncode == 0
    done = plugin_cli(
        "transcribe", sample_video, "-m", tmp_path, "--precision", "int8", "--duration", "3", "-o", tmp_path, "-q"
    )
    assert done.returncode == 0, done.stderr
    gguf = next(bundle.glob("*.gguf"))
    content = bytearray(gguf.read_bytes())
    content[-5] ^= 0xFF  # same size, other content
    gguf.write_bytes(content)
    assert plugin_cli("model", "verify", bundle).returncode == 113


def test_what_is_no_checkpoint_is_refused(plugin_cli, tmp_path):
    done = plugin_cli("model", "convert", tmp_path, tmp_path / "out")
    assert done.returncode == 117
    assert "config.json" in done.stderr
    assert not (tmp_path / "out").exists()


# The interpreter is up before "ready": what Ctrl-C does to Python's own start is not ours to test.
_AS_IN_A_TERMINAL = """
import runpy, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.argv = sys.argv[1:]
print("ready", flush=True)
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def _started(command):
    """Start a program with Ctrl-C working, which it would not in a job started in the background."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen([sys.executable, "-c", _AS_IN_A_TERMINAL, *command], **pipes, start_new_session=True)
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for one process")
def test_ctrl_c_stops_and_leaves_nothing(make_media, sample_video, tmp_path):
    long = make_media("-stream_loop", "40", "-i", sample_video, "-vn", "-c:a", "flac", tmp_path / "long.flac")
    program = Path(sysconfig.get_path("scripts")) / "qwen-asr-plugin"
    process = _started([program, "transcribe", long])
    assert process.stdout.readline().startswith("["), "the work has begun"
    os.killpg(process.pid, signal.SIGINT)
    stopped = time.monotonic()
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert time.monotonic() - stopped < 20
    assert [path.name for path in tmp_path.iterdir()] == ["long.flac"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for one process")
@pytest.mark.parametrize("after", [0.0, 0.1, 0.3, 0.7])
@pytest.mark.parametrize("name", ["qwen-asr-plugin", "subtitle-host"])
def test_ctrl_c_right_after_the_start(name, after, sample_video, tmp_path):
    program = Path(sysconfig.get_path("scripts")) / name
    command = [program, {"subtitle-host": "run"}.get(name, "transcribe"), sample_video, "--output-dir", tmp_path]
    process = _started(command)
    time.sleep(after)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=60)
    # before our first line has run, Python itself dies of it
    assert process.returncode in (130, -signal.SIGINT), said
    assert process.returncode < 0 or "Traceback" not in said
    assert not list(tmp_path.iterdir())


def test_a_reader_that_has_gone_does_not_stop_the_work(sample_video, tmp_path):
    program = Path(sysconfig.get_path("scripts")) / "qwen-asr-plugin"
    process = subprocess.Popen(
        [program, "transcribe", sample_video, "-o", tmp_path], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    process.stdout.close()
    assert process.wait(timeout=60) == 0
    assert (tmp_path / "sample.en.srt").stat().st_size > 500


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit of file sizes")
def test_a_disk_that_fills_up_between_two_formats_leaves_neither(sample_video, tmp_path):
    program = Path(sysconfig.get_path("scripts")) / "qwen-asr-plugin"
    limited = 'ulimit -f 2; exec "$@"'  # 2 KiB a file: enough for SRT, not for JSON
    command = [program, "transcribe", sample_video, "-f", "srt,json", "-o", tmp_path]
    done = subprocess.run(["bash", "-c", limited, "-", *command], capture_output=True, text=True, check=False)
    assert done.returncode == 42, done.stderr
    assert "sample.en.json" in done.stderr
    assert not list(tmp_path.iterdir())


def test_two_files_of_one_run_never_write_over_each_other(make_media, plugin_cli, sample_video, tmp_path):
    first = make_media("-i", sample_video, "-t", "4", tmp_path / "talk.flac")
    second = make_media("-i", sample_video, "-ss", "7", "-t", "3", tmp_path / "talk.wav")
    done = plugin_cli("transcribe", first, second, "-y")
    assert done.returncode == 41, done.stderr
    assert "talk.flac" in done.stderr
    assert "difficult" in (tmp_path / "talk.en.srt").read_text()


@pytest.mark.parametrize("wrong", ["--start inf", "--duration nan", "--threads 99999", "--lanes 99"])
def test_impossible_numbers(wrong, plugin_cli, sample_video, tmp_path):
    done = plugin_cli("transcribe", sample_video, "-o", tmp_path, *wrong.split())
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr


def test_a_gpu_that_libllama_cannot_use_is_refused(plugin_cli, sample_video, tmp_path):
    from qwen_asr_native import load_library

    if load_library().supports_gpu:
        pytest.skip("this libllama can use a GPU")
    assert plugin_cli("transcribe", sample_video, "-o", tmp_path, "--gpu").returncode == 109


def test_codes_are_unique_stable_and_documented():
    def tree(kind):
        return {kind} | {below for child in kind.__subclasses__() for below in tree(child)}

    assert errors.FfmpegError in tree(SubtitleError)
    kinds = [kind for kind in tree(SubtitleError) if kind.__module__.startswith(("qwen_asr_plugin", "subtitle_hooks"))]
    codes = {kind.code: kind.__name__ for kind in kinds}
    assert len(codes) == len(kinds)
    page = (Path(__file__).parents[2] / "docs" / "errors.md").read_text(encoding="utf-8")
    for code, name in codes.items():
        assert f"| {code} | `{name}` |" in page
