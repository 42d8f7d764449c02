# SPDX-License-Identifier: Apache-2.0
"""Bundles that others made, compared with the checkpoint; and what is said in a clip, compared by the command."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from qwen_asr_model import ConversionError, PartCheck, check_conversion, import_pair
from qwen_asr_model.checkpoint import read_checkpoint


def by_part(checks: tuple[PartCheck, ...]) -> dict[str, PartCheck]:
    return {check.part: check for check in checks}


def test_a_released_bundle(
    released_bundle: Path, demo_checkpoints: tuple[Path, Path], speech: tuple[np.ndarray, str]
) -> None:
    """Its frontend takes whole seconds only, its backend wants a mask."""
    mel, text = speech
    found = by_part(
        check_conversion(released_bundle, demo_checkpoints[0], aligner=demo_checkpoints[1], mel=mel, text=text)
    )
    assert list(found) == [
        "encoder_frontend",
        "encoder",
        "llm",
        "aligner_encoder_frontend",
        "aligner_encoder",
        "aligner_llm",
    ]
    assert 0.98 < found["encoder"].cosine < 0.9999
    assert found["encoder_frontend"].cosine > 0.98
    assert found["aligner_encoder"].cosine > 0.98
    llm = found["llm"]
    assert llm.loss is not None
    assert llm.reference_loss is not None
    assert abs(llm.loss - llm.reference_loss) < 0.3


def test_a_clip_shorter_than_a_released_frontend_takes(
    released_bundle: Path, demo_checkpoints: tuple[Path, Path], speech: tuple[np.ndarray, str]
) -> None:
    found = by_part(check_conversion(released_bundle, demo_checkpoints[0], mel=speech[0][:, :72]))
    assert found["encoder"].cosine > 0.9


def test_a_pair(demo_checkpoints: tuple[Path, Path], foreign: ModuleType, tmp_path: Path) -> None:
    checkpoint = read_checkpoint(demo_checkpoints[0])
    foreign.write_text_model(checkpoint, tmp_path / "text.gguf")
    foreign.write_mmproj(checkpoint, tmp_path / "mmproj.gguf")
    bundle = import_pair(tmp_path / "text.gguf", tmp_path / "mmproj.gguf", tmp_path / "out", precisions=["fp32"])
    found = by_part(check_conversion(bundle, demo_checkpoints[0]))
    assert found["encoder"].cosine > 0.9999999
    assert found["llm"].cosine > 0.9999
    assert (found["llm"].loss, found["llm"].reference_loss) == (None, None)


def test_what_is_said_and_what_is_not(
    demo_checkpoints: tuple[Path, Path], speech: tuple[np.ndarray, str], speech_folder: Path, plugin_cli: Any
) -> None:
    """The bundled model hears these words in this clip, no others, and not without the clip."""
    command = ["model", "check", "demo-en", "--against", demo_checkpoints[0], "--json", "--text"]
    clip = ["--audio", speech_folder / "05-hibari.flac"]
    losses = []
    for arguments in ([speech[1], *clip], ["Nobody has said anything like this.", *clip], [speech[1]]):
        done = plugin_cli(*command, *arguments)
        assert done.returncode == 0, done.stderr
        losses.append({part["part"]: part for part in json.loads(done.stdout)}["llm"])
    said, unsaid, unheard = losses
    assert said["loss"] < 2
    for loss in losses:
        assert loss["loss"] == pytest.approx(loss["reference_loss"], abs=0.3)
    assert min(unsaid["loss"], unheard["loss"]) > said["loss"] + 2


def test_aligners_that_are_none(pair_bundle: Path, tiny_folder: Path, aligner_folder: Path, whole_bundle: Path) -> None:
    with pytest.raises(ConversionError, match="no checkpoint of a forced aligner"):
        check_conversion(pair_bundle, tiny_folder, aligner=tiny_folder)
    with pytest.raises(ConversionError, match="no recogniser with a forced aligner"):
        check_conversion(whole_bundle, tiny_folder, aligner=aligner_folder)
