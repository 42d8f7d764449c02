# SPDX-License-Identifier: Apache-2.0
"""The host's side of `contender_worker`: a configuration in a process of its own, which may crash or hang."""

from __future__ import annotations

import contextlib
import dataclasses
import queue
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from qwen_asr_plugin.errors import EngineError, EngineProtocolError, EngineTimeoutError, from_message
from qwen_asr_plugin.options import EngineOptions
from subtitle_hooks import CancelledError

from .causes import LastWords, MemoryKills, explain
from .contender_worker import ANSWERS
from .launcher import launch
from .recognition import WorkTimes
from .wire import WireError, pack_message, read_message

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Contender", "Measurement"]

_MODULE: Final = "qwen_asr_plugin.engine.contender_worker"
_END_SECONDS: Final = 5.0


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What all lanes together took for one chunk each.

    Attributes:
        seconds: Wall-clock time.
        times: Seconds and counts of the stages, lanes added up.
        peak_memory_bytes: Peak memory of the process until then.
    """

    seconds: float
    times: WorkTimes
    peak_memory_bytes: int


class Contender:
    """A process with a loaded model. A context manager: it ends with the block.

    Args:
        options: What to load.
        deadline: When the process has to be done, on the clock of `time.monotonic`.
        cancelled: Asked every 100 ms.

    Raises:
        EngineError: It cannot be started.
    """

    def __init__(
        self, options: EngineOptions, *, deadline: float, cancelled: Callable[[], bool] = lambda: False
    ) -> None:
        self._options = options
        self._deadline = deadline
        self._cancelled = cancelled
        self._answers: queue.SimpleQueue[dict[str, Any] | EngineError | None] = queue.SimpleQueue()
        self._words = LastWords()
        self._process = launch(_MODULE)
        self._kills = MemoryKills(self._process.pid)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._requests = self._process.stdin
        self._threads = [
            threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True),
            threading.Thread(target=self._words.listen, args=(self._process.stderr,), daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        with contextlib.suppress(OSError):
            self._requests.close()
        for thread in self._threads:
            thread.join(timeout=_END_SECONDS)

    def load(self) -> tuple[str, float]:
        """Load the model; return the library's provider and version, and the longest chunk in seconds.

        Raises:
            EngineError: As `recognizer.load_model` and `measure`.
            CancelledError: `cancelled` said so.
        """
        values = {k: str(v) if isinstance(v, Path) else v for k, v in dataclasses.asdict(self._options).items()}
        given = {name: value for name, value in values.items() if value is not None}
        answer = self._ask({"op": "load", "options": given}, "ready")
        return answer["library"], answer["max_chunk_seconds"]

    def measure(self, *, audio_seconds: float, tokens: int) -> Measurement:
        """Let every lane recognise a chunk of so many seconds into so many tokens.

        Raises:
            EngineCrashedError: The process died.
            EngineTimeoutError: The deadline has passed.
            EngineError: The native part failed.
            CancelledError: `cancelled` said so.
        """
        answer = self._ask({"op": "measure", "audio_seconds": float(audio_seconds), "tokens": tokens}, "measured")
        return Measurement(
            seconds=answer["seconds"], times=WorkTimes(**answer["times"]), peak_memory_bytes=answer["peak"]
        )

    def _ask(self, request: dict[str, Any], expected: str) -> dict[str, Any]:
        with contextlib.suppress(OSError):  # it has died, which the end of its answers tells
            self._requests.write(pack_message(request))
            self._requests.flush()
        while True:
            with contextlib.suppress(queue.Empty):
                answer = self._answers.get(timeout=0.1)
                break
            if self._cancelled():
                raise CancelledError("Stopped as asked.")
            if time.monotonic() > self._deadline:
                raise EngineTimeoutError("It took too long.")
        if answer is None:
            raise self._ended()
        if isinstance(answer, EngineError):
            raise answer
        if answer["op"] == "failed":
            raise from_message(answer["error"])
        if answer["op"] != expected:
            raise EngineProtocolError(f"{answer['op']} came where {expected} was expected.")
        return answer

    def _read(self, pipe: IO[bytes]) -> None:
        last: EngineError | None = None
        with pipe:
            try:
                while message := read_message(pipe, ANSWERS):
                    self._answers.put(message[0])
            except (WireError, OSError) as error:
                last = EngineProtocolError(f"The process sent something that is no message: {error}.")
        self._answers.put(last)

    def _ended(self) -> EngineError:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=_END_SECONDS)
        self._threads[1].join(timeout=1.0)
        return explain(self._process.returncode, self._words, kernel_killed_for_memory=self._kills.grew())
