# SPDX-License-Identifier: Apache-2.0
"""One chunk through encoder and decoder, with the retry ladder: the engine's inner page."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from qwen_asr_model import AlignerFiles, Bundle, TextTable, find_aligner, find_bundle, open_aligner, open_bundle
from qwen_asr_native import ContextError, DeviceError, Library, Model, load_library
from qwen_asr_native.cores import usable_cores
from qwen_asr_native.user_folders import cache_folder
from qwen_asr_plugin.alignment import align_units
from qwen_asr_plugin.alignment.forced import ForcedAligner
from qwen_asr_plugin.errors import EngineError, translate_errors
from qwen_asr_plugin.options import ALIGNER_AUTO, ALIGNER_OFF, GPU_LANES, EngineOptions, default_lanes

from .choices import apply_choice
from .decoder import Decoder
from .encoder import Encoder, check_width, encoded_rows
from .loop_guard import LADDER, echoes_context, token_budget
from .memory import give_back_freed_memory
from .output_text import parse_output
from .prompt import build_prompt
from .recognition import AlignedUnit, WorkTimes
from .slots import OwnSlot, SharedSlots, Slots, is_large
from .spare_threads import SpareThreads

__all__ = ["LoadedModel", "Recognizer", "SpokenText", "load_model"]

_PROMPT_SPARE = 64
"""Positions for the fixed part of the prompt and a forced language."""

_FRAMES_PER_SECOND = 100
_FLOATS = ("f32", "f16", "bf16")


@dataclass(frozen=True, kw_only=True)
class SpokenText:
    """Language and text of one chunk, before it is placed on the media clock; whether the context was too long."""

    language: str | None
    text: str
    aligned: tuple[AlignedUnit, ...] | None
    times: WorkTimes
    context_cut: bool = False


@dataclass(frozen=True, kw_only=True)
class LoadedModel:
    """Weights that all lanes share; `warnings` says for the user what is not as it was asked for.

    `aligner_encoder` is None where the aligner takes the rows of the recogniser's encoder, `shared_slots` where every
    lane has a KV cache of its own.
    """

    bundle: Bundle
    encoder: Encoder
    decoder: Model
    token_table: TextTable
    aligner: ForcedAligner | None
    aligner_encoder: Encoder | None
    shared_slots: SharedSlots | None
    lanes: int
    threads_per_lane: int
    load_seconds: float
    library: str
    configuration: str = "default"
    warnings: tuple[str, ...] = ()

    @property
    def max_chunk_seconds(self) -> float:
        """Longest chunk that both the recogniser and the aligner take."""
        seconds = self.bundle.max_chunk_seconds
        return seconds if self.aligner is None else min(seconds, self.aligner.files.max_chunk_seconds)

    @property
    def max_rows(self) -> int:
        """Encoder rows of the longest chunk."""
        return encoded_rows(int(self.max_chunk_seconds * _FRAMES_PER_SECOND) + 1)

    @property
    def positions(self) -> int:
        """Size of a KV cache for the longest chunk without a context: its rows, the prompt and the most tokens."""
        return self.max_rows + _PROMPT_SPARE + token_budget(self.max_chunk_seconds)

    @property
    def most_positions(self) -> int:
        """The same with the longest context."""
        return self.positions + self.bundle.max_context_tokens

    def spare_threads(self) -> SpareThreads:
        """Return what the lanes of one pool lend each other: nothing where a model is small.

        Its steps are so short that two threads of one step, beside another program, may take 20 times as long as one.
        """
        lends = self.decoder.device.kind == "cpu" and is_large(self.decoder, self.positions)
        return SpareThreads(self.lanes if lends else 1, self.threads_per_lane)

    def recognizer(self, spare_threads: SpareThreads | None = None) -> Recognizer:
        """Make one lane: a KV cache of its own on the shared weights, or a share of one.

        Args:
            spare_threads: What its pool lends it; None is nothing.
        """
        return Recognizer(self, spare_threads or self.spare_threads())

    def slots(self, spare_threads: SpareThreads | None = None) -> Slots:
        """Return what a lane decodes in, see `recognizer`."""
        if self.shared_slots is not None:
            return self.shared_slots
        on_gpu = self.decoder.device.kind != "cpu"  # whose room may be gone when a larger cache is needed
        positions = self.most_positions if on_gpu else self.positions
        return OwnSlot(
            self.decoder,
            self.token_table.rows,
            positions=positions,
            most=self.most_positions,
            threads=spare_threads or self.spare_threads(),
            exact=self.bundle.quant in _FLOATS,
        )

    def close(self) -> None:
        """Free the weights; every recognizer must be closed before."""
        if self.shared_slots is not None:
            self.shared_slots.close()
        if self.aligner is not None:
            self.aligner.close()
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
    bundle = open_bundle(
        find_bundle(options.model),
        precision=options.precision,
        quant=options.quant,
        aligner_quant=options.aligner_quant if options.aligner == ALIGNER_AUTO else None,
        aligner=options.aligner == ALIGNER_AUTO,
    )
    applied = apply_choice(options, bundle)
    options = applied.options
    threads = options.threads or usable_cores()
    cpu_lanes = options.lanes or default_lanes(threads)
    threads_per_lane = max(1, threads // cpu_lanes)
    library = load_library(options.libllama, cache_dir=cache_folder())
    encoder = _encoder(bundle, options, cpu_lanes, threads_per_lane)
    files = _aligner_files(bundle, options)
    own_encoder = files is not None and not (files.shares_encoder and files.path == bundle.path)
    aligner_encoder = _encoder(files, options, cpu_lanes, threads_per_lane) if files and own_encoder else None
    give_back_freed_memory()

    def loaded(chosen: EngineOptions, warnings: tuple[str, ...]) -> LoadedModel:
        decoder = _decoder(library, encoder, bundle, chosen)
        aligner = None
        if files is not None:
            aligner = ForcedAligner(
                files,
                library,
                decoder,
                tokenizer_sha256=bundle.tokenizer_sha256,
                threads=threads_per_lane,
                device=chosen.device,
                gpu_layers=chosen.gpu_layers,
            )
            check_width(aligner_encoder or encoder, aligner.width, files.path)
        model = LoadedModel(
            bundle=bundle,
            encoder=encoder,
            decoder=decoder,
            token_table=TextTable(bundle.llm),
            aligner=aligner,
            aligner_encoder=aligner_encoder,
            shared_slots=None,
            lanes=cpu_lanes,
            threads_per_lane=threads_per_lane,
            load_seconds=time.perf_counter() - started,
            library=library.title,
            configuration=applied.configuration,
            warnings=warnings,
        )
        if decoder.device.kind == "cpu":
            return model
        return _with_room_for_lanes(model, (options.lanes,) if options.lanes else GPU_LANES)

    try:
        model = loaded(options, (*applied.warnings, *encoder.warnings))
    except DeviceError as error:
        if not options.allow_fallback:
            raise
        on_cpu = dataclasses.replace(options, device=None, gpu_layers=None)
        warning = f"The decoder runs on the CPU: {error}"
        model = loaded(on_cpu, (*applied.warnings, *encoder.warnings, warning))
    return model


def _encoder(files: Bundle | AlignerFiles, options: EngineOptions, lanes: int, threads: int) -> Encoder:
    return Encoder(
        files.encoder_frontend,
        files.encoder_backend,
        chunk_frames=files.chunk_frames,
        window_chunks=files.window_chunks,
        threads=threads,
        most_threads=lanes * threads,
        provider=options.onnx_provider,
        allow_fallback=options.allow_fallback,
    )


def _aligner_files(bundle: Bundle, options: EngineOptions) -> AlignerFiles | None:
    """The aligner that was asked for: the bundle's own, another one's, or none."""
    if options.aligner == ALIGNER_OFF:
        return None
    if options.aligner == ALIGNER_AUTO:
        return bundle.aligner
    return open_aligner(find_aligner(Path(options.aligner).expanduser()), quant=options.aligner_quant)


def _decoder(library: Library, encoder: Encoder, bundle: Bundle, options: EngineOptions) -> Model:
    decoder = Model(library, bundle.llm, device=options.device, gpu_layers=options.gpu_layers)
    check_width(encoder, decoder.n_embd, bundle.path)
    return decoder


def _with_room_for_lanes(model: LoadedModel, lanes: Sequence[int]) -> LoadedModel:
    """Take the room for the caches of all lanes before anything is recognised; it may be gone by then.

    Lanes that decode on a GPU share their steps where the library can keep their caches apart.

    Args:
        model: What was loaded.
        lanes: Numbers of lanes to try, in this order.

    Raises:
        DeviceError: There is not enough; the weights are freed.
    """
    failure: ContextError | None = None
    for number in lanes:
        try:
            return _with_room(dataclasses.replace(model, lanes=number))
        except ContextError as error:  # noqa: PERF203 - a handful of times
            failure = error
    model.close()
    raise DeviceError(
        f"{model.decoder.device.describe()} has the model, but no room for {lanes[-1]} lanes: {failure} "
        "Use fewer lanes, put fewer layers there, or choose cpu."
    ) from failure


def _with_room(model: LoadedModel) -> LoadedModel:
    if model.lanes > 1 and model.decoder.library.verdict.family != "ik":
        shared = SharedSlots(
            model.decoder,
            model.token_table.rows,
            positions=model.most_positions,
            sequences=model.lanes,
            threads=model.threads_per_lane,
        )
        return dataclasses.replace(model, shared_slots=shared)
    with contextlib.ExitStack() as closing:
        for _ in range(model.lanes):
            closing.callback(model.recognizer().close)
    return model


class Recognizer:
    """One lane. Not for two threads at once."""

    def __init__(self, model: LoadedModel, spare_threads: SpareThreads) -> None:
        self._encoder = model.encoder
        self._aligner = model.aligner
        self._aligner_encoder = model.aligner_encoder
        self._model = model.decoder
        self._max_context = model.bundle.max_context_tokens
        self._max_rows = model.max_rows
        self._spare_threads = spare_threads
        self._slots = model.slots(spare_threads)
        self._shares_slots = model.shared_slots is not None
        self._decoder = Decoder(model.decoder, self._slots)

    @translate_errors
    def recognize(
        self,
        samples: npt.NDArray[np.float32],
        *,
        context: str = "",
        language: str | None = None,
        align: bool = True,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> SpokenText:
        """Recognise one chunk of speech.

        Args:
            samples: 16 kHz mono float32 ``[n]``, at most the bundle's chunk length.
            context: Names and terms that may occur.
            language: ISO code to force; None lets the model find out.
            align: Whether the forced aligner, where there is one, says when the words are spoken.
            cancelled: Asked before every token.
        """
        started = time.perf_counter()
        rows = self._encoder.encode(samples, threads=self._spare_threads.share())
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
        heard, text = spoken
        started = time.perf_counter()
        aligned = self._align(samples, rows, text, heard) if align and not cancelled() else None
        others = WorkTimes(
            encoder_seconds=encoder_seconds,
            alignment_seconds=time.perf_counter() - started,
            retries=len(spent) - 1,
        )
        total = WorkTimes.sum([*spent, others])
        return SpokenText(language=heard, text=text, aligned=aligned, times=total, context_cut=context_cut)

    def _align(
        self, samples: npt.NDArray[np.float32], rows: npt.NDArray[np.float32], text: str, language: str | None
    ) -> tuple[AlignedUnit, ...] | None:
        """Times of the text's units, None where there is no aligner for the language."""
        aligner = self._aligner
        if aligner is None or (language and aligner.files.languages and language not in aligner.files.languages):
            return None
        units = align_units(text, language)
        if units:
            self._decoder.rest()
        if self._aligner_encoder is not None and units:
            rows = self._aligner_encoder.encode(samples, threads=self._spare_threads.share())
        times = aligner.align(
            rows, [unit.text for unit in units], len(samples) // 16, threads=self._spare_threads.share()
        )
        return tuple(
            AlignedUnit(begin=unit.begin, end=unit.end, start_ms=start_ms, stop_ms=stop_ms)
            for unit, start_ms, stop_ms in zip(units, times[::2], times[1::2], strict=True)
        )

    def close(self) -> None:
        """Free the lane's own KV cache."""
        if not self._shares_slots:
            self._slots.close()
