# SPDX-License-Identifier: Apache-2.0
"""Which audio track a program means that asks for a language."""

from __future__ import annotations

from collections.abc import Sequence

from qwen_asr_plugin.languages import same_language
from subtitle_hooks import AudioTrackInfo

__all__ = ["track_in"]


def track_in(language: str, tracks: Sequence[AudioTrackInfo]) -> AudioTrackInfo | None:
    """Choose the track in `language`, else one whose language is not marked; the default one of several.

    Returns:
        None where every track is marked as being in another language.
    """
    marked = [track for track in tracks if track.language and same_language(track.language, language)]
    candidates = marked or [track for track in tracks if not track.language]
    return next((track for track in candidates if track.default), candidates[0] if candidates else None)
