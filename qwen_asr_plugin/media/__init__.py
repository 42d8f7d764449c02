# SPDX-License-Identifier: Apache-2.0
"""From a media path to 16 kHz mono blocks on the media's own clock, through ffmpeg."""

from qwen_asr_plugin.media.decode import SAMPLE_RATE_HZ, AudioStream, open_audio
from qwen_asr_plugin.media.facts import AudioTrack, MediaProbe
from qwen_asr_plugin.media.ffmpeg_binary import FfmpegTools, find_ffmpeg
from qwen_asr_plugin.media.mux import CONTAINERS, SubtitleFile, check_target, embed_subtitles
from qwen_asr_plugin.media.mux_burn import burn_in, check_burn_in
from qwen_asr_plugin.media.pipe import PIPE_NAME, PipedMedia
from qwen_asr_plugin.media.probe import probe
from qwen_asr_plugin.media.tracks import choose_track

__all__ = [
    "CONTAINERS",
    "PIPE_NAME",
    "SAMPLE_RATE_HZ",
    "AudioStream",
    "AudioTrack",
    "FfmpegTools",
    "MediaProbe",
    "PipedMedia",
    "SubtitleFile",
    "burn_in",
    "check_burn_in",
    "check_target",
    "choose_track",
    "embed_subtitles",
    "find_ffmpeg",
    "open_audio",
    "probe",
]
