# SPDX-License-Identifier: Apache-2.0
"""``transcribe --events`` and ``--start-at``, and being ended from outside, as a player does it."""

import difflib
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import psutil
import pytest
import srt

PROGRAM = str(Path(sysconfig.get_path("scripts")) / ("qwen-asr-plugin" + (".exe" if sys.platform == "win32" else "")))

FIELDS = {
    "begin": {"version", "media"},
    "progress": {"stage", "done_ms", "total_ms"},
    "segment": {"start_ms", "end_ms", "text", "language"},
    "log": {"level", "message"},
    "written": {"path"},
    "end": {"status"},
    "error": {"code", "message", "hint", "path"},
}


def lines_of(text):
    return [json.loads(line) for line in text.splitlines()]


def only(events, kind):
    return [event for event in events if event["event"] == kind]


def cues_of(path):
    return list(srt.parse(path.read_text(encoding="utf-8")))


@pytest.fixture(scope="module")
def in_order(plugin_cli, sample_video, tmp_path_factory):
    """What is said without --start-at, and the subtitle file."""
    folder = tmp_path_factory.mktemp("order")
    done = plugin_cli("transcribe", sample_video, "--events", "-q", "-o", folder)
    assert done.returncode == 0, done.stderr
    return lines_of(done.stdout), folder / "sample.en.srt"


@pytest.fixture(scope="module")
def position_first(plugin_cli, sample_video, tmp_path_factory):
    """The same with --start-at 25."""
    folder = tmp_path_factory.mktemp("position")
    done = plugin_cli("transcribe", sample_video, "--events", "--start-at", "25", "-o", folder, "-f", "srt,txt")
    assert done.returncode == 0, done.stderr
    assert "100 %" in done.stderr
    return lines_of(done.stdout), folder / "sample.en.srt"


@pytest.mark.parametrize("run", ["in_order", "position_first"])
def test_every_line_is_an_event(run, request, sample_video):
    events, written = request.getfixturevalue(run)
    for event in events:
        assert set(event) == {"event"} | FIELDS[event["event"]]
    assert events[0] == {"event": "begin", "version": 1, "media": str(sample_video)}
    assert only(events, "written")[0] == {"event": "written", "path": str(written)}
    assert events[-1] == {"event": "end", "status": 0}
    for _, reports in itertools.groupby(only(events, "progress"), key=lambda event: event["stage"]):
        done = [one["done_ms"] for one in reports]
        assert done == sorted(done)
    assert only(events, "progress")[-1]["done_ms"] == only(events, "progress")[-1]["total_ms"] == 55_000


def test_every_event_and_field_is_documented():
    page = (Path(__file__).parents[2] / "docs" / "embedding.md").read_text(encoding="utf-8")
    for event, fields in FIELDS.items():
        (row,) = [line for line in page.splitlines() if line.startswith(f"| `{event}` |")]
        assert set(re.findall(r"`(\w+)`", row.split("|")[2])) == fields
    example = re.search(r"```json\n(.*?)```", page, re.DOTALL)[1]
    for event in lines_of(example):
        assert set(event) == {"event"} | FIELDS[event["event"]]


@pytest.mark.parametrize("run", ["in_order", "position_first"])
def test_the_segments_are_the_cues_of_the_file(run, request):
    events, written = request.getfixturevalue(run)
    told = sorted((one["start_ms"], one["end_ms"], one["text"]) for one in only(events, "segment"))
    cues = [(c.start.total_seconds() * 1000, c.end.total_seconds() * 1000, c.content) for c in cues_of(written)]
    assert told == [(round(start), round(end), text) for start, end, text in cues]


def test_without_a_place_the_segments_are_in_order(in_order):
    starts = [one["start_ms"] for one in only(in_order[0], "segment")]
    assert starts == sorted(starts)


def test_the_place_comes_first_and_nothing_is_lost(in_order, position_first):
    segments = only(position_first[0], "segment")
    starts = [one["start_ms"] for one in segments]
    turn = next(at for at in range(1, len(starts)) if starts[at] < starts[at - 1])
    first, second = segments[:turn], segments[turn:]
    assert 20_000 <= first[0]["start_ms"] <= 30_000
    assert starts[:turn] == sorted(starts[:turn])
    assert starts[turn:] == sorted(starts[turn:])
    assert second[-1]["end_ms"] <= first[0]["start_ms"]
    said, again = (
        " ".join(one["text"] for one in all_of).split() for all_of in (only(in_order[0], "segment"), second + first)
    )
    assert difflib.SequenceMatcher(a=said, b=again, autojunk=False).ratio() > 0.95


def test_the_first_segment_comes_long_before_the_work_is_done(position_first):
    kinds = [event["event"] for event in position_first[0]]
    done = [one["done_ms"] for one in only(position_first[0][: kinds.index("segment")], "progress")]
    assert max(done) < 55_000 / 2


def test_to_standard_output_in_the_order_of_time(plugin_cli, sample_video, position_first):
    done = plugin_cli("transcribe", sample_video, "-q", "-o", "-", "--start-at", "25")
    assert done.returncode == 0, done.stderr
    assert done.stdout == position_first[1].read_text(encoding="utf-8")


