# SPDX-License-Identifier: Apache-2.0
"""The engine as the backend sees it: chunks in, recognitions out, in a worker process or in this one."""

from __future__ import annotations

import atexit
import contextlib
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent import futures
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol

from qwen_asr_plugin.audio import SpeechChunk
from qwen_asr_plugin.options import EngineOptions
from subtitle_hooks import CancelledError

from .info import EngineInfo, describe_model
from .lanes import LanePool, in_order
from .recognition import Recognition
from .recognizer import SpokenText, load_model
from .supervisor import ProcessEngine

__all__ = ["Engine", "EngineInfo", "shared_engine", "shut_down"]


class Engine(Protocol):
    """One loaded model."""

    info: EngineInfo

    @property
    def alive(self) -> bool:
        """Whether it can take more work."""

    @property
    def peak_memory_bytes(self) -> int:
        """Peak memory of the processes that hold the model, without the host's."""

    def wait_loaded(self, cancelled: Callable[[], bool] = lambda: False) -> None:
        """Load the model, or wait while another thread does; noticing a cancel takes 100 ms.

        Raises:
            CancelledError: `cancelled` said so.
            ModelError: The bundle cannot be used.
            EngineError: The native part cannot be used.
        """

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
        """Recognise the chunks of one media file, in order; asks for a chunk only when there is room for it.

        Args:
            chunks: What to recognise; None is no chunk yet, and a moment to yield what is done.
            context: Names and terms that may occur.
            language: ISO code to force.
            aligning: Asked for every chunk: whether the forced aligner, where there is one, has a part in it.
            cancelled: Asked every 100 ms while there is nothing to yield.
            on_restart: Told in a sentence that the native part was lost and the work goes on in a new one. Called
                in the thread that iterates.

        Raises:
            CancelledError: `cancelled` said so.
            EngineCrashedError: Workers died three times in a row at the same place.
            EngineTimeoutError: They hung three times in a row.
            EngineProtocolError: They talked nonsense three times in a row.
            EngineMemoryError: Memory ran out twice in a row.
            EngineError: The native part failed.
        """

    def close(self) -> None:
        """Free everything; safe to call twice."""


class _InlineEngine:
    alive = True
    peak_memory_bytes = 0
    info: EngineInfo

    def __init__(self, options: EngineOptions) -> None:
        self._options = options
        self._loading = threading.Lock()
        self._pool: LanePool | None = None

    def wait_loaded(self, cancelled: Callable[[], bool] = lambda: False) -> None:
        while not self._loading.acquire(timeout=0.1):
            if cancelled():
                raise CancelledError("Stopped as asked.")
        try:
            if self._pool is None:
                model = load_model(self._options)
                self.info = EngineInfo.of(describe_model(model))
                self._pool = LanePool(model)
        finally:
            self._loading.release()

    def recognize(
        self,
        chunks: Iterable[SpeechChunk | None],
        *,
        context: str = "",
        language: str | None = None,
        aligning: Callable[[], bool] = lambda: True,
        cancelled: Callable[[], bool] = lambda: False,
        on_restart: Callable[[str], None] = lambda _: None,  # noqa: ARG002 - here a crash ends the host, too
    ) -> Iterator[Recognition]:
        ended = threading.Event()
        pool = self._pool
        assert pool is not None

        def stop() -> bool:
            return ended.is_set() or cancelled()

        def submit(chunk: SpeechChunk) -> Future[SpokenText]:
            return pool.submit(chunk.samples, context=context, language=language, align=aligning(), cancelled=stop)

        def wait(_: SpeechChunk, future: Future[SpokenText]) -> SpokenText:
            while not futures.wait([future], timeout=0.1).done:
                if cancelled():
                    raise CancelledError("Stopped as asked.")
            try:
                return future.result()
            except futures.CancelledError:
                raise CancelledError("Stopped as asked.") from None

        try:
            yield from in_order(chunks, submit, wait, ahead=self.info.lanes + 1)
        finally:
            ended.set()

    def close(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.close()


@dataclass
class _Kept:
    """An engine that is warm, and what will end it when nobody uses it."""

    engine: Engine
    users: int = 0
    timer: threading.Timer | None = None

    def close(self) -> None:
        """End the engine and the thread that waits for its time to be over."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer.join()
        self.engine.close()


class _Registry:
    """The engines of this process, one for each set of options."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Know of none; in a forked process all are the parent's."""
        self._lock = threading.Lock()  # never held while a model loads or a worker ends
        self._kept: dict[EngineOptions, _Kept] = {}
        self._latest: EngineOptions | None = None

    @contextlib.contextmanager
    def lend(self, options: EngineOptions, cancelled: Callable[[], bool]) -> Iterator[Engine]:
        """See `shared_engine`."""
        with self._lock:
            self._latest = options
            kept = self._kept.get(options)
            if kept is None:
                engine: Engine = _InlineEngine(options) if options.isolation == "inline" else ProcessEngine(options)
                kept = self._kept[options] = _Kept(engine)
            kept.users += 1
            if kept.timer is not None:
                kept.timer.cancel()
        try:
            self.close_unused()  # before loading: two models may be more than there is memory for
            kept.engine.wait_loaded(cancelled)
            yield kept.engine
        finally:
            with self._lock:
                kept.users -= 1
                if not kept.users and options.idle_seconds:
                    self._end_later(options, kept)
            self.close_unused()

    def _end_later(self, options: EngineOptions, kept: _Kept) -> None:
        """With the lock held: close an engine that nobody uses, unless somebody does before its time is over."""

        def end() -> None:
            with self._lock:
                idle = kept.timer is timer and not kept.users and self._kept.get(options) is kept
                if idle:
                    del self._kept[options]
            if idle:
                kept.engine.close()

        timer = threading.Timer(options.idle_seconds, end)
        timer.daemon = True
        with contextlib.suppress(RuntimeError):  # no new threads: the interpreter is about to end
            timer.start()
            kept.timer = timer

    def close_unused(self, *, latest_too: bool = False) -> None:
        """Close the engines that nobody uses."""
        with self._lock:
            closing = [
                options
                for options, kept in self._kept.items()
                if not kept.users and (latest_too or options != self._latest)
            ]
            unused = [self._kept.pop(options) for options in closing]
        for kept in unused:
            kept.close()

    def end(self) -> None:
        """Close the engines of an interpreter that ends; threads that still use one get an error."""
        self.close_unused(latest_too=True)
        with self._lock:
            left = [kept.engine for kept in self._kept.values() if isinstance(kept.engine, ProcessEngine)]
        for engine in left:
            engine.close()


_registry = _Registry()
atexit.register(_registry.end)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_registry.forget)


@contextlib.contextmanager
def shared_engine(options: EngineOptions, cancelled: Callable[[], bool] = lambda: False) -> Iterator[Engine]:
    """Lend the warm engine for these options, loading the model on first use.

    The one asked for last stays warm for `EngineOptions.idle_seconds`; one with other options is closed as soon as
    nobody uses it. Threads share it, and while one loads a model, others that want the same wait for it and those that
    want another load theirs.

    Raises:
        CancelledError: `cancelled` said so while the model was loading.
        ModelError: The bundle cannot be used.
        EngineError: The native part cannot be used.
    """
    with _registry.lend(options, cancelled) as engine:
        yield engine


def shut_down() -> None:
    """End every engine nobody uses; the next use starts it again."""
    _registry.close_unused(latest_too=True)
