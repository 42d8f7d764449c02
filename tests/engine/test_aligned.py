# SPDX-License-Identifier: Apache-2.0
"""The forced aligner inside the engine: which one is used, on what, and what happens when it fails."""

import shutil
import sys
from pathlib import Path

import pytest

from qwen_asr_model import default_bundle, open_bundle, synthesize
from qwen_asr_plugin.alignment import align_units
from qwen_asr_plugin.engine import launcher
from qwen_asr_plugin.engine.process import _aligned_units
from qwen_asr_plugin.engine.recognizer import load_model
from qwen_asr_plugin.engine.supervisor import ProcessEngine
from qwen_asr_plugin.engine.wire import WireError
from qwen_asr_plugin.errors import EngineCrashedError, ModelError
from qwen_asr_plugin.options import EngineOptions

OPTIONS = {"lanes": 1, "threads": 1}


class Lane:
    """A loaded model and one lane of it."""

    def __init__(self, **options):
        self.model = load_model(EngineOptions(**OPTIONS, **options))
        self.lane = self.model.recognizer()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.lane.close()
        self.model.close()

    def __call__(self, chunk, **options):
        return self.lane.recognize(chunk.samples, **options)


@pytest.fixture(scope="module")
def lane():
    """One lane of the bundled model."""
    with Lane() as lane:
        yield lane


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A recogniser with random weights, and an aligner alone with the same vocabulary and its own encoder."""
    folder = tmp_path_factory.mktemp("tiny")
    for size in ("tiny", "aligner-tiny"):
        synthesize(size, folder / size, precisions=("fp32",), quants=("f16",))
    return folder


def times_of(spoken):
    return [at for unit in spoken.aligned for at in (unit.start_ms, unit.stop_ms)]


def test_every_unit_of_the_text_gets_its_times(lane, speech):
    for chunk in speech[:3]:
        spoken = lane(chunk)
        units = align_units(spoken.text, spoken.language)
        assert [(unit.begin, unit.end) for unit in spoken.aligned] == [(unit.begin, unit.end) for unit in units]
        assert len(units) > 3
        assert all(0 <= at <= chunk.end_ms and at % 80 == 0 for at in times_of(spoken))
        assert len(set(times_of(spoken))) > len(units)
        assert spoken.times.alignment_seconds > 0


def test_only_where_it_is_wanted(lane, speech):
    spoken, plain = lane(speech[0]), lane(speech[0], align=False)
    assert plain.aligned is None
    assert (plain.text, plain.language) == (spoken.text, spoken.language)
    assert lane(speech[0], cancelled=lambda: True).aligned is None


def test_off(speech):
    with Lane(aligner="off") as lane:
        assert lane.model.aligner is None
        assert lane(speech[0]).aligned is None
        assert lane.model.max_chunk_seconds == lane.model.bundle.max_chunk_seconds


def test_chunks_are_as_long_as_both_models_take(lane):
    bundle = lane.model.bundle
    assert lane.model.max_chunk_seconds == min(bundle.max_chunk_seconds, bundle.aligner.max_chunk_seconds)
    assert lane.model.aligner_encoder is None, "one encoder for both"


def test_languages_the_aligner_does_not_know_are_left_to_the_estimate(lane, speech):
    assert lane.model.aligner.files.languages == ("en",)
    assert lane(speech[0], language="en").aligned
    assert lane(speech[0], language="de").aligned is None


def test_an_aligner_of_another_folder_with_its_own_encoder(tiny, noise, monkeypatch):
    monkeypatch.setattr("qwen_asr_plugin.engine.recognizer.parse_output", lambda *_: (None, "One two, three."))
    with Lane(model=tiny / "tiny", aligner=str(tiny / "aligner-tiny")) as lane:
        assert lane.model.aligner_encoder is not None
        assert lane.model.aligner.files.path == tiny / "aligner-tiny"
        chunk = noise(seconds=2.0)
        asked = iter([True])
        spoken = lane(chunk, cancelled=lambda: next(asked, False))
        units = ["One", "two", "three"]
        own = lane.model.aligner_encoder.encode(chunk.samples)
        assert tuple(times_of(spoken)) == lane.model.aligner.align(own, units, 2000)
        # With the same rows twice as loud it says something else, so that it matters which encoder they are from.
        assert tuple(times_of(spoken)) != lane.model.aligner.align(-2 * own, units, 2000)


def test_the_folder_of_the_bundle_itself_is_its_own_aligner(lane, speech):
    with Lane(aligner=str(default_bundle())) as same:
        assert same.model.aligner_encoder is None
        assert times_of(same(speech[0])) == times_of(lane(speech[0]))


def test_an_aligner_of_another_model_family_is_refused(tiny):
    with pytest.raises(ModelError, match="another vocabulary") as caught:
        load_model(EngineOptions(aligner=str(tiny / "aligner-tiny")))
    assert str(tiny / "aligner-tiny") in str(caught.value)


@pytest.mark.parametrize("name", ["gone", "tiny"])
def test_a_folder_without_an_aligner_is_refused(tiny, name):
    with pytest.raises(ModelError) as caught:
        load_model(EngineOptions(model=tiny / "tiny", aligner=str(tiny / name)))
    assert str(tiny / name) in str(caught.value)


def test_an_aligner_with_a_file_missing_is_refused(tmp_path):
    folder = Path(shutil.copytree(default_bundle(), tmp_path / "model"))
    open_bundle(folder).aligner.text.unlink()
    with pytest.raises(ModelError, match="aligner_text"):
        load_model(EngineOptions(model=folder))


# --- in a worker -----------------------------------------------------------------------------------------------------


@pytest.fixture
def in_worker(monkeypatch):
    """Run some code in every worker before it begins its work."""

    def arrange(code):
        script = launcher._CODE.replace("\nmain()\n", "\n" + code.replace("{", "{{").replace("}", "}}") + "\nmain()\n")
        assert script != launcher._CODE
        monkeypatch.setattr(launcher, "_CODE", script)

    return arrange


CRASHING = """
import pathlib
from qwen_asr_plugin.alignment.forced import ForcedAligner
align = ForcedAligner.align
def crash(self, *arguments, **_):
    mark = pathlib.Path({mark!r})
    if not mark.exists() or {always!r}:
        mark.touch()
        os.kill(os.getpid(), signal.SIGSEGV)
    return align(self, *arguments)
