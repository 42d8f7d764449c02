# SPDX-License-Identifier: Apache-2.0
"""``qwen-asr-plugin model``: list, pull, add, verify, remove, show, path, and what else installs."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import signal
import subprocess
import sys
import sysconfig
import time
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from qwen_asr_model import default_bundle, synthesize, synthesize_checkpoint
from qwen_asr_plugin.cli import main
from qwen_asr_plugin.cli.console import stderr

_spec = importlib.util.spec_from_file_location(
    "fault_server", Path(__file__).parents[1] / "model" / "test_download_server.py"
)
_fault_server = importlib.util.module_from_spec(_spec)
sys.modules[_spec.name] = _fault_server
_spec.loader.exec_module(_fault_server)
server, fault = _fault_server.server, _fault_server.fault


@pytest.fixture(scope="session")
def bundle(tmp_path_factory) -> Path:
    return synthesize("tiny", tmp_path_factory.mktemp("cli") / "tiny", precisions=["int8"], quants=["q8_0"])


@pytest.fixture(scope="session")
def released(bundle, tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp("zips") / "tiny.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for file in sorted(bundle.iterdir()):
            if file.name != "bundle.json":
                archive.write(file, file.name)
    return path.read_bytes()


@pytest.fixture
def model(capsys, tmp_path, monkeypatch):
    """The command with a models folder of its own; in this process, for a new one takes longer than what it does."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "HF_ENDPOINT", "QWEN_ASR_CATALOGUE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("QWEN_ASR_MODELS_DIR", str(tmp_path / "models"))
    monkeypatch.setattr(stderr, "width", 200)

    def invoke(*arguments):
        monkeypatch.setattr(sys, "argv", ["qwen-asr-plugin", "model", *map(str, arguments)])
        capsys.readouterr()
        status = main()
        output = capsys.readouterr()
        return SimpleNamespace(returncode=status, stdout=output.out, stderr=output.err)

    return invoke


@pytest.fixture
def catalogue(server, released) -> str:
    """Address of a list of models with one in it."""
    entry = {
        "name": "tiny",
        "title": "A tiny one",
        "kind": "zip",
        "licence": "CC0-1.0",
        "languages": ["en"],
        "memory_mb": 120,
        "base_urls": ["files/"],
        "files": [{"name": "tiny.zip", "size": len(released), "sha256": hashlib.sha256(released).hexdigest()}],
    }
    server.add("/lists/files/tiny.zip", released)
    raw = {"format": "qwen-asr-catalogue", "version": 1, "models": [entry]}
    return server.add("/lists/models.json", json.dumps(raw).encode())


def test_help_teaches(model):
    done = model("--help")
    for command in ("list", "pull", "add", "verify", "remove", "convert", "check", "synth", "show", "path"):
        assert command in done.stdout
    done = model("pull", "--help")
    for option in ("--name", "--force", "--catalogue", "--mirror", "--offline", "--keep-download", "--accept-changed"):
        assert option in done.stdout
    assert "Examples" in done.stdout


def test_list(model, catalogue, monkeypatch):
    monkeypatch.setattr(stderr, "width", 200)
    done = model("list")
    assert done.returncode == 0
    for word in ("demo-en", "comes with the program", "qwen3-asr-1.7b-int4", "30 languages", "1.4 GB"):
        assert word in done.stderr
    facts = json.loads(model("list", "--json", "--catalogue", catalogue).stdout)
    assert [one["name"] for one in facts["installed"]] == ["demo-en"]
    tiny = facts["available"][0]
    assert (tiny["name"], tiny["memory_mb"], tiny["checksums_known"], tiny["installed"]) == ("tiny", 120, True, False)
    assert len(facts["available"]) == 9


