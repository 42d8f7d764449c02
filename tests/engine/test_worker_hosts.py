# SPDX-License-Identifier: Apache-2.0
"""Hosts of all kinds: killed, stopped, forking, with an event loop, ending in the middle of the work."""

import asyncio
import os
import signal
import subprocess
import sys
import time

import pytest

from qwen_asr_plugin.engine import shared_engine, shut_down
from qwen_asr_plugin.options import EngineOptions

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals and fork")
linux_only = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux ends a stopped orphan")

HOST = """
import os, sys, threading, time
import numpy as np
from qwen_asr_plugin.audio import SpeechChunk, SpeechSpan
from qwen_asr_plugin.engine import shared_engine, process, supervisor
from qwen_asr_plugin.options import EngineOptions

def chunk(index):
    samples = np.random.default_rng(index).normal(0, 0.01, 64000).astype(np.float32)
    span = SpeechSpan(start_ms=0, end_ms=4000)
    return SpeechChunk(index=index, start_ms=0, end_ms=4000, samples=samples, spans=(span,))

def work(count=10**9):
    for recognition in engine.recognize(map(chunk, range(count))):
        yield recognition.index

with shared_engine(EngineOptions(lanes=2, threads=2)) as engine:
    print(engine._worker.pid, flush=True)
    BODY
"""


@pytest.fixture
def host():
    """Start a host program that has a worker; returns the program and the worker's number."""
    started = []

    def start(body):
        code = HOST.replace("    BODY", "\n".join(f"    {line}" for line in body.splitlines()))
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        program = subprocess.Popen([sys.executable, "-W", "error", "-c", code], **pipes, text=True)
        started.append(program)
        line = program.stdout.readline()
        if not line:
            pytest.fail(program.communicate()[1])
        return program, int(line)

    yield start
    for program in started:
        program.kill()
        program.communicate()


def _end(program):
    out, err = program.communicate(timeout=60)
    return program.returncode, out, err


def test_the_worker_ends_with_a_host_that_ends_without_a_word(host, gone):
    program, worker = host("os._exit(3)")
    assert gone(worker, 5)
    assert _end(program)[0] == 3


@posix_only
def test_the_worker_of_a_killed_host_ends_in_the_middle_of_its_work(host, gone):
    program, worker = host("for index in work(): print(index, flush=True)")
    assert program.stdout.readline() == "0\n"
    program.kill()
    assert gone(worker, 3)


@linux_only
def test_a_stopped_worker_of_a_killed_host_ends_too(host, gone):
    program, worker = host("time.sleep(60)")
    os.kill(worker, signal.SIGSTOP)
    program.kill()
    assert gone(worker, 3)


@linux_only
def test_another_child_that_holds_the_pipes_open_keeps_no_worker(host, gone):
    program, worker = host("if os.fork() == 0: os.execvp('sleep', ['sleep', '5'])\ntime.sleep(60)")
    program.kill()
    assert gone(worker, 3)


@linux_only
def test_the_worker_outlives_the_thread_that_asked_for_it(host):
    body = """
    def first():
        with shared_engine(EngineOptions(lanes=1, threads=1)) as other: print(other._worker.pid, flush=True)
    thread = threading.Thread(target=first); thread.start(); thread.join(); time.sleep(0.3)
    with shared_engine(EngineOptions(lanes=1, threads=1)) as other: print(other._worker.pid, flush=True)
    """
    _, out, err = _end(host("\n".join(line.removeprefix("    ") for line in body.strip("\n ").splitlines()))[0])
    first, second = out.split()
    assert first == second, err


@posix_only
def test_a_forked_child_neither_ends_nor_uses_its_parents_worker(host, gone):
    program, worker = host(
        "numbers = work(6); print(next(numbers), flush=True)\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    try: next(numbers); print('wrong')\n"
        "    except Exception as error: print(type(error).__name__, 'forked' in str(error), flush=True)\n"
        "    with shared_engine(EngineOptions(lanes=1, threads=1)) as own: print(own._worker.pid, flush=True)\n"
        "    print(list(work(2)), engine._worker.pid, flush=True)\n"
        "    sys.exit(0)\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)\n"
        "print(list(numbers), engine._worker.pid, flush=True)\n"
    )
    status, out, err = _end(program)
    assert status == 0, err
    first, refused, own, child, child_status, parent = out.splitlines()
    assert first == "0"
    assert refused == "EngineError True"
    assert child.startswith("[0, 1] ")
    assert child_status == "0", err
    assert parent == f"[1, 2, 3, 4, 5] {worker}"
    assert len({own, child.split()[-1], str(worker)}) == 3
    assert all(gone(int(pid), 3) for pid in (own, child.split()[-1], worker))


