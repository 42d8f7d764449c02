# SPDX-License-Identifier: Apache-2.0
"""The packed checkpoint is the one the golden files and the package's own model were made from."""

import hashlib
import json

import numpy as np
import pytest

from qwen_asr_model import default_bundle, renew


def _sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_unpacked_it_is_the_checkpoint_of_the_golden_files(golden_folder, reference_checkpoint):
    stored = json.loads((golden_folder / "golden.json").read_text(encoding="utf-8"))["checkpoint"]
    assert {
        f"{name} sha256": _sha256(reference_checkpoint / name) for name in ("model.safetensors", "config.json")
    } == stored


def test_the_package_bundle_is_made_from_it(reference_checkpoint, tmp_path, capsys):
    assert renew.main([str(reference_checkpoint), "--out", str(tmp_path / "again")]) == 0
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


def test_bytes_are_multiplied_by_the_scale_of_their_row(packing, tmp_path):
    source = tmp_path / "source"
    (source / packing.LAYOUT_FOLDER).mkdir(parents=True)
    for name in packing.LAYOUT:
        (source / packing.LAYOUT_FOLDER / name).write_text(name)
    rows = np.array([[127, -127, 1], [0, 64, -128]], np.int8)
    scale = np.array([[0.5], [0.001]], np.float16)
    plain = np.array([1.5, -2.5], np.float16)
    packing.write(
        source / packing.WEIGHTS,
        {
            "shared.w": ("I8", [2, 3], rows.tobytes()),
            "shared.w.scale": ("F16", [2, 1], scale.tobytes()),
            "asr.b": ("F16", [2], plain.tobytes()),
            "aligner.head": ("F16", [2], plain.tobytes()),
        },
    )
    packing.pack(source, tmp_path / "packed")
    assert sorted(packing.read(tmp_path / "packed" / packing.WEIGHTS)) == ["asr.b", "shared.w", "shared.w.scale"]
    assert b"aligner" not in (tmp_path / "packed" / packing.WEIGHTS).read_bytes()
    packing.unpack(tmp_path / "packed", tmp_path / "out")
    data = (tmp_path / "out" / "model.safetensors").read_bytes()
    wanted = plain.tobytes() + (rows.astype(np.float32) * scale.astype(np.float32)).astype(np.float16).tobytes()
    assert data.endswith(wanted)
    assert (tmp_path / "out" / "merges.txt").read_text() == "merges.txt"


def test_a_cut_file_is_refused(packing, tmp_path, golden_folder):
    whole = (golden_folder / "checkpoint" / packing.WEIGHTS).read_bytes()
    (tmp_path / packing.WEIGHTS).write_bytes(whole[:-1])
    with pytest.raises(ValueError, match="not whole"):
        packing.read(tmp_path / packing.WEIGHTS)
