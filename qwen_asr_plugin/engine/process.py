# SPDX-License-Identifier: Apache-2.0
"""The host's side of one worker process: start it, feed it, notice when it dies, hangs or talks nonsense.

Four daemon threads: one writes (a hung worker does not empty its pipe), one reads answers, one reads standard error,
and one watches, which alone says that the process is lost, and waits for it so that it does not stay a zombie.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import queue
import subprocess
import threading
import time
import weakref
from collections.abc import Callable
from concurrent import futures
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import psutil

from qwen_asr_plugin.audio import SpeechChunk
from qwen_asr_plugin.errors import EngineError, EngineProtocolError, EngineTimeoutError, from_message
from qwen_asr_plugin.options import EngineOptions
from subtitle_hooks import CancelledError, SubtitleError

from .causes import LastWords, MemoryKills, explain
from .info import EngineInfo
from .launcher import launch
from .recognition import AlignedUnit, WorkTimes
from .recognizer import SpokenText
from .wire import ANSWERS, WireError, longest_payload, pack_message, read_message

__all__ = ["SILENCE_SECONDS", "Outcome", "WorkerLostError", "WorkerProcess"]

SILENCE_SECONDS: Final = 30.0
"""A worker that has given no sign of life for so long hangs; it gives one every second."""

_LOAD_SECONDS: Final = 600.0
_LOOK_SECONDS: Final = 0.5
_ABSENT_SECONDS: Final = 5.0
"""Looks further apart than this: this process did not run (Ctrl-Z, laptop lid), and the worker may not have either."""
_LOOKS_PER_MEMORY_SAMPLE: Final = 20
_DEATH_SECONDS: Final = 5.0

Outcome = SpokenText | SubtitleError | None
"""The worker's last word on a chunk; None where it was dropped as asked."""

_all: weakref.WeakSet[WorkerProcess] = weakref.WeakSet()
_forgotten: list[object] = []


class WorkerLostError(Exception):
    """The process is gone, or is of no use any more.

    Attributes:
        error: The same for the user.
    """

    def __init__(self, error: EngineError) -> None:
        self.error = error
        super().__init__(str(error))


@dataclass
class _Open:
    """A chunk that the worker has not said its last word on, cancelled or not."""

    limit: float
    started: bool = False
    spent: float = 0.0


