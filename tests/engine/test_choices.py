# SPDX-License-Identifier: Apache-2.0
"""What `tune` has chosen: kept, used where it holds, and nowhere else."""

import dataclasses
import json
import os

import pytest

from qwen_asr_model import default_bundle, open_bundle
from qwen_asr_plugin.engine import choices
from qwen_asr_plugin.engine.choices import (
    Choice,
    Configuration,
    LibraryFile,
    apply_choice,
    choices_file,
    deciding_option,
    find_choice,
    forget_choice,
    installed_libraries,
    model_digest,
    store_choice,
)
from qwen_asr_plugin.engine.info import describe_model
from qwen_asr_plugin.engine.machine import Machine, this_machine
from qwen_asr_plugin.engine.recognizer import load_model
from qwen_asr_plugin.options import EngineOptions
from subtitle_hooks import OutputNotWritableError

TUNED = Configuration(provider="xllamacpp", lanes=3, threads_per_lane=2)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("QWEN_ASR_DATA_DIR", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture(scope="module")
def bundle():
    return open_bundle(default_bundle())


@pytest.fixture
def libraries(tmp_path, monkeypatch):
    """Two library files in the place of the installed ones."""
    found = {name: tmp_path / name for name in ("ik-llama-cpp-python", "xllamacpp")}
    for path in found.values():
        path.write_bytes(path.name.encode())
    monkeypatch.setattr(choices, "installed_libraries", lambda: dict(found))
    return found


@pytest.fixture
def choice(bundle, libraries):
    return _choice(bundle, libraries)


def _choice(bundle, libraries, configuration=TUNED):
    return Choice(
        model=bundle.name,
        digest=model_digest(bundle),
        machine=this_machine(),
        libraries={name: LibraryFile.of(path) for name, path in libraries.items()},
        configuration=configuration,
        rtf=0.01,
        default_rtf=0.015,
        date="2026-11-23T10:00:00+00:00",
    )


def test_nothing_chosen_is_the_default(bundle):
    assert find_choice(bundle) == choices.Found()
    applied = apply_choice(EngineOptions(), bundle)
    assert (applied.configuration, applied.options, applied.warnings) == ("default", EngineOptions(), ())


def test_a_choice_is_kept_and_applied(bundle, choice):
    assert store_choice(choice) == choices_file()
    assert find_choice(bundle).choice == choice
    assert choice.gain == pytest.approx(1.5)
    applied = apply_choice(EngineOptions(quant="q5_0"), bundle)
    assert applied.configuration == "tuned 2026-11-23"
    assert applied.options == EngineOptions(quant="q5_0", libllama="xllamacpp", lanes=3, threads=6)
    assert [path.name for path in choices_file().parent.iterdir()] == ["tuning.json"]


@pytest.mark.parametrize(
    ("given", "decided_by"),
    [
        ({"libllama": "ik-llama-cpp-python"}, "libllama"),
        ({"lanes": 1}, "lanes"),
        ({"threads": 2}, "threads"),
        ({"device": "gpu"}, "device"),
        ({"gpu_layers": -1}, "gpu_layers"),
        ({"onnx_provider": "cuda"}, "onnx_provider"),
        ({"lanes": 1, "threads": 1}, "lanes, threads"),
    ],
)
def test_options_win(given, decided_by, bundle, choice):
    store_choice(choice)
    options = EngineOptions(**given)
    assert deciding_option(options) == decided_by
    applied = apply_choice(options, bundle)
    assert (applied.options, applied.configuration) == (options, "options")


def test_the_variable_for_the_library_wins(bundle, choice, monkeypatch):
    store_choice(choice)
    monkeypatch.setenv("QWEN_ASR_LIBLLAMA", "ik-llama-cpp-python")
    assert apply_choice(EngineOptions(), bundle).options == EngineOptions()


@pytest.mark.parametrize(
    "given", [{}, {"device": "cpu"}, {"gpu_layers": 0}, {"precision": "int4"}, {"timeout_factor": 9}]
)
def test_other_options_leave_it_open(given, bundle, choice):
    store_choice(choice)
    assert apply_choice(EngineOptions(**given), bundle).options.libllama == "xllamacpp"


def test_a_later_choice_replaces_an_earlier_one_of_the_same_model_only(bundle, choice):
    other = dataclasses.replace(choice, digest="another model")
    later = dataclasses.replace(choice, configuration=Configuration(provider="xllamacpp", lanes=1, threads_per_lane=1))
    for one in (choice, other, later):
        store_choice(one)
    assert find_choice(bundle).choice == later
    assert len(json.loads(choices_file().read_text())["choices"]) == 2
    assert forget_choice(bundle)
    assert not forget_choice(bundle)
    assert find_choice(bundle) == choices.Found()
    assert len(json.loads(choices_file().read_text())["choices"]) == 1


def test_forgetting_the_last_one_removes_the_file(bundle, choice):
    store_choice(choice)
    assert forget_choice(bundle)
    assert not choices_file().exists()
    assert not forget_choice(bundle)


def test_another_precision_or_quantisation_is_another_model(bundle):
    digests = {model_digest(dataclasses.replace(bundle, llm=bundle.encoder_backend)), model_digest(bundle)}
    unhashed = tuple(dataclasses.replace(entry, sha256="") for entry in bundle.files)
    digests.add(model_digest(dataclasses.replace(bundle, files=unhashed)))
    larger = tuple(dataclasses.replace(entry, size=entry.size + 1) for entry in unhashed)
    digests.add(model_digest(dataclasses.replace(bundle, files=larger)))
    assert len(digests) == 4


class TestWhatDoesNotHoldAnyMore:
    def _refused(self, bundle):
        found = find_choice(bundle)
        assert found.choice is None
        assert found.outdated is not None
        assert apply_choice(EngineOptions(), bundle).configuration == "default"
        return found.note

    def test_another_library_file(self, bundle, choice, libraries):
        store_choice(choice)
        libraries["ik-llama-cpp-python"].write_bytes(b"ik-llama-cpp-pythoN")  # as long as before
        assert self._refused(bundle) == "the library of ik-llama-cpp-python has changed since"

    def test_the_same_content_installed_again_is_the_same_library(self, bundle, choice, libraries, tmp_path):
        store_choice(choice)
        moved = tmp_path / "elsewhere"
        moved.write_bytes(libraries["xllamacpp"].read_bytes())
        os.utime(moved, (1, 1))
        libraries["xllamacpp"] = moved
        assert find_choice(bundle).choice == choice

    def test_one_more_library(self, bundle, choice, libraries, tmp_path):
        store_choice(choice)
        libraries["built"] = tmp_path / "xllamacpp"
        assert self._refused(bundle) == "built has been installed since"

    def test_one_library_fewer(self, bundle, choice, libraries):
        store_choice(choice)
        del libraries["xllamacpp"]
        assert self._refused(bundle) == "xllamacpp is not installed any more"

    def test_another_number_of_cores(self, bundle, choice):
        machine = dataclasses.replace(choice.machine, cores=choice.machine.cores + 1)
        store_choice(dataclasses.replace(choice, machine=machine))
        assert "cores" in self._refused(bundle)

    def test_another_processor_and_back(self, bundle, choice):
        store_choice(dataclasses.replace(choice, machine=Machine(processor="Z80", features=(), cores=1)))
        assert "another processor (Z80)" in self._refused(bundle)
        store_choice(choice)
        assert find_choice(bundle).choice == choice


def _changed(**values):
    def change(content):
        content["choices"][0].update(values)

    return change


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content.update(format="shopping list"),
        lambda content: content.update(version=2),
        lambda content: content.pop("choices"),
        lambda content: content["choices"].append("x"),
        _changed(rtf=float("nan")),
        _changed(rtf=0),
        _changed(machine={}),
        _changed(libraries={}),
        _changed(libraries=[]),
        _changed(configuration={"provider": "xllamacpp", "lanes": "2", "threads_per_lane": 1}),
        _changed(configuration={"provider": "xllamacpp", "lanes": 0, "threads_per_lane": 1}),
        _changed(configuration={"provider": "/tmp/evil.so", "lanes": 1, "threads_per_lane": 1}),
    ],
)
def test_a_damaged_or_foreign_file_is_said_and_not_used(change, bundle, choice):
    content = json.loads(store_choice(choice).read_text())
    change(content)
    choices_file().write_text(json.dumps(content))
    found = find_choice(bundle)
    assert found.damaged
    assert str(choices_file()) in found.note
    applied = apply_choice(EngineOptions(), bundle)
    assert applied.options == EngineOptions()
    assert "tune" in applied.warnings[0]
    store_choice(choice)
    assert find_choice(bundle).choice == choice


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[]", b"null", b"[" * 100_000])
def test_what_is_not_even_json(content, bundle, choice):
    store_choice(choice).write_bytes(content)
    assert find_choice(bundle).damaged
    assert forget_choice(bundle)
    assert not find_choice(bundle).damaged


def test_a_folder_that_cannot_be_written_is_an_error_with_advice(bundle, choice, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("QWEN_ASR_DATA_DIR", str(tmp_path / "file" / "data"))
    with pytest.raises(OutputNotWritableError) as caught:
        store_choice(choice)
    assert "QWEN_ASR_DATA_DIR" in caught.value.hint


def test_the_engine_uses_it_and_says_so(bundle):
    if "xllamacpp" not in installed_libraries():
        pytest.skip("needs xllamacpp")
    store_choice(
        _choice(bundle, installed_libraries(), Configuration(provider="xllamacpp", lanes=1, threads_per_lane=1))
    )
    seen = []
    for given in ({}, {"lanes": 2}):
        model = load_model(EngineOptions(aligner="off", **given))
        assert describe_model(model)["configuration"] == model.configuration
        seen.append((model.library.split()[0], model.lanes, model.configuration))
        model.close()
    assert seen[0] == ("xllamacpp", 1, "tuned 2026-11-23")
    assert seen[1][1:] == (2, "options")
    assert seen[1][0] == next(iter(installed_libraries()))


def test_this_machine_is_known():
    machine = this_machine()
    assert machine.processor
    assert machine.cores >= 1
    assert machine == this_machine()
