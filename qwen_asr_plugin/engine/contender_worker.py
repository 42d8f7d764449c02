# SPDX-License-Identifier: Apache-2.0
"""The process that measures one configuration: loads the model as the worker does, then does the same work repeatedly.

The work is fixed, so that neither the text nor the retry ladder matters: every lane takes a chunk of noise through the
encoder and the prompt, and then generates so many tokens, whatever they are.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import IO, Any, Final, NoReturn

import numpy as np
import numpy.typing as npt

from qwen_asr_plugin.errors import to_message
from qwen_asr_plugin.options import parse_options

from .memory import peak_memory_bytes
from .prompt import SpecialTokens, build_prompt
from .recognition import WorkTimes
from .recognizer import LoadedModel, load_model
from .wire import Operations, pack_message, read_message

__all__ = ["ANSWERS", "REQUESTS", "main"]

REQUESTS: Final[Operations] = {"load": {"options": (dict,)}, "measure": {"audio_seconds": (float,), "tokens": (int,)}}
ANSWERS: Final[Operations] = {
    "ready": {"library": (str,), "max_chunk_seconds": (float,)},
    "measured": {"seconds": (float,), "times": (dict,), "peak": (int,)},
    "failed": {"error": (dict,)},
}


class _Lane:
    def __init__(self, model: LoadedModel) -> None:
        self._encoder = model.encoder
        self._slots = model.slots()
        self._prompt = build_prompt(model.decoder, SpecialTokens.of(model.decoder))

    def work(self, samples: npt.NDArray[np.float32], tokens: int) -> WorkTimes:
        """Do the work of one chunk with a fixed number of tokens."""
        started = time.perf_counter()
        rows = self._encoder.encode(samples)
        encoded = time.perf_counter()
        positions = len(self._prompt) + len(rows)
        times: list[float] = []

        def answer(logits: npt.NDArray[np.float32]) -> int | None:
            times.append(time.perf_counter())
            return int(np.argmax(logits)) if len(times) <= tokens else None

        with self._slots.take(positions + tokens) as slot:
            slot.generate(self._prompt, rows, answer)
        return WorkTimes(
            encoder_seconds=encoded - started,
            prefill_seconds=times[0] - encoded,
            generation_seconds=times[-1] - times[0],
            prefill_tokens=positions,
            generation_tokens=tokens,
        )


class _Lanes:
    def __init__(self, model: LoadedModel) -> None:
        self._lanes = [_Lane(model) for _ in range(model.lanes)]
        self._threads = ThreadPoolExecutor(model.lanes)

    def measure(self, audio_seconds: float, tokens: int) -> dict[str, Any]:
        """Let every lane do the work at the same time."""
        noise = np.random.default_rng(0).normal(0, 0.01, int(audio_seconds * 16000)).astype(np.float32)
        started = time.perf_counter()
        times = list(self._threads.map(lambda lane: lane.work(noise, tokens), self._lanes))
        seconds = time.perf_counter() - started
        total = vars(WorkTimes.sum(times))
        return {"op": "measured", "seconds": seconds, "times": total, "peak": peak_memory_bytes()}


class _Server:
    """Reads in a thread of its own, so that the process ends at once when the host has gone or does not want it."""

    def __init__(self, requests: IO[bytes], answers: IO[bytes]) -> None:
        self._requests = requests
        self._answers = answers
        self._lanes: _Lanes | None = None

    def serve(self) -> NoReturn:
        while message := read_message(self._requests, REQUESTS):
            threading.Thread(target=self._take, args=(message[0],), daemon=True).start()
        os._exit(0)

    def _take(self, header: dict[str, Any]) -> None:
        try:
            answer = self._answer(header)
        except Exception as error:  # noqa: BLE001 - reported to the host, whatever it is
            answer = {"op": "failed", "error": to_message(error)}
        try:
            self._answers.write(pack_message(answer))
            self._answers.flush()
        except OSError:  # the host is gone
            os._exit(0)

    def _answer(self, header: dict[str, Any]) -> dict[str, Any]:
        if header["op"] == "measure":
            assert self._lanes is not None, "a model is loaded first"
            return self._lanes.measure(header["audio_seconds"], header["tokens"])
        model = load_model(parse_options(header["options"]))
        self._lanes = _Lanes(model)
        return {"op": "ready", "library": model.library, "max_chunk_seconds": float(model.max_chunk_seconds)}


def main() -> None:
    """Serve the host that started this process through its standard streams."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not get between the answers
    os.environ.setdefault("GGML_NO_BACKTRACE", "1")  # a debugger would hold the pipes open
    sys.stdout.flush()
    _Server(requests, answers).serve()


if __name__ == "__main__":
    main()
