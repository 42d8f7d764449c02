# SPDX-License-Identifier: Apache-2.0
"""The program `subtitle-folder`: makes subtitles for every media file of a folder that has none in that language."""

import sys
from pathlib import Path

from subtitle_hooks import (
    OutputExistsError,
    Progress,
    SilentEvents,
    SubtitleError,
    SubtitleHost,
    SubtitleRequest,
    check_sidecar,
    render_srt,
    sidecar_path,
    write_sidecar,
)

SUFFIXES = {".avi", ".flac", ".m4a", ".mkv", ".mov", ".mp3", ".mp4", ".ogg", ".opus", ".wav", ".webm"}


class Percent(SilentEvents):
    """Shows how far the work is."""

    def progress(self, progress: Progress) -> None:
        if progress.total_ms:
            print(f"\r  {progress.stage} {progress.done_ms * 100 // progress.total_ms} % ", end="", file=sys.stderr)


def make_subtitles(host: SubtitleHost, media: Path, language: str) -> Path:
    target = sidecar_path(media, language)
    check_sidecar(target)  # before the long work, not after it
    with host.generate(SubtitleRequest(media=media, language=language), Percent()) as transcript:
        text = render_srt(transcript)
    write_sidecar(target, text)
    return target


def succeeds(host: SubtitleHost, media: Path, language: str) -> bool:
    try:
        print(make_subtitles(host, media, language))
    except OutputExistsError:
        print(f"{media}: has subtitles already", file=sys.stderr)
    except SubtitleError as error:
        print(error, file=sys.stderr)
        return False
    return True


def main() -> int:
    if len(sys.argv) != 3:
        print("usage: subtitle-folder FOLDER LANGUAGE", file=sys.stderr)
        return 2
    folder, language = Path(sys.argv[1]), sys.argv[2]
    host = SubtitleHost()
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    failures = sum(not succeeds(host, media, language) for media in files)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
