# SPDX-License-Identifier: Apache-2.0
"""Workers that die, hang or talk nonsense: the work goes on, or ends with the error that names the cause."""

import io
import os
import random
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from qwen_asr_plugin.engine import causes
from qwen_asr_plugin.engine.process import WorkerProcess
from qwen_asr_plugin.engine.supervisor import ProcessEngine
from qwen_asr_plugin.errors import (
    EngineCrashedError,
    EngineMemoryError,
    EngineProtocolError,
    EngineTimeoutError,
)
from qwen_asr_plugin.options import EngineOptions

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX signals")
linux_only = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reaches pipes through /proc")

OPTIONS = EngineOptions(lanes=2, threads=2)
SILENCE = 4.0  # a busy machine can keep a healthy worker from the processor for two seconds


@pytest.fixture
def engine(workers):
    engine = ProcessEngine(OPTIONS, silence_seconds=SILENCE, back_off=(0.05,))
    engine.wait_loaded()
    yield engine
    engine.close()
    assert not workers(), "nothing is left, not even a zombie"


@pytest.fixture(scope="module")
def undisturbed(speech):
    engine = ProcessEngine(OPTIONS)
    engine.wait_loaded()
    texts = [r.text for r in engine.recognize(speech)]
    engine.close()
    return texts


@pytest.fixture
def on_chunk(monkeypatch):
    """Do something to the worker whenever it is sent a chunk with one of these samples."""

    def arrange(chunk, action):
        submit = WorkerProcess.submit

        def submit_and_act(self, number, submitted, **more):
            submit(self, number, submitted, **more)
            if submitted.samples is chunk.samples:
                action(self.pid)

        monkeypatch.setattr(WorkerProcess, "submit", submit_and_act)

    return arrange


def _send(number):
    return lambda pid: os.kill(pid, number)


def _say(pid, text):
    with Path(f"/proc/{pid}/fd/2").open("wb") as stderr:
        stderr.write(text)


def _write_among_answers(pid):
    """Write into the pipe that the worker's answers go through, as a library that uses a wrong number would."""
    streams = {Path(f"/proc/{pid}/fd/{number}").readlink() for number in range(3)}
    for file in Path(f"/proc/{pid}/fd").iterdir():
        target = file.readlink()
        flags = int(Path(f"/proc/{pid}/fdinfo/{file.name}").read_text().split("flags:")[1].split()[0], 8)
        if target.name.startswith("pipe:") and target not in streams and flags & os.O_WRONLY:
            with file.open("wb") as pipe:
                pipe.write(b"the quick brown fox")
            return
    raise AssertionError("the worker has no pipe for answers")


@pytest.mark.parametrize(("number", "kills"), [("SIGKILL", 3), ("SIGSEGV", 2), ("SIGABRT", 2), ("SIGSTOP", 2)], ids=str)
def test_kills_at_random_moments_change_nothing_but_the_time(engine, speech, undisturbed, number, kills):
    dice = random.Random(f"{number} 1")
    chunks = speech * 3
    moments = dice.sample(range(len(chunks) - 6), kills)
    texts, said = [], []
    for recognition in engine.recognize(iter(chunks), on_restart=said.append):
        texts.append(recognition.text)
        if len(texts) - 1 in moments:
            time.sleep(dice.uniform(0.0, 0.2))
            engine.wait_loaded()
            worker = engine._worker
            os.kill(worker.pid, getattr(signal, number))
            while engine._worker is worker:
                time.sleep(0.01)
    assert texts == undisturbed * 3
    assert len(said) == kills
    assert all("sign of life" in text if number == "SIGSTOP" else number in text for text in said), said


def test_a_chunk_that_always_kills_ends_in_an_error_with_what_was_finished_before(engine, speech, on_chunk):
    on_chunk(speech[3], _send(signal.SIGSEGV))
    finished, said = [], []
    work = engine.recognize(speech, on_restart=said.append)
    with pytest.raises(EngineCrashedError, match=r"SIGSEGV.*3 times in a row") as caught:
        finished += iter(lambda: next(work).index, None)
    assert finished == [0, 1, 2]
    assert len(said) >= 2
    assert "Segmentation fault" in str(caught.value), "faulthandler's words"
    log = caught.value.log_lines
    assert any(line.startswith("libllama: ") for line in log)
    assert len(log) <= 40
    assert [r.index for r in engine.recognize(speech[:2])] == [0, 1], "the next file is not affected"


