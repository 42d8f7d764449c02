# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from subtitle_hooks.host import main

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")


@pytest.fixture
def start(site):
    """Start the reference host as a process of its own, with one plugin of `site`."""

    def popen(plugin, *arguments):
        return subprocess.Popen(
            [sys.executable, "-m", "subtitle_hooks.host", *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join([str(site.folder), os.environ.get("PYTHONPATH", "")]),
                "SUBTITLE_HOOKS_PLUGINS": plugin,
            },
        )

    return popen


def test_ctrl_c_stops_the_batch_and_leaves_nothing(site, start, films, tmp_path):
    site.install(
        "slow-backend",
        "from subtitle_hooks.testing import FakeBackend\nslow = FakeBackend(name='slow', seconds_per_segment=0.4)",
        entry_points="[subtitle_hooks]\nslow = slow_backend_module:slow\n",
    )
    process = start(
        "slow-backend", "run", "--backend", "slow", "--option", "duration_ms=100000", *films("a.mkv", "b.mkv")
    )
    assert process.stderr is not None
    first = process.stderr.readline()
    process.send_signal(signal.SIGINT)
    began = time.monotonic()
    out, err = process.communicate(timeout=20)
    assert "recognise" in first
    assert process.returncode == 130, err
    assert time.monotonic() - began < 5
    assert out == ""
    assert "nothing was left half-written" in err
    assert "Traceback" not in err
    assert {path.name for path in tmp_path.iterdir()} == {"a.mkv", "b.mkv", "site"}


def test_ctrl_c_after_the_last_segment_still_writes_nothing(site, films, tmp_path, capsys):
    site.install(
        "late-backend",
        """
        import os, signal
        from subtitle_hooks import Transcript, hookimpl
        from subtitle_hooks.testing import FakeBackend

        def ctrl_c():
            os.kill(os.getpid(), signal.SIGINT)

        class Late(FakeBackend):
            @hookimpl
            def generate_subtitles(self):
                # The host asks for the language after the last segment.
                return Transcript(backend="late", segments=[], language=ctrl_c)

        late = Late(name="late")
        """,
        entry_points="[subtitle_hooks]\nlate = late_backend_module:late\n",
    )
    before = signal.getsignal(signal.SIGINT)
    assert main(["run", *films("a.mkv", "b.mkv")]) == 130
    assert capsys.readouterr().out == ""
    assert not list(tmp_path.glob("*.srt"))
    assert signal.getsignal(signal.SIGINT) is before


def test_a_second_ctrl_c_ends_a_backend_that_does_not_listen(site, start, films, tmp_path):
    site.install(
        "deaf-backend",
        """
        import time
        from subtitle_hooks import hookimpl
        from subtitle_hooks.testing import FakeBackend

        class Deaf(FakeBackend):
            @hookimpl
            def generate_subtitles(self, request, events):
                events.log("info", "started")
                time.sleep(60)

        deaf = Deaf(name="deaf")
        """,
        entry_points="[subtitle_hooks]\ndeaf = deaf_backend_module:deaf\n",
    )
    process = start("deaf-backend", "run", *films("a.mkv"))
    assert process.stderr is not None
    assert "started" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    assert process.stderr.readline() == "\n"
    assert "press Ctrl-C again" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (130, "")
    assert "Traceback" not in err
    assert {path.name for path in tmp_path.iterdir()} == {"a.mkv", "site"}
