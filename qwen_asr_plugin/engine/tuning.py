# SPDX-License-Identifier: Apache-2.0
"""Which configuration is the fastest for a model on this machine: every usable library, the cores split in a few ways.

Contenders take turns in rounds, each visit in a fresh process, so that whatever else the computer does hits them all
and a model is in memory only once. Who is hopeless is left out of later rounds. Compared are the ratios of one round,
and the default stays unless another configuration is faster by more than the noise.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Final

from qwen_asr_model import Bundle, find_bundle, open_bundle
from qwen_asr_native import ProviderReport, diagnose
from qwen_asr_native.providers import PROVIDERS
from qwen_asr_plugin.errors import EngineCrashedError, EngineTimeoutError, LibraryNotFoundError, translate_errors
from qwen_asr_plugin.options import ALIGNER_OFF, MAX_LANES, EngineOptions, default_lanes
from subtitle_hooks import CancelledError, SubtitleError

from .choices import Choice, Configuration, LibraryFile, installed_libraries, model_digest
from .contender import Contender, Measurement
from .machine import Machine, this_machine
from .recognition import WorkTimes

__all__ = ["DEFAULT_SECONDS", "Row", "Tuning", "Visit", "splits", "tune"]

DEFAULT_SECONDS: Final = 100.0
"""Time limit: with the start of the command itself, under two minutes."""

_AUDIO_SECONDS: Final = 6.0
_TOKENS_PER_SECOND: Final = 4.5  # what people say; docs/performance.md
_WARM_SECONDS: Final = 1.0
_VISIT_SECONDS: Final = 1.5
_MOST_REPETITIONS: Final = 20
_ROUNDS: Final = 5
_PATIENCE: Final = 3.0
"""A visit may take so many times as long as the default's; the seconds beside it are for the start of a process."""
_PATIENCE_SECONDS: Final = 3.0
_HOPELESS_LIBRARY: Final = 1.4
_HOPELESS: Final = 1.25
_NOISE: Final = 0.95
_NOISE_OF_ONE_ROUND: Final = 0.90


@dataclass(frozen=True, kw_only=True)
class Visit:
    """What a contender did in one round.

    Attributes:
        rtf: Seconds per second of audio, all lanes together; the median of what was repeated.
        times: Seconds and counts of the stages of all repetitions, lanes added up.
        peak_memory_bytes: Peak memory of the process.
    """

    rtf: float
    times: WorkTimes
    peak_memory_bytes: int


@dataclass(kw_only=True)
class Row:
    """One configuration and how it did.

    Attributes:
        configuration: What was measured.
        system: The instruction sets that its library uses, in the library's words.
        visits: By the number of the round.
        outcome: ``measured``; ``crashed``, ``failed`` or ``too slow``, where no more rounds followed; ``skipped``,
            where there was no hope or no time.
        reason: Why it was not measured, or not to the end.
    """

    configuration: Configuration
    system: str = ""
    visits: dict[int, Visit] = field(default_factory=dict)
    outcome: str = "skipped"
    reason: str = ""

    @property
    def rtf(self) -> float | None:
        """Median of the rounds; None where there is none."""
        return statistics.median(visit.rtf for visit in self.visits.values()) if self.visits else None

    @property
    def times(self) -> WorkTimes:
        """Seconds and counts of all rounds."""
        return WorkTimes.sum(visit.times for visit in self.visits.values())

    @property
    def prefill_per_second(self) -> float:
        """Positions a second, all lanes together."""
        times = self.times
        return self.configuration.lanes * times.prefill_tokens / times.prefill_seconds if self.visits else 0.0

    @property
    def tokens_per_second(self) -> float:
        """Generated tokens a second, all lanes together."""
        times = self.times
        return self.configuration.lanes * times.generation_tokens / times.generation_seconds if self.visits else 0.0

    @property
    def peak_memory_bytes(self) -> int:
        """Most memory it took, without the forced aligner."""
        return max((visit.peak_memory_bytes for visit in self.visits.values()), default=0)

    def ratio_to(self, other: Row) -> float | None:
        """Median of time against another's time in the same round; None where no round has both."""
        ratios = self.ratios_to(other)
        return statistics.median(ratios) if ratios else None

    def ratios_to(self, other: Row) -> list[float]:
        """Return its time against another's, round by round."""
        return [visit.rtf / other.visits[number].rtf for number, visit in self.visits.items() if number in other.visits]


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """The result.

    Attributes:
        bundle: The model.
        machine: Where it was measured.
        rows: Every configuration; the first is the default.
        chosen: The fastest; the default unless another one is faster by more than the noise.
        rounds: How many rounds the chosen one took part in.
        seconds: Time it took.
        out_of_time: The time limit ended it.
    """

    bundle: Bundle
    machine: Machine
    rows: tuple[Row, ...]
    chosen: Row
    rounds: int
    seconds: float
    out_of_time: bool

    @property
    def default(self) -> Row:
        """The configuration in use where nothing is chosen."""
        return self.rows[0]

    def choice(self) -> Choice:
        """Return what is to be kept of it.

        Raises:
            OSError: A library cannot be read any more.
        """
        ratio = self.chosen.ratio_to(self.default)
        assert self.chosen.rtf is not None
        assert ratio is not None
        return Choice(
            model=self.bundle.name,
            digest=model_digest(self.bundle),
            machine=self.machine,
            libraries={name: LibraryFile.of(path) for name, path in installed_libraries().items()},
            configuration=self.chosen.configuration,
            rtf=self.chosen.rtf,
            default_rtf=self.chosen.rtf / ratio,
            date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        )


