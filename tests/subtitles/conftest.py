# SPDX-License-Identifier: Apache-2.0
import pytest

from qwen_asr_plugin.alignment import TimedWord, split_words


@pytest.fixture(scope="session")
def spoken():
    """Make words of a text that follow each other without a pause from `start_ms` on, so long per column."""

    def make(text, start_ms=0, *, ms_per_char=60):
        words = []
        at = start_ms
        for unit in split_words(text):
            end = at + ms_per_char * len(unit.strip())
            words.append(TimedWord(text=unit, start_ms=at, end_ms=end, estimated=True))
            at = end
        return words

    return make
