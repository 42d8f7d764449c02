# SPDX-License-Identifier: Apache-2.0
"""llama.cpp's own multimodal path: the ``mtmd_*`` functions of the library in the package ``xllamacpp``.

Struct layouts are those of ``tools/mtmd/mtmd.h`` of llama.cpp in autumn 2026. The header promises nothing, so the
struct of parameters is believed only if the library's own defaults are what they should be there.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from ctypes import c_bool, c_char_p, c_float, c_int, c_int32, c_size_t, c_void_p
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.speed.job import CannotRunError, Job, Result, pieces, serve, tokens_of
from benchmarks.speed.speech import read_wave
from qwen_asr_native import Library, Model, NativeError, load_library
from qwen_asr_native.context_setup import new_context

__all__ = ["run"]

_RATE = 16000
_BATCH, _UBATCH = 2048, 512  # llama.cpp's defaults
_AUDIO = 2  # MTMD_INPUT_CHUNK_TYPE_AUDIO
_PROMPT = (
    "<|im_start|>system\n<|im_end|>\n<|im_start|>user\n{marker}<|im_end|>\n"
    "<|im_start|>assistant\nlanguage English<asr_text>"
)


class _Parameters(ctypes.Structure):
    _fields_ = (
        ("use_gpu", c_bool),
        ("device", c_void_p),
        ("print_timings", c_bool),
        ("n_threads", c_int),
        ("image_marker", c_char_p),
        ("media_marker", c_char_p),
        ("flash_attn_type", c_int),
        ("warmup", c_bool),
        ("image_min_tokens", c_int),
        ("image_max_tokens", c_int),
        ("cb_eval", c_void_p),
        ("cb_eval_user_data", c_void_p),
        ("batch_max_tokens", c_int32),
        ("progress_callback", c_void_p),
        ("progress_callback_user_data", c_void_p),
    )


class _Text(ctypes.Structure):
    _fields_ = (("text", c_char_p), ("text_len", c_size_t), ("add_special", c_bool), ("parse_special", c_bool))


class _Mtmd:
    """The functions, typed, on one mmproj file."""

    def __init__(self, library: Library, model: int, mmproj: Path, threads: int) -> None:
        handle = library.functions.handle

        def bind(name: str, result: Any, *arguments: Any) -> Callable[..., Any]:
            try:
                function = handle[name]
            except AttributeError:
                raise CannotRunError(f"{library.provider} does not export {name}.") from None
            function.restype, function.argtypes = result, arguments
            return function

        self.marker: bytes = bind("mtmd_default_marker", c_char_p)()
        defaults = bind("mtmd_context_params_default", _Parameters)()
        expected = {"n_threads": 4, "flash_attn_type": -1, "image_min_tokens": -1, "batch_max_tokens": 1024}
        found = {name: getattr(defaults, name) for name in expected}
        if found != expected or defaults.media_marker != self.marker:
            raise CannotRunError(
                f"mtmd_context_params of {library.provider} {library.version} is laid out differently."
            )
        defaults.use_gpu, defaults.print_timings, defaults.warmup = False, False, False
        defaults.n_threads = threads
        init = bind("mtmd_init_from_file", c_void_p, c_char_p, c_void_p, _Parameters)
        self.context: int | None = init(str(mmproj).encode(), model, defaults)
        if not self.context:
            raise CannotRunError(f"{library.provider} cannot load the mmproj file.")
        self.bitmap = bind("mtmd_bitmap_init_from_audio", c_void_p, c_size_t, c_void_p)
        self.free_bitmap = bind("mtmd_bitmap_free", None, c_void_p)
        self.new_chunks = bind("mtmd_input_chunks_init", c_void_p)
        self.free_chunks = bind("mtmd_input_chunks_free", None, c_void_p)
        self.count = bind("mtmd_input_chunks_size", c_size_t, c_void_p)
        self.chunk = bind("mtmd_input_chunks_get", c_void_p, c_void_p, c_size_t)
        self.kind = bind("mtmd_input_chunk_get_type", c_int, c_void_p)
        self.tokenize = bind("mtmd_tokenize", c_int32, c_void_p, c_void_p, c_void_p, c_void_p, c_size_t)
        self.encode = bind("mtmd_encode_chunk", c_int32, c_void_p, c_void_p)
        self.rows = bind("mtmd_get_output_embd", c_void_p, c_void_p)
        place = (c_int32, c_int32, c_int32)  # first position, sequence, batch
        self.decode_rows = bind(
            "mtmd_helper_decode_image_chunk",
            c_int32,
            *(c_void_p, c_void_p, c_void_p, c_void_p, *place, c_void_p, c_void_p, c_void_p),
        )
        self.decode_text = bind(
            "mtmd_helper_eval_chunk_single", c_int32, c_void_p, c_void_p, c_void_p, *place, c_bool, c_void_p
        )


class _Recogniser:
    """One context, one clip after another, greedy."""

    def __init__(self, library: Library, model: Model, mmproj: Path, *, threads: int, positions: int) -> None:
        self._functions = library.functions
        self._vocab = model.n_vocab
        weights = model.share_weights().address
        self._context = new_context(
            library,
            weights,
            n_ctx=positions,
            n_batch=_BATCH,
            n_ubatch=_UBATCH,
            threads=threads,
            threads_batch=threads,
            n_seq_max=1,
            separate=False,
            flash_attention=None,
            kv_type="f16",
        )
        self._mtmd = _Mtmd(library, weights, mmproj, threads)
        self._one = library.functions.handle["llama_batch_get_one"]
        self._one.restype, self._one.argtypes = library.verdict.batch.structure, (c_void_p, c_int32)
        self.stages = {"encoder": 0.0, "prefill": 0.0, "generation": 0.0}
        self.tokens = self.positions = 0

    def recognise(self, samples: npt.NDArray[np.float32], tokens: int) -> None:
        """Generate that many tokens for a clip."""
        self._functions.clear_memory(self._context)
        filled = self._prefill(np.ascontiguousarray(samples))
        self.positions += filled
        started = time.perf_counter()
        for number in range(tokens):
            logits = self._functions.logits(self._context, -1)
            assert logits
            best = int(np.argmax(np.ctypeslib.as_array((c_float * self._vocab).from_address(logits))))
            self.tokens += 1
            if number + 1 < tokens:
                token = (c_int32 * 1)(best)
                _check(self._functions.decode(self._context, self._one(token, 1)), "llama_decode")
        self.stages["generation"] += time.perf_counter() - started

    def _prefill(self, samples: npt.NDArray[np.float32]) -> int:
        mtmd, at = self._mtmd, c_int32(0)
        started = time.perf_counter()
        prompt = _PROMPT.format(marker=mtmd.marker.decode()).encode()
        text = _Text(prompt, len(prompt), False, True)  # noqa: FBT003 - fields of a C struct
        bitmap = mtmd.bitmap(len(samples), samples.ctypes.data)
        chunks = mtmd.new_chunks()
        try:
            bitmaps = (c_void_p * 1)(bitmap)
            made = mtmd.tokenize(mtmd.context, chunks, ctypes.byref(text), ctypes.byref(bitmaps), 1)
            _check(made, "mtmd_tokenize")
            self.stages["encoder"] += time.perf_counter() - started  # the log-mel is made here
            count = mtmd.count(chunks)
            for number in range(count):
                chunk = mtmd.chunk(chunks, number)
                started = time.perf_counter()
                if mtmd.kind(chunk) == _AUDIO:
                    _check(mtmd.encode(mtmd.context, chunk), "mtmd_encode_chunk")
                    rows = mtmd.rows(mtmd.context)
                    self.stages["encoder"] += time.perf_counter() - started
                    started = time.perf_counter()
                    place: tuple[object, ...] = (at.value, 0, _BATCH, ctypes.byref(at), None, None)
                    done = mtmd.decode_rows(mtmd.context, self._context, chunk, rows, *place)
                else:
                    place = (at.value, 0, _BATCH, number + 1 == count, ctypes.byref(at))
                    done = mtmd.decode_text(mtmd.context, self._context, chunk, *place)
                _check(done, "mtmd_helper")
                self._functions.synchronize(self._context)
                self.stages["prefill"] += time.perf_counter() - started
        finally:
            mtmd.free_chunks(chunks)
            mtmd.free_bitmap(bitmap)
        return at.value


def _check(status: int, name: str) -> None:
    if status:
        raise CannotRunError(f"{name} says {status}.")


def run(job: Job) -> Result:
    """Recognise ``media`` (WAV) in pieces of at most ``chunk_seconds`` with ``text`` and ``mmproj``."""
    threads: int = job["threads"]
    try:
        library = load_library(job["libllama"])
    except NativeError as error:
        raise CannotRunError(f"{job['libllama']} cannot be used: {error}") from error
    rate: float = job["tokens_per_second"]
    started = time.perf_counter()
    model = Model(library, job["text"], repack=job["repack"])
    positions = int(job["chunk_seconds"] * (13 + rate)) + 256
    recogniser = _Recogniser(library, model, Path(job["mmproj"]), threads=threads, positions=positions)
    load_seconds = time.perf_counter() - started
    started = time.perf_counter()
    samples = read_wave(Path(job["media"]))
    first: float | None = None
    cut = pieces(len(samples), _RATE, job["chunk_seconds"])
    for begin, end in cut:
        recogniser.recognise(samples[begin:end], tokens_of((end - begin) / _RATE, rate))
        first = time.perf_counter() - started + load_seconds if first is None else first
    return {
        "load_seconds": load_seconds,
        "work_seconds": time.perf_counter() - started,
        "first_seconds": first,
        "audio_seconds": len(samples) / _RATE,
        "chunks": len(cut),
        "tokens": recogniser.tokens,
        "positions": recogniser.positions,
        "lanes": 1,
        "stages": recogniser.stages,
        "versions": {"libllama": f"{library.provider} {library.version}"},
    }


if __name__ == "__main__":
    serve(run)
