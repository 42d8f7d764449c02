# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import os
import re

import pytest

import subtitle_hooks
from subtitle_hooks.host import main

FAKE = """
from subtitle_hooks import MediaDamagedError, NoAudioError, Segment, Transcript, hookimpl
from subtitle_hooks.testing import FakeBackend

class ByName(FakeBackend):
    # Some file names stand for trouble.
    @hookimpl
    def generate_subtitles(self, backend, request, events):
        stem = request.media.stem
        if stem == "silent":
            raise NoAudioError("has no audio stream.", path=request.media)
        if stem == "cut":
            return FakeBackend(error=MediaDamagedError("is cut off.", path=request.media), fail_after=2
                ).generate_subtitles(backend, request, events)
        if stem == "nospeech":
            return FakeBackend(segments=[]).generate_subtitles(backend, request, events)
        if stem == "echo":
            echo = Segment(start_ms=request.start_ms, end_ms=request.start_ms + request.duration_ms, text="Echo.")
            return Transcript(backend="fake", segments=[echo], language=lambda: "en")
        if stem == "bug":
            raise ValueError("oops")
        return super().generate_subtitles(backend, request, events)

fake = ByName()
"""


@pytest.fixture
def fake_site(site):
    site.install("fake-backend", FAKE, entry_points="[subtitle_hooks]\nfake = fake_backend_module:fake\n")
    return site


@pytest.fixture
def cli(fake_site, capsys):
    def run(*arguments):
        status = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


def test_a_subtitle_file_lies_beside_the_film_and_its_path_on_stdout(cli, films, tmp_path):
    (film,) = films("film.mkv")
    status, out, err = cli("run", film)
    assert (status, out) == (0, f"{tmp_path / 'film.en.srt'}\n")
    assert (tmp_path / "film.en.srt").read_text(encoding="utf-8").startswith("1\n00:00:00,200 --> 00:00:02,200\n")
    assert "film.mkv: recognise 0 %" in err
    assert "film.mkv: recognise 100 %" in err
    assert "film.mkv: 4 cues in 0:00" in err
    assert "\r" not in err


def test_a_log_file_gets_a_dozen_lines_of_progress_and_no_more(cli, films):
    _, _, err = cli("run", "--option", "duration_ms=1000000", *films("film.mkv"))
    percents = [int(found) for found in re.findall(r"recognise (\d+) %", err)]
    assert percents == sorted(set(percents))
    assert 11 <= len(percents) <= 12


def test_quiet_prints_the_path_only(cli, films, tmp_path):
    assert cli("run", "--quiet", *films("film.mkv")) == (0, f"{tmp_path / 'film.en.srt'}\n", "")


def test_the_language_asked_for_names_the_file(cli, films, tmp_path):
    assert cli("run", "-q", "--language", "de", *films("film.mkv"))[1] == f"{tmp_path / 'film.de.srt'}\n"


def test_output_folder(cli, films, tmp_path):
    (tmp_path / "subs").mkdir()
    out = cli("run", "-q", "--output-dir", tmp_path / "subs", *films("film.mkv"))[1]
    assert out == f"{tmp_path / 'subs' / 'film.en.srt'}\n"


def test_part_of_a_film_and_options(cli, films, tmp_path):
    status, _, _ = cli(
        *("run", "-q", "--start", "0:02.5", "--duration", "2.5", "--option", "duration_ms=60000", *films("film.mkv"))
    )
    assert status == 0
    assert (tmp_path / "film.en.srt").read_text(encoding="utf-8") == (
        "1\n00:00:02,700 --> 00:00:04,700\nSentence 2 of film.\n\n"
    )


def test_a_place_to_start_at(cli, films, tmp_path):
    (film,) = films("film.mkv")
    written = []
    for options in ([], ["--start-at", "0:05.3"]):
        assert cli("run", "-q", "--overwrite", *options, film)[0] == 0
        written.append((tmp_path / "film.en.srt").read_text(encoding="utf-8"))
    assert written[0] == written[1], "made in another order, written in the order of time"
    status, _, err = cli("run", "--start", "10", "--start-at", "5", film)
    assert (status, "outside of the part" in err) == (2, True)


def test_existing_subtitles_are_noticed_before_the_work(cli, films, tmp_path):
    (film,) = films("bug.mkv")  # would fail with another code if it were worked on
    (tmp_path / "bug.en.srt").write_text("mine", encoding="utf-8")
    status, out, err = cli("run", "--language", "en", film)
    assert (status, out) == (41, "")
    assert "--overwrite" in err
    assert (tmp_path / "bug.en.srt").read_text(encoding="utf-8") == "mine"


