# SPDX-License-Identifier: Apache-2.0
"""What hosts of the library import, and what importing it costs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import qwen_asr_model


def test_all_of_it_is_there() -> None:
    assert sorted(qwen_asr_model.__all__) == qwen_asr_model.__all__
    for name in qwen_asr_model.__all__:
        assert getattr(qwen_asr_model, name).__module__.startswith("qwen_asr_model")
    assert set(qwen_asr_model.__all__) <= set(dir(qwen_asr_model))
    with pytest.raises(AttributeError, match="pull_everything"):
        _ = qwen_asr_model.pull_everything


def test_every_error_is_there() -> None:
    def below(kind: type) -> set[type]:
        return {kind}.union(*map(below, kind.__subclasses__()))

    own = {kind for kind in below(qwen_asr_model.BundleError) if kind.__module__ == "qwen_asr_model.errors"}
    assert {kind.__name__ for kind in own} == {name for name in qwen_asr_model.__all__ if name.endswith("Error")}


def test_the_network_is_not_imported_before_it_is_needed() -> None:
    """The worker imports the package at its start."""
    code = (
        "import sys, qwen_asr_model\n"
        "loaded = {name for name in sys.modules if name.startswith(('qwen_asr_model.', 'requests', 'onnx'))}\n"
        "assert not loaded & {'qwen_asr_model.store_pull', 'qwen_asr_model.catalogue', 'requests', 'onnx'}, loaded\n"
        "from qwen_asr_model import installed_bundle, pull_bundle\n"
        "assert 'qwen_asr_model.store_pull' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_embedding_program_needs_this_package_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from qwen_asr_model import add_bundle, default_bundle, installed_bundle, list_installed, remove_bundle

    monkeypatch.setenv("QWEN_ASR_MODELS_DIR", str(tmp_path))
    assert installed_bundle("mine") is None
    folder = add_bundle(default_bundle(), name="mine")
    assert installed_bundle("mine") == folder
    assert [one.name for one in list_installed()] == ["demo-en", "mine"]
    remove_bundle("mine")
    assert installed_bundle("mine") is None