class WorkerProcess:
    """One running worker.

    Args:
        options: Engine settings; the worker opens the bundle and loads the libraries.
        answered: Called with the worker's last word on a chunk, from a thread of this object.
        ended: Called once, from a thread of this object, when the worker is lost.
        silence_seconds: No sign of life for so long is a hang.

    Raises:
        EngineError: The process cannot be started.
    """

    def __init__(
        self,
        options: EngineOptions,
        *,
        answered: Callable[[WorkerProcess, int, Outcome], None],
        ended: Callable[[WorkerProcess], None],
        silence_seconds: float = SILENCE_SECONDS,
    ) -> None:
        self.peak_memory_bytes = 0
        self.lost: EngineError | None = None
        self._answered = answered
        self._ended = ended
        self._silence_seconds = silence_seconds
        self._ready: Future[EngineInfo] = Future()
        self._open: dict[int, _Open] = {}
        self._lock = threading.Lock()
        self._reason: EngineError | None = None
        self._wake = threading.Event()
        self._max_payload_bytes = 0
        self._words = LastWords()
        self._process = launch()
        self._last_sign = time.monotonic()
        self._kills = MemoryKills(self._process.pid)
        self._outbox: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._pipes = (self._process.stdin, self._process.stdout, self._process.stderr)
        works = (self._deliver, self._take_answers, self._words.listen)
        self._threads = [
            threading.Thread(target=work, args=(pipe,), name="qwen-asr-pipe", daemon=True)
            for work, pipe in zip(works, self._pipes, strict=True)
        ]
        self._watcher = threading.Thread(target=self._watch, name="qwen-asr-watch", daemon=True)
        _all.add(self)
        values = {k: str(v) if isinstance(v, Path) else v for k, v in dataclasses.asdict(options).items()}
        given = {k: v for k, v in values.items() if v is not None}
        self._outbox.put(pack_message({"op": "load", "options": given}))
        try:
            for thread in [*self._threads, self._watcher]:
                thread.start()
        except RuntimeError as error:  # no new threads, for example while the interpreter ends
            self._process.kill()
            raise EngineError(f"The recognition engine cannot be used: {error}.") from error

    @property
    def pid(self) -> int:
        """Number of the process."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self.lost is None and self._process.poll() is None

    def wait_ready(self, cancelled: Callable[[], bool] = lambda: False) -> EngineInfo:
        """Wait until the model is loaded, looking every 100 ms whether that is still wanted; else the process is ended.

        Raises:
            CancelledError: `cancelled` said so.
            ModelError: The bundle cannot be used.
            EngineError: The native part cannot be used.
            WorkerLostError: The process died or hung.
        """
        try:
            while not futures.wait([self._ready], timeout=0.1).done:
                if cancelled():
                    raise CancelledError("Stopped as asked.")
            return self._ready.result()
        except BaseException:
            self.close()
            raise

    def submit(
        self,
        number: int,
        chunk: SpeechChunk,
        *,
        job: int,
        context: str,
        language: str | None,
        align: bool,
        limit: float,
    ) -> None:
        """Send one chunk.

        Args:
            number: Comes back with the answer.
            chunk: What to recognise.
            job: Chunks with the same number are cancelled together.
            context: Names and terms that may occur.
            language: ISO code to force.
            align: Whether the forced aligner has a part in it.
            limit: Seconds that the work may take from its start on; after that the worker counts as hung.

        Raises:
            EngineError: The chunk is far longer than the model takes.
        """
        if chunk.samples.nbytes > self._max_payload_bytes:
            raise EngineError(f"A chunk of {len(chunk.samples) / 16000:.1f} s is longer than this model takes.")
        wishes = {"context": context, "language": language, "align": align}
        message = pack_message({"op": "chunk", "id": number, "job": job, **wishes}, chunk.samples)
        with self._lock:
            self._open[number] = _Open(limit)
        self._outbox.put(message)

    def cancel(self, job: int) -> None:
        """Ask it to end the chunks of one job at their next token."""
        self._outbox.put(pack_message({"op": "cancel", "job": job}))

    def close(self) -> None:
        """End it, first by closing its pipe; safe to call twice."""
        self._outbox.put(None)
        self._watcher.join(timeout=1.0)
        if self._watcher.is_alive():
            self.kill(EngineError("The recognition engine was closed."))
            self._watcher.join(timeout=_DEATH_SECONDS)

    def kill(self, reason: EngineError) -> None:
        """End it now, without waiting until it has ended."""
        with self._lock:
            self._reason = self._reason or reason
        self._process.kill()
        self._wake.set()

    def forget(self) -> None:
        """In a forked process: the worker is the parent's; never touch it, nor keep its pipes open."""
        nothing = os.open(os.devnull, os.O_RDWR)
        for pipe in self._pipes:
            with contextlib.suppress(ValueError, OSError):  # closed
                os.dup2(nothing, pipe.fileno(), inheritable=False)
        os.close(nothing)
        self._process.returncode = 0  # in this process it is nobody's child: not to be waited for
        _forgotten.append(self)

    def _deliver(self, pipe: IO[bytes]) -> None:
        """Write what is in the outbox; closing the pipe is what tells the worker to end."""
        with contextlib.suppress(OSError), pipe:
            while (message := self._outbox.get()) is not None:
                pipe.write(message)
                pipe.flush()

    def _take_answers(self, pipe: IO[bytes]) -> None:
        try:
            with pipe:
                while message := read_message(pipe, ANSWERS):
                    self._last_sign = time.monotonic()
                    self._take(message[0])
        except (WireError, TypeError, ValueError, ArithmeticError) as error:
            self.kill(
                EngineProtocolError(
                    f"The recognition engine's process sent something that is no message: {error}."
                    f"{self._words.quoted()}",
                    hint="A library may have written where it should not; libllama=NAME tries another one.",
                )
            )
        finally:
            self._wake.set()

    def _take(self, header: dict[str, Any]) -> None:
        operation = header["op"]
        self.peak_memory_bytes = max(self.peak_memory_bytes, header.get("peak", 0))
        if operation == "alive":
            return
        if operation in {"ready", "failed"}:
            if self._ready.done():
                raise WireError("the model was loaded twice")
            if operation == "failed":
                self._ready.set_exception(self._reported(header["error"]))
                return
            info = EngineInfo.of(header["info"])
            self._max_payload_bytes = longest_payload(info.max_chunk_seconds)
            self._ready.set_result(info)
            return
        number = header["id"]
        with self._lock:
            if number not in self._open:
                raise WireError(f"{operation}: there is no chunk {number}")
            if operation == "started":
                self._open[number] = _Open(self._open[number].limit, started=True)
                return
            del self._open[number]
        outcome: Outcome = None
        if operation == "error":
            outcome = self._reported(header["error"])
        elif operation == "result":
            outcome = SpokenText(
                language=header["language"],
                text=header["text"],
                aligned=_aligned_units(header["aligned"]),
                times=WorkTimes(**header["times"]),
                context_cut=header["context_cut"],
            )
        self._answered(self, number, outcome)

    def _reported(self, message: dict[str, Any]) -> SubtitleError:
        error = from_message(message)
        if isinstance(error, EngineError):
            error.log_lines = self._words.lines()
        return error

    def _watch(self) -> None:
        self._watch_life()
        try:
            self._process.wait(timeout=_DEATH_SECONDS if self._reason else 2.0)
        except subprocess.TimeoutExpired:
            self.kill(EngineProtocolError("The recognition engine's process has closed its pipe, but does not end."))
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=_DEATH_SECONDS)
        self._outbox.put(None)
        for thread in self._threads:  # what it said last; not for ever, a child of its own may hold the pipes open
            thread.join(timeout=1.0)
        error = self._reason or explain(
            self._process.returncode, self._words, kernel_killed_for_memory=self._kills.grew()
        )
        error.log_lines = self._words.lines()
        self.lost = error
        with contextlib.suppress(futures.InvalidStateError):  # it was ready before
            self._ready.set_exception(WorkerLostError(error))
        self._ended(self)
        self._process.wait()  # the kernel may need longer to end what hangs in a driver

    def _watch_life(self) -> None:
        """Return when the process has ended, is being ended, or has closed the pipe of its answers."""
        look, looks, loading = time.monotonic(), 0, 0.0
        used = self._cpu_seconds()
        while not self._wake.wait(min(_LOOK_SECONDS, self._silence_seconds / 4)) and self._process.poll() is None:
            now = time.monotonic()
            passed, look, looks = now - look, now, looks + 1
            if passed > _ABSENT_SECONDS:
                self._last_sign = now
                continue
            if looks % _LOOKS_PER_MEMORY_SAMPLE == 0:
                self._kills.refresh()
            silent = now - self._last_sign
            if silent > self._silence_seconds / 4:
                # Native code may hold Python's lock for long while a model loads, which silences the worker's beat.
                before, used = used, self._cpu_seconds()
                if used > before:
                    self._last_sign = now
                elif silent > self._silence_seconds:
                    return self.kill(self._hung(f"gave no sign of life for {silent:.0f} s"))
            if not self._ready.done():
                loading += passed
                if loading > _LOAD_SECONDS:
                    return self.kill(self._hung(f"had not loaded the model after {loading:.0f} s"))
            with self._lock:
                overdue = self._overdue(passed)
            if overdue:
                return self.kill(self._hung(f"had no result for a chunk after {overdue:.0f} s"))
        return None

    def _overdue(self, passed: float) -> float:
        """Add to the time that chunks have taken; return that of one that takes too long, or 0.

        One that waits for its turn has time while others are worked on.
        """
        started = [chunk for chunk in self._open.values() if chunk.started]
        for chunk in started or self._open.values():
            chunk.spent += passed
            if chunk.spent > chunk.limit:
                return chunk.spent
        return 0.0

    def _cpu_seconds(self) -> float:
        with contextlib.suppress(psutil.Error):
            times = psutil.Process(self._process.pid).cpu_times()
            return float(times.user + times.system)
        return 0.0

    def _hung(self, how: str) -> EngineTimeoutError:
        return EngineTimeoutError(
            f"The recognition engine's process {how}, and was ended.{self._words.quoted()}",
            hint="Use fewer lanes or a smaller model, or raise timeout_factor on a very slow machine.",
        )


def _forget_all() -> None:
    for worker in list(_all):
        worker.forget()
    _all.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)


def _aligned_units(message: list[Any] | None) -> tuple[AlignedUnit, ...] | None:
    if message is None:
        return None
    try:
        return tuple(AlignedUnit(begin=b, end=e, start_ms=s, stop_ms=t) for b, e, s, t in message)
    except (TypeError, ValueError):
        raise WireError("result: aligned is no list of units") from None
