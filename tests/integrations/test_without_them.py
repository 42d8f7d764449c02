# SPDX-License-Identifier: Apache-2.0
"""The plugin needs none of the programs it has integrations for."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

RUN = """
import importlib, pkgutil, shutil, sys
from pathlib import Path

TOOLS = ("yt_dlp", "subliminal", "babelfish", "stevedore")
sys.modules.update(dict.fromkeys(TOOLS))  # importing any of them fails now
assert not shutil.which("mpv") and not shutil.which("ffmpeg")

import qwen_asr_plugin
from subtitle_hooks import SubtitleHost, SubtitleRequest

left_out = {"qwen_asr_plugin.integrations.yt_dlp", "qwen_asr_plugin.integrations.subliminal"}
found = {module.name for module in pkgutil.walk_packages(qwen_asr_plugin.__path__, "qwen_asr_plugin.")}
assert left_out < found
for name in sorted(found - left_out):
    if not name.endswith("__main__"):
        importlib.import_module(name)

host = SubtitleHost()
assert not [plugin for plugin in host.broken if plugin.distribution == "qwen-asr-plugin"]
with host.generate(SubtitleRequest(media=Path(sys.argv[1]), duration_ms=6000), backend="qwen-asr") as transcript:
    print(len(list(transcript)))
"""

TESTS = """
import sys, pytest

sys.modules.update(dict.fromkeys(("yt_dlp", "subliminal", "babelfish", "stevedore")))
sys.exit(pytest.main(["-n0", "-p", "no:cacheprovider", *sys.argv[1:]]))
"""


@pytest.fixture
def no_programs(tmp_path, monkeypatch):
    """No program is on PATH."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("QWEN_ASR_FFMPEG", raising=False)


def test_the_plugin_runs_without_them(sample_video, no_programs):
    command = [sys.executable, "-c", RUN, sample_video]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 1


@pytest.mark.parametrize(
    "arguments",
    [("--help",), ("mpv", "--help"), ("mpv", "path"), ("mux", "--help"), ("transcribe", "--help")],
    ids=" ".join,
)
def test_the_command_line_answers_without_them(arguments, no_programs, plugin_cli):
    done = plugin_cli(*arguments)
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_their_tests_say_what_is_missing(no_programs):
    here = Path(__file__).parent
    files = [str(here / f"test_{name}.py") for name in ("mpv", "subliminal", "yt_dlp", "ffmpeg_recipes")]
    command = [sys.executable, "-c", TESTS, "-k", "not stream", *files]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=300, check=False, cwd=here.parents[1], env=environment
    )
    assert done.returncode == 0, done.stdout
    for reason in (
        "mpv is not installed",
        "subliminal is not installed (extra 'subliminal')",
        "yt-dlp is not installed (extra 'yt-dlp')",
        "the documented commands are for a POSIX shell",
    ):
        assert f": {reason}\n" in done.stdout