def test_existing_subtitles_are_noticed_as_soon_as_the_language_is_known(cli, films, tmp_path):
    (film,) = films("cut.mkv")  # fails after two segments, if it gets that far
    (tmp_path / "cut.en.srt").write_text("mine", encoding="utf-8")
    assert cli("run", film)[0] == 41
    assert (tmp_path / "cut.en.srt").read_text(encoding="utf-8") == "mine"


def test_overwriting_on_purpose(cli, films, tmp_path):
    (film,) = films("film.mkv")
    (tmp_path / "film.en.srt").write_text("old", encoding="utf-8")
    assert cli("run", "--overwrite", film)[0] == 0
    assert "Sentence 1" in (tmp_path / "film.en.srt").read_text(encoding="utf-8")


@pytest.mark.parametrize("overwrite", [[], ["--overwrite"]])
@pytest.mark.parametrize("language", [[], ["--language", "en"]])
def test_two_films_never_share_a_subtitle_file(cli, films, tmp_path, overwrite, language):
    paths = films("film.mkv", "film.mp4")
    status, out, err = cli("run", *overwrite, *language, *paths)
    assert (status, out) == (41, f"{tmp_path / 'film.en.srt'}\n")
    assert "in this run" in err or "exists already" in err


def test_the_same_film_twice_is_worked_on_once(cli, films, tmp_path):
    (film,) = films("film.mkv")
    assert cli("run", "-q", film, film)[:2] == (0, f"{tmp_path / 'film.en.srt'}\n")


@pytest.mark.parametrize("language", [[], ["--language", "en"]])
def test_a_missing_output_folder_is_noticed_before_the_work(cli, films, tmp_path, language):
    assert cli("run", *language, "--output-dir", tmp_path / "gone", *films("bug.mkv"))[0] == 42


def test_no_speech_writes_an_empty_file_and_says_so(cli, films, tmp_path):
    status, out, err = cli("run", *films("nospeech.mkv"))
    assert (status, out) == (0, f"{tmp_path / 'nospeech.und.srt'}\n")
    assert "nospeech.mkv: warning: no speech found" in err
    assert (tmp_path / "nospeech.und.srt").read_bytes() == b""


@pytest.mark.parametrize(
    ("names", "status", "made"),
    [
        (["a.mkv", "silent.mkv", "b.mkv"], 17, 2),
        (["silent.mkv", "a.mkv", "gone.mkv"], 9, 1),
        (["gone.mkv", "lost.mkv", "a.mkv"], 11, 1),
        (["cut.mkv", "a.mkv"], 16, 1),
        (["bug.mkv", "a.mkv"], 55, 1),
    ],
)
def test_one_failure_does_not_stop_the_others(cli, films, tmp_path, names, status, made):
    films(*(name for name in names if name not in ("gone.mkv", "lost.mkv")))
    found, out, err = cli("run", *(tmp_path / name for name in names))
    assert found == status
    assert len(out.splitlines()) == made
    assert len(list(tmp_path.glob("*.srt"))) == made
    assert not list(tmp_path.glob(".*"))
    for name in names:
        if not name.startswith(("a", "b.")):
            assert re.search(rf"subtitle-host: .*{name}: ", err)


def test_an_error_in_a_plugin_names_its_distribution(cli, films):
    _, _, err = cli("run", *films("bug.mkv"))
    assert "fake-backend 1.0 (entry point 'fake') failed while starting the work: ValueError: oops." in err


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["run"],
        ["dance"],
        ["run", "--start", "soon", "film.mkv"],
        ["run", "--duration", "-5", "film.mkv"],
        ["run", "--track", "x", "film.mkv"],
        ["run", "--option", "novalue", "film.mkv"],
        ["run", "--option", "=5", "film.mkv"],
        ["run", "--option", "a=1", "--option", "a=2", "film.mkv"],
        ["run", "--unknown", "film.mkv"],
    ],
)
def test_usage_errors_return_2(cli, arguments):
    status, out, err = cli(*arguments)
    assert (status, out) == (2, "")
    assert err


def test_a_request_that_the_backend_refuses(cli, films):
    status, _, err = cli("run", "--option", "colour=red", *films("film.mkv"))
    assert status == 2
    assert "unknown option 'colour'" in err


