# SPDX-License-Identifier: Apache-2.0
"""From 16 kHz blocks to chunks of speech, and from a chunk to the encoder's log-mel input."""

from qwen_asr_plugin.audio.chunks import SpeechChunk, find_chunks
from qwen_asr_plugin.audio.log_mel import HOP_SAMPLES, MEL_BANDS, log_mel
from qwen_asr_plugin.audio.quiet import quiet_place
from qwen_asr_plugin.audio.voice_activity import (
    SpeechSpan,
    SpeechTracker,
    find_speech,
    load_voice_activity,
    speech_probabilities,
)

__all__ = [
    "HOP_SAMPLES",
    "MEL_BANDS",
    "SpeechChunk",
    "SpeechSpan",
    "SpeechTracker",
    "find_chunks",
    "find_speech",
    "load_voice_activity",
    "log_mel",
    "quiet_place",
    "speech_probabilities",
]
