# SPDX-License-Identifier: Apache-2.0
"""Rules about progress, and about stopping."""

from __future__ import annotations

import itertools
import time
from collections import defaultdict
from typing import Literal

import pytest

from subtitle_hooks import CancelledError, Progress, SilentEvents, Transcript

from ._doubles import RecordingEvents
from ._subject import SLACK_S, Subject, broken, in_a_thread

__all__ = ["ProgressRules"]


class ProgressRules:
    """What a host hears while the work goes on, and how it ends the work."""

    def test_progress_is_in_whole_milliseconds(self, subject: Subject) -> None:
        """Every report names a stage, and is in integer milliseconds from zero to the total."""
        for report in subject.run.events.progress_reports:
            if not isinstance(report, Progress) or not report.stage:
                broken(f"{report!r} was reported, which names no stage")
            if type(report.done_ms) is not int or type(report.total_ms) not in (int, type(None)):
                broken(f"{report!r} is not in whole milliseconds")
            if report.done_ms < 0 or (report.total_ms is not None and report.done_ms > report.total_ms):
                broken(f"{report!r} is not between zero and the total")

    def test_progress_never_goes_back(self, subject: Subject) -> None:
        """Within a stage, `done_ms` does not become smaller."""
        for stage, reports in _stages(subject).items():
            for one, next_one in itertools.pairwise(reports):
                if next_one.done_ms < one.done_ms:
                    broken(f"in stage {stage!r} progress went back from {one.done_ms} to {next_one.done_ms} ms")

    def test_progress_ends_at_its_total(self, subject: Subject) -> None:
        """There is progress, and the last report of every stage with a total has reached it."""
        stages = _stages(subject)
        if not stages:
            broken("no progress was reported")
        for stage, reports in stages.items():
            if reports[-1].total_ms not in (None, max(report.done_ms for report in reports)):
                broken(f"stage {stage!r} ended at {reports[-1].done_ms} of {reports[-1].total_ms} ms")

    def test_cancelled_is_asked_every_second(self, subject: Subject) -> None:
        """From the call to the end, no more than a second goes by without a question."""
        run = subject.run
        moments = [run.began, *run.events.cancel_checks, run.ended]
        longest_s = max(later - earlier for earlier, later in itertools.pairwise(moments))
        if longest_s > 1 + SLACK_S:
            broken(f"for {longest_s:.1f} s nobody asked events.cancelled()")

    @pytest.mark.parametrize("moment", ["before the start", "at the first progress", "at the first segment"])
    def test_cancelling_takes_a_second(
        self, subject: Subject, moment: Literal["before the start", "at the first progress", "at the first segment"]
    ) -> None:
        """A second after `cancelled()` has begun to say so, the work has ended with a CancelledError."""
        media = subject.run.media
        if moment == "at the first segment":
            subject.enough_segments(1)
        _, error, ended = subject.threaded_run
        if error is not None or not ended:
            # Work that cannot be stopped must not stop the tests, so that this one needs a thread.
            pytest.skip("it does not work in a thread: see test_it_works_in_a_thread")
        events = _Stopper(moment)

        def work() -> None:
            for _ in subject.generate(events, media):
                if moment == "at the first segment":
                    events.ask()

        _, error, ended = in_a_thread(work, patience_s=subject.run.ended - subject.run.began + 1 + 2 * SLACK_S)
        took_s = time.monotonic() - (events.asked_at or time.monotonic())
        if not ended or took_s > 1 + SLACK_S:
            broken(f"asked to stop {moment}, it was {'still at work' if not ended else 'done'} after {took_s:.1f} s")
        if error is not None and not isinstance(error, CancelledError):
            broken(f"asked to stop {moment}, it raised {type(error).__name__}: {error}")
        # Work that is over before it is time to ask again is no offence.
        if error is None and events.told:
            broken(f"asked to stop {moment}, it was told so by cancelled() and ended as if nothing had happened")

    def test_it_can_be_closed_early_and_twice(self, subject: Subject) -> None:
        """A transcript can be closed after its first segment, twice, and before anything was read from it."""
        first = subject.enough_segments()[0]
        transcript = subject.generate(RecordingEvents(), subject.run.media)
        if not isinstance(transcript, Transcript):
            return  # another test reports it
        if next(transcript) != first and subject.repeats_itself():
            broken("the first segment is another one than before")
        try:
            transcript.close()
            transcript.close()
            late = list(transcript)
            subject.generate(RecordingEvents(), subject.run.media).close()
        except Exception as error:  # noqa: BLE001
            broken(f"closing raised {type(error).__name__}: {error}")
            return
        if late:
            broken(f"{len(late)} segments came after the transcript had been closed")


def _stages(subject: Subject) -> dict[str, list[Progress]]:
    stages: dict[str, list[Progress]] = defaultdict(list)
    for report in subject.run.events.progress_reports:
        stages[report.stage].append(report)
    return stages


class _Stopper(SilentEvents):
    def __init__(self, moment: str) -> None:
        self.asked_at = time.monotonic() if moment == "before the start" else None
        self.told = False
        self._moment = moment

    def ask(self) -> None:
        if self.asked_at is None:
            self.asked_at = time.monotonic()

    def progress(self, progress: Progress) -> None:  # noqa: ARG002
        if self._moment == "at the first progress":
            self.ask()

    def cancelled(self) -> bool:
        if self.asked_at is None:
            return False
        self.told = True
        return True
