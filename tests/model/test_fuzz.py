# SPDX-License-Identifier: Apache-2.0
"""Files that somebody, or a bad disk, has changed: refused by name, in bounded time and memory, or opened."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from qwen_asr_model import CheckpointError, GgufDamagedError, OnnxDamagedError, convert_checkpoint, open_bundle
from qwen_asr_model.checkpoint import read_checkpoint
from qwen_asr_model.safetensors import read_header

FILES = 300
WORKERS = 3
MEMORY = 1 << 30
SECONDS = 10
CODES = {"opened", "gguf-damaged", "onnx-damaged", "wrong-model", "bundle-file-damaged", "checkpoint"}


@pytest.fixture(scope="module")
def targets(
    tiny_folder: Path, aligner_folder: Path, foreign: ModuleType, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """One of everything that is ever opened."""
    folder = tmp_path_factory.mktemp("fuzz")
    convert_checkpoint(tiny_folder, folder / "own")
    # Sizes and hashes would give most changes away; the structure has to.
    (folder / "own" / "bundle.json").unlink()
    for checkpoint in (tiny_folder, aligner_folder):
        foreign.write_released(read_checkpoint(checkpoint), folder / "released", quant="")
    shutil.copytree(tiny_folder, folder / "checkpoint")
    (folder / "pair").mkdir()
    foreign.write_mmproj(read_checkpoint(tiny_folder), folder / "pair" / "mmproj.gguf")
    return folder


@pytest.mark.skipif(sys.platform == "win32", reason="no limit of a process's memory")
def test_no_crash_no_hang_no_flood_always_the_named_error(targets: Path, tmp_path: Path) -> None:
    share = FILES // WORKERS
    workers = []
    for number in range(WORKERS):
        folder = shutil.copytree(targets, tmp_path / str(number))
        command = [sys.executable, str(Path(__file__).parent / "fuzz_worker.py"), str(folder)]
        command += [str(number * share), str((number + 1) * share), str(MEMORY)]
        workers.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
    found = []
    for worker in workers:
        out, problems = worker.communicate(timeout=SECONDS * share)
        lines = [json.loads(line) for line in out.splitlines()]
        assert worker.returncode == 0, (lines[-1], problems[-2000:])
        found += [line for line in lines if "said" in line]
    assert len(found) == FILES
    assert not [line for line in found if line["said"] not in CODES]
    assert not [line for line in found if line["seconds"] > SECONDS]
    # Neither is everything waved through, nor everything refused.
    said = Counter(line["said"] for line in found)
    assert said["opened"] >= 20
    assert min(said["gguf-damaged"], said["onnx-damaged"], said["checkpoint"]) >= 20


# What a generator of random changes would not find.


def gguf_of(keys: bytes, *, tensors: int = 0, count: int = 1) -> bytes:
    return b"GGUF" + (3).to_bytes(4, "little") + tensors.to_bytes(8, "little") + count.to_bytes(8, "little") + keys


def array(kind: int, count: int) -> bytes:
    return kind.to_bytes(4, "little") + count.to_bytes(8, "little")


KEY = (1).to_bytes(8, "little") + b"k"
ALIGNMENT = (17).to_bytes(8, "little") + b"general.alignment"


@pytest.mark.parametrize(
    "data",
    [
        gguf_of(KEY + (9).to_bytes(4, "little") + array(9, 1) * 100_000),
        gguf_of(KEY + (9).to_bytes(4, "little") + array(9, 1 << 40) + bytes(1 << 20)),
        gguf_of(KEY + (9).to_bytes(4, "little") + array(8, 1 << 60) + bytes(50 << 20)),
        gguf_of(bytes(50 << 20), count=1 << 60),
        gguf_of(b"", tensors=1 << 60, count=0) + bytes(50 << 20),
        gguf_of(ALIGNMENT + (4).to_bytes(4, "little") + bytes(4)),
        gguf_of(ALIGNMENT + (6).to_bytes(4, "little") + b"\x00\x00\x80\x7f"),
        gguf_of(ALIGNMENT + (8).to_bytes(4, "little") + KEY),
        gguf_of((KEY + (0).to_bytes(4, "little") + b"1") * 2, count=2),
    ],
    ids=["nested", "arrays", "strings", "keys", "tensors", "no alignment", "infinity", "a word", "twice"],
)
def test_gguf_files_made_to_hurt(targets: Path, tmp_path: Path, data: bytes, within: Callable[[float], object]) -> None:
    folder = Path(shutil.copytree(targets / "own", tmp_path / "own"))
    (folder / "qwen3_asr_llm.q8_0.gguf").write_bytes(data)
    with within(SECONDS), pytest.raises(GgufDamagedError, match=r"llm\.q8_0\.gguf"):
        open_bundle(folder)


@pytest.mark.parametrize(
    "graph",
    [
        b"\x0a\x00" * (10 << 20),
        b"\x2a\x80\x80\x80\x05" + b"\x08\x01" * 5_242_880,
        b"\x2a\x09\x0a\x07" + b"\xff" * 7,
        b"\x5a\x0a\x0a\x08" + b"x" * 8,
    ],
    ids=["empty nodes", "dimensions", "no end", "no type"],
)
def test_onnx_files_made_to_hurt(
    targets: Path, tmp_path: Path, graph: bytes, within: Callable[[float], object]
) -> None:
    folder = Path(shutil.copytree(targets / "own", tmp_path / "own"))
    size = len(graph)
    length = bytes([size & 0x7F | 0x80, size >> 7 & 0x7F | 0x80, size >> 14 & 0x7F | 0x80, size >> 21 & 0x7F])
    (folder / "qwen3_asr_encoder_backend.int8.onnx").write_bytes(b"\x3a" + length + graph)
    with within(SECONDS), pytest.raises(OnnxDamagedError, match=r"backend\.int8\.onnx"):
        open_bundle(folder)


def test_weights_in_other_files_are_never_followed(targets: Path, tmp_path: Path) -> None:
    import onnx

    folder = Path(shutil.copytree(targets / "own", tmp_path / "own"))
    file = folder / "qwen3_asr_encoder_backend.int8.onnx"
    model = onnx.load(file)
    weight = model.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.data_location = onnx.TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="../../../etc/passwd")
    file.write_bytes(model.SerializeToString())
    with pytest.raises(OnnxDamagedError, match="in another file"):
        open_bundle(folder)


@pytest.mark.parametrize(
    "header",
    [
        b"[" * 1_000_000,
        b'{"a":{"dtype":"F32","shape":[' + b"9223372036854775807," * 100_000 + b'1],"data_offsets":[0,4]}}',
        b'{"a":{"dtype":"F32","shape":[1e999],"data_offsets":[0,4]}}',
        b'{"a":{"dtype":["F32"],"shape":[1],"data_offsets":[0,4]}}',
        b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4,8]}}',
        b'{"a":{"dtype":"F32","shape":[true],"data_offsets":"04"}}',
        b'{"a":' + b"1" * 100_000 + b"}",
        b" " * (17 << 20),
    ],
    ids=["nested", "dimensions", "infinity", "list", "three", "text", "digits", "long"],
)
def test_safetensors_made_to_hurt(tmp_path: Path, header: bytes, within: Callable[[float], object]) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(len(header).to_bytes(8, "little") + header + bytes(64))
    with within(SECONDS), pytest.raises(CheckpointError, match=r"model\.safetensors"):
        read_header(file)


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json", "vocab.json"])
def test_json_made_to_hurt(targets: Path, tmp_path: Path, name: str) -> None:
    folder = Path(shutil.copytree(targets / "checkpoint", tmp_path / "checkpoint"))
    for text in ("[" * 1_000_000, "1" * 5000, '{"thinker_config": [], "added_tokens_decoder": 3}', "[]"):
        (folder / name).write_text(text)
        with pytest.raises(CheckpointError, match=name):
            read_checkpoint(folder)
