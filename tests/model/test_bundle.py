# SPDX-License-Identifier: Apache-2.0
"""Opening bundles, and what is said about broken ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gguf
import pytest

from qwen_asr_model import (
    BundleError,
    BundleFileMissingError,
    BundleNotFoundError,
    GgufDamagedError,
    ManifestError,
    OnnxDamagedError,
    PrecisionNotFoundError,
    WrongModelError,
    default_bundle,
    describe_bundle,
    errors,
    find_bundle,
    open_bundle,
    verify_bundle,
)
from qwen_asr_model import (
    bundle as bundle_module,
)


def change_manifest(folder: Path, **changes: Any) -> None:
    file = folder / "bundle.json"
    table = json.loads(file.read_text())
    for name, value in changes.items():
        if value is None:
            del table[name]
        else:
            table[name] = value
    file.write_text(json.dumps(table))


def cut(file: Path, keep: float) -> None:
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * keep)])


def test_a_bundle_tells_what_it_is(whole_bundle: Path) -> None:
    bundle = open_bundle(str(whole_bundle))
    assert (bundle.name, bundle.family, bundle.licence) == ("whole", "qwen3-asr", "Apache-2.0")
    assert bundle.languages == ("en", "de")
    assert bundle.max_chunk_seconds == 20.0
    assert (bundle.precision, bundle.quant) == ("int8", "q8_0")
    assert bundle.precisions == ("int8", "fp32", "fp16", "int4")
    assert bundle.quants == ("q8_0", "f16", "q4_0")
    assert (bundle.n_mels, bundle.chunk_frames, bundle.window_chunks) == (128, 100, 8)
    assert bundle.encoder_frontend == whole_bundle / "qwen3_asr_encoder_frontend.int8.onnx"
    assert bundle.encoder_backend == whole_bundle / "qwen3_asr_encoder_backend.int8.onnx"
    assert bundle.llm == whole_bundle / "qwen3_asr_llm.q8_0.gguf"


def test_another_precision_can_be_chosen(whole_bundle: Path) -> None:
    bundle = open_bundle(whole_bundle, precision="int4", quant="q4_0")
    assert bundle.encoder_backend.name == "qwen3_asr_encoder_backend.int4.onnx"
    assert bundle.llm.name == "qwen3_asr_llm.q4_0.gguf"


def test_a_precision_that_is_not_there(whole_bundle: Path) -> None:
    with pytest.raises(PrecisionNotFoundError, match=r"'int2'.*int8, fp32, fp16, int4") as caught:
        open_bundle(whole_bundle, precision="int2")
    assert caught.value.available == ("int8", "fp32", "fp16", "int4")
    with pytest.raises(PrecisionNotFoundError, match=r"'q4_k'.*q8_0"):
        open_bundle(whole_bundle, quant="q4_k")


def test_description_is_json(whole_bundle: Path) -> None:
    table = json.loads(json.dumps(describe_bundle(whole_bundle)))
    assert table["default_precision"] == "int8"
    assert len(table["files"]) == 11
    assert table["total_bytes"] == sum(f.stat().st_size for f in whole_bundle.iterdir() if f.suffix != ".json")


def test_hashes_are_verified(bundle_copy: Path) -> None:
    seen = []
    verify_bundle(open_bundle(bundle_copy), progress=lambda *args: seen.append(args))
    assert len(seen) == 11
    assert seen[0] == ("qwen3_asr_encoder_frontend.int8.onnx", 0, 11)
    file = bundle_copy / "qwen3_asr_llm.q8_0.gguf"
    data = bytearray(file.read_bytes())
    data[-100] ^= 1
    file.write_bytes(data)
    with pytest.raises(GgufDamagedError, match="SHA-256"):
        verify_bundle(open_bundle(bundle_copy))


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("qwen3_asr_encoder_frontend.int8.onnx", OnnxDamagedError),
        ("qwen3_asr_encoder_backend.fp32.onnx", OnnxDamagedError),
        ("qwen3_asr_llm.q8_0.gguf", GgufDamagedError),
    ],
)
def test_any_file_missing_or_cut_is_found_at_once(bundle_copy: Path, name: str, error: type[BundleError]) -> None:
    cut(bundle_copy / name, 0.9)
    with pytest.raises(error, match=f"{name}: cut off"):
        open_bundle(bundle_copy)
    (bundle_copy / name).write_bytes(b"x" * 10_000_000)
    with pytest.raises(error, match="not the right file"):
        open_bundle(bundle_copy)
    (bundle_copy / name).unlink()
    with pytest.raises(BundleFileMissingError, match=name) as caught:
        open_bundle(bundle_copy)
    assert caught.value.path == bundle_copy
    assert caught.value.name == name


def test_no_folder_a_file_and_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(BundleNotFoundError, match="no such folder"):
        open_bundle(tmp_path / "nowhere")
    (tmp_path / "file").write_text("")
    with pytest.raises(BundleNotFoundError, match="this is a file"):
        open_bundle(tmp_path / "file")
    (tmp_path / "empty").mkdir()
    with pytest.raises(BundleNotFoundError, match="holds no model"):
        open_bundle(tmp_path / "empty")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "zip"}, "not a manifest"),
        ({"version": 2}, "version 2"),
        ({"files": None}, "files"),
        ({"n_mels": "many"}, "n_mels"),
        ({"max_chunk_seconds": -1}, "max_chunk_seconds"),
        ({"files": [3]}, "files"),
        ({"files": [{"name": "../x", "role": "llm", "variant": "a", "size": 1, "sha256": ""}]}, r"files\.name"),
        ({"files": [{"name": "x", "role": "soul", "variant": "a", "size": 1, "sha256": ""}]}, r"files\.role"),
    ],
)
def test_unusable_manifests(bundle_copy: Path, changes: dict[str, Any], message: str) -> None:
    change_manifest(bundle_copy, **changes)
    with pytest.raises(ManifestError, match=message):
        open_bundle(bundle_copy)


def test_a_manifest_that_is_not_json(bundle_copy: Path) -> None:
    cut(bundle_copy / "bundle.json", 0.5)
    with pytest.raises(ManifestError, match="not JSON"):
        open_bundle(bundle_copy)


def test_a_manifest_with_half_an_encoder(bundle_copy: Path) -> None:
    files = json.loads((bundle_copy / "bundle.json").read_text())["files"]
    change_manifest(bundle_copy, files=[f for f in files if f["name"] != "qwen3_asr_encoder_backend.int8.onnx"])
    with pytest.raises(ManifestError, match="encoder_backend of variant int8"):
        open_bundle(bundle_copy)


@pytest.fixture
def released(bundle_copy: Path) -> Path:
    """A folder as the predecessor released them: three files, no manifest."""
    for file in bundle_copy.iterdir():
        if "int4" not in file.name and "q4_0" not in file.name:
            file.unlink()
    (bundle_copy / "readme.txt").write_text("not part of it")
    return bundle_copy


def test_a_folder_without_a_manifest(released: Path) -> None:
    bundle = open_bundle(released)
    assert (bundle.precision, bundle.quant) == ("int4", "q4_0")
    assert bundle.max_chunk_seconds == 30.0
    assert (bundle.chunk_frames, bundle.window_chunks, bundle.n_mels) == (100, 8, 128)
    assert bundle.languages == ()
    assert len(bundle.files) == 3
    with pytest.raises(ManifestError, match="no hashes"):
        verify_bundle(bundle)


@pytest.mark.parametrize("keep", [0.0, 0.00001, 0.01, 0.5, 0.9999])
def test_damage_is_found_without_a_manifest(released: Path, keep: float) -> None:
    whole = {file: file.read_bytes() for file in released.iterdir()}
    for file, data in whole.items():
        error = {".gguf": GgufDamagedError, ".onnx": OnnxDamagedError}.get(file.suffix)
        if error is None:
            continue
        cut(file, keep)
        with pytest.raises(error, match=file.name):
            open_bundle(released)
        file.write_bytes(data)
    open_bundle(released)


def test_other_contents_under_the_right_name(released: Path) -> None:
    (released / "qwen3_asr_encoder_backend.int4.onnx").write_bytes(b"<!DOCTYPE html>" * 100)
    with pytest.raises(OnnxDamagedError):
        open_bundle(released)
    # A valid protobuf message without a graph.
    (released / "qwen3_asr_encoder_backend.int4.onnx").write_bytes(b"\x08\x08")
    with pytest.raises(OnnxDamagedError, match="not an ONNX model"):
        open_bundle(released)


def test_a_model_of_another_architecture(released: Path) -> None:
    file = released / "qwen3_asr_llm.q4_0.gguf"
    file.write_bytes(file.read_bytes().replace(b"qwen3", b"llama"))
    with pytest.raises(WrongModelError, match="llama"):
        open_bundle(released)


def test_a_gguf_that_is_no_language_model(released: Path) -> None:
    writer = gguf.GGUFWriter(released / "qwen3_asr_llm.q4_0.gguf", "qwen3vl")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    with pytest.raises(GgufDamagedError, match="not a complete"):
        open_bundle(released)


def test_half_of_a_folder_without_a_manifest(released: Path) -> None:
    (released / "qwen3_asr_llm.q4_0.gguf").unlink()
    with pytest.raises(BundleFileMissingError, match="llm"):
        open_bundle(released)
    (released / "qwen3_asr_encoder_backend.int4.onnx").unlink()
    with pytest.raises(BundleFileMissingError, match=r"encoder_backend\.int4\.onnx"):
        open_bundle(released)
    (released / "qwen3_asr_encoder_frontend.int4.onnx").unlink()
    with pytest.raises(BundleNotFoundError):
        open_bundle(released)


def test_the_package_bundle(whole_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle_module, "DEFAULT_BUNDLE", whole_bundle)
    assert default_bundle() == whole_bundle
    monkeypatch.setattr(bundle_module, "DEFAULT_BUNDLE", tmp_path)
    with pytest.raises(BundleNotFoundError, match="comes with the program"):
        default_bundle()


def test_a_bundle_is_found_up_to_three_levels_down(released: Path, whole_bundle: Path, tmp_path: Path) -> None:
    assert find_bundle(whole_bundle) == whole_bundle
    assert find_bundle(str(released)) == released
    for levels in (1, 2, 3):
        top = tmp_path / f"{levels} levels"
        inner = top.joinpath(*(f"level {level}" for level in range(levels)))
        inner.parent.mkdir(parents=True)
        released.replace(inner)
        (top / "notes.txt").write_text("a file beside it is no model")
        (top / "another folder").mkdir()
        assert find_bundle(top) == inner
        assert open_bundle(find_bundle(top)).precision == "int4"
        released = inner


def test_a_bundle_four_levels_down_is_not_looked_for(released: Path, tmp_path: Path) -> None:
    deep = tmp_path / "top" / "1" / "2" / "3" / "4"
    deep.parent.mkdir(parents=True)
    released.replace(deep)
    with pytest.raises(BundleNotFoundError, match="holds no model"):
        open_bundle(find_bundle(tmp_path / "top"))
    assert find_bundle(tmp_path / "top" / "1") == deep


def test_of_several_bundles_none_is_guessed(whole_bundle: Path, tmp_path: Path) -> None:
    for name in ("one", "other"):
        (tmp_path / "models" / name).mkdir(parents=True)
        (tmp_path / "models" / name / "bundle.json").write_bytes((whole_bundle / "bundle.json").read_bytes())
    with pytest.raises(BundleNotFoundError, match=r"several models.*Name one of: one, other\.") as caught:
        find_bundle(tmp_path / "models")
    assert caught.value.path == tmp_path / "models"
    assert find_bundle(tmp_path / "models" / "other") == tmp_path / "models" / "other"


def test_what_is_no_folder_is_left_to_open_bundle(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_text("")
    for path, message in ((tmp_path / "nowhere", "no such folder"), (tmp_path / "model.gguf", "this is a file")):
        assert find_bundle(path) == path
        with pytest.raises(BundleNotFoundError, match=message):
            open_bundle(find_bundle(path))


def test_no_path_means_the_package_bundle(whole_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle_module, "DEFAULT_BUNDLE", whole_bundle)
    assert find_bundle() == whole_bundle


def test_error_codes_are_unique_and_stable() -> None:
    classes = [getattr(errors, name) for name in errors.__all__]
    codes = {cls.__name__: cls.code for cls in classes}
    assert len(set(codes.values())) == len(codes)
    assert codes["GgufDamagedError"] == "gguf-damaged"
    assert all(issubclass(cls, BundleError) for cls in classes)
