# SPDX-License-Identifier: Apache-2.0
"""The worker process: everything native happens here, so that a crash is one failed file and not the host's end.

Started by `engine.process`; reads messages from standard input, answers on what was standard output. Whatever native
code prints goes to standard error, which the host keeps for the error message.
"""

from __future__ import annotations

import os
import sys
import threading
from concurrent.futures import CancelledError, Future
from typing import Any, BinaryIO

from qwen_asr_plugin.errors import to_message
from qwen_asr_plugin.options import parse_options

from .lanes import LanePool
from .memory import peak_memory_bytes
from .recognizer import LoadedModel, SpokenText, load_model
from .wire import read_message, write_message

__all__ = ["describe_model", "main"]


def describe_model(model: LoadedModel) -> dict[str, Any]:
    """Return what the host's side wants to know of a loaded model; JSON types only."""
    return {
        "model": model.bundle.name,
        "languages": list(model.bundle.languages),
        "max_chunk_seconds": model.bundle.max_chunk_seconds,
        "precision": model.bundle.precision,
        "quant": model.bundle.quant,
        "library": model.library,
        "onnx_provider": model.encoder.provider,
        "lanes": model.lanes,
        "threads_per_lane": model.threads_per_lane,
        "load_seconds": model.load_seconds,
    }


class _Worker:
    def __init__(self, requests: BinaryIO, answers: BinaryIO) -> None:
        self._requests = requests
        self._answers = answers
        self._writing = threading.Lock()
        self._cancelled: set[int] = set()
        self._ending = False

    def run(self) -> None:
        """Serve until the host closes the pipe."""
        first = read_message(self._requests)
        if first is None:
            return
        try:
            model = load_model(parse_options(first[0]["options"]))
            pool = LanePool(model)
        except Exception as error:  # noqa: BLE001 - reported to the host, whatever it is
            self._answer({"op": "failed", "error": to_message(error)})
            return
        self._answer({"op": "ready", "info": describe_model(model), "peak": peak_memory_bytes()})
        while (message := read_message(self._requests)) is not None:
            header, samples = message
            if header["op"] == "cancel":
                self._cancelled.add(header["job"])
            else:
                self._start(pool, header, samples)
        self._ending = True
        pool.close()

    def _start(self, pool: LanePool, header: dict[str, Any], samples: Any) -> None:
        job, number = header["job"], header["id"]

        def done(future: Future[SpokenText]) -> None:
            try:
                spoken = future.result()
            except CancelledError:
                return
            except Exception as error:  # noqa: BLE001 - reported to the host, whatever it is
                self._answer({"op": "error", "id": number, "error": to_message(error)})
                return
            self._answer(
                {
                    "op": "result",
                    "id": number,
                    "text": spoken.text,
                    "language": spoken.language,
                    "times": vars(spoken.times),
                    "context_cut": spoken.context_cut,
                    "peak": peak_memory_bytes(),
                }
            )

        pool.submit(
            samples,
            context=header["context"],
            language=header["language"],
            cancelled=lambda: self._ending or job in self._cancelled,
        ).add_done_callback(done)

    def _answer(self, header: dict[str, Any]) -> None:
        with self._writing:
            try:
                write_message(self._answers, header)
            except OSError:  # the host is gone, and the read loop is about to notice
                return


def main() -> None:
    """Run the worker on this process's standard streams."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    if sys.platform == "win32":
        import msvcrt

        msvcrt.setmode(0, os.O_BINARY)
        msvcrt.setmode(answers.fileno(), os.O_BINARY)
    _Worker(sys.stdin.buffer, answers).run()


if __name__ == "__main__":
    main()
