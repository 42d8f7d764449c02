# SPDX-License-Identifier: Apache-2.0
"""The whole way of the data on one page: from a media path to segments.

``media -> audio -> engine -> alignment -> subtitles``, one generator pulling the next, so that memory does not depend
on the length of the file and the first segment leaves before the last second is decoded.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from qwen_asr_plugin.alignment import TimedWord, Unit, align_words, estimate_words, is_plausible, units_notice
from qwen_asr_plugin.audio import find_chunks, load_voice_activity
from qwen_asr_plugin.engine import Engine, EngineInfo, Recognition, WorkTimes, peak_memory_bytes, shared_engine
from qwen_asr_plugin.languages import iso_code
from qwen_asr_plugin.media import AudioTrack, MediaProbe, PipedMedia, choose_track, find_ffmpeg, open_audio, probe
from qwen_asr_plugin.options import EngineOptions, parse_options
from qwen_asr_plugin.position_first import Pass, check_range, ending_before, first_pass, second_pass
from qwen_asr_plugin.progress import ProgressMeter
from qwen_asr_plugin.subtitles import CueBuilder, Norm, get_norm
from qwen_asr_plugin.subtitles.shaping import ShapingOptions, check_shaping, shape_words
from subtitle_hooks import (
    AudioTrackInfo,
    CancelledError,
    Events,
    LogLevel,
    MediaInfo,
    RequestError,
    Segment,
    SubtitleRequest,
    Transcript,
)

__all__ = ["BACKEND_NAME", "generate", "media_info"]

BACKEND_NAME = "qwen-asr"
_LOST_AFTER: Final = 3
_FIRST_SECONDS: Final = 10.0
"""Longest first chunk of a pass: somebody may be waiting for its cues, and it costs no words (docs/performance.md)."""


def media_info(request: SubtitleRequest) -> MediaInfo:
    """Describe a media file without recognising anything.

    Raises:
        MediaError: The file cannot be worked on.
        FfmpegNotFoundError: There is no ffmpeg.
    """
    found = probe(Path(request.media), find_ffmpeg(_options(request).ffmpeg))
    return MediaInfo(
        path=found.path,
        duration_ms=found.duration_ms,
        container=found.container,
        tracks=tuple(
            AudioTrackInfo(
                index=track.index,
                language=track.language,
                codec=track.codec,
                channels=track.channels,
                sample_rate_hz=track.sample_rate_hz,
                title=track.title,
                default=track.default,
            )
            for track in found.tracks
        ),
    )


def generate(request: SubtitleRequest, events: Events, *, pipe: PipedMedia | None = None) -> Transcript:
    """Check the request and the media file at once, and return a transcript that does the work as it is iterated.

    Args:
        request: What to work on.
        events: Told what happens.
        pipe: Media to read instead of ``request.media``, which is only a name then.

    Raises:
        SubtitleError: See `qwen_asr_plugin.errors`; errors of the recognition come out of the iteration.
    """
    if pipe is not None and request.start_at_ms:
        raise RequestError(
            "A pipe can be read once and in order only, so that no place of it can come first.",
            hint="Leave the place to start at out, or give a file.",
        )
    check_range(request, None)
    options = _options(request)
    language = iso_code(request.language) if request.language else None
    norm = get_norm(request.norm)
    shaping = ShapingOptions(itn=options.itn, script=options.chinese_script, remove_fillers=options.remove_fillers)
    check_shaping(shaping)
    tools = find_ffmpeg(options.ffmpeg)
    found = probe(Path(request.media), tools) if pipe is None else pipe.probe(tools)
    check_range(request, found.duration_ms)
    track = choose_track(found, index=request.track, language=request.track_language)
    job = _Job(
        request=request,
        options=options,
        language=language,
        found=found,
        track=track,
        norm=norm,
        builder=CueBuilder(norm),
        shaping=shaping,
        events=events,
        range_ms=_range_ms(request, found),
    )
    return Transcript(
        backend=BACKEND_NAME,
        segments=job.segments(),
        duration_ms=job.range_ms,
        language=job.dominant_language,
        statistics=job.statistics,
    )


def _options(request: SubtitleRequest) -> EngineOptions:
    values = dict(request.options)
    if request.model is not None:
        values["model"] = request.model
    return parse_options(values)


def _range_ms(request: SubtitleRequest, found: MediaProbe) -> int | None:
    if found.duration_ms is None:
        return request.duration_ms
    left = max(0, found.duration_ms - request.start_ms)
    return left if request.duration_ms is None else min(left, request.duration_ms)


@dataclass(kw_only=True)
class _Job:
    """One media file on its way; counts what happens for the statistics."""

    request: SubtitleRequest
    options: EngineOptions
    language: str | None
    found: MediaProbe
    track: AudioTrack
    norm: Norm
    builder: CueBuilder
    shaping: ShapingOptions
    events: Events
    range_ms: int | None
    started: float = field(default_factory=time.perf_counter)
    wall_seconds: float = 0.0
    first_segment_seconds: float = 0.0
    load_seconds: float = 0.0
    decoded_samples: int = 0
    pass_begin_ms: int = 0
    pass_end_ms: int = 0
    speech_ms: int = 0
    peak_bytes: int = 0
    words: int = 0
    estimated_words: int = 0
    repaired_words: int = 0
    aligned_chunks: int = 0
    implausible_chunks: int = 0
    noticed: set[str] = field(default_factory=set)
    info: EngineInfo | None = None
    times: list[WorkTimes] = field(default_factory=list)
    heard: Counter[str] = field(default_factory=Counter)

    def segments(self) -> Iterator[Segment]:
        """Do the work; every segment is told to the host, then yielded."""
        meter = ProgressMeter(self.events, total_ms=self.range_ms)
        loading = time.perf_counter()
        meter.loading()
        with contextlib.suppress(RuntimeError):  # no new threads: it is loaded when it is needed, then
            threading.Thread(target=load_voice_activity, name="voice-activity-loader").start()
        with shared_engine(self.options.engine_part(), self.events.cancelled) as engine:
            self.load_seconds = time.perf_counter() - loading
            self.info = engine.info
            self._check_language(engine.info)
            for warning in engine.info.warnings:
                self.events.log("warning", warning)
            meter.recognizing()
            for segment in self._passes(engine, meter):
                self.first_segment_seconds = self.first_segment_seconds or time.perf_counter() - self.started
                self.events.segment(segment)
                yield segment
            self.peak_bytes = engine.peak_memory_bytes + peak_memory_bytes()
        self.wall_seconds = time.perf_counter() - self.started
        meter.done()
        if not self.times:
            self.events.log("info", f"{self.found.path.name}: nobody speaks in this part; the subtitles are empty.")

    def _passes(self, engine: Engine, meter: ProgressMeter) -> Iterator[Segment]:
        """Once over the file, or first from a certain place on and then from the start up to there."""
        first = first_pass(self.request)
        begins_ms: int | None = None
        for segment in self._pass(first, engine, meter):
            begins_ms = segment.start_ms if begins_ms is None else begins_ms
            yield segment
        if first.place_ms is not None:
            limit_ms = self.pass_end_ms if begins_ms is None else begins_ms - self.norm.min_gap_ms
            second = second_pass(self.request, self.pass_begin_ms)
            yield from ending_before(self._pass(second, engine, meter, limit_ms), limit_ms)

    def _pass(self, part: Pass, engine: Engine, meter: ProgressMeter, limit_ms: int | None = None) -> Iterator[Segment]:
        with open_audio(
            self.found,
            self.track,
            find_ffmpeg(self.options.ffmpeg),
            start_ms=part.start_ms,
            duration_ms=part.duration_ms,
            allow_damaged=self.options.allow_damaged,
        ) as stream:
            begin_ms, blocks = part.begin(self._while_wanted(stream), stream.start_ms)
            self.pass_begin_ms = begin_ms
            meter.begin_pass(begin_ms)
            chunks = find_chunks(
                self._counted(blocks, begin_ms, meter),
                start_ms=begin_ms,
                max_seconds=engine.info.max_chunk_seconds,
                first_seconds=_FIRST_SECONDS,
            )
            for recognition in engine.recognize(
                meter.watch(chunks),
                context=self.request.context,
                language=self.language,
                aligning=lambda: not self.aligner_is_lost(),
                cancelled=self.events.cancelled,
                on_restart=lambda said: self.events.log("warning", said),
            ):
                yield from self._cues(recognition)
                meter.finished(recognition.index)
            self.pass_end_ms = stream.start_ms + stream.decoded_ms
            yield from self.builder.finish(end_ms=self.pass_end_ms if limit_ms is None else limit_ms)
            for warning in stream.warnings:
                self._notice(warning)

    def _while_wanted(self, blocks: Iterable[npt.NDArray[np.float32]]) -> Iterator[npt.NDArray[np.float32]]:
        for block in blocks:
            if self.events.cancelled():
                raise CancelledError("Stopped as asked.")
            yield block

    def _counted(
        self, blocks: Iterable[npt.NDArray[np.float32]], start_ms: int, meter: ProgressMeter
    ) -> Iterator[npt.NDArray[np.float32]]:
        samples = 0
        for block in blocks:
            samples += len(block)
            self.decoded_samples += len(block)
            meter.decoded(start_ms + samples // 16)
            yield block

    def _cues(self, recognition: Recognition) -> list[Segment]:
        if recognition.context_cut and not self.times:
            self.events.log("warning", "The context is longer than this model copes with; only its beginning is used.")
        self.times.append(recognition.times)
        self.speech_ms += sum(span.end_ms - span.start_ms for span in recognition.spans)
        if recognition.language:
            self.heard[recognition.language] += len(recognition.text)
        words = shape_words(self._timed_words(recognition), recognition.language, self.shaping)
        self.words += len(words)
        self.estimated_words += sum(word.estimated for word in words)
        self.repaired_words += sum(word.repaired for word in words)
        return self.builder.add(words, recognition.language)

    def _timed_words(self, recognition: Recognition) -> Sequence[TimedWord]:
        text, spans = recognition.text, recognition.spans
        begin_ms, end_ms = recognition.start_ms, recognition.end_ms
        if recognition.aligned and not self.aligner_is_lost():
            self._notice(units_notice(recognition.language))
            units = [Unit(text=text[u.begin : u.end], begin=u.begin, end=u.end) for u in recognition.aligned]
            times = [at for unit in recognition.aligned for at in (unit.start_ms, unit.stop_ms)]
            words = align_words(text, units, times, spans, start_ms=begin_ms, end_ms=end_ms)
            if not self.options.check_alignment or is_plausible(words, spans):
                self.aligned_chunks += 1
                return words
            self.implausible_chunks += 1
            if self.aligner_is_lost():
                self._notice(
                    "The forced aligner of this model leaves much speech without words; word times are estimated.",
                    "info",
                )
        return estimate_words(text, spans, start_ms=begin_ms, end_ms=end_ms, language=recognition.language)

    def aligner_is_lost(self) -> bool:
        """Say whether the aligner has failed on several chunks and been right on none: no more work is put into it."""
        return not self.aligned_chunks and self.implausible_chunks >= _LOST_AFTER

    def _notice(self, text: str | None, level: LogLevel = "warning") -> None:
        """Log something once for the media file."""
        if text and text not in self.noticed:
            self.noticed.add(text)
            self.events.log(level, text)

    def _check_language(self, info: EngineInfo) -> None:
        if self.language and info.languages and self.language not in info.languages:
            raise RequestError(
                f"The model {info.model} does not know the language {self.language!r}.",
                hint=f"It knows: {', '.join(info.languages)}. Choose another model, or leave the language out.",
            )

    def dominant_language(self) -> str | None:
        """Return the language most of the text is in; the one asked for where there is no text."""
        return self.heard.most_common(1)[0][0] if self.heard else self.language

    def statistics(self) -> Mapping[str, float | str]:
        """Return what the work cost, flat; seconds of parallel lanes add up."""
        times = WorkTimes.sum(self.times)
        wall = self.wall_seconds or time.perf_counter() - self.started
        audio = self.decoded_samples // 16 / 1000
        values: dict[str, float | str] = {
            "audio_seconds": round(audio, 3),
            "speech_seconds": round(self.speech_ms / 1000, 3),
            "load_seconds": round(self.load_seconds, 3),
            "wall_seconds": round(wall, 3),
            "first_segment_seconds": round(self.first_segment_seconds, 3),
            "rtf": round((wall - self.load_seconds) / audio, 4) if audio else 0.0,
            "chunks": len(self.times),
            "retries": times.retries,
            "words": self.words,
            "estimated_words": self.estimated_words,
            "repaired_words": self.repaired_words,
            "aligned_chunks": self.aligned_chunks,
            "implausible_chunks": self.implausible_chunks,
            "encoder_seconds": round(times.encoder_seconds, 3),
            "prefill_tokens": times.prefill_tokens,
            "prefill_tokens_per_second": _rate(times.prefill_tokens, times.prefill_seconds),
            "generation_tokens": times.generation_tokens,
            "generation_tokens_per_second": _rate(times.generation_tokens, times.generation_seconds),
            "alignment_seconds": round(times.alignment_seconds, 3),
            "peak_memory_mb": round(self.peak_bytes / 1e6, 1),
        }
        if self.info is not None:
            values |= {
                "model": self.info.model,
                "precision": self.info.precision,
                "quant": self.info.quant,
                "aligner": self.info.aligner or "none",
                "library": self.info.library,
                "lanes": self.info.lanes,
                "threads_per_lane": self.info.threads_per_lane,
                "configuration": self.info.configuration,
            }
        return values


def _rate(count: int, seconds: float) -> float:
    return round(count / seconds, 1) if seconds else 0.0
