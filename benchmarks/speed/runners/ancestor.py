# SPDX-License-Identifier: Apache-2.0
"""The ancestor's way of working in our engine.

Its released int4 encoder sees the whole clip at once (full attention), clips are 40 s and the last one is filled up
with silence, one sequence is decoded after the other, in mainline libllama with a K-quant. With ``memory`` the clip
before and its text, all but the last five tokens, are prefilled once more before every clip, as the ancestor does.
"""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

import numpy as np

from benchmarks.speed import fixed_work
from benchmarks.speed.job import CannotRunError, Job, Result, serve, tokens_of
from benchmarks.speed.speech import read_wave
from qwen_asr_native import Context
from qwen_asr_plugin.engine.decoder import Decoder
from qwen_asr_plugin.engine.prompt import build_prompt
from qwen_asr_plugin.engine.recognition import WorkTimes
from qwen_asr_plugin.engine.recognizer import LoadedModel, load_model
from qwen_asr_plugin.engine.slots import OwnSlot
from qwen_asr_plugin.engine.slots import _Sequence as Sequence
from qwen_asr_plugin.engine.spare_threads import SpareThreads
from qwen_asr_plugin.options import ALIGNER_OFF, EngineOptions

__all__ = ["run"]

_CLIP_SECONDS = 40
_RATE = 16000
_ALL_ROWS = 1 << 30
_POSITIONS = 2048
_UBATCH = 512
_FORGOTTEN_TOKENS = 5


class _Threads(SpareThreads):
    """Always the same number for one row, and another one for several."""

    def __init__(self, threads: int, threads_batch: int) -> None:
        super().__init__(1, threads)
        self._threads_batch = threads_batch

    def share(self) -> int:
        return self._threads_batch


class _Slot(OwnSlot):
    """A KV cache as the ancestor makes it: of one size, with the default micro-batch and two numbers of threads."""

    def __init__(self, model: LoadedModel, threads: int, threads_batch: int) -> None:
        both = _Threads(threads, threads_batch)
        super().__init__(model.decoder, model.token_table.rows, positions=_POSITIONS, threads=both)

    def _new_sequence(self) -> Sequence:
        context = Context(
            self._model,
            n_ctx=_POSITIONS,
            n_batch=_POSITIONS,
            n_ubatch=_UBATCH,
            threads=self._threads.own,
            threads_batch=self._threads.share(),
            flash_attention=True,
        )
        return Sequence(context, 0, _POSITIONS)

    def _for_one_row(self, threads: int) -> int:
        del threads
        return self._threads.own


def run(job: Job) -> Result:
    """Recognise ``media`` (WAV) with ``model`` and ``libllama``.

    ``threads`` is their number for encoder and prefill, ``threads_generating`` that for one token after another.
    """
    wanted = 0
    fixed_work.apply(lambda _: wanted)
    options = EngineOptions(
        model=Path(job["model"]),
        libllama=job["libllama"],
        lanes=1,
        threads=job["threads"],
        aligner=ALIGNER_OFF,
        isolation="inline",
    )
    started = time.perf_counter()
    loaded = load_model(options)
    model = dataclasses.replace(loaded, bundle=dataclasses.replace(loaded.bundle, max_chunk_seconds=_CLIP_SECONDS))
    if "_window_rows" not in vars(model.encoder):
        raise CannotRunError("benchmarks/speed/runners/ancestor.py must be brought up to date: Encoder._window_rows.")
    vars(model.encoder)["_window_rows"] = _ALL_ROWS
    slot = _Slot(model, job["threads_generating"], job["threads"])
    decoder = Decoder(model.decoder, slot)
    prompt = build_prompt(model.decoder, decoder.special, language="en")
    load_seconds = time.perf_counter() - started

    started = time.perf_counter()
    samples = read_wave(Path(job["media"]))
    spent: list[WorkTimes] = []
    first: float | None = None
    memory = np.empty((0, model.decoder.n_embd), np.float32)
    said: tuple[int, ...] = ()
    for begin in range(0, len(samples), _CLIP_SECONDS * _RATE):
        clip = samples[begin : begin + _CLIP_SECONDS * _RATE]
        wanted = tokens_of(len(clip) / _RATE, job["tokens_per_second"])
        before = time.perf_counter()
        rows = model.encoder.encode(np.pad(clip, (0, _CLIP_SECONDS * _RATE - len(clip))))
        encoder_seconds = time.perf_counter() - before
        asked = dataclasses.replace(prompt, after_audio=(*prompt.after_audio, *said))
        decoded = decoder.decode(asked, np.concatenate([memory, rows]), max_tokens=wanted)
        spent.append(
            WorkTimes(
                encoder_seconds=encoder_seconds,
                prefill_seconds=decoded.prefill_seconds,
                generation_seconds=decoded.generation_seconds,
                prefill_tokens=decoded.prefill_tokens,
                generation_tokens=decoded.generation_tokens,
            )
        )
        if job["memory"]:
            memory, said = rows, decoded.tokens[:-_FORGOTTEN_TOKENS]
        first = time.perf_counter() - started + load_seconds if first is None else first
    work_seconds = time.perf_counter() - started
    times = WorkTimes.sum(spent)
    return {
        "load_seconds": load_seconds,
        "work_seconds": work_seconds,
        "first_seconds": first,
        "audio_seconds": len(samples) / _RATE,
        "chunks": len(spent),
        "tokens": times.generation_tokens,
        "positions": times.prefill_tokens,
        "lanes": 1,
        "stages": {
            "encoder": times.encoder_seconds,
            "prefill": times.prefill_seconds,
            "generation": times.generation_seconds,
        },
        "versions": {"libllama": model.library},
    }


if __name__ == "__main__":
    serve(run)
