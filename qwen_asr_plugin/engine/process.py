# SPDX-License-Identifier: Apache-2.0
"""The host's side of the worker process: start it, feed it, notice when it dies or hangs."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import itertools
import multiprocessing.spawn
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent import futures
from concurrent.futures import Future
from pathlib import Path
from typing import IO, Any, Final

from qwen_asr_plugin.audio import SpeechChunk
from qwen_asr_plugin.errors import EngineCrashedError, EngineError, EngineTimeoutError, from_message
from qwen_asr_plugin.options import EngineOptions
from subtitle_hooks import CancelledError

from .recognition import WorkTimes
from .recognizer import SpokenText
from .wire import read_message, write_message

__all__ = ["WorkerProcess"]

_LOAD_TIMEOUT_SECONDS: Final = 600.0
_STDERR_LINES: Final = 40


class WorkerProcess:
    """One running worker with a loaded model.

    Args:
        options: Engine settings; the worker opens the bundle and loads the libraries.
        cancelled: Asked while the model loads.

    Raises:
        ModelError: The bundle cannot be used.
        EngineError: The native part cannot be used; `EngineCrashedError` when the process died while loading.
    """

    def __init__(self, options: EngineOptions, cancelled: Callable[[], bool] = lambda: False) -> None:
        self._numbers = itertools.count()
        self._futures: dict[int, Future[SpokenText]] = {}
        self._lock = threading.Lock()
        self._ended = False
        self._ready: Future[dict[str, Any]] = Future()
        self._stderr: collections.deque[str] = collections.deque(maxlen=_STDERR_LINES)
        self.peak_memory_bytes = 0
        self._process = _spawn()
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._outbox: queue.SimpleQueue[tuple[dict[str, Any], Any] | None] = queue.SimpleQueue()
        pipes = (
            (self._keep_stderr, self._process.stderr),
            (self._take_answers, self._process.stdout),
            (self._deliver, self._process.stdin),  # a thread of its own: a hung worker does not empty its pipe
        )
        self._threads = [threading.Thread(target=work, args=(pipe,), daemon=True) for work, pipe in pipes]
        for thread in self._threads:
            thread.start()
        values = {k: str(v) if isinstance(v, Path) else v for k, v in dataclasses.asdict(options).items()}
        try:
            self._outbox.put(({"op": "load", "options": {k: v for k, v in values.items() if v is not None}}, None))
            self.info = self.wait(self._ready, _LOAD_TIMEOUT_SECONDS, cancelled, "loading the model")
        except BaseException:
            self.kill()
            raise

    @property
    def alive(self) -> bool:
        """Whether it can take work."""
        return self._process.poll() is None

    def submit(self, chunk: SpeechChunk, *, job: int, context: str, language: str | None) -> Future[SpokenText]:
        """Send one chunk; the future fails with `EngineCrashedError` when the process dies."""
        future: Future[SpokenText] = Future()
        number = next(self._numbers)
        with self._lock:
            if self._ended:
                future.set_exception(self._crash())
                return future
            self._futures[number] = future
        header = {"op": "chunk", "id": number, "job": job, "context": context, "language": language}
        self._outbox.put((header, chunk.samples))
        return future

    def cancel(self, job: int) -> None:
        """Ask it to end the chunks of one job at their next token."""
        self._outbox.put(({"op": "cancel", "job": job}, None))

    def wait(self, future: Future[Any], seconds: float, cancelled: Callable[[], bool], doing: str) -> Any:
        """Wait for an answer, looking every 100 ms whether the host has cancelled.

        Raises:
            CancelledError: The host has.
            EngineTimeoutError: No answer after `seconds`; the process is ended.
        """
        for _ in range(max(1, int(seconds * 10))):
            if cancelled():
                raise CancelledError("Stopped as asked.")
            if futures.wait([future], timeout=0.1).done:
                return future.result()
        self.kill()
        raise EngineTimeoutError(
            f"The recognition engine gave no answer for {seconds:.0f} s while {doing}, and was ended.",
            hint="Use fewer lanes or a smaller model, or raise timeout_factor on a very slow machine.",
        )

    def close(self) -> None:
        """End it in an orderly way; safe to call twice."""
        self._outbox.put(None)
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._reap()

    def kill(self) -> None:
        """End it now."""
        self._process.kill()
        self._reap()

    def _reap(self) -> None:
        self._process.wait()
        self._outbox.put(None)
        for thread in self._threads:
            thread.join(timeout=5)

    def _deliver(self, pipe: IO[bytes]) -> None:
        """Write what is in the outbox; closing the pipe is what tells the worker to end."""
        with contextlib.suppress(OSError), pipe:
            while (message := self._outbox.get()) is not None:
                write_message(pipe, *message)

    def _take_answers(self, pipe: IO[bytes]) -> None:
        while (message := read_message(pipe)) is not None:
            header = message[0]
            self.peak_memory_bytes = max(self.peak_memory_bytes, int(header.get("peak", 0)))
            if header["op"] == "ready":
                self._ready.set_result(header["info"])
            elif header["op"] == "failed":
                self._ready.set_exception(from_message(header["error"]))
            else:
                self._settle(header)
        pipe.close()
        self._process.wait()
        self._threads[0].join(timeout=5)
        with self._lock:
            self._ended = True
            left: list[Future[Any]] = [self._ready, *self._futures.values()]
            self._futures.clear()
        for future in left:
            if not future.done():
                future.set_exception(self._crash())

    def _settle(self, header: dict[str, Any]) -> None:
        with self._lock:
            future = self._futures.pop(header["id"])
        if not future.set_running_or_notify_cancel():
            return
        if header["op"] == "error":
            future.set_exception(from_message(header["error"]))
        else:
            future.set_result(
                SpokenText(
                    language=header["language"],
                    text=header["text"],
                    times=WorkTimes(**header["times"]),
                    context_cut=header["context_cut"],
                )
            )

    def _keep_stderr(self, pipe: IO[bytes]) -> None:
        with pipe:
            for line in pipe:
                self._stderr.append(line.decode(errors="replace").rstrip())

    def _crash(self) -> EngineCrashedError:
        status = self._process.returncode
        how = f"exit status {status}"
        if status is not None and status < 0:
            with contextlib.suppress(ValueError):
                how = f"signal {signal.Signals(-status).name}"
        said = " | ".join(line for line in self._stderr if line)[-600:]
        return EngineCrashedError(
            f"The recognition engine's process ended unexpectedly ({how}).{f' It said: {said}' if said else ''}",
            hint="Other files are not affected. `qwen-asr-plugin doctor` checks the libraries; "
            "libllama=xllamacpp tries another one.",
        )


def _spawn() -> subprocess.Popen[bytes]:
    # The interpreter and the import path of this process, as multiprocessing's spawn does it, but without importing
    # the host's main module a second time.
    # Ctrl-C reaches the whole process group: the worker ignores it from its first instruction, the host decides.
    code = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN); "
        f"sys.path[:] = {sys.path!r}; from qwen_asr_plugin.engine.worker import main; main()"
    )
    executable = multiprocessing.spawn.get_executable()
    if not executable:
        raise EngineError(
            "There is no Python interpreter to start the worker process with.",
            hint="Call multiprocessing.set_executable in the host, or use isolation=inline.",
        )
    return subprocess.Popen(
        [os.fsdecode(executable), "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
