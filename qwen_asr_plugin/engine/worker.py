# SPDX-License-Identifier: Apache-2.0
"""The worker process: everything native happens here, so that a crash is one chunk done again and not the host's end.

Started by `engine.launcher`; reads requests from what was standard input, answers on what was standard output. Its main
thread does nothing but read, so that it notices at once when the host has gone, whatever native code is busy with.
Whatever native code prints goes to standard error, of which the host keeps the last lines.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import sys
import threading
import time
from concurrent.futures import CancelledError, Future
from dataclasses import astuple, dataclass
from typing import IO, Any, Final, NoReturn

import numpy as np
import numpy.typing as npt

from qwen_asr_plugin.errors import to_message
from qwen_asr_plugin.options import parse_options

from .causes import EXIT_PROTOCOL, LIBRARY_PREFIX
from .info import describe_model
from .lanes import LanePool
from .memory import peak_memory_bytes
from .priority import let_others_go_first
from .recognizer import SpokenText, load_model
from .wire import REQUESTS, WireError, longest_payload, pack_message, read_message

__all__ = ["main"]

_BEAT_SECONDS: Final = 1.0
_LIBRARY_LOGGER: Final = "qwen_asr_native.libllama"


@dataclass
class _Job:
    """One media file of the host, for as long as it has chunks here."""

    open_chunks: int = 0
    cancelled: bool = False


class _Worker:
    def __init__(self, requests: IO[bytes], answers: IO[bytes]) -> None:
        self._requests = requests
        self._answers = answers
        self._writing = threading.Lock()
        self._jobs: dict[int, _Job] = {}
        self._jobs_lock = threading.Lock()
        self._pool: LanePool | None = None
        self._max_payload_bytes = 0

    def run(self) -> NoReturn:
        """Serve until the host closes the pipe; then end at once, in the middle of native code, too."""
        threading.Thread(target=self._beat, daemon=True).start()
        try:
            while message := read_message(self._requests, REQUESTS, max_payload_bytes=lambda: self._max_payload_bytes):
                self._take(*message)
        except WireError as error:
            print(f"the worker process cannot understand its host: {error}", file=sys.stderr, flush=True)
            os._exit(EXIT_PROTOCOL)
        os._exit(0)

    def _beat(self) -> None:
        while True:
            self._answer({"op": "alive", "peak": peak_memory_bytes()})
            time.sleep(_BEAT_SECONDS)

    def _take(self, header: dict[str, Any], samples: npt.NDArray[np.float32]) -> None:
        if header["op"] == "load":
            if header["options"].get("nice"):
                let_others_go_first()
            threading.Thread(target=self._load, args=(header["options"],), daemon=True).start()
        elif header["op"] == "cancel":
            with self._jobs_lock:
                if job := self._jobs.get(header["job"]):
                    job.cancelled = True
        elif self._pool is None:
            raise WireError("a chunk came before the model was loaded")
        else:
            self._start(self._pool, header, samples)

    def _load(self, options: dict[str, Any]) -> None:
        try:
            model = load_model(parse_options(options))
            self._max_payload_bytes = longest_payload(model.max_chunk_seconds)
            self._pool = LanePool(model)
            # From here on the lines of every new context would push what matters out of the host's memory.
            logging.getLogger(_LIBRARY_LOGGER).setLevel(logging.INFO)
            ready = {"op": "ready", "info": describe_model(model), "peak": peak_memory_bytes()}
        except Exception as error:  # noqa: BLE001 - reported to the host, whatever it is
            self._answer({"op": "failed", "error": to_message(error)})
        else:
            self._answer(ready)

    def _start(self, pool: LanePool, header: dict[str, Any], samples: npt.NDArray[np.float32]) -> None:
        number, job_number = header["id"], header["job"]
        with self._jobs_lock:
            job = self._jobs.setdefault(job_number, _Job())
            job.open_chunks += 1

        def done(future: Future[SpokenText]) -> None:
            with self._jobs_lock:
                job.open_chunks -= 1
                if not job.open_chunks:
                    del self._jobs[job_number]
            self._answer(_last_word(number, future, dropped=job.cancelled))

        pool.submit(
            samples,
            context=header["context"],
            language=header["language"],
            align=header["align"],
            cancelled=lambda: job.cancelled,
            started=lambda: self._answer({"op": "started", "id": number}),
        ).add_done_callback(done)

    def _answer(self, header: dict[str, Any]) -> None:
        message = pack_message(header)
        with self._writing:
            try:
                self._answers.write(message)
                self._answers.flush()
            except OSError:  # the host is gone
                os._exit(0)


def _last_word(number: int, future: Future[SpokenText], *, dropped: bool) -> dict[str, Any]:
    try:
        spoken = future.result()
    except CancelledError:
        dropped = True
    except Exception as error:  # noqa: BLE001 - reported to the host, whatever it is
        return {"op": "error", "id": number, "error": to_message(error)}
    if dropped:
        return {"op": "dropped", "id": number}
    return {
        "op": "result",
        "id": number,
        "text": spoken.text,
        "language": spoken.language,
        "times": vars(spoken.times),
        "context_cut": spoken.context_cut,
        "aligned": None if spoken.aligned is None else [astuple(unit) for unit in spoken.aligned],
        "peak": peak_memory_bytes(),
    }


class _LibraryLog(logging.Handler):
    """Writes libllama's log line by line to standard error, past all buffers: the next line may be the last."""

    def emit(self, record: logging.LogRecord) -> None:
        os.write(2, f"{LIBRARY_PREFIX}{record.getMessage()}\n".encode(errors="replace"))


def _keep_log() -> None:
    # Not all threads: the host keeps only so many lines, and those before a crash say more than idle threads.
    faulthandler.enable(all_threads=False)
    # Else ggml starts a debugger where it finds one, which holds the pipes open and drowns the assertion in addresses.
    os.environ.setdefault("GGML_NO_BACKTRACE", "1")
    logger = logging.getLogger(_LIBRARY_LOGGER)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    logger.addHandler(_LibraryLog())


def main() -> None:
    """Run the worker on this process's standard streams."""
    # Copies that no child process inherits; in their place stand streams that a library may use as it likes.
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    if sys.platform == "win32":
        import msvcrt

        msvcrt.setmode(requests.fileno(), os.O_BINARY)
        msvcrt.setmode(answers.fileno(), os.O_BINARY)
    _keep_log()
    _Worker(requests, answers).run()


if __name__ == "__main__":
    main()
