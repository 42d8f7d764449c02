# SPDX-License-Identifier: Apache-2.0
"""One chunk through encoder and decoder, with the retry ladder: the engine's inner page."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qwen_asr_model import Bundle, find_bundle, open_bundle
from qwen_asr_native import ContextError, DeviceError, Library, Model, load_library
from qwen_asr_native.cores import usable_cores
from qwen_asr_native.user_folders import cache_folder
from qwen_asr_plugin.errors import EngineError, translate_errors
from qwen_asr_plugin.options import EngineOptions, default_lanes

from .decoder import Decoder
from .encoder import Encoder, check_width, encoded_rows
from .loop_guard import LADDER, echoes_context, token_budget
from .output_text import parse_output
from .prompt import build_prompt
from .recognition import WorkTimes

__all__ = ["LoadedModel", "Recognizer", "SpokenText", "load_model"]

_PROMPT_SPARE = 64
"""Positions for the fixed part of the prompt and a forced language."""

_FRAMES_PER_SECOND = 100


@dataclass(frozen=True, kw_only=True)
class SpokenText:
    """Language and text of one chunk, before it is placed on the media clock; whether the context was too long."""

    language: str | None
    text: str
    times: WorkTimes
    context_cut: bool = False


@dataclass(frozen=True, kw_only=True)
class LoadedModel:
    """Weights that all lanes share; `warnings` says for the user what is not as it was asked for."""

    bundle: Bundle
    encoder: Encoder
    decoder: Model
    lanes: int
    threads_per_lane: int
    load_seconds: float
    library: str
    warnings: tuple[str, ...] = ()

    def recognizer(self) -> Recognizer:
        """Make one lane: a KV cache of its own on the shared weights."""
        return Recognizer(self)

    def close(self) -> None:
        """Free the weights; every recognizer must be closed before."""
        self.decoder.close()


@translate_errors
def load_model(options: EngineOptions) -> LoadedModel:
    """Open the bundle, verify libllama and load both halves of the model.

    Raises:
        ModelError: The bundle is incomplete or damaged.
        DeviceError: libllama cannot use the device, and `EngineOptions.allow_fallback` is not set.
        EngineError: libllama or onnxruntime cannot be used.
    """
    started = time.perf_counter()
    threads = options.threads or usable_cores()
    lanes = options.lanes or default_lanes(threads)
    threads_per_lane = max(1, threads // lanes)
    bundle = open_bundle(find_bundle(options.model), precision=options.precision, quant=options.quant)
    library = load_library(options.libllama, cache_dir=cache_folder())
    encoder = Encoder(
        bundle.encoder_frontend,
        bundle.encoder_backend,
        chunk_frames=bundle.chunk_frames,
        window_chunks=bundle.window_chunks,
        threads=threads_per_lane,
        provider=options.onnx_provider,
        allow_fallback=options.allow_fallback,
    )

    def loaded(decoder: Model, warnings: tuple[str, ...]) -> LoadedModel:
        return LoadedModel(
            bundle=bundle,
            encoder=encoder,
            decoder=decoder,
            lanes=lanes,
            threads_per_lane=threads_per_lane,
            load_seconds=time.perf_counter() - started,
            library=f"{library.provider} {library.version}",
            warnings=warnings,
        )

    try:
        model = loaded(_decoder(library, encoder, bundle, options), encoder.warnings)
        if model.decoder.device.kind != "cpu":
            _try_all_lanes(model)
    except DeviceError as error:
        if not options.allow_fallback:
            raise
        on_cpu = dataclasses.replace(options, device=None, gpu_layers=None)
        warning = f"The decoder runs on the CPU: {error}"
        model = loaded(_decoder(library, encoder, bundle, on_cpu), (*encoder.warnings, warning))
    return model


def _decoder(library: Library, encoder: Encoder, bundle: Bundle, options: EngineOptions) -> Model:
    decoder = Model(library, bundle.llm, device=options.device, gpu_layers=options.gpu_layers)
    check_width(encoder, decoder.n_embd, bundle.path)
    return decoder


def _try_all_lanes(model: LoadedModel) -> None:
    """Make sure that a GPU has room for the caches of all lanes, too, before anything is recognised.

    Raises:
        DeviceError: It has not; the weights are freed.
    """
    lanes: list[Recognizer] = []
    try:
        lanes.extend(model.recognizer() for _ in range(model.lanes))
    except ContextError as error:
        model.close()
        raise DeviceError(
            f"{model.decoder.device.describe()} has the model, but no room for {model.lanes} lanes: {error} "
            "Use fewer lanes, put fewer layers there, or choose cpu."
        ) from error
    finally:
        for lane in lanes:
            lane.close()


class Recognizer:
    """One lane. Not for two threads at once."""

    def __init__(self, model: LoadedModel) -> None:
        seconds = model.bundle.max_chunk_seconds
        self._encoder = model.encoder
        self._model = model.decoder
        self._max_context = model.bundle.max_context_tokens
        self._max_rows = encoded_rows(int(seconds * _FRAMES_PER_SECOND) + 1)
        self._decoder = Decoder(
            model.decoder,
            positions=self._max_rows + self._max_context + _PROMPT_SPARE + token_budget(seconds),
            threads=model.threads_per_lane,
        )

    @translate_errors
    def recognize(
        self,
        samples: npt.NDArray[np.float32],
        *,
        context: str = "",
        language: str | None = None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> SpokenText:
        """Recognise one chunk of speech.

        Args:
            samples: 16 kHz mono float32 ``[n]``, at most the bundle's chunk length.
            context: Names and terms that may occur.
            language: ISO code to force; None lets the model find out.
            cancelled: Asked before every token.
        """
        started = time.perf_counter()
        rows = self._encoder.encode(samples)
        encoder_seconds = time.perf_counter() - started
        if len(rows) > self._max_rows:
            raise EngineError(f"A chunk of {len(samples) / 16000:.1f} s is longer than this model takes.")

        ladder = [rung for rung in LADDER[1:] if context or rung.temperature > 0]
        spent: list[WorkTimes] = []
        attempts: list[tuple[str | None, str]] = []
        context_cut = False
        for number, rung in enumerate([LADDER[0], *ladder]):
            used_context = context if rung.with_context else ""
            prompt = build_prompt(
                self._model,
                self._decoder.special,
                context=used_context,
                max_context_tokens=self._max_context,
                language=language,
            )
            context_cut = context_cut or prompt.context_cut
            decoded = self._decoder.decode(
                prompt,
                rows,
                max_tokens=token_budget(len(samples) / 16000),
                temperature=rung.temperature,
                seed=number,
                cancelled=cancelled,
            )
            spent.append(
                WorkTimes(
                    prefill_seconds=decoded.prefill_seconds,
                    generation_seconds=decoded.generation_seconds,
                    prefill_tokens=decoded.prefill_tokens,
                    generation_tokens=decoded.generation_tokens,
                )
            )
            attempts.append(parse_output(self._decoder.text(decoded.tokens), language))
            if not decoded.looped and not (used_context and echoes_context(attempts[-1][1], used_context)):
                spoken = attempts[-1]
                break
        else:
            spoken = attempts[0]  # every attempt looped: the greedy one, cut back to where its loop began
        total = WorkTimes.sum([*spent, WorkTimes(encoder_seconds=encoder_seconds, retries=len(spent) - 1)])
        return SpokenText(language=spoken[0], text=spoken[1], times=total, context_cut=context_cut)

    def close(self) -> None:
        """Free the KV cache."""
        self._decoder.close()
