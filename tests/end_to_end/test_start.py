# SPDX-License-Identifier: Apache-2.0
"""What happens before the first chunk."""

import threading

import numpy as np
import pytest

from qwen_asr_plugin.audio import find_speech, load_voice_activity, voice_activity
from qwen_asr_plugin.engine import shut_down


def test_voice_activity_loads_while_the_engine_does(subtitles, speech_folder, monkeypatch):
    shut_down()
    load = voice_activity._session
    load.cache_clear()
    asked = []

    def watched():
        asked.append(threading.current_thread().name)
        return load()

    monkeypatch.setattr(voice_activity, "_session", watched)
    assert subtitles(speech_folder / "29-hibari.flac")
    assert asked[0] == "voice-activity-loader"
    assert load.cache_info().misses == 1


def test_what_goes_wrong_there_is_raised_where_it_is_needed(monkeypatch):
    def broken():
        raise OSError("no such file")

    monkeypatch.setattr(voice_activity, "_session", broken)
    load_voice_activity()
    with pytest.raises(OSError, match="no such file"):
        list(find_speech([np.zeros(16000, np.float32)]))
