# SPDX-License-Identifier: Apache-2.0
"""What ffmpeg says while it decodes, and what that and the length of the result mean for the file."""

from __future__ import annotations

import io
from collections import deque
from typing import Final

from qwen_asr_plugin.media.command import error_lines
from qwen_asr_plugin.media.facts import MediaProbe

__all__ = ["DecodeLog"]

_KEPT: Final = 50
_AT_THE_END_SAMPLES: Final = 30 * 16_000
"""ffmpeg reads ahead of what it delivers; a message this close to the last sample is about the end of the file."""
_TOLERATED_SHORTFALL_MS: Final = 1_000
_STATES_ITS_LENGTH: Final = frozenset({"mov", "matroska", "flac", "mp3"})
"""Formats whose duration was written down by the maker, unless ffmpeg says that it had to estimate."""

_PLACEHOLDER_BYTES: Final = 0x7FFF_0000
_MOST_WAV_CHUNKS: Final = 64


class DecodeLog:
    """Takes ffmpeg's messages (``-loglevel level+warning``) as they come; memory does not grow with their number.

    Args:
        probe: The file being decoded.
        sought: True if decoding starts in the middle of the file.
    """

    def __init__(self, probe: MediaProbe, *, sought: bool) -> None:
        self._probe = probe
        self._sought = sought
        self._first: dict[str, int] = {}
        self._last: deque[tuple[str, int]] = deque(maxlen=_KEPT)
        self._estimated = False
        self._partial_packet = False
        self._open_ended = False

    def add(self, line: str, samples: int) -> None:
        """Take one line that arrived when `samples` samples had been delivered."""
        self._estimated = self._estimated or "Estimating duration" in line
        self._partial_packet = self._partial_packet or "corrupt input packet" in line
        self._open_ended = self._open_ended or "Ignoring maximum wav data size" in line
        for text in error_lines(line):
            if len(self._first) < _KEPT and text not in self._first:
                self._first[text] = samples
            else:
                self._last.append((text, samples))

    def errors(self, delivered: int) -> list[str]:
        """Return the error messages that count, given how many samples were delivered in the end.

        After a jump into the file the decoder starts in the middle of things and complains about it; that is no damage.
        """
        both = [*self._first.items(), *self._last]
        return list(dict.fromkeys(text for text, at in both if at > 0 or delivered == 0 or not self._sought))

    def cut_off(self, delivered: int, shortfall_ms: int) -> bool:
        """Say whether the file ends before its own end.

        Args:
            delivered: Number of samples delivered.
            shortfall_ms: How much earlier the audio ended than the file's stated end, 0 if nothing is stated.
        """
        names = self._probe.container.split(",")
        if "wav" in names and self._partial_packet and not (self._open_ended or _is_placeholder(self._probe)):
            return True
        if shortfall_ms <= _TOLERATED_SHORTFALL_MS + max(0, self._probe.clock_offset_ms):
            return False
        stated = not self._probe.has_video and not self._estimated and not _STATES_ITS_LENGTH.isdisjoint(names)
        late = [at for _, at in (*self._first.items(), *self._last) if at >= delivered - _AT_THE_END_SAMPLES]
        return stated or bool(late and self.errors(delivered))


def _is_placeholder(wav: MediaProbe) -> bool:
    """Say whether a WAV states 2 GiB or more of audio, as recorders do that cannot fill in the length later."""
    with wav.path.open("rb") if wav.pipe is None else io.BytesIO(wav.pipe.head) as file:
        file.seek(12)
        for _ in range(_MOST_WAV_CHUNKS):
            head = file.read(8)
            if len(head) < 8:
                return False
            size = int.from_bytes(head[4:], "little")
            if head[:4] == b"data":
                return size >= _PLACEHOLDER_BYTES
            file.seek(size + size % 2, 1)
    return False
