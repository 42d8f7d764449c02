# SPDX-License-Identifier: Apache-2.0
"""Rules about the process a backend is a guest in."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ._subject import Subject, broken
from ._watch import Surroundings

__all__ = ["MannersRules"]


class MannersRules:
    """What must be as it was: during the work, whenever a segment comes, and after it."""

    def test_nothing_is_printed(self, subject: Subject) -> None:
        """Standard output belongs to the host; native code and child processes count too."""
        printed = subject.first_run.printed
        if printed:
            broken(f"it wrote to standard output: {printed[:200]!r}")

    def test_the_working_directory_stays(self, subject: Subject) -> None:
        """Relative paths of the host keep their meaning."""
        _compare(subject, "the working directory", lambda around: around.working_directory)

    def test_the_environment_stays(self, subject: Subject) -> None:
        """Environment variables belong to the host."""
        _compare(subject, "the environment", lambda around: around.environment)

    def test_signal_handlers_stay(self, subject: Subject) -> None:
        """What Ctrl-C does is for the host to say."""
        _compare(subject, "a signal handler", lambda around: around.signal_handlers)

    def test_the_media_folder_stays(self, subject: Subject) -> None:
        """No file comes, goes or changes beside the media: the host writes the subtitles."""
        _compare(subject, "the media file's folder", lambda around: around.media_folder)

    @pytest.mark.parametrize("kind", ["threads", "processes", "files", "temporary_files"])
    def test_nothing_is_left_behind(self, subject: Subject, kind: str) -> None:
        """Runs that end, are closed early, never begin or are cancelled leave nothing more than the first one did."""
        left = subject.growth(kind)
        if left:
            broken(f"left behind after the transcripts were closed, {kind}: {', '.join(left)}")


def _compare(subject: Subject, what: str, part: Callable[[Surroundings], object]) -> None:
    before, *later = map(part, subject.first_run.around)
    for moment in later:
        if moment != before:
            broken(f"it changed {what}: {_difference(before, moment)}")


def _difference(before: object, after: object) -> str:
    if isinstance(before, dict) and isinstance(after, dict):
        names = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
        return ", ".join(map(str, names))
    return f"from {before} to {after}"
