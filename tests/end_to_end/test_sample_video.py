# SPDX-License-Identifier: Apache-2.0
"""The README's promise, on the sample video and through the installed command lines."""

import itertools
import json
import shutil

import pytest
import srt


@pytest.fixture
def video(sample_video, tmp_path):
    return shutil.copy(sample_video, tmp_path / "talk show 100%.mp4")


def _cues(path):
    return list(srt.parse(path.read_text(encoding="utf-8")))


def test_the_words_are_right(plugin_cli, video, tmp_path, sample_reference, wrong_words):
    done = plugin_cli("transcribe", video)
    assert done.returncode == 0, done.stderr
    target = tmp_path / "talk show 100%.en.srt"
    assert str(target) in done.stdout
    heard = " ".join(cue.content for cue in _cues(target))
    said = " ".join(sentence["text"] for sentence in sample_reference)
    assert wrong_words(said, heard) <= 0.10
    for word in ("parrot", "teachers"):
        assert word in done.stdout, "the text is printed as well"


def test_every_cue_starts_when_its_words_are_said(host_cli, video, tmp_path, sample_reference):
    assert host_cli("run", video).returncode == 0
    cues = _cues(tmp_path / "talk show 100%.en.srt")
    starts = [sentence["start_ms"] / 1000 for sentence in sample_reference]
    for cue in cues:
        nearest = min(starts, key=lambda start: abs(start - cue.start.total_seconds()))
        assert abs(cue.start.total_seconds() - nearest) <= 0.5, cue
    assert len(cues) >= len(starts) * 0.7, "sentences far apart are cues of their own"


def test_cues_obey_the_default_norm(host_cli, video, tmp_path):
    assert host_cli("run", video, "--quiet").returncode == 0
    cues = _cues(tmp_path / "talk show 100%.en.srt")
    for cue in cues:
        lines = cue.content.split("\n")
        assert len(lines) <= 2
        assert all(0 < len(line) <= 42 for line in lines)
        assert cue.start < cue.end
    for cue, following in itertools.pairwise(cues):
        assert cue.end <= following.start


def test_the_same_bytes_twice_and_from_both_command_lines(plugin_cli, host_cli, video, tmp_path):
    target = tmp_path / "talk show 100%.en.srt"
    written = []
    for run in (
        lambda: host_cli("run", video, "--overwrite"),
        lambda: host_cli("run", video, "--overwrite"),
        lambda: plugin_cli("transcribe", video, "-y", "--threads", "1"),
    ):
        done = run()
        assert done.returncode == 0, done.stderr
        written.append(target.read_bytes())
    assert written[0], "not empty"
    assert written == [written[0]] * 3, "nor does the number of lanes change a byte"


def test_an_existing_file_is_left_alone(plugin_cli, host_cli, video, tmp_path):
    target = tmp_path / "talk show 100%.en.srt"
    target.write_text("mine")
    for done in (plugin_cli("transcribe", video, "--language", "en"), host_cli("run", video)):
        assert done.returncode == 41, done.stderr
        assert target.read_text() == "mine"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["talk show 100%.en.srt", "talk show 100%.mp4"]


def test_all_formats_and_the_statistics(plugin_cli, video, tmp_path):
    done = plugin_cli("transcribe", video, "-f", "srt,txt,json", "-o", tmp_path / "out", "--hide-text")
    assert done.returncode == 42, "the folder does not exist and is not made unasked"
    (tmp_path / "out").mkdir()
    done = plugin_cli("transcribe", video, "-f", "srt,txt,json", "-o", tmp_path / "out", "--hide-text")
    assert done.returncode == 0, done.stderr
    assert sorted(p.suffix for p in (tmp_path / "out").iterdir()) == [".json", ".srt", ".txt"]
    document = json.loads((tmp_path / "out" / "talk show 100%.en.json").read_text(encoding="utf-8"))
    statistics = document["statistics"]
    assert document["language"] == "en"
    assert statistics["audio_seconds"] == pytest.approx(55, abs=0.5)
    assert 20 < statistics["speech_seconds"] < 50
    for name in ("wall_seconds", "rtf", "encoder_seconds", "prefill_tokens", "generation_tokens", "peak_memory_mb"):
        assert statistics[name] > 0, name
    for label in ("RTF", "Encoder", "Prefill", "Generation", "Peak memory"):
        assert label in done.stderr


def test_the_command_line_of_the_ancestor_works(plugin_cli, video, tmp_path):
    from qwen_asr_model import default_bundle

    shutil.copytree(default_bundle(), tmp_path / "model")
    done = plugin_cli(
        "transcribe", video, "--model-dir", "./model", "--prec", "int4", "--no-dml", "--no-vulkan", "--no-ts", "-y",
        cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "talk show 100%.en.txt").read_text(encoding="utf-8")
    assert "teachers should be treated with respect" in text.replace("\n", " ")
    assert "-->" not in text
