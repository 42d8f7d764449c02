# SPDX-License-Identifier: Apache-2.0
"""The engine as the backend sees it: chunks in, recognitions out, in a worker process or in this one."""

from __future__ import annotations

import atexit
import contextlib
import itertools
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent import futures
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Final, Protocol

from qwen_asr_plugin.audio import SpeechChunk
from qwen_asr_plugin.options import EngineOptions
from subtitle_hooks import CancelledError

from .lanes import LanePool, in_order
from .process import WorkerProcess
from .recognition import Recognition
from .recognizer import SpokenText, load_model
from .worker import describe_model

__all__ = ["Engine", "EngineInfo", "shared_engine", "shut_down"]

_SPARE_SECONDS: Final = 60.0
_jobs = itertools.count()


@dataclass(frozen=True, kw_only=True)
class EngineInfo:
    """What was loaded.

    Attributes:
        model: Name of the bundle.
        languages: ISO codes the bundle recognises.
        max_chunk_seconds: Longest chunk it takes.
        precision: Encoder precision.
        quant: Decoder quantisation.
        library: libllama's provider and version.
        onnx_provider: Execution provider the encoder runs on.
        lanes: Chunks recognised at the same time.
        threads_per_lane: Threads each of them uses.
        load_seconds: Time to open and load everything.
    """

    model: str
    languages: tuple[str, ...]
    max_chunk_seconds: float
    precision: str
    quant: str
    library: str
    onnx_provider: str
    lanes: int
    threads_per_lane: int
    load_seconds: float


class Engine(Protocol):
    """One loaded model."""

    info: EngineInfo

    @property
    def alive(self) -> bool:
        """Whether it can take more work."""

    @property
    def peak_memory_bytes(self) -> int:
        """Peak memory of the processes that hold the model, without the host's."""

    def recognize(
        self,
        chunks: Iterable[SpeechChunk],
        *,
        context: str = "",
        language: str | None = None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> Iterator[Recognition]:
        """Recognise the chunks of one media file, in order; asks for a chunk only when there is room for it.

        Raises:
            CancelledError: `cancelled` said so; noticed within 100 ms.
            EngineError: The native part failed.
        """

    def close(self) -> None:
        """Free everything; safe to call twice."""


class _ProcessEngine:
    def __init__(self, options: EngineOptions, cancelled: Callable[[], bool]) -> None:
        self._worker = WorkerProcess(options, cancelled)
        self._timeout_factor = options.timeout_factor
        self.info = _info(self._worker.info)

    @property
    def alive(self) -> bool:
        return self._worker.alive

    @property
    def peak_memory_bytes(self) -> int:
        return self._worker.peak_memory_bytes

    def recognize(
        self,
        chunks: Iterable[SpeechChunk],
        *,
        context: str = "",
        language: str | None = None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> Iterator[Recognition]:
        job = next(_jobs)

        def submit(chunk: SpeechChunk) -> Future[SpokenText]:
            return self._worker.submit(chunk, job=job, context=context, language=language)

        def wait(chunk: SpeechChunk, future: Future[SpokenText]) -> SpokenText:
            limit = _SPARE_SECONDS + self._timeout_factor * (chunk.end_ms - chunk.start_ms) / 1000
            spoken = self._worker.wait(future, limit, cancelled, "recognising speech")
            assert isinstance(spoken, SpokenText)
            return spoken

        try:
            yield from in_order(chunks, submit, wait, ahead=self.info.lanes + 1)
        finally:
            self._worker.cancel(job)

    def close(self) -> None:
        self._worker.close()


class _InlineEngine:
    alive = True
    peak_memory_bytes = 0

    def __init__(self, options: EngineOptions) -> None:
        model = load_model(options)
        self._pool = LanePool(model)
        self.info = _info(describe_model(model))

    def recognize(
        self,
        chunks: Iterable[SpeechChunk],
        *,
        context: str = "",
        language: str | None = None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> Iterator[Recognition]:
        ended = threading.Event()

        def stop() -> bool:
            return ended.is_set() or cancelled()

        def submit(chunk: SpeechChunk) -> Future[SpokenText]:
            return self._pool.submit(chunk.samples, context=context, language=language, cancelled=stop)

        def wait(_: SpeechChunk, future: Future[SpokenText]) -> SpokenText:
            while not futures.wait([future], timeout=0.1).done:
                if cancelled():
                    raise CancelledError("Stopped as asked.")
            return future.result()

        try:
            yield from in_order(chunks, submit, wait, ahead=self.info.lanes + 1)
        finally:
            ended.set()

    def close(self) -> None:
        self._pool.close()


def _info(values: dict[str, Any]) -> EngineInfo:
    return EngineInfo(**{**values, "languages": tuple(values["languages"])})


@dataclass
class _Kept:
    engine: Engine
    users: int = 0


_kept: dict[EngineOptions, _Kept] = {}
_kept_lock = threading.Lock()


@contextlib.contextmanager
def shared_engine(options: EngineOptions, cancelled: Callable[[], bool] = lambda: False) -> Iterator[Engine]:
    """Lend the warm engine for these options, starting it on first use and after a crash.

    The last one used stays warm; one with other options is closed as soon as nobody uses it. Threads share it.

    Raises:
        ModelError: The bundle cannot be used.
        EngineError: The native part cannot be used.
    """
    with _kept_lock:
        kept = _kept.get(options)
        if kept is not None and not kept.engine.alive:
            kept = None
        if kept is None:
            _close_unused(except_for=None)
            engine: Engine = (
                _InlineEngine(options) if options.isolation == "inline" else _ProcessEngine(options, cancelled)
            )
            kept = _kept[options] = _Kept(engine)
        kept.users += 1
        _close_unused(except_for=options)
    try:
        yield kept.engine
    finally:
        with _kept_lock:
            kept.users -= 1


def _close_unused(except_for: EngineOptions | None) -> None:
    for options, kept in list(_kept.items()):
        if options != except_for and kept.users == 0:
            del _kept[options]
            kept.engine.close()


def shut_down() -> None:
    """End every engine nobody uses; the next use starts it again."""
    with _kept_lock:
        _close_unused(except_for=None)


atexit.register(shut_down)
