# SPDX-License-Identifier: Apache-2.0
"""Choose the audio track to work on."""

from __future__ import annotations

from qwen_asr_plugin.languages import same_language
from qwen_asr_plugin.media.facts import AudioTrack, MediaProbe
from subtitle_hooks import NoAudioError, TrackNotFoundError

__all__ = ["choose_track"]


def choose_track(probe: MediaProbe, *, index: int | None = None, language: str | None = None) -> AudioTrack:
    """Choose by number, else by language, else what the file marks as default, else the first.

    Among several tracks of the language asked for, the default one wins, then the first.

    Args:
        probe: The media file.
        index: Number of the track, counting audio tracks from 0; wins over `language`.
        language: ISO 639-1, 639-2 (both forms) or 639-3 code, with or without region, or English name.

    Raises:
        TrackNotFoundError: The file has no such track; the message lists those it has.
        NoAudioError: The file has no audio track at all.
    """
    if not probe.tracks:
        raise NoAudioError("This file has no audio stream.", path=probe.path)
    if index is not None:
        for track in probe.tracks:
            if track.index == index:
                return track
        raise _not_found(probe, f"There is no audio track {index}.")
    candidates = list(probe.tracks)
    if language is not None:
        candidates = [track for track in probe.tracks if track.language and same_language(track.language, language)]
        if not candidates:
            raise _not_found(probe, f"There is no audio track in the language {language!r}.")
    return next((track for track in candidates if track.default), candidates[0])


def _not_found(probe: MediaProbe, what: str) -> TrackNotFoundError:
    listed = "; ".join(_describe(track) for track in probe.tracks)
    return TrackNotFoundError(what, path=probe.path, hint=f"Audio tracks in this file: {listed}.")


def _describe(track: AudioTrack) -> str:
    facts = [track.language or "language not marked", track.codec, f"{track.channels} ch" if track.channels else ""]
    facts += [f'"{track.title}"' if track.title else "", "default" if track.default else ""]
    return f"{track.index} ({', '.join(fact for fact in facts if fact)})"
