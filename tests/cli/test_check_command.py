# SPDX-License-Identifier: Apache-2.0
import json
import re

import pytest

GOOD = "1\n00:00:01,000 --> 00:00:02,500\nGood.\n\n2\n00:00:03,000 --> 00:00:04,000\nFine.\n"
BAD = GOOD.replace("00:00:03,000", "00:00:02,400")
ODD = GOOD.replace("00:00:03,000", "00:00:03.000")


@pytest.fixture
def write(tmp_path):
    def make(name, text):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return make


def test_help_teaches(plugin_cli):
    done = plugin_cli("check", "--help")
    assert done.returncode == 0
    for word in ("Examples", "--norm", "--strict", "--json", "--language", "netflix", "3 when"):
        assert word in done.stdout
    assert "check" in plugin_cli("--help").stdout


def test_status_and_lines(plugin_cli, write):
    good, bad, odd = write("good.srt", GOOD), write("bad.srt", BAD), write("odd.srt", ODD)
    done = plugin_cli("check", good)
    assert (done.returncode, done.stdout) == (0, "1 files, 2 cues, norm default: 0 errors, 0 warnings, 0 notes.\n")
    done = plugin_cli("check", good, bad, odd)
    assert done.returncode == 3
    assert (
        f"{bad}:6: error [overlap] cue 2: It starts at 2400 ms while cue 1 is shown, which ends at 2500 ms."
        in done.stdout
    )
    assert re.search(r"odd\.srt:6: warning \[dot-fraction\]", done.stdout)
    assert done.stdout.endswith("3 files, 6 cues, norm default: 1 errors, 1 warnings, 0 notes.\n")


def test_strict_lets_warnings_count_and_quiet_hides_what_does_not(plugin_cli, write):
    odd = write("odd.srt", ODD)
    assert plugin_cli("check", odd).returncode == 0
    assert plugin_cli("check", odd, "--strict").returncode == 3
    assert "dot-fraction" not in plugin_cli("check", odd, "-q").stdout
    assert "dot-fraction" in plugin_cli("check", odd, "-q", "--strict").stdout


def test_language_comes_from_the_name_or_the_option(plugin_cli, write):
    text = GOOD.replace("Good.", "全" * 15)
    assert "norm netflix-ja" in plugin_cli("check", write("x.ja.srt", text), "--norm", "netflix").stdout
    assert "norm netflix-ko" in plugin_cli("check", write("x.ja.srt", text), "--norm", "netflix", "-l", "Korean").stdout
    assert "Line 1 is 15 wide; at most 13" in plugin_cli("check", write("x.srt", text), "-n", "netflix-ja").stdout


def test_json_is_for_programs(plugin_cli, write):
    bad = write("bad.srt", BAD)
    done = plugin_cli("check", bad, write("good.vtt", "WEBVTT\n\n00:01.000 --> 00:02.000\nHi.\n"), "--json")
    assert done.returncode == 3
    first, second = json.loads(done.stdout)
    assert (first["file"], first["format"], first["encoding"], first["cues"], first["kept"]) == (
        *(str(bad), "srt", "utf-8", 2),
        False,
    )
    violation = first["violations"][0]
    assert [violation[name] for name in ("rule", "severity", "cue", "line", "value", "limit")] == [
        *("overlap", "error"),
        *(2, 6, 100, 0),
    ]
    assert (second["format"], second["kept"], second["violations"]) == ("vtt", True, [])


def test_files_that_cannot_be_read(plugin_cli, write, tmp_path):
    video = write("x.mp4", "not a subtitle")
    done = plugin_cli("check", tmp_path / "nothing.srt", write("bad.srt", BAD))
    assert done.returncode == 11
    assert "[overlap]" in done.stdout
    assert "no such file" in done.stderr
    assert plugin_cli("check", video).returncode == 15
    assert plugin_cli("check", tmp_path).returncode == 12
    assert plugin_cli("check", video, tmp_path).returncode == 9
    done = plugin_cli("check", write("good.srt", GOOD), "--norm", "nonsense")
    assert done.returncode == 2
    assert "nonsense" in done.stderr
