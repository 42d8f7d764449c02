# SPDX-License-Identifier: Apache-2.0
"""One model in worker processes that follow each other: when one is lost, the next goes on with what is unfinished."""

from __future__ import annotations

import contextlib
import itertools
import os
import queue
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent import futures
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Final

from qwen_asr_plugin.audio import SpeechChunk
from qwen_asr_plugin.errors import EngineError, EngineMemoryError, EngineProtocolError
from qwen_asr_plugin.options import EngineOptions
from subtitle_hooks import CancelledError, SubtitleError

from .info import EngineInfo
from .lanes import in_order
from .process import SILENCE_SECONDS, Outcome, WorkerLostError, WorkerProcess
from .recognition import Recognition
from .recognizer import SpokenText

__all__ = ["BACK_OFF_SECONDS", "ProcessEngine"]

BACK_OFF_SECONDS: Final = (0.2, 0.5, 1.0, 2.0, 5.0)
_LOSSES: Final = 3
_MEMORY_LOSSES: Final = 2
_SPARE_SECONDS: Final = 60.0
_CONTEXT_CHARACTERS: Final = 100_000
"""More than any model's context; the worker cuts by tokens, this only keeps the message small."""

_all: weakref.WeakSet[ProcessEngine] = weakref.WeakSet()


@dataclass(eq=False, kw_only=True)
class _Job:
    """One media file.

    Attributes:
        number: Tells it from others in the worker.
        losses: Workers lost in a row with a chunk of this file in them, and none of it finished since.
        said: What the host is to be told.
        process_id: Where it was begun; a forked process has no part in it.
    """

    number: int
    losses: int = 0
    said: queue.SimpleQueue[str] = field(default_factory=queue.SimpleQueue)
    process_id: int = field(default_factory=os.getpid)


@dataclass(eq=False, kw_only=True)
class _Task:
    """One unfinished chunk."""

    job: _Job
    chunk: SpeechChunk
    context: str
    language: str | None
    align: bool
    future: Future[SpokenText] = field(default_factory=Future)
    sent: bool = False


