# SPDX-License-Identifier: Apache-2.0
"""The race of the configurations: with real processes, one of which crashes or hangs, and what is made of figures."""

import sys
import time

import psutil
import pytest

from qwen_asr_model import default_bundle, open_bundle
from qwen_asr_native.cores import usable_cores
from qwen_asr_plugin.engine import launcher, tuning
from qwen_asr_plugin.engine.build_gain import build_gain
from qwen_asr_plugin.engine.choices import Configuration, installed_libraries
from qwen_asr_plugin.engine.contender import Measurement
from qwen_asr_plugin.engine.machine import Machine
from qwen_asr_plugin.engine.recognition import WorkTimes
from qwen_asr_plugin.engine.tuning import Row, Tuning, Visit, splits, tune
from qwen_asr_plugin.errors import EngineCrashedError, EngineTimeoutError
from qwen_asr_plugin.options import EngineOptions
from subtitle_hooks import CancelledError

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX signals")

two_libraries = pytest.mark.skipif(
    not {"ik-llama-cpp-python", "xllamacpp"} <= set(installed_libraries()), reason="needs two libraries"
)

IN_CONTENDERS_OF = """
from qwen_asr_plugin.engine import contender_worker
load_model = contender_worker.load_model
def disturbed(options):
    if options.libllama in {providers!r}:
        {action}
    return load_model(options)
contender_worker.load_model = disturbed
"""


@pytest.fixture
def disturb(monkeypatch):
    """Do something in the processes of contenders with these libraries before they load the model."""

    def arrange(action, *providers):
        code = IN_CONTENDERS_OF.format(providers=providers, action=action)
        script = launcher._CODE.replace("\nmain()\n", code + "\nmain()\n")
        assert script != launcher._CODE
        monkeypatch.setattr(launcher, "_CODE", script)

    return arrange


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(tuning, "_VISIT_SECONDS", 0.1)
    monkeypatch.setattr(tuning, "_ROUNDS", 2)
    yield
    assert not [child for child in psutil.Process().children() if "contender_worker" in " ".join(child.cmdline())]


@pytest.mark.parametrize(
    ("cores", "expected"),
    [
        (1, [(1, 1)]),
        (2, [(2, 1), (1, 2)]),
        (4, [(4, 1), (2, 2), (1, 4)]),
        (6, [(6, 1), (3, 2), (1, 6)]),
        (8, [(8, 1), (4, 2), (1, 8)]),
        (32, [(8, 4), (16, 2), (1, 32)]),
    ],
)
def test_splits_of_the_cores(cores, expected):
    assert splits(cores) == expected


@posix_only
@two_libraries
def test_a_crash_is_a_row_and_the_race_goes_on(disturb):
    disturb("os.kill(os.getpid(), signal.SIGSEGV)", "xllamacpp")
    steps = []
    found = tune(EngineOptions(), seconds=60, progress=lambda *step: steps.append(step))
    rows = {(row.configuration.provider, row.configuration.lanes): row for row in found.rows}
    cores = usable_cores()
    crashed = rows["xllamacpp", splits(cores)[0][0]]
    assert crashed.outcome == "crashed"
    assert "SIGSEGV" in crashed.reason
    assert [row.outcome for row in found.rows if row.configuration.provider == "xllamacpp"][1:] == ["skipped"] * (
        len(splits(cores)) - 1
    )
    assert found.default.outcome == "measured"
    assert found.default.rtf > 0
    assert found.default.prefill_per_second > found.default.tokens_per_second > 0
    assert found.default.peak_memory_bytes > 50e6
    assert found.chosen in found.rows
    assert found.chosen.configuration.provider != "xllamacpp"
    assert not found.out_of_time
    assert [done for _, done, _ in steps] == list(range(len(steps)))
    assert all(done < total for _, done, total in steps)
    choice = found.choice()
    assert choice.configuration == found.chosen.configuration
    assert set(choice.libraries) >= {"xllamacpp", choice.configuration.provider}


@two_libraries
def test_a_contender_that_hangs_is_too_slow(disturb, monkeypatch):
    monkeypatch.setattr(tuning, "_PATIENCE", 1.0)
    monkeypatch.setattr(tuning, "_PATIENCE_SECONDS", 0.5)
    monkeypatch.setattr(tuning, "_ROUNDS", 1)
    disturb("import time; time.sleep(60)", "xllamacpp")
    found = tune(EngineOptions(), seconds=60)
    assert "too slow" in {row.outcome for row in found.rows if row.configuration.provider == "xllamacpp"}
    assert found.seconds < 30


@posix_only
def test_a_default_that_crashes_is_an_error(disturb):
    disturb("os.kill(os.getpid(), signal.SIGSEGV)", "built", "ik-llama-cpp-python", "xllamacpp", "llama-cpp-python")
    with pytest.raises(EngineCrashedError, match="SIGSEGV"):
        tune(EngineOptions(), seconds=60)


def test_the_time_limit_is_kept():
    begin = time.monotonic()
    with pytest.raises(EngineTimeoutError) as caught:
        tune(EngineOptions(), seconds=0.2)
    assert time.monotonic() - begin < 10
    assert "--seconds" in caught.value.hint


class _StandIn:
    """A contender that needs no computing."""

    def __init__(self, options, *, deadline, cancelled):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def load(self):
        return "stand-in", 20.0

    def measure(self, *, audio_seconds, tokens):
        time.sleep(0.01)
        return Measurement(seconds=0.01, times=_visit(1.0).times, peak_memory_bytes=1)