def splits(cores: int) -> list[tuple[int, int]]:
    """Return the ways to split cores that are worth a comparison, as lanes and threads of each; the default first.

    Besides the default: a thread per lane, two threads per lane, one lane with everything.
    """
    lanes = [default_lanes(cores), cores, cores // 2, 1]
    return list(dict.fromkeys((n, cores // n) for n in lanes if 1 <= n <= MAX_LANES))


@translate_errors
def tune(
    options: EngineOptions,
    *,
    seconds: float = DEFAULT_SECONDS,
    progress: Callable[[str, int, int], None] = lambda *_: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Tuning:
    """Measure the configurations that matter for a model on the CPUs of this machine.

    Args:
        options: Which model, precision and quantisation.
        seconds: Time limit. What was measured by then decides.
        progress: Told what comes next, how many visits are done and how many there may be.
        cancelled: Asked every 100 ms.

    Raises:
        CancelledError: `cancelled` said so.
        ModelError: The bundle cannot be used.
        LibraryNotFoundError: There is no usable library.
        EngineTimeoutError: Not even the default could be measured in time.
        EngineError: The default configuration does not work.
    """
    return _Race(options, seconds, progress, cancelled).run()


class _OutOfTimeError(Exception):
    """The time limit has passed, or the next visit would not end before it."""


class _Race:
    def __init__(
        self,
        options: EngineOptions,
        seconds: float,
        progress: Callable[[str, int, int], None],
        cancelled: Callable[[], bool],
    ) -> None:
        self._begin = time.monotonic()
        self._limit = seconds
        self._deadline = self._begin + seconds
        self._progress = progress
        self._cancelled = cancelled
        self._machine = this_machine()
        self._bundle = open_bundle(
            find_bundle(options.model), precision=options.precision, quant=options.quant, aligner=False
        )
        self._options = EngineOptions(
            model=self._bundle.path, precision=options.precision, quant=options.quant, aligner=ALIGNER_OFF
        )
        self._done = 0
        self._longest = 0.0
        self._default_took = 0.0

    def run(self) -> Tuning:
        libraries = _usable_libraries()
        rows = [
            Row(
                configuration=Configuration(provider=found.name, lanes=lanes, threads_per_lane=threads),
                system=found.system,
            )
            for found in libraries
            for lanes, threads in splits(self._machine.cores)
        ]
        default = rows[0]
        out_of_time = False
        try:
            self._first_round(rows)
            for number in range(1, _ROUNDS):
                alive = _worth_another(rows, default)
                if alive == [default]:
                    break
                turn = alive if number % 2 == 0 else alive[::-1]
                for place, row in enumerate(turn):
                    self._visit(row, number, left=(_ROUNDS - number) * len(alive) - place)
        except _OutOfTimeError:
            out_of_time = True
            if not default.visits:
                raise EngineTimeoutError(
                    f"Not even the default configuration could be measured in {self._limit:.0f} s.",
                    hint="Give it more time with --seconds.",
                ) from None
        for row in rows:
            if row.outcome == "skipped" and not row.reason:
                row.reason = "no time was left"
        chosen = _fastest(rows, default)
        return Tuning(
            bundle=self._bundle,
            machine=self._machine,
            rows=tuple(rows),
            chosen=chosen,
            rounds=len(chosen.visits),
            seconds=time.monotonic() - self._begin,
            out_of_time=out_of_time,
        )

    def _first_round(self, rows: Sequence[Row]) -> None:
        """Every library with the default's split first; the other splits only of those that are not far behind."""
        default = rows[0]
        ways = splits(self._machine.cores)
        first = [row for row in rows if _split(row) == ways[0]]
        others = [row for row in rows if row not in first]
        for place, row in enumerate(first):
            self._visit(row, 0, left=_ROUNDS * len(rows) - place)
        assert default.rtf is not None
        best = min(row.rtf for row in first if row.rtf is not None)
        behind = {
            row.configuration.provider for row in first if row.rtf is None or row.rtf > _HOPELESS_LIBRARY * best
        } - {default.configuration.provider}
        for row in others:
            if row.configuration.provider in behind:
                row.reason = "its library is slower, or does not work, with the cores split as by default"
        entering = [row for row in others if not row.reason]
        for place, row in enumerate(entering):
            self._visit(row, 0, left=len(entering) - place + (_ROUNDS - 1) * (len(rows) - len(behind)))

    def _visit(self, row: Row, number: int, *, left: int) -> None:
        """Measure a contender once.

        Raises:
            _OutOfTimeError: There is not enough time left, or the visit used it up.
            SubtitleError: The default configuration does not work.
            CancelledError: As asked.
        """
        begin = time.monotonic()
        if begin + self._longest > self._deadline:
            raise _OutOfTimeError
        self._progress(row.configuration.describe(), self._done, self._done + left)
        is_default = not self._default_took
        patience = float("inf") if is_default else _PATIENCE * self._default_took + _PATIENCE_SECONDS
        deadline = min(self._deadline, begin + patience)
        try:
            options = row.configuration.applied_to(self._options)
            with Contender(options, deadline=deadline, cancelled=self._cancelled) as contender:
                row.visits[number] = _measure(contender, row.configuration.lanes, deadline)
        except CancelledError:
            raise
        except SubtitleError as error:
            timed_out = isinstance(error, EngineTimeoutError)
            if timed_out and deadline == self._deadline:
                raise _OutOfTimeError from error
            if is_default:
                raise
            crashed = isinstance(error, EngineCrashedError)
            row.outcome = "crashed" if crashed else "too slow" if timed_out else "failed"
            row.reason = error.what
        else:
            row.outcome = "measured"
            took = time.monotonic() - begin
            self._longest = max(self._longest, took)
            self._default_took = self._default_took or took
        self._done += 1


def _measure(contender: Contender, lanes: int, deadline: float) -> Visit:
    _, longest = contender.load()
    audio = min(_AUDIO_SECONDS, longest)
    contender.measure(audio_seconds=_WARM_SECONDS, tokens=2)  # reads the weights, makes the buffers
    found: list[Measurement] = []
    end = time.monotonic() + _VISIT_SECONDS
    # What has been measured counts, also where the time limit comes before the end of the visit.
    while not found or (time.monotonic() < min(end, deadline - found[-1].seconds) and len(found) < _MOST_REPETITIONS):
        found.append(contender.measure(audio_seconds=audio, tokens=int(audio * _TOKENS_PER_SECOND)))
    return Visit(
        rtf=statistics.median(one.seconds for one in found) / (lanes * audio),
        times=WorkTimes.sum(one.times for one in found),
        peak_memory_bytes=found[-1].peak_memory_bytes,
    )


def _usable_libraries() -> list[ProviderReport]:
    """Every verified library, in the order of preference.

    Raises:
        LibraryNotFoundError: There is none.
    """
    order = [provider.name for provider in PROVIDERS]
    usable = [report for report in diagnose() if report.verified and report.name in order]
    if not usable:
        raise LibraryNotFoundError(
            "There is no libllama that could be measured.",
            hint="Install one: pip install ik-llama-cpp-python (or xllamacpp). `qwen-asr-plugin doctor` says more.",
        )
    return sorted(usable, key=lambda report: order.index(report.name))


def _split(row: Row) -> tuple[int, int]:
    return row.configuration.lanes, row.configuration.threads_per_lane


def _worth_another(rows: Sequence[Row], default: Row) -> list[Row]:
    """The default, and those that may still turn out to be the fastest."""
    measured = [(row, row.rtf) for row in rows if row.outcome == "measured" and row.rtf is not None]
    best = min(rtf for _, rtf in measured)
    return [row for row, rtf in measured if row is default or rtf < _HOPELESS * best]


def _fastest(rows: Sequence[Row], default: Row) -> Row:
    """The best of those that were faster than the default in every round, and by more than the noise."""
    best, best_ratio = default, 1.0
    for row in rows:
        ratios = row.ratios_to(default)
        if row is default or row.outcome != "measured" or not ratios or max(ratios) >= 1.0:
            continue
        ratio = statistics.median(ratios)
        if ratio < min(best_ratio, _NOISE if len(ratios) > 1 else _NOISE_OF_ONE_ROUND):
            best, best_ratio = row, ratio
    return best