ForcedAligner.align = crash
"""


@pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX signals")
def test_a_crash_in_the_aligner_is_survived(in_worker, speech, tmp_path):
    in_worker(CRASHING.format(mark=str(tmp_path / "crashed"), always=False))
    engine = ProcessEngine(EngineOptions(**OPTIONS), back_off=(0.05,))
    try:
        engine.wait_loaded()
        said = []
        found = list(engine.recognize(speech[:3], on_restart=said.append))
    finally:
        engine.close()
    assert len(said) == 1
    assert "SIGSEGV" in said[0]
    assert [recognition.index for recognition in found] == [0, 1, 2]
    assert all(recognition.aligned for recognition in found)


@pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX signals")
def test_an_aligner_that_always_crashes_is_an_error(in_worker, speech, tmp_path):
    in_worker(CRASHING.format(mark=str(tmp_path / "crashed"), always=True))
    engine = ProcessEngine(EngineOptions(**OPTIONS), back_off=(0.05,))
    try:
        engine.wait_loaded()
        # Nobody asks the aligner any more where the backend has given it up.
        assert [r.aligned for r in engine.recognize(speech[:1], aligning=lambda: False)] == [None]
        with pytest.raises(EngineCrashedError, match="SIGSEGV"):
            list(engine.recognize(speech[:1]))
    finally:
        engine.close()


def test_a_worker_says_what_a_lane_says(lane, speech):
    engine = ProcessEngine(EngineOptions(**OPTIONS))
    try:
        engine.wait_loaded()
        assert engine.info.aligner == "demo-en q8_0"
        assert engine.info.max_chunk_seconds == lane.model.max_chunk_seconds
        asked = []
        for recognition in engine.recognize(speech[:2], aligning=lambda: asked.append(1) or len(asked) == 1):
            spoken = lane(speech[recognition.index])
            assert recognition.text == spoken.text
            assert recognition.aligned == (spoken.aligned if recognition.index == 0 else None)
    finally:
        engine.close()
    assert len(asked) == 2, "asked for every chunk"


@pytest.mark.parametrize("nonsense", [[1], [[0, 3, 80]], [[0, 3, 80, 160, 240]], ["abc"], [None]])
def test_units_that_are_none_are_a_broken_pipe(nonsense):
    with pytest.raises(WireError, match="aligned"):
        _aligned_units(nonsense)


def test_no_units_and_no_aligner_are_told_apart():
    assert _aligned_units([]) == ()
    assert _aligned_units(None) is None