class ProcessEngine:
    """An engine whose native part runs in a worker process, started with the first use.

    After a loss every unfinished chunk is submitted again, first one alone until a chunk is finished, so that a file
    that brings workers down is told from those that only share them. Threads share one engine.

    Args:
        options: Engine settings.
        silence_seconds: See `WorkerProcess`.
        back_off: Seconds to wait before the first, second... restart in a row.
    """

    info: EngineInfo

    def __init__(
        self,
        options: EngineOptions,
        *,
        silence_seconds: float = SILENCE_SECONDS,
        back_off: Sequence[float] = BACK_OFF_SECONDS,
    ) -> None:
        self._options = options
        self._silence_seconds = silence_seconds
        self._back_off = back_off
        self._numbers = itertools.count()
        self._peak_memory_bytes = 0
        self._closed = False
        self.begin_anew()
        _all.add(self)

    def begin_anew(self) -> None:
        """No worker and no work: at first, and in a forked process, where both are the parent's."""
        self._lock = threading.Lock()
        self._hurry = threading.Event()
        self._worker: WorkerProcess | None = None
        self._starting: Future[None] | None = None
        self._waiting = 0
        self._jobs: set[_Job] = set()
        self._tasks: dict[int, _Task] = {}
        self._losses = 0
        self._alone = False
        self._unsaid: str | None = None

    @property
    def alive(self) -> bool:
        """Whether it can take more work: until it is closed."""
        return not self._closed

    @property
    def peak_memory_bytes(self) -> int:
        """Peak memory of the worker that needed most."""
        worker = self._worker
        return max(self._peak_memory_bytes, 0 if worker is None else worker.peak_memory_bytes)

    def wait_loaded(self, cancelled: Callable[[], bool] = lambda: False) -> None:
        """Start the worker where there is none and wait for it; loading stops when nobody waits any more.

        Raises:
            CancelledError: `cancelled` said so; noticed within 100 ms.
            ModelError: The bundle cannot be used.
            EngineError: The native part cannot be used.
        """
        with self._lock:
            if self._worker is not None:
                return
            self._waiting += 1
            starting = self._start()
        try:
            while not futures.wait([starting], timeout=0.1).done:
                if cancelled():
                    raise CancelledError("Stopped as asked.")
            starting.result()
        finally:
            with self._lock:
                self._waiting -= 1

    def recognize(
        self,
        chunks: Iterable[SpeechChunk | None],
        *,
        context: str = "",
        language: str | None = None,
        aligning: Callable[[], bool] = lambda: True,
        cancelled: Callable[[], bool] = lambda: False,
        on_restart: Callable[[str], None] = lambda _: None,
    ) -> Iterator[Recognition]:
        """See `Engine.recognize`."""
        job = _Job(number=next(self._numbers))

        def submit(chunk: SpeechChunk) -> Future[SpokenText]:
            context_head = context[:_CONTEXT_CHARACTERS]
            task = _Task(job=job, chunk=chunk, context=context_head, language=language, align=aligning())
            with self._lock:
                if self._closed:
                    raise _closed_error()
                self._tasks[next(self._numbers)] = task
                self._send()
            return task.future

        def wait(_: SpeechChunk, future: Future[SpokenText]) -> SpokenText:
            while True:
                if job.process_id != os.getpid():
                    raise EngineError("This process was forked from the one that the work on this file began in.")
                with contextlib.suppress(queue.Empty):
                    while True:
                        on_restart(job.said.get_nowait())
                if cancelled():
                    raise CancelledError("Stopped as asked.")
                if futures.wait([future], timeout=0.1).done:
                    return future.result()

        with self._lock:
            self._jobs.add(job)
            if self._unsaid:
                job.said.put(self._unsaid)
                self._unsaid = None
        try:
            yield from in_order(chunks, submit, wait, ahead=self.info.lanes + 1)
        finally:
            self._drop(job)

    def close(self) -> None:
        """End the worker; unfinished work fails. Safe to call twice."""
        with self._lock:
            self._closed = True
            self._hurry.set()
            worker, self._worker = self._worker, None
            for number in list(self._tasks):
                self._fail(number, _closed_error())
        if worker is not None:
            worker.close()

    # From here on, with the lock held unless it says otherwise.

    def _drop(self, job: _Job) -> None:
        """Without the lock: forget what is left of a job."""
        with self._lock:
            self._jobs.discard(job)
            left = [number for number, task in self._tasks.items() if task.job is job]
            sent = any(self._tasks.pop(number).sent for number in left)
            if sent and self._worker is not None:
                self._worker.cancel(job.number)
            self._send()

    def _send(self) -> None:
        """Give the worker what it may have; start one where there is work and no worker."""
        if self._worker is None:
            if self._tasks and not self._closed:
                self._start()
            return
        busy = any(task.sent for task in self._tasks.values())
        for number, task in list(self._tasks.items()):
            if task.sent:
                continue
            if self._alone and busy:
                return
            seconds = (task.chunk.end_ms - task.chunk.start_ms) / 1000
            try:
                self._worker.submit(
                    number,
                    task.chunk,
                    job=task.job.number,
                    context=task.context,
                    language=task.language,
                    align=task.align,
                    limit=_SPARE_SECONDS + self._options.timeout_factor * seconds,
                )
            except EngineError as error:
                self._fail(number, error)
            else:
                task.sent = busy = True

    def _fail(self, number: int, error: SubtitleError) -> None:
        task = self._tasks.pop(number)
        if task.future.set_running_or_notify_cancel():
            task.future.set_exception(error)

    def _start(self) -> Future[None]:
        """Return what tells when the worker being started is ready; start one unless that is under way."""
        if self._starting is None:
            self._starting = Future()
            thread = threading.Thread(
                target=self._bring_up, args=(self._starting,), name="qwen-asr-loader", daemon=True
            )
            try:
                thread.start()
            except RuntimeError as error:  # the interpreter is about to end
                self._give_up(EngineError(f"The recognition engine cannot be started: {error}."))
        return self._starting or _failed(EngineError("The recognition engine cannot be started."))

    def _give_up(self, error: Exception) -> None:
        starting, self._starting = self._starting, None
        for number in list(self._tasks):
            self._fail(number, error if isinstance(error, SubtitleError) else EngineError(f"{error!r}"))
        if starting is not None:
            starting.set_exception(error)

    def _unwanted(self) -> bool:
        return self._closed or not (self._waiting or self._tasks)

    def _bring_up(self, starting: Future[None]) -> None:
        """Without the lock, in a thread of its own: start a worker, after a pause when others were lost before."""
        crashes = 0
        while True:
            with self._lock:
                if self._unwanted():
                    return self._give_up(_closed_error() if self._closed else CancelledError("Stopped as asked."))
                row = self._losses + crashes
            if row:
                self._hurry.wait(self._back_off[min(row, len(self._back_off)) - 1])
            try:
                worker = WorkerProcess(
                    self._options,
                    answered=self._on_answer,
                    ended=self._on_end,
                    silence_seconds=self._silence_seconds,
                )
                info = worker.wait_ready(self._unwanted)
            except CancelledError:
                continue
            except WorkerLostError as lost:
                crashes += 1
                if crashes < 2:
                    self._tell(lost.error)
                    continue
                with self._lock:
                    return self._give_up(_with_attempts(lost.error, f"{crashes} times while loading the model"))
            except Exception as error:  # noqa: BLE001 - raised where somebody waits for it
                with self._lock:
                    return self._give_up(error)
            with self._lock:
                self.info = info
                self._worker = worker
                self._starting = None
                starting.set_result(None)
                if self._closed:
                    self._worker = None
                elif worker.lost is not None:
                    self._lose(worker.lost)
                else:
                    self._send()
                closed = self._closed
            if closed:
                worker.close()
            return None

    def _on_answer(self, worker: WorkerProcess, number: int, outcome: Outcome) -> None:
        """Without the lock, from the worker's thread."""
        with self._lock:
            task = self._tasks.get(number)
            if worker is not self._worker:
                return
            if isinstance(outcome, EngineMemoryError):
                worker.kill(outcome)  # a new process has all of its memory again
                return
            if task is not None and outcome is None:
                worker.kill(EngineProtocolError("The recognition engine's process dropped a chunk unasked."))
                return
            if task is not None:
                self._alone = False
                self._losses = task.job.losses = 0
                if isinstance(outcome, SpokenText):
                    del self._tasks[number]
                    if task.future.set_running_or_notify_cancel():
                        task.future.set_result(outcome)
                elif outcome is not None:
                    self._fail(number, outcome)
            self._send()

    def _on_end(self, worker: WorkerProcess) -> None:
        """Without the lock, from the worker's thread."""
        with self._lock:
            self._peak_memory_bytes = max(self._peak_memory_bytes, worker.peak_memory_bytes)
            if worker is self._worker and worker.lost is not None:
                self._lose(worker.lost)

    def _lose(self, error: EngineError) -> None:
        self._worker = None
        self._alone = True
        self._losses += 1
        most = _MEMORY_LOSSES if isinstance(error, EngineMemoryError) else _LOSSES
        for job in {task.job for task in self._tasks.values() if task.sent}:
            job.losses += 1
            if job.losses >= most:
                for number in [number for number, task in self._tasks.items() if task.job is job]:
                    start_ms = self._tasks[number].chunk.start_ms
                    place = f"{job.losses} times in a row in the part from {start_ms / 1000:.1f} s on"
                    self._fail(number, _with_attempts(error, place))
        for task in self._tasks.values():
            task.sent = False
        self._tell(error)
        self._send()

    def _tell(self, error: EngineError) -> None:
        text = f"{error.what} It is started again, and the work goes on from the last finished chunk."
        for job in self._jobs:
            job.said.put(text)
        if not self._jobs:
            self._unsaid = text


def _closed_error() -> EngineError:
    return EngineError("The recognition engine was closed.")


def _failed(error: Exception) -> Future[None]:
    future: Future[None] = Future()
    future.set_exception(error)
    return future


def _with_attempts(error: EngineError, times: str) -> EngineError:
    made = type(error)(f"{error.what} That happened {times}.", path=error.path, hint=error.hint)
    made.log_lines = error.log_lines
    return made


def _forget_all() -> None:
    for engine in list(_all):
        engine.begin_anew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)
