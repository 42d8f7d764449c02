# SPDX-License-Identifier: Apache-2.0
"""FROZEN, never edit: a host as somebody wrote it for api_version 1 of the contract, subtitle-hooks 0.1.0.

It stands for the programs of other people that nobody will update. If a test with it fails, change the contract back.
"""

import sys
from pathlib import Path

from subtitle_hooks import (
    LogLevel,
    Progress,
    Segment,
    SubtitleError,
    SubtitleHost,
    SubtitleRequest,
    check_media,
    check_sidecar,
    render_srt,
    sidecar_path,
    write_sidecar,
)


class OwnEvents:
    """The four methods of the protocol, from no base class."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def progress(self, progress: Progress) -> None:
        self.heard.append(f"{progress.stage} {progress.done_ms} {progress.total_ms}")

    def segment(self, segment: Segment) -> None:
        self.heard.append(segment.text)

    def log(self, level: LogLevel, message: str) -> None:
        self.heard.append(f"{level}: {message}")

    def cancelled(self) -> bool:
        return False


def make(host: SubtitleHost, media: Path, backend: str) -> Path:
    check_media(media)
    installed = host.backend(backend)
    assert installed.name == installed.info.name == backend
    assert host.broken == [], host.broken
    target = sidecar_path(media, "en")
    check_sidecar(target)
    request = SubtitleRequest(media=media, language="en", context="Ada", start_ms=0, norm="default", model=None)
    if "context" not in installed.info.capabilities:
        request = SubtitleRequest(media=media, language="en")
    info = host.probe(request, backend)
    assert [track.index for track in info.tracks] == list(range(len(info.tracks)))
    events = OwnEvents()
    with host.generate(request, events, backend) as transcript:
        segments = list(transcript)
        assert transcript.backend == backend
        assert transcript.language is None or transcript.language == "en"
        dict(transcript.statistics)
    assert events.heard
    # The fields this host knows make a segment that means the same to it.
    known = [
        Segment(start_ms=one.start_ms, end_ms=one.end_ms, text=one.text, language=one.language) for one in segments
    ]
    assert render_srt(known) == render_srt(segments)
    write_sidecar(target, render_srt(segments))
    return target


if __name__ == "__main__":
    try:
        print(make(SubtitleHost(strict=True), Path(sys.argv[1]), sys.argv[2]))
    except SubtitleError as error:
        sys.exit(f"{error.code}: {error}")