@pytest.mark.parametrize(
    ("start", "duration", "line"),
    [
        ("90", "1", "00:01:30,000 --> 00:01:31,000"),
        ("1:30", "0:05", "00:01:30,000 --> 00:01:35,000"),
        ("01:00:00.25", "1:00:00", "01:00:00,250 --> 02:00:00,250"),
        ("0.5", "0.001", "00:00:00,500 --> 00:00:00,501"),
    ],
)
def test_times_may_be_written_in_several_ways(cli, films, tmp_path, start, duration, line):
    assert cli("run", "--start", start, "--duration", duration, *films("echo.mkv"))[0] == 0
    assert (tmp_path / "echo.en.srt").read_text(encoding="utf-8").splitlines()[1] == line


def test_an_unknown_backend_stops_before_anything_else(cli, films):
    status, out, err = cli("run", "--backend", "whisper", *films("a.mkv", "b.mkv"))
    assert (status, out) == (53, "")
    assert err.count("no backend is called 'whisper'") == 1
    assert "Installed: fake" in err


def test_no_backend(site, films, capsys):
    assert main(["run", *films("film.mkv")]) == 52
    assert "pip install" in capsys.readouterr().err


def test_a_broken_plugin_is_a_warning_unless_strict(fake_site, cli, films):
    fake_site.install("bad-plugin", "import nothing_of_this_name", version="7.1")
    status, _, err = cli("run", *films("film.mkv"))
    assert status == 0
    assert "warning: bad-plugin 7.1" in err
    status, _, err = cli("run", "--strict", *films("film.mkv"))
    assert status == 51
    assert "bad-plugin 7.1" in err


def test_list_of_plugins(fake_site, cli):
    fake_site.install("bad-plugin", "import nothing_of_this_name", version="7.1")
    status, out, _ = cli("plugins")
    assert status == 0
    assert re.search(r"^fake +1\.0 +fake-backend 1\.0 +en +Invented subtitles for tests$", out, re.MULTILINE)
    assert "bad-plugin 7.1" in out
    assert "ModuleNotFoundError" in out
    assert "Traceback" not in out
    assert "Traceback" in cli("plugins", "-v")[1]
    assert cli("plugins", "--strict")[0] == 51


def test_list_of_plugins_as_json(fake_site, cli):
    fake_site.install("bad-plugin", "import nothing_of_this_name", version="7.1")
    status, out, _ = cli("plugins", "--json")
    found = json.loads(out)
    assert status == 0
    assert found["api_version"] == subtitle_hooks.API_VERSION
    assert [(one["name"], one["distribution"], one["entry_point"]) for one in found["backends"]] == [
        ("fake", "fake-backend", "fake")
    ]
    assert [(one["distribution"], one["distribution_version"], one["code"]) for one in found["broken"]] == [
        ("bad-plugin", "7.1", 51)
    ]
    assert "traceback" not in found["broken"][0]
    assert "Traceback" in json.loads(cli("plugins", "--json", "--verbose")[1])["broken"][0]["traceback"]


def test_list_without_any_plugin(site, capsys):
    assert main(["plugins"]) == 0
    assert "pip install" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["plugins", "--help"]])
def test_help_teaches_with_examples(capsys, arguments):
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert "subtitle-host" in out
    assert "examples:" in out or "SUBTITLE_HOOKS_PLUGINS" in out
    assert max(map(len, out.splitlines())) <= 120


def test_version(capsys):
    assert main(["--version"]) == 0
    assert re.fullmatch(r"subtitle-host \d+\.\d+.*\n", capsys.readouterr().out)


def test_the_help_names_every_exit_status_of_the_tree(capsys):
    main(["run", "--help"])
    out = capsys.readouterr().out
    for status in ("0 ", "2 request", "10-18 media", "40-42 output", "50-55 plugins", "9 ", "130 "):
        assert status in out


def test_live_progress_on_a_terminal(fake_site, films, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "30")
    (film,) = films("a film with a rather long name.mkv")
    assert main(["run", film]) == 0
    err = capsys.readouterr().err
    lines = [line for line in err.replace("\n", "\r").split("\r") if line.strip()]
    assert all(len(line) < 30 for line in lines if " cues in " not in line)
    assert re.search(r"\r +\r", err), "the live line is taken away before a message"


def test_a_film_name_that_no_terminal_can_show(fake_site, films, tmp_path, capsysbinary):
    name = "f\udcfflm.mkv" if os.name != "nt" else "f\u2603lm.mkv"
    try:
        (film,) = films(name)
    except (OSError, UnicodeEncodeError):
        pytest.skip("the file system has no such names")
    assert main(["run", "-q", film]) == 0
    assert capsysbinary.readouterr().out.strip() == os.fsencode(str(tmp_path / (name[:-4] + ".en.srt")))