def test_pull_use_and_remove(model, catalogue, tmp_path, released):
    done = model("pull", "TINY", "--catalogue", catalogue)
    assert done.returncode == 0, done.stderr
    assert "Installed tiny" in done.stderr
    assert "--model-dir tiny" in done.stderr
    folder = tmp_path / "models" / "tiny"
    assert model("path", "tiny").stdout.strip() == str(folder)
    assert model("path").stdout.strip() == str(folder.parent)
    assert json.loads(model("show", "tiny", "--json").stdout)["default_precision"] == "int8"
    done = model("verify", "tiny")
    assert done.returncode == 0
    assert "as it was when it was installed" in done.stdout
    assert json.loads(model("verify", "tiny", "--json").stdout)["installed"] is True
    (one,) = (one for one in json.loads(model("list", "--json").stdout)["installed"] if one["name"] == "tiny")
    assert (one["quants"], one["languages"], one["memory_mb"], one["source"]) == (["q8_0"], ["en"], 120, "tiny")
    assert "120 MB" in model("list").stderr
    done = model("pull", "tiny", "--catalogue", catalogue)
    assert done.returncode != 0
    assert "installed already" in done.stderr
    assert "--force" in done.stderr
    assert json.loads(model("remove", "tiny", "--json").stdout) == {"removed": [str(folder)]}
    assert model("remove", "tiny").returncode == 111
    assert model("path", "tiny").returncode == 111


def test_pull_with_json_and_another_name(model, catalogue, tmp_path):
    done = model("pull", "tiny", "--catalogue", catalogue, "--name", "other", "--json")
    facts = json.loads(done.stdout)
    assert (facts["name"], facts["path"]) == ("other", str(tmp_path / "models" / "other"))


def test_a_damaged_file_is_found(model, catalogue, tmp_path):
    model("pull", "tiny", "--catalogue", catalogue)
    file = tmp_path / "models" / "tiny" / "qwen3_asr_llm.q8_0.gguf"
    content = bytearray(file.read_bytes())
    content[-5] ^= 1
    file.write_bytes(content)
    done = model("verify", "tiny")
    assert done.returncode == 113
    assert "changed since it was installed" in done.stderr


def test_what_goes_wrong_is_said(model, catalogue, server, fault):
    done = model("pull", "tini", "--catalogue", catalogue)
    assert done.returncode == 111
    assert "Did you mean tiny" in done.stderr
    done = model("pull", "tiny", "--catalogue", catalogue, "--offline")
    assert "forbidden" in done.stderr
    zip_file = server.files["/lists/files/tiny.zip"]
    for answer, words in (
        (fault(status=404), "answers 404"),
        (fault(status=403), "answers 403"),
        (fault(change=lambda data: data[:-1] + b"?"), "not the right file"),
        (fault(length=5), "5 bytes long"),
    ):
        zip_file.always = answer
        done = model("pull", "tiny", "--catalogue", catalogue)
        assert done.returncode not in (0, 1), done.stderr
        assert words in done.stderr
        assert "Traceback" not in done.stderr
    zip_file.always = None
    assert model("pull", "tiny", "--catalogue", catalogue).returncode == 0
    done = model("list", "--catalogue", server.url + "/gone.json")
    assert "answers 404" in done.stderr


def test_mirror(model, catalogue, server, tmp_path):
    file = tmp_path / "models.json"
    file.write_bytes(server.files["/lists/models.json"].content.replace(b'"files/"', b'"https://models.example/"'))
    done = model("pull", "tiny", "--catalogue", file, "--mirror", f"https://models.example={server.url}/lists/files")
    assert done.returncode == 0, done.stderr
    done = model("pull", "tiny", "--catalogue", file, "--mirror", "nonsense")
    assert "OLD=NEW" in done.stderr


def test_add(model, released, bundle, tmp_path):
    (tmp_path / "Tiny-gguf.zip").write_bytes(released)
    assert json.loads(model("add", tmp_path / "Tiny-gguf.zip", "--json").stdout)["name"] == "tiny-gguf"
    done = model("add", bundle, "--name", "copy")
    assert "Installed copy" in done.stderr
    assert "as its manifest says and it was when it was installed" in model("verify", "copy").stdout
    (tmp_path / "bad.zip").write_bytes(released[:-100])
    done = model("add", tmp_path / "bad.zip")
    assert done.returncode not in (0, 1)
    assert "end is missing" in done.stderr
    assert model("add", tmp_path / "gone.zip").returncode == 111


def test_convert_installs_where_no_folder_is_named(model, tmp_path):
    done = model("convert", tmp_path, "--name", "nothing")
    assert done.returncode == 117
    assert not (tmp_path / "models" / "nothing").exists()
    checkpoint = tmp_path / "Tiny"
    done = model("synth", checkpoint, "--size", "tiny", "--as-checkpoint", "nested")
    assert done.stdout.strip() == str(checkpoint)
    done = model("convert", checkpoint, "--quant", "f16", "--check")
    assert done.returncode == 0, done.stderr
    for word in ("Against the checkpoint", "encoder_frontend", "int8", "llm", "Loss"):
        assert word in done.stderr
    assert json.loads(model("show", "tiny", "--json").stdout)["default_quant"] == "f16"
    assert model("verify", "tiny").returncode == 0
    assert "installed already" in model("convert", checkpoint).stderr
    assert model("convert", checkpoint, "--quant", "f16,q8_0", "--force").returncode == 0