def test_another_file_on_the_same_worker_goes_on(engine, speech, undisturbed, on_chunk):
    on_chunk(speech[5], _send(signal.SIGKILL))
    texts = []

    def bystander():
        texts.extend(r.text for r in engine.recognize(speech[:5] * 2))

    thread = threading.Thread(target=bystander)
    thread.start()
    with pytest.raises(EngineCrashedError, match="SIGKILL"):
        list(engine.recognize(speech[4:]))
    thread.join(timeout=60)
    assert texts == undisturbed[:5] * 2


def test_a_worker_killed_while_it_loads_is_tried_once_more(monkeypatch, workers):
    killed = []

    def killing(self, cancelled):
        os.kill(self.pid, signal.SIGKILL)
        killed.append(self.pid)
        return wait_ready(self, cancelled)

    wait_ready = WorkerProcess.wait_ready
    monkeypatch.setattr(WorkerProcess, "wait_ready", killing)
    engine = ProcessEngine(OPTIONS)
    with pytest.raises(EngineCrashedError, match=r"SIGKILL.*2 times while loading"):
        engine.wait_loaded()
    assert len(killed) == 2
    assert not workers()
    monkeypatch.undo()
    engine.wait_loaded()
    engine.close()


def test_an_idle_worker_that_died_is_replaced_and_the_next_job_told(engine, workers, speech, undisturbed):
    os.kill(workers()[0].pid, signal.SIGKILL)
    while workers():
        time.sleep(0.01)
    said = []
    assert next(engine.recognize(speech, on_restart=said.append)).text == undisturbed[0]
    assert len(said) == 1


def test_a_chunk_without_result_in_time_is_a_hang(engine, speech, monkeypatch):
    monkeypatch.setattr("qwen_asr_plugin.engine.supervisor._SPARE_SECONDS", -1e9)
    # Looked at seldom, a fast machine's chunk is finished before anybody has looked.
    monkeypatch.setattr("qwen_asr_plugin.engine.process._LOOK_SECONDS", 0.005)
    with pytest.raises(EngineTimeoutError, match=r"no result.*3 times"):
        list(engine.recognize([speech[3]] * 60))
    monkeypatch.undo()
    assert len(list(engine.recognize(speech[:1]))) == 1


@linux_only
def test_nonsense_in_the_pipe_is_a_named_error(engine, speech, undisturbed, on_chunk):
    said = []
    texts = []
    for recognition in engine.recognize(speech, on_restart=said.append):
        texts.append(recognition.text)
        if recognition.index == 1:
            _write_among_answers(engine._worker.pid)
    assert texts == undisturbed
    assert len(said) == 1
    assert "the quick br" in said[0]
    on_chunk(speech[1], _write_among_answers)
    with pytest.raises(EngineProtocolError, match="3 times in a row"):
        list(engine.recognize(speech))


def test_a_worker_that_is_sent_nonsense_ends_by_itself(engine, speech, undisturbed):
    said = []
    work = engine.recognize(speech, on_restart=said.append)
    texts = [next(work).text]
    engine._worker._outbox.put(b"GET / HTTP/1.1\r\n")
    texts += [r.text for r in work]
    assert texts == undisturbed
    assert len(said) == 1
    assert "GET / HTTP/1" in said[0]


@linux_only
def test_the_librarys_last_words_are_in_the_error(engine, speech, on_chunk):
    def abort(pid):
        _say(pid, b"ggml.c:1234: GGML_ASSERT(n_past < n_ctx) failed\n")
        os.kill(pid, signal.SIGABRT)

    on_chunk(speech[0], abort)
    with pytest.raises(EngineCrashedError, match=r"SIGABRT.*GGML_ASSERT\(n_past < n_ctx\)"):
        list(engine.recognize(speech))


@linux_only
def test_an_allocation_that_failed_is_a_memory_error_at_the_second_time(engine, speech, on_chunk):
    def no_memory(pid):
        _say(pid, b"terminate called after throwing an instance of 'std::bad_alloc'\n")
        os.kill(pid, signal.SIGABRT)

    on_chunk(speech[0], no_memory)
    with pytest.raises(EngineMemoryError, match="2 times in a row"):
        list(engine.recognize(speech))


