# SPDX-License-Identifier: Apache-2.0
"""The packed checkpoints are those the golden files and the package's own model were made from."""

import hashlib
import json

import numpy as np
import pytest

from qwen_asr_model import default_bundle, renew


def _sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _hashes(checkpoint):
    return {f"{name} sha256": _sha256(checkpoint / name) for name in ("model.safetensors", "config.json")}


def test_unpacked_they_are_the_checkpoints_of_the_golden_files(golden_folder, reference_checkpoint, reference_aligner):
    recogniser = json.loads((golden_folder / "golden.json").read_text(encoding="utf-8"))["checkpoint"]
    aligner = json.loads((golden_folder / "aligner.json").read_text(encoding="utf-8"))["checkpoints"]["demo"]
    assert _hashes(reference_checkpoint) == recogniser
    assert _hashes(reference_aligner) == aligner


def test_the_package_bundle_is_made_from_them(reference_checkpoint, reference_aligner, tmp_path, capsys):
    command = [reference_checkpoint, "--aligner", reference_aligner, "--out", tmp_path / "again"]
    assert renew.main([str(word) for word in command]) == 0
    capsys.readouterr()
    again, shipped = (
        {entry["name"]: entry["size"] for entry in json.loads((folder / "bundle.json").read_text())["files"]}
        for folder in (tmp_path / "again", default_bundle())
    )
    assert again == shipped
    for name in shipped:
        # Another processor or numpy may round the last digit another way.
        ours = np.frombuffer((tmp_path / "again" / name).read_bytes(), np.uint8)
        theirs = np.frombuffer((default_bundle() / name).read_bytes(), np.uint8)
        assert np.mean(ours != theirs) < 0.001, name


@pytest.fixture
def source(packing, tmp_path):
    """A default model folder of a few numbers."""
    source = tmp_path / "source"
    for model in (packing.RECOGNISER, packing.ALIGNER):
        (source / model).mkdir(parents=True)
        for name in packing.LAYOUT:
            (source / model / name).write_text(f"{model}'s" if name == "config.json" else name)
    rows = np.array([[127, -127, 1], [0, 64, -128]], np.int8)
    scale = np.array([[0.5], [0.001]], np.float16)
    packing.write(
        source / packing.WEIGHTS,
        {
            "shared.w": ("I8", [2, 3], rows.tobytes()),
            "shared.w.scale": ("F16", [2, 1], scale.tobytes()),
            "asr.x": ("F16", [2], np.array([1.5, -2.5], np.float16).tobytes()),
            "aligner.x": ("F16", [2], np.array([3, 4], np.float16).tobytes()),
        },
    )
    return source


def test_bytes_are_multiplied_by_the_scale_of_their_row(packing, source, tmp_path):
    packing.pack(source, tmp_path / "packed")
    packing.unpack(tmp_path / "packed", tmp_path / "out")
    wanted = np.array([[63.5, -63.5, 0.5], [0, 0.064, -0.128]], np.float32)
    for model, own in ((packing.RECOGNISER, [1.5, -2.5]), (packing.ALIGNER, [3, 4])):
        data = (tmp_path / "out" / model / "model.safetensors").read_bytes()
        values = np.frombuffer(data[-16:], np.float16)
        np.testing.assert_allclose(values[:6].reshape(2, 3), wanted, rtol=1e-3)
        np.testing.assert_array_equal(values[6:], own)
        for name in packing.LAYOUT:
            text = (tmp_path / "out" / model / name).read_text()
            assert text == (f"{model}'s" if name == "config.json" else name)


def test_what_both_models_have_is_packed_once(packing, source, tmp_path):
    packed = tmp_path / "packed"
    prefixes = packing.RECOGNISER_PREFIXES + packing.ALIGNER_PREFIXES
    for _ in range(2):
        packing.pack(source, packed)
        assert sorted(packing.read(packed / packing.WEIGHTS, prefixes)) == ["asr.x", "shared.w", "shared.w.scale"]
        part = packed / packing.ALIGNER_PART
        assert sorted(file.name for file in part.iterdir()) == ["config.json", packing.WEIGHTS]
        assert sorted(packing.read(part / packing.WEIGHTS, prefixes)) == ["aligner.x"]
        # A file that has become equal does not stay behind.
        (part / "merges.txt").write_text("old")


def test_a_cut_file_is_refused(packing, tmp_path, golden_folder):
    whole = (golden_folder / "checkpoint" / packing.ALIGNER_PART / packing.WEIGHTS).read_bytes()
    (tmp_path / packing.WEIGHTS).write_bytes(whole[:-1])
    with pytest.raises(ValueError, match="not whole"):
        packing.read(tmp_path / packing.WEIGHTS, packing.ALIGNER_PREFIXES)
    with pytest.raises(ValueError, match="no tensor is called"):
        packing.read(golden_folder / "checkpoint" / packing.WEIGHTS, packing.ALIGNER_PREFIXES)