def test_show_tells_what_is_inside(model):
    weights = sum(file.stat().st_size for kind in ("onnx", "gguf") for file in default_bundle().glob(f"*.{kind}"))
    done = model("show")
    assert (done.returncode, done.stdout) == (0, "")
    for words in (
        "Apache-2.0",
        f"{round(weights / 1e6)} MB of weights",
        "4 kB of cache for each position",
        "chunk_mel float32 [any, 128, any]",
        "last_hidden_state float32 [any, any, 512]",
        "ai.onnx 17, com.microsoft 1",
        "gpt2 qwen2, 4096 entries, 3832 merges",
        "4090 <|im_end|> (control, ends an answer)",
        "4094 <asr_text> (user-defined)",
        "as in qwen3_asr_llm.q5_0.gguf",
    ):
        assert words in done.stderr, words
    rows = [line.split() for line in done.stderr.splitlines()]
    assert ["architecture", "qwen3"] in rows
    assert ["context_length", "4096"] in rows
    assert ["llm", "q5_0", "q5_0", "10", "MB", "46"] in [row[:6] for row in rows]


def test_show_lists_tensors(model):
    done = model("show", "demo-en", "--tensors")
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert ["qwen3_asr_llm.q5_0.gguf", "token_embd.weight", "Q5_0", "[4096, 512]", str(4096 * 512 // 32 * 22)] in rows
    listed = json.loads(model("show", "--tensors", "--json").stdout)
    assert len(rows) == sum(part["tensor_count"] for part in listed["parts"])
    assert [len(part["tensors"]) for part in listed["parts"]] == [part["tensor_count"] for part in listed["parts"]]


def test_show_for_programs(model, catalogue):
    facts = json.loads(model("show", "demo-en", "--json").stdout)
    assert (facts["name"], facts["licence"], facts["languages"]) == ("demo-en", "Apache-2.0", ["en"])
    llm = next(part for part in facts["parts"] if part["role"] == "llm")
    assert (llm["architecture"], llm["context_length"], llm["stored_as"]) == ("qwen3", 4096, "q5_0")
    assert {"id": 4091, "token": "<|audio_start|>", "kind": "control", "use": ""} in llm["tokenizer"]["special"]
    backend = next(part for part in facts["parts"] if part["role"] == "encoder_backend")
    assert backend["graph"]["opsets"]["ai.onnx"] == 17
    assert "tensors" not in llm
    assert facts["memory"]["known_mb"] is None
    # What a released bundle does not say itself, the list of models did.
    model("pull", "tiny", "--catalogue", catalogue)
    facts = json.loads(model("show", "tiny", "--json").stdout)
    assert (facts["licence"], facts["languages"], facts["memory"]["known_mb"]) == ("CC0-1.0", ["en"], 120)
    assert "about 120 MB in all with one lane" in model("show", "tiny").stderr


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory) -> Path:
    return synthesize_checkpoint("tiny", tmp_path_factory.mktemp("cli") / "checkpoint")


def test_check_with_audio_and_text_of_ones_own(model, checkpoint, sample_video, make_media, tmp_path):
    clip = make_media("-ss", "1", "-t", "3", "-i", sample_video, "-vn", tmp_path / "clip.ogg")
    (tmp_path / "said.txt").write_text("\ufeffabc\n abc\n", encoding="utf-8")
    arguments = ("--precision", "fp32,int8", "--quant", "f16,q4_0", "--audio", clip, "--text", tmp_path / "said.txt")
    done = model("convert", checkpoint, "--name", "one", *arguments, "--language", "German")
    assert done.returncode == 0, done.stderr
    for words in ("Against the checkpoint", "Cosine", "Largest error", "encoder_frontend", "fp32", "int8", "q4_0"):
        assert words in done.stderr, words
    done = model(
        "check", "one", "--against", checkpoint, "--audio", clip, "--text", "abc abc", "--language", "de", "--json"
    )
    own = json.loads(done.stdout)
    found = {(part["part"], part["variant"]): part for part in own}
    assert list(found) == [
        ("encoder_frontend", "fp32"),
        ("encoder", "fp32"),
        ("encoder_frontend", "int8"),
        ("encoder", "int8"),
        ("llm", "f16"),
        ("llm", "q4_0"),
    ]
    assert found["encoder", "fp32"]["cosine"] > 0.999999 > found["encoder", "int8"]["cosine"] > 0.99
    assert found["llm", "f16"]["loss"] == pytest.approx(found["llm", "f16"]["reference_loss"], abs=0.01)
    # The same was printed after converting: file and text, name and code are the same.
    loss = found["llm", "q4_0"]["loss"]
    assert f"{loss:.4f}" in model("check", "one", "--against", checkpoint, *arguments[4:], "-l", "de").stderr
    noise = json.loads(model("check", "one", "--against", checkpoint, "--json").stdout)
    assert noise[-1]["loss"] is None
    assert noise[-1]["max_error"] != own[-1]["max_error"]
    other = json.loads(model("check", "one", "--against", checkpoint, "--audio", clip, "--text", "x", "--json").stdout)
    assert other[-1]["reference_loss"] != own[-1]["reference_loss"]


def test_check_says_what_is_wrong(model, checkpoint, bundle, make_media, tmp_path):
    long = make_media("-f", "lavfi", "-i", "sine", "-t", "31", tmp_path / "long.wav")
    empty = make_media("-f", "lavfi", "-i", "sine", "-t", "0.005", "-ar", "16000", tmp_path / "empty.wav")
    (tmp_path / "blank.txt").write_text(" \n")
    (tmp_path / "latin.txt").write_bytes(b"\xe4")
    for arguments, words in (
        (("--audio", long), "longer than the 30 s"),
        (("--audio", empty), "no audio in it"),
        (("--audio", tmp_path / "gone.wav"), "gone.wav"),
        (("--text", "gone.txt"), "no such text file"),
        (("--text", tmp_path / "blank.txt"), "no text in it"),
        (("--text", tmp_path / "latin.txt"), "UTF-8"),
        (("--text", tmp_path), "cannot be read"),
        (("--text", "a", "--language", "Klingon"), "Klingon"),
        (("--aligner", checkpoint), "no recogniser with a forced aligner beside it"),
    ):
        done = model("check", bundle, "--against", checkpoint, *arguments)
        assert done.returncode not in (0, 1), (arguments, done.stderr)
        assert words in done.stderr, arguments
        assert "Traceback" not in done.stderr
    assert model("check", bundle, "--against", checkpoint, "--text", "a long text " * 400).returncode == 0
    # Before the long work, not after it.
    done = model("convert", checkpoint, "--name", "never", "--text", "gone.txt")
    assert "no such text file" in done.stderr
    assert model("path", "never").returncode == 111
    done = model("check", "demo-en", "--against", checkpoint)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr


def test_the_doctor_says_where_the_other_models_are(plugin_cli):
    done = plugin_cli("doctor")
    lines = done.stdout.splitlines()
    (at,) = (number for number, line in enumerate(lines) if line.startswith("ok      model bundle"))
    assert "qwen-asr-plugin model list" in lines[at + 1]


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C as a signal is POSIX")
def test_ctrl_c_keeps_what_has_come(model, catalogue, server, fault, released, tmp_path):
    server.files["/lists/files/tiny.zip"].faults = [fault(drip_s=0.02, drip_bytes=len(released) // 200)]
    program = Path(sysconfig.get_path("scripts")) / "qwen-asr-plugin"
    process = subprocess.Popen(
        [sys.executable, "-c", _AS_A_TERMINAL, program, "model", "pull", "tiny", "--catalogue", catalogue],
        stderr=subprocess.PIPE,
        text=True,
    )
    while server.sent.get("/lists/files/tiny.zip", 0) < len(released) / 4:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "goes on from there" in errors
    assert "Traceback" not in errors
    done = model("pull", "tiny", "--catalogue", catalogue)
    assert done.returncode == 0, done.stderr
    assert "Range" in server.requests[-1][1]


# Started in the background, a shell makes programs ignore Ctrl-C.
_AS_A_TERMINAL = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
os.execv(sys.argv[1], sys.argv[1:])
"""