def test_what_was_measured_in_time_is_a_result(monkeypatch):
    asked = []
    monkeypatch.setattr(tuning, "Contender", _StandIn)
    monkeypatch.setattr(tuning, "_VISIT_SECONDS", 60.0)
    monkeypatch.setattr(tuning, "_MOST_REPETITIONS", 1_000_000)
    found = tune(EngineOptions(), seconds=3.0, progress=lambda *step: asked.append(step))
    assert len(asked) == 1  # the default takes all of it
    assert found.out_of_time
    assert found.chosen is found.default
    assert found.default.rtf == pytest.approx(0.01 / (6 * found.default.configuration.lanes))
    assert {row.reason for row in found.rows[1:]} <= {"no time was left"}


def test_equals_take_part_in_every_round_and_the_default_stays(monkeypatch):
    asked = []
    monkeypatch.setattr(tuning, "Contender", _StandIn)
    monkeypatch.setattr(tuning, "splits", lambda cores: [(2, 1), (2, 2)])
    found = tune(EngineOptions(), seconds=60, progress=lambda step, *_: asked.append(step))
    first, second = asked[: len(found.rows)], asked[len(found.rows) :]
    assert sorted(first) == sorted(second) == sorted(row.configuration.describe() for row in found.rows)
    assert second == [row.configuration.describe() for row in found.rows][::-1]  # the order alternates
    assert found.chosen is found.default
    assert found.rounds == 2


def test_cancelling_leaves_nothing_behind():
    asked = []
    with pytest.raises(CancelledError):
        tune(EngineOptions(), progress=lambda *step: asked.append(step), cancelled=lambda: bool(asked))


# --- judging ---------------------------------------------------------------------------------------------------------


def _visit(rtf):
    times = WorkTimes(
        encoder_seconds=1.0, prefill_seconds=2.0, generation_seconds=1.0, prefill_tokens=200, generation_tokens=50
    )
    return Visit(rtf=rtf, times=times, peak_memory_bytes=100)


def _row(provider, *rtfs, outcome="measured", system=""):
    configuration = Configuration(provider=provider, lanes=2, threads_per_lane=1)
    visits = {number: _visit(rtf) for number, rtf in enumerate(rtfs) if rtf}
    return Row(configuration=configuration, visits=visits, outcome=outcome, system=system)


DEFAULT = (1.0, 1.1, 0.9)


@pytest.mark.parametrize(
    ("rtfs", "wins"),
    [
        ((0.9, 1.0, 0.8), True),
        ((0.97, 1.06, 0.87), False),  # 3 %: noise
        ((0.5, 1.2, 0.5), False),  # not in every round
        ((0.93,), False),  # 7 % in a single round
        ((0.85,), True),
        ((None, 0.95, 0.8), True),  # compared with the default of the same rounds
        ((None, 1.05, None), False),
        ((), False),
    ],
)
def test_another_one_must_be_faster_by_more_than_the_noise(rtfs, wins):
    default, other = _row("a", *DEFAULT), _row("b", *rtfs)
    assert (tuning._fastest([default, other], default) is other) == wins


def test_the_best_of_several_wins_unless_it_crashed_later():
    default, good, better = _row("a", *DEFAULT), _row("b", 0.8, 0.9, 0.7), _row("c", 0.6, 0.6, 0.6)
    assert tuning._fastest([default, good, better], default) is better
    better.outcome = "crashed"
    assert tuning._fastest([default, good, better], default) is good


def test_the_hopeless_are_left_out_but_never_the_default():
    default, hopeless, close = _row("a", 1.6), _row("b", 1.4), _row("c", 1.0)
    near, crashed = _row("d", 1.2), _row("e", 0.5, outcome="crashed")
    assert tuning._worth_another([default, hopeless, close, near, crashed], default) == [default, close, near]


AVX512 = ("avx2", "avx512_bf16", "avx512_vnni", "avx512f")
WHEEL = "AVX = 1 | AVX2 = 1 | AVX512 = 0 | AVX512_VNNI = 0 |"
NATIVE = "AVX = 1 | AVX2 = 1 | AVX512 = 1 | AVX512_VNNI = 1 | AVX512_BF16 = 1 |"


def _tuning(features, *rows):
    machine = Machine(processor="x", features=features, cores=2)
    bundle = open_bundle(default_bundle())
    return Tuning(bundle=bundle, machine=machine, rows=rows, chosen=rows[0], rounds=1, seconds=1, out_of_time=False)


def test_what_a_build_would_gain_is_an_expectation():
    gain = build_gain(_tuning(AVX512, _row("ik-llama-cpp-python", 1.0, system=WHEEL)))
    assert gain.kind == "expected"
    assert gain.unused == ("avx512f", "avx512_vnni", "avx512_bf16")
    assert gain.factor == pytest.approx(4 / (1 + 2 / 1.3 + 1 / 1.05))  # the stages of `_visit`
    assert "expectation" in gain.text
    assert "native build" in gain.text


def test_what_is_used_already_or_not_there_gains_nothing():
    assert build_gain(_tuning(AVX512, _row("ik-llama-cpp-python", 1.0, system=NATIVE))).kind == "none"
    assert build_gain(_tuning(("avx2", "fma"), _row("ik-llama-cpp-python", 1.0, system=WHEEL))).kind == "none"
    assert build_gain(_tuning(("asimd", "i8mm"), _row("xllamacpp", 1.0))).kind == "unknown"


def test_a_built_library_that_took_part_is_measured():
    gain = build_gain(_tuning(AVX512, _row("built", 0.8, system=NATIVE), _row("xllamacpp", 1.2), _row("ik", 1.0)))
    assert (gain.kind, gain.factor) == ("measured", pytest.approx(1.25))
    assert build_gain(_tuning(AVX512, _row("built", 0.8, system=NATIVE))).kind == "unknown"
