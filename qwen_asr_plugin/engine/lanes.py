# SPDX-License-Identifier: Apache-2.0
"""Several chunks at once on shared weights, results in the order of the chunks."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from qwen_asr_plugin.audio import SpeechChunk

from .recognition import Recognition
from .recognizer import LoadedModel, Recognizer, SpokenText

__all__ = ["LanePool", "in_order"]

_Result = TypeVar("_Result")


class LanePool:
    """Threads that each hold one recognizer; ctypes and onnxruntime let go of the interpreter lock while they work."""

    def __init__(self, model: LoadedModel) -> None:
        self._model = model
        self._free: queue.SimpleQueue[Recognizer] = queue.SimpleQueue()
        self._spare_threads = model.spare_threads()
        self._recognizers = [model.recognizer(self._spare_threads) for _ in range(model.lanes)]
        for recognizer in self._recognizers:
            self._free.put(recognizer)
        self._threads = ThreadPoolExecutor(model.lanes, thread_name_prefix="qwen-asr-lane")

    def submit(
        self,
        samples: npt.NDArray[np.float32],
        *,
        context: str,
        language: str | None,
        align: bool,
        cancelled: Callable[[], bool],
        started: Callable[[], None] = lambda: None,
    ) -> Future[SpokenText]:
        """Queue one chunk; the future is as good as cancelled where `cancelled` says so before its turn comes."""

        def work() -> SpokenText:
            if cancelled():
                raise CancelledError
            started()
            recognizer = self._free.get()
            try:
                return _in_a_new_thread(
                    lambda: recognizer.recognize(
                        samples, context=context, language=language, align=align, cancelled=cancelled
                    )
                )
            finally:
                self._free.put(recognizer)

        self._spare_threads.begin()
        try:
            future = self._threads.submit(work)
        except BaseException:
            self._spare_threads.end()
            raise
        future.add_done_callback(lambda _: self._spare_threads.end())
        return future

    def close(self) -> None:
        """Finish what is running, drop what is queued, free the KV caches and the weights."""
        self._threads.shutdown(wait=True, cancel_futures=True)
        for recognizer in self._recognizers:
            recognizer.close()
        self._model.close()


def _in_a_new_thread(work: Callable[[], _Result]) -> _Result:
    """Return what `work` returns.

    OpenMP keeps the helpers of every thread that ever borrowed some until that thread ends. Where they are more than
    the cores, all of them go to sleep at once when they wait, and a step takes half as long again.
    """
    done: Future[_Result] = Future()

    def run() -> None:
        try:
            done.set_result(work())
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            done.set_exception(error)

    thread = threading.Thread(target=run, name="qwen-asr-chunk", daemon=True)
    thread.start()
    thread.join()
    return done.result()


def in_order(
    chunks: Iterable[SpeechChunk | None],
    submit: Callable[[SpeechChunk], Future[SpokenText]],
    wait: Callable[[SpeechChunk, Future[SpokenText]], SpokenText],
    *,
    ahead: int,
) -> Iterator[Recognition]:
    """Keep at most `ahead` chunks submitted and yield their recognitions in order.

    What bounds memory: a chunk is only asked for when there is a place for it. None among them is no chunk yet.
    """
    pending: deque[tuple[SpeechChunk, Future[SpokenText]]] = deque()

    def oldest() -> Recognition:
        chunk, future = pending[0]
        spoken = wait(chunk, future)
        pending.popleft()
        return Recognition(
            index=chunk.index,
            start_ms=chunk.start_ms,
            end_ms=chunk.end_ms,
            spans=chunk.spans,
            text=spoken.text,
            language=spoken.language,
            aligned=spoken.aligned,
            times=spoken.times,
            context_cut=spoken.context_cut,
        )

    try:
        for chunk in chunks:
            if chunk is not None:
                pending.append((chunk, submit(chunk)))
            while len(pending) >= ahead or (pending and pending[0][1].done()):
                yield oldest()
        while pending:
            yield oldest()
    finally:
        for _, future in pending:
            future.cancel()