def test_errors_are_events_too(plugin_cli, sample_video, tmp_path):
    (tmp_path / "empty.mp4").touch()
    done = plugin_cli("transcribe", tmp_path / "empty.mp4", sample_video, "-t", "4", "-o", tmp_path, "--events", "-q")
    events = lines_of(done.stdout)
    (error,) = only(events, "error")
    assert (error["code"], error["path"]) == (14, str(tmp_path / "empty.mp4"))
    assert set(error) == {"event"} | FIELDS["error"]
    assert error["message"]
    assert error["hint"]
    assert "[14]" in done.stderr
    assert [one["event"] for one in events].count("begin") == 2
    assert len(only(events, "written")) == 1
    assert events[-1] == {"event": "end", "status": done.returncode} == {"event": "end", "status": 14}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("-o", "-"), "not both"),
        (("--format", "doc"), "doc"),
        (("--start-at", "99"), "outside"),
        (("--start", "10", "--start-at", "9"), "outside"),
        (("--start-at", "inf"), "seconds"),
    ],
)
def test_impossible_wishes_are_errors_too(options, said, plugin_cli, sample_video, tmp_path):
    done = plugin_cli("transcribe", sample_video, "--events", "-q", "-o", tmp_path, *options)
    assert done.returncode == 2
    (error,) = only(lines_of(done.stdout), "error")
    assert said in error["message"] + error["hint"]
    assert lines_of(done.stdout)[-1] == {"event": "end", "status": 2}
    assert not list(tmp_path.iterdir())


def test_a_pipe_has_no_other_place_to_start_at(sample_video):
    with sample_video.open("rb") as media:
        done = subprocess.run(
            [PROGRAM, "transcribe", "-", "--start-at", "5", "-q"], stdin=media, capture_output=True, check=False
        )
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"pipe" in done.stderr


# --- ended from outside ---


class Started:
    """A run that has made its first segment, with its processes: the worker and ffmpeg."""

    def __init__(self, media, folder, *options):
        self.process = subprocess.Popen(
            [PROGRAM, "transcribe", media, "-q", "-o", folder, *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        while b"segment" not in self.process.stdout.readline():
            assert self.process.poll() is None
        self.children = psutil.Process(self.process.pid).children(recursive=True)
        assert self.children, "the worker at least"

    def is_over_after(self, seconds):
        """Whether the program and everything that it started has ended."""
        began = time.monotonic()
        self.process.wait(timeout=seconds)
        _, left = psutil.wait_procs(self.children, timeout=max(0.1, seconds - (time.monotonic() - began)))
        return not left

    def close(self):
        for one in self.children:
            if one.is_running():
                one.kill()
        self.process.kill()
        self.process.stdout.close()
        self.process.stderr.close()
        self.process.wait()


@pytest.fixture(scope="module")
def long_file(make_media, sample_video, tmp_path_factory):
    target = tmp_path_factory.mktemp("media") / "long.wav"
    return make_media("-stream_loop", "20", "-i", sample_video, "-vn", target)


@pytest.fixture
def started(long_file, tmp_path):
    (tmp_path / "out").mkdir()
    run = Started(long_file, tmp_path / "out", "--events", "--start-at", "300")
    yield run
    run.close()


# It takes a fraction of a second; a busy machine may need more to let each of the processes run. The work takes longer.
_AT_ONCE = 10


@pytest.mark.skipif(sys.platform == "win32", reason="Windows ends programs without asking")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_signal_ends_everything_at_once(number, started, tmp_path):
    os.kill(started.process.pid, number)
    assert started.is_over_after(_AT_ONCE)
    assert not list((tmp_path / "out").iterdir())
    if number == signal.SIGKILL:
        return
    assert started.process.returncode == 130
    last = lines_of(started.process.stdout.read().decode("utf-8"))[-2:]
    assert [(one["event"], one.get("code"), one.get("status")) for one in last] == [
        ("error", 130, None),
        ("end", None, 130),
    ]
    assert "Traceback" not in started.process.stderr.read().decode("utf-8")


def test_a_reader_that_goes_ends_everything_at_once(started, tmp_path):
    started.process.stdout.close()
    assert started.is_over_after(_AT_ONCE)
    assert started.process.returncode == 42
    assert "nobody reads" in started.process.stderr.read().decode("utf-8")
    assert not list((tmp_path / "out").iterdir())


def test_a_reader_that_does_not_read_holds_nothing_up():
    code = """
import sys, threading
from qwen_asr_plugin.cli.reports import EventReport
stop = threading.Event()
with EventReport(stop, quiet=True) as report:
    for number in range(20_000):
        report.log("info", "x" * 100)
    print("worked", file=sys.stderr, flush=True)
    stop.set()
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        assert process.stderr.readline().strip() == b"worked"
        assert process.wait(timeout=10) == 0
        assert process.stderr.read() == b""
    finally:
        process.kill()
        process.stdout.close()
        process.stderr.close()
        process.wait()


def test_names_that_are_not_utf8_can_be_told(sample_video, tmp_path):
    if sys.platform != "linux":
        pytest.skip("this system has only names in Unicode")
    media = os.fsencode(tmp_path) + b"/\xff.mp4"
    Path(os.fsdecode(media)).write_bytes(sample_video.read_bytes())
    done = subprocess.run(
        [PROGRAM.encode(), b"transcribe", media, b"--events", b"-q", b"-t", b"4"], capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    events = lines_of(done.stdout.decode("utf-8"))
    assert os.fsencode(only(events, "written")[0]["path"]) == media[:-4] + b".en.srt"