@linux_only
def test_a_flood_of_output_does_no_harm(engine, speech, undisturbed):
    work = engine.recognize(speech)
    texts = [next(work).text]
    _say(engine._worker.pid, b"x" * 5_000_000 + b"\n" + b"\x1b[31mline\x00\n" * 100_000)
    texts += [r.text for r in work]
    assert texts == undisturbed
    lines = engine._worker._words.lines()
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 2000
    assert lines[-1].strip() == "line"


@pytest.fixture
def small_group():
    """A control group of this process's own in which there is hardly any memory."""
    for line in Path("/proc/self/cgroup").read_text().splitlines() if sys.platform.startswith("linux") else ():
        _, controllers, group = line.split(":", 2)
        root = Path("/sys/fs/cgroup/memory" if controllers == "memory" else "/sys/fs/cgroup")
        folder, limit = root / group.strip("/") / f"qwen-asr-test-{os.getpid()}", "2000000"
        if controllers not in ("memory", ""):
            continue
        try:
            folder.mkdir()
        except OSError:
            continue
        try:
            name = "memory.limit_in_bytes" if controllers else "memory.max"
            (folder / name).write_text(limit)
            yield folder
            return
        except OSError:
            continue
        finally:
            for _ in range(100):  # a process that ends takes its time to leave
                try:
                    folder.rmdir()
                    break
                except OSError:
                    time.sleep(0.05)
    pytest.skip("needs the right to make a control group for memory")


def test_the_kernel_kills_for_lack_of_memory(engine, speech, undisturbed, on_chunk, small_group, noise):
    moved, chunks = [], [*speech[:2], noise(2, 15.5), *speech[3:]]

    def starve(pid):
        if len(moved) < limit:
            moved.append(pid)
            (small_group / "cgroup.procs").write_text(str(pid))

    # Only workers that are new: an old one may have all the memory that it needs.
    on_chunk(chunks[2], starve)
    limit, said = 99, []
    with pytest.raises(EngineMemoryError, match=r"kernel killed.*2 times in a row"):
        list(engine.recognize(chunks))
    assert 2 <= len(moved) <= 4, (
        "the two chunks before may have been unfinished at the first, and are finished one by one"
    )
    limit = len(moved) + 1
    texts = [r.text for r in engine.recognize(chunks, on_restart=said.append)]
    assert texts[:2] + texts[3:] == undisturbed[:2] + undisturbed[3:]
    assert len(said) == 1
    assert "memory ran out" in said[0]


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (None, "no exit status"),
        (3, "exit status 3"),
        (-11, "signal SIGSEGV"),
        (-200, "signal 200"),
        (0xC0000005, "exit status 0xC0000005, access violation"),
        (0xC0001234, "exit status 0xC0001234"),
    ],
)
def test_exit_statuses_have_names(status, words):
    assert causes.name_status(status) == words


@pytest.mark.parametrize(
    ("status", "said", "killed", "kind", "text"),
    [
        (-9, b"", False, EngineCrashedError, "Another program killed it"),
        (-9, b"", True, EngineMemoryError, "kernel killed"),
        (-11, b"", True, EngineCrashedError, "SIGSEGV"),
        (-4, b"", False, EngineCrashedError, "newer processor"),
        (-6, b"libllama: ggml_backend: failed to allocate buffer of size 12", False, EngineMemoryError, "no memory"),
        (0xC0000017, b"", False, EngineMemoryError, "0xC0000017"),
        (76, b"what", False, EngineProtocolError, "what"),
        (0, b"", False, EngineCrashedError, "exit status 0"),
    ],
)
def test_causes_are_told_apart(status, said, killed, kind, text):
    words = causes.LastWords()
    words.listen(io.BytesIO(said))
    error = causes.explain(status, words, kernel_killed_for_memory=killed)
    assert type(error) is kind
    assert text in str(error)


def test_a_dump_of_a_crash_does_not_push_out_the_librarys_log():
    words = causes.LastWords()
    words.listen(
        io.BytesIO(
            b"libllama: the cause\nx.c:1: GGML_ASSERT(x) failed\n\nFatal Python error: Aborted\n\n"
            b"Current thread 0x1 (most recent call first):\n" + b'  File "x.py", line 1 in f\n' * 500
        )
    )
    assert words.quoted() == " It said: the cause | x.c:1: GGML_ASSERT(x) failed | Fatal Python error: Aborted"
    assert 4 < len(words.lines()) <= 40
