# SPDX-License-Identifier: Apache-2.0
"""A dozen ways for a plugin to be broken, installed side by side with one that works."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from subtitle_hooks import RequestError, SubtitleHost, SubtitleRequest
from subtitle_hooks._isolation import check_plugins
from subtitle_hooks.host import main

DESCRIBE = """
from subtitle_hooks import BackendInfo, hookimpl
@hookimpl
def subtitle_backends():
    {body}
@hookimpl
def probe_media(backend): ...
@hookimpl
def generate_subtitles(backend): ...
"""

# name: (code, what the reason says, whether it takes a process that loads it with it)
TWELVE = {
    "import-error": ("raise ImportError('no GPU')", "ImportError: no GPU", False),
    "syntax-error": ("def (:", "SyntaxError", False),
    "missing-dependency": ("import nothing_of_this_name", "ModuleNotFoundError: No module named", False),
    "duplicate-name": (
        DESCRIBE.format(body="yield BackendInfo(name='twin', version='1')"),
        "backend 'twin' is offered by duplicate-name 1.0",
        False,
    ),
    "wrong-types": (DESCRIBE.format(body="yield {'name': 'wrong'}"), "instead of a BackendInfo", False),
    "wrong-signature": (
        "from subtitle_hooks import hookimpl\n@hookimpl\ndef generate_subtitles(backend, colour): ...",
        "colour",
        False,
    ),
    "hook-exception": (DESCRIBE.format(body="raise ValueError('oops')"), "ValueError: oops", False),
    "sys-exit": ("import sys\nsys.exit('bye')", "SystemExit: bye", False),
    "endless-loop": ("while True: pass", "was still loading after 4 s", True),
    "prints": ("print('hello from prints')\n" + DESCRIBE.format(body="return []"), "prints to standard output", False),
    "native-crash": ("import ctypes\nctypes.string_at(0)", "crashed with", True),
    "huge-descriptor": (
        DESCRIBE.format(body="yield BackendInfo(name='huge', version='1', summary='x' * 100_000_000)"),
        "longer than 500 characters",
        False,
    ),
}
MORE = {
    "os-exit": ("import os\nos._exit(0)", "ended the process with status 0"),
    "abort": ("import os\nos.abort()", "crashed with" if os.name != "nt" else "ended the process"),
    "many-languages": (
        DESCRIBE.format(body="yield BackendInfo(name='many', version='1', languages=('en',) * 1001)"),
        "languages of backend 'many' are more than 1000",
    ),
    "endless-descriptors": (
        DESCRIBE.format(body="while True: yield BackendInfo(name='same', version='1')"),
        "more than 100 backends",
    ),
    "long-reason": ("raise ValueError('x' * 10_000_000)", "ValueError: xxx"),
    "reason-fails": (
        "class E(Exception):\n  def __str__(self): raise OSError\nraise E",
        "cannot be imported: E",
    ),
    "thread-stays": (
        "import threading, time\nthreading.Thread(target=time.sleep, args=(60,)).start()\nraise ValueError('late')",
        "ValueError: late",
    ),
    "media-error-in-hook": (
        DESCRIBE.format(body="from subtitle_hooks import MediaError\n    raise MediaError('is broken.')"),
        "MediaError: is broken",
    ),
}


@pytest.fixture
def limit(monkeypatch):
    monkeypatch.setenv("SUBTITLE_HOOKS_CHECK_SECONDS", "4")


@pytest.fixture
def twelve(good_site, limit):
    for name, (code, _, _) in TWELVE.items():
        good_site.install(name, code)
    good_site.install("twin-plugin", TWELVE["duplicate-name"][0])
    return good_site


def test_twelve_broken_plugins_are_named_and_the_others_work(twelve, media, capsys):
    began = time.monotonic()
    assert main(["plugins", "list", "--json"]) == 0
    elapsed = time.monotonic() - began
    found = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in found["backends"]] == ["good"]
    reasons = {one["distribution"]: one["error"] for one in found["broken"]}
    assert set(reasons) == {*TWELVE, "twin-plugin"}
    for name, (_, reason, _) in TWELVE.items():
        assert reason in reasons[name]
        assert f"{name} 1.0 (entry point {name!r})" in reasons[name]
        assert len(reasons[name]) < 1000
    assert elapsed < 10

    host = SubtitleHost(check=True)
    assert [backend.name for backend in host.backends()] == ["good"]
    assert {plugin.distribution for plugin in host.broken} == {*TWELVE, "twin-plugin"}
    assert len(list(host.generate(SubtitleRequest(media=media)))) == 2


def test_a_host_that_does_not_check_survives_what_a_process_can_survive(good_site, media):
    for name, (code, _, deadly) in TWELVE.items():
        if not deadly:
            good_site.install(name, code)
    host = SubtitleHost()
    assert "good" in [backend.name for backend in host.backends()]
    # Alone, the twin is no double; what is printed is seen by the check only.
    expected = {name for name, (_, _, deadly) in TWELVE.items() if not deadly} - {"duplicate-name", "prints"}
    assert {plugin.distribution for plugin in host.broken} == expected
    assert len(list(host.generate(SubtitleRequest(media=media), backend="good"))) == 2


@pytest.mark.parametrize(("code", "reason"), MORE.values(), ids=MORE)
def test_more_ways_to_be_broken(good_site, limit, code, reason):
    good_site.install("bad-plugin", code)
    good, bad = sorted(check_plugins(), key=lambda verdict: verdict.origin.distribution == "bad-plugin")
    assert [info.name for info in good.backends] == ["good"]
    assert bad.broken is not None
    assert reason in str(bad.broken.error)
    assert len(str(bad.broken.error)) < 1000
    assert len(bad.broken.traceback) <= 50_000


def test_a_hang_is_reported_with_its_place(site, monkeypatch):
    monkeypatch.setenv("SUBTITLE_HOOKS_CHECK_SECONDS", "2")
    site.install("slow-plugin", "def wait_for_ever():\n    while True: pass\nwait_for_ever()")
    (verdict,) = check_plugins()
    assert verdict.broken is not None
    assert "wait_for_ever" in verdict.broken.traceback


def test_what_a_plugin_started_is_ended_with_it(site, tmp_path, monkeypatch):
    if os.name == "nt":
        pytest.skip("Windows has no process groups of this kind")
    monkeypatch.setenv("SUBTITLE_HOOKS_CHECK_SECONDS", "2")
    site.install(
        "spawning",
        f"""
        import subprocess, sys
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        open({str(tmp_path / "pid")!r}, "w").write(str(child.pid))
        child.wait()
        """,
    )
    began = time.monotonic()
    (verdict,) = check_plugins()
    assert time.monotonic() - began < 10
    assert "still loading" in str(verdict.broken.error)
    pid = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        status = Path(f"/proc/{pid}/stat")
        if status.exists() and status.read_text().rpartition(")")[2].split()[0] == "Z":
            return  # ended, and not yet collected by its new parent
        time.sleep(0.05)
    pytest.fail("the process that the plugin started is still there")


def test_descriptors_arrive_as_they_were_given(site, limit):
    site.install(
        "full-plugin",
        DESCRIBE.format(
            body="yield BackendInfo(name='full', version='1.2', summary='Grüße', languages=('en', 'yue'),"
            " capabilities=frozenset({'track', 'range'}), media=('audio/*',))"
        ),
    )
    (verdict,) = check_plugins()
    (direct,) = SubtitleHost().backends()
    assert verdict.backends == (direct.info,)


def test_the_check_only_looks_at_chosen_plugins(good_site, monkeypatch):
    good_site.install("endless", "while True: pass")
    monkeypatch.setenv("SUBTITLE_HOOKS_PLUGINS", "good-plugin")
    began = time.monotonic()
    assert [verdict.origin.distribution for verdict in check_plugins()] == ["good-plugin"]
    assert time.monotonic() - began < 4


def test_subtitles_are_made_although_a_plugin_crashes_at_import(good_site, limit, films, tmp_path, capsys):
    good_site.install("native-crash", TWELVE["native-crash"][0])
    assert main(["run", *films("film.mkv")]) == 0
    captured = capsys.readouterr()
    assert captured.out == f"{tmp_path / 'film.en.srt'}\n"
    assert "warning: native-crash 1.0 (entry point 'native-crash') crashed" in captured.err


def test_strict_names_a_crashing_plugin(good_site, limit, capsys):
    good_site.install("native-crash", TWELVE["native-crash"][0])
    assert main(["plugins", "--strict"]) == 51
    assert "native-crash 1.0" in capsys.readouterr().err


@pytest.mark.parametrize("value", ["soon", "0", "-1", "nan", "inf"])
def test_the_limit_must_be_a_number_of_seconds(site, monkeypatch, value):
    monkeypatch.setenv("SUBTITLE_HOOKS_CHECK_SECONDS", value)
    with pytest.raises(RequestError, match="SUBTITLE_HOOKS_CHECK_SECONDS"):
        check_plugins()


def test_a_program_without_an_interpreter_says_so(good_site, monkeypatch):
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    from subtitle_hooks import PluginError

    with pytest.raises(PluginError, match="no Python interpreter"):
        SubtitleHost(check=True)
    assert SubtitleHost().backends()


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_ctrl_c_ends_the_check_at_once(site, tmp_path):
    site.install("endless", "while True: pass")
    process = subprocess.Popen(
        [sys.executable, "-m", "subtitle_hooks.host", "plugins"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(site.folder), os.environ.get("PYTHONPATH", "")]),
            "SUBTITLE_HOOKS_PLUGINS": "endless",
            "SUBTITLE_HOOKS_CHECK_SECONDS": "60",
        },
    )
    time.sleep(1.5)
    process.send_signal(2)
    _, err = process.communicate(timeout=10)
    assert process.returncode == 130
    assert textwrap.dedent(err).strip() == "subtitle-host: stopped."
