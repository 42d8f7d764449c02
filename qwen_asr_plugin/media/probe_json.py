# SPDX-License-Identifier: Apache-2.0
"""Read stream facts from ffprobe's JSON."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qwen_asr_plugin.media.facts import AudioTrack, MediaProbe, describe_media, known

__all__ = ["parse_document"]


def parse_document(document: Mapping[str, Any], *, path: Path) -> MediaProbe:
    """Read what ``ffprobe -show_format -show_streams -of json`` printed for `path`."""
    tracks: list[AudioTrack] = []
    has_video = False
    for stream in document.get("streams", ()):
        disposition = stream.get("disposition", {})
        if stream.get("codec_type") == "video":
            has_video = has_video or not disposition.get("attached_pic")
        if stream.get("codec_type") != "audio":
            continue
        tags = stream.get("tags", {})
        tracks.append(
            AudioTrack(
                stream_index=int(stream["index"]),
                language=known(tags.get("language")),
                codec=known(stream.get("codec_name")) or "",
                channels=int(stream.get("channels", 0)) or None,
                sample_rate_hz=int(stream.get("sample_rate", 0)) or None,
                title=known(tags.get("title")),
                default=bool(disposition.get("default")),
            )
        )
    facts = document.get("format", {})
    return describe_media(
        path=path,
        container=facts.get("format_name", ""),
        duration_s=_seconds(facts.get("duration")),
        start_s=_seconds(facts.get("start_time")),
        tracks=tracks,
        has_video=has_video,
    )


def _seconds(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:  # "N/A"
        return None
