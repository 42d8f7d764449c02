# SPDX-License-Identifier: Apache-2.0
"""How the work for mpv ends before it is done: by the other key, with mpv, by mistakes."""

import signal
import time
from pathlib import Path

import psutil
import pytest

SLOW = "threads=1;lanes=1"
MAKE, STOP = "Alt+t", "Alt+T"


def left_over(processes, seconds=3.0):
    """How long the processes outlived what ended them; fails where they do not end."""
    start = time.monotonic()
    while alive := [process for process in processes if lives(process)]:
        assert time.monotonic() < start + seconds, [process.cmdline() for process in alive]
        time.sleep(0.02)
    return time.monotonic() - start


def lives(process):
    try:
        return process.status() != psutil.STATUS_ZOMBIE  # of which only the entry is left
    except psutil.NoSuchProcess:
        return False


def job_files(track):
    stem = Path(track["external-filename"]).with_suffix("")
    return [path for path in stem.parent.iterdir() if path.name.startswith(stem.name)]


def test_a_second_key_stops_it(start_mpv, film):
    mpv = start_mpv(film, engine=SLOW)
    mpv.press(MAKE)
    growing = mpv.wait(lambda: mpv.our_track(".srt"), "shows cues")
    processes = mpv.work()
    assert len(processes) >= 2  # ours, and the worker
    mpv.press(MAKE)
    mpv.wait_for_words("at work")
    mpv.press(STOP)
    print(f"stopped in {left_over(processes):.2f} s")
    mpv.wait_for_words("stopped.")
    mpv.wait(lambda: not job_files(growing), "clears up")
    assert mpv.our_track(".srt")  # what there is stays
    assert not film.with_name("film.en.srt").exists()
    mpv.press(STOP)
    mpv.wait_for_words("nothing is being made")


@pytest.mark.parametrize("end", ["quit", "kill", "stop"])
def test_nothing_is_left_when_mpv_ends(start_mpv, film, end):
    mpv = start_mpv(film, engine=SLOW)
    mpv.press(MAKE)
    growing = mpv.wait(lambda: mpv.our_track(".srt"), "shows cues")
    processes = mpv.work()
    assert len(processes) >= 2  # ours, and the worker
    assert job_files(growing)
    if end == "quit":
        mpv.command("quit")
    elif end == "stop":  # the file, not mpv
        mpv.command("stop")
    else:
        mpv.process.send_signal(signal.SIGKILL)
    took = left_over(processes)
    print(f"{end}: {took:.2f} s")
    deadline = time.monotonic() + 2
    while job_files(growing) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not job_files(growing)
    assert not film.with_name("film.en.srt").exists()


def test_errors_are_said(start_mpv, broken, site, talk):
    mpv = start_mpv("--pause", broken)
    mpv.press(MAKE)
    mpv.wait_for_words("error 16: broken.mp4: ")
    mpv.command("loadfile", site.add("talk.mp4", talk))
    mpv.wait(lambda: str(mpv.get("path")).startswith("http"), "opens it")
    mpv.press(MAKE)
    mpv.wait_for_words("only files on this computer can be worked on")
    assert not mpv.work()


def test_a_program_that_is_not_there(start_mpv, clip):
    mpv = start_mpv("--pause", clip, command="/no/such/program")
    mpv.press(MAKE)
    mpv.wait_for_words("/no/such/program cannot be started. Run `qwen-asr-plugin mpv install` again")


def test_options_come_from_its_own_file_and_keys_from_input_conf(start_mpv, mpv_home, clip):
    (mpv_home / "script-opts").mkdir()
    (mpv_home / "script-opts" / "qwen-asr.conf").write_text("language=de\n", encoding="utf-8")
    (mpv_home / "input.conf").write_text("Ctrl+y script-binding qwen_asr/make\n", encoding="utf-8")
    mpv = start_mpv("--pause", clip)
    mpv.press("Ctrl+y")
    mpv.wait_for_words("does not know the language 'de'")


def test_the_keys_are_free_in_mpv(start_mpv):
    mpv = start_mpv("--no-config", "--load-scripts=no")
    taken = {binding["key"] for binding in mpv.get("input-bindings")}
    assert {MAKE, STOP}.isdisjoint(taken)
