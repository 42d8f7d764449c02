# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import shutil
import subprocess
import sys

import numpy as np
import psutil
import pytest

from qwen_asr_plugin.media import choose_track, open_audio, probe
from subtitle_hooks import MediaDamagedError


def _decode(path, tools):
    found = probe(path, tools)
    with open_audio(found, choose_track(found), tools) as stream:
        return np.concatenate(list(stream))


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not let such a name exist")
def test_a_file_name_need_not_be_unicode(wav, tools, tmp_path):
    path = os.fsdecode(os.fsencode(tmp_path) + b"/bad\xff\xfe.wav")
    shutil.copy(wav(), path)
    assert _decode(path, tools).size == 6 * 16_000


def test_impossible_samples_are_silence(run_ffmpeg, tools, tmp_path):
    sound = np.full(32_000, 0.25, dtype="<f4")
    sound[[9_000, 9_100, 9_200, 9_300]] = np.nan, np.inf, -np.inf, 1e30
    sound[20_000] = 50.0  # floating point files may well go beyond full scale
    (tmp_path / "raw").write_bytes(sound.tobytes())
    path = tmp_path / "odd.wav"
    run_ffmpeg("-f", "f32le", "-ar", "16000", "-ac", "1", "-i", tmp_path / "raw", "-c:a", "pcm_f32le", path)
    decoded = _decode(path, tools)
    sound[[9_000, 9_100, 9_200, 9_300]] = 0
    assert np.array_equal(decoded, sound)


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX process groups")
def test_ctrl_c_in_the_terminal_does_not_reach_ffmpeg(wav, tools):
    found = probe(wav(), tools)
    with open_audio(found, choose_track(found), tools) as stream:
        next(stream)
        children = [c for c in psutil.Process().children() if "ffmpeg" in c.name()]
        assert children
        assert all(os.getpgid(child.pid) != os.getpgrp() for child in children if child.is_running())


def test_the_message_about_a_cut_off_file_never_names_an_earlier_end(wav, tools, tmp_path):
    data = bytearray(wav().read_bytes())
    at = data.index(b"data") + 4
    data[at : at + 4] = (len(data) * 3).to_bytes(4, "little")
    path = tmp_path / "cut.wav"
    path.write_bytes(data[:-1])
    with pytest.raises(MediaDamagedError) as caught:
        _decode(path, tools)
    assert "until 0:00:06.000 (" in str(caught.value)


_FORGETFUL = """
import sys
from pathlib import Path
from qwen_asr_plugin.media import choose_track, find_ffmpeg, open_audio, probe
def blocks(path):
    tools = find_ffmpeg(sys.argv[2])
    found = probe(path, tools)
    with open_audio(found, choose_track(found), tools) as stream:
        yield from stream
kept = blocks(sys.argv[1])
next(kept)
"""


def test_a_stream_left_open_does_not_abort_the_program_at_its_end(run_ffmpeg, tools, tmp_path):
    path = tmp_path / "long.wav"
    run_ffmpeg("-f", "lavfi", "-i", "sine=r=16000:d=600", path)
    done = subprocess.run(
        [sys.executable, "-c", _FORGETFUL, str(path), str(tools.ffmpeg)], capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")