@posix_only
def test_a_host_and_worker_that_were_suspended_accuse_nobody(host):
    program, worker = host(
        "process._ABSENT_SECONDS = 1.0\n"
        "engine = supervisor.ProcessEngine(EngineOptions(lanes=1, threads=1), silence_seconds=1.5)\n"
        "engine.wait_loaded()\n"
        "print(engine._worker.pid, flush=True)\n"
        "sys.stdin.readline()\n"
        "said = []\n"
        "print(len(list(engine.recognize(map(chunk, range(3)), on_restart=said.append))), said, flush=True)\n"
        "engine.close()\n"
    )
    worker = int(program.stdout.readline())
    time.sleep(1.0)
    os.kill(program.pid, signal.SIGSTOP)
    os.kill(worker, signal.SIGSTOP)
    time.sleep(3.0)
    os.kill(program.pid, signal.SIGCONT)
    time.sleep(0.5)
    os.kill(worker, signal.SIGCONT)
    time.sleep(1.5)
    status, out, err = _end(program)
    assert (status, out) == (0, "3 []\n"), err


@pytest.mark.parametrize("daemon", [True, False])
def test_the_interpreter_ends_while_a_thread_works(host, gone, daemon):
    count = 10**9 if daemon else 4
    program, worker = host(
        f"def many():\n    for number in work({count}): numbers.append(number)\n"
        f"numbers = []; threading.Thread(target=many, daemon={daemon}).start()\n"
        "while not numbers: time.sleep(0.01)"
    )
    asked = time.monotonic()
    status, _, err = _end(program)
    assert status == 0, err
    assert time.monotonic() - asked < 20
    assert gone(worker, 3)


def test_an_event_loop_is_left_alone(noise, workers):
    def use(number):
        with shared_engine(EngineOptions()) as engine:
            return [r.index for r in engine.recognize([noise(number, 1.0), noise(number + 1, 1.0)])]

    async def main():
        ticks = 0

        async def tick():
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0.02)

        ticking = asyncio.create_task(tick())
        other = await asyncio.create_subprocess_exec(sys.executable, "-c", "raise SystemExit(7)")
        results = await asyncio.gather(*(asyncio.to_thread(use, 10 * n) for n in range(3)))
        status = await other.wait()
        ticking.cancel()
        return results, status, ticks

    handler = signal.getsignal(signal.SIGCHLD) if hasattr(signal, "SIGCHLD") else None
    results, status, ticks = asyncio.run(main())
    assert results == [[0, 1], [10, 11], [20, 21]]
    assert status == 7
    assert ticks > 5
    if handler is not None:
        assert signal.getsignal(signal.SIGCHLD) == handler
    shut_down()
    assert not workers()


@posix_only
def test_a_host_that_has_its_children_reaped_by_the_kernel(host):
    program, _ = host(
        "import signal; signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
        "from qwen_asr_plugin.engine import shut_down\n"
        "numbers = work(6); said = []\n"
        "print(next(numbers)); os.kill(engine._worker.pid, signal.SIGKILL)\n"
        "print(list(numbers), flush=True)\n"
    )
    status, out, err = _end(program)
    assert status == 0, err
    assert out == "0\n[1, 2, 3, 4, 5]\n"


def test_a_host_without_a_main_guard_can_use_it(tmp_path):
    script = tmp_path / "host.py"
    script.write_text(
        "print('once')\n"
        "from qwen_asr_plugin.engine import shared_engine\n"
        "from qwen_asr_plugin.options import EngineOptions\n"
        "with shared_engine(EngineOptions()) as engine: print(engine.info.model)\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "once"
    assert done.stdout.count("once") == 1
