# SPDX-License-Identifier: Apache-2.0
"""Installed bundles: added, pulled, verified, replaced, removed; and killed at any moment of it."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from qwen_asr_model import default_bundle, open_bundle, synthesize
from qwen_asr_model.catalogue import parse_catalogue
from qwen_asr_model.download import DownloadSettings
from qwen_asr_model.errors import (
    ArchiveDamagedError,
    ArchiveUnsafeError,
    BundleError,
    BundleExistsError,
    BundleFileDamagedError,
    BundleFileMissingError,
    BundleNotFoundError,
    CheckpointError,
    ChecksumError,
    ConversionError,
    DiskFullError,
    GgufDamagedError,
    ManifestError,
    OfflineError,
    RemoteChangedError,
    TruncatedError,
)
from qwen_asr_model.store import (
    add_bundle,
    installed_bundle,
    list_installed,
    named_bundle,
    remove_bundle,
    verify_installed,
)
from qwen_asr_model.store_folders import models_folder
from qwen_asr_model.store_pull import Conversion, pull_bundle
from qwen_asr_model.store_record import read_record

_spec = importlib.util.spec_from_file_location("fault_server", Path(__file__).with_name("test_download_server.py"))
_fault_server = importlib.util.module_from_spec(_spec)
sys.modules[_spec.name] = _fault_server
_spec.loader.exec_module(_fault_server)
server, fault = _fault_server.server, _fault_server.fault

QUICK = DownloadSettings(attempts=2, first_wait_s=0.01, longest_wait_s=0.05, read_timeout_s=5)
ONCE = DownloadSettings(attempts=1, first_wait_s=0.01, read_timeout_s=5)


@pytest.fixture(scope="session")
def bundle(tmp_path_factory) -> Path:
    """A tiny bundle with its manifest. Do not write into it."""
    return synthesize("tiny", tmp_path_factory.mktemp("store") / "tiny", precisions=["int8"], quants=["q8_0"])


@pytest.fixture(scope="session")
def released(bundle, tmp_path_factory) -> bytes:
    """A zip file as the released ones are: flat, and no manifest."""
    path = tmp_path_factory.mktemp("zips") / "tiny.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for file in sorted(bundle.iterdir()):
            if file.name != "bundle.json":
                archive.write(file, file.name)
    return path.read_bytes()


@pytest.fixture(autouse=True)
def models(tmp_path, monkeypatch) -> Path:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "HF_ENDPOINT", "QWEN_ASR_MIRROR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("QWEN_ASR_MODELS_DIR", str(tmp_path / "models"))
    return tmp_path / "models"


@pytest.fixture
def offered(server):
    """Put files on the server; return the catalogue's entry for them."""

    def offer(files: dict[str, bytes], *, kind="zip", name="tiny", pinned=False, **fields):
        raw = []
        for file, content in files.items():
            known = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()} if pinned else {}
            raw.append({"name": file, "urls": [server.add(f"/{file}", content)], **known})
        entry = {"name": name, "kind": kind, "licence": "CC0-1.0", "languages": ["en"], "files": raw, **fields}
        return parse_catalogue({"format": "qwen-asr-catalogue", "version": 1, "models": [entry]}, where="test")[0]

    return offer


def assert_all_or_nothing(models: Path, name: str = "tiny") -> bool:
    """Either a whole bundle is there, or none that anybody could take for one."""
    folder = models / name
    if folder.exists():
        open_bundle(folder)
        assert verify_installed(folder)
        return True
    assert installed_bundle(name) is None
    return False


def left_over(models: Path) -> list[str]:
    return sorted(path.name for path in (models / ".work").rglob("*") if path.suffix != ".lock")


# Adding


@pytest.mark.parametrize("form", ["folder", "folder below", "zip", "zip with a folder"])
def test_add(form, bundle, released, tmp_path, models):
    source = tmp_path / "Some-Model"
    if form == "folder":
        shutil.copytree(bundle, source)
    elif form == "folder below":
        shutil.copytree(bundle, source / "deep" / "tiny")
    else:
        source = source.with_suffix(".zip")
        source.write_bytes(released)
    if form == "zip with a folder":
        with zipfile.ZipFile(source, "w") as archive:
            for file in bundle.iterdir():
                archive.write(file, f"inner/{file.name}")
    steps = []
    path = add_bundle(source, progress=lambda *step: steps.append(step))
    assert path == models / "some-model"
    assert open_bundle(path).quant == "q8_0"
    assert installed_bundle("SOME-MODEL") == named_bundle("some-model") == path
    record = read_record(path)
    assert (record.kind, record.source, record.name) == ("add", str(source), "some-model")
    names = {file.name for file in record.files}
    assert names == {file.name for file in path.iterdir()} - {"installed.json"}
    assert ("bundle.json" in names) == (form != "zip")
    assert {what for what, *_ in steps} == {"unpack" if "zip" in form else "copy", "check"}
    assert verify_installed(path)
    assert not left_over(models)


def test_only_the_bundles_own_files_are_copied(bundle, tmp_path):
    source = Path(shutil.copytree(bundle, tmp_path / "tiny"))
    (source / "notes.txt").write_text("private")
    (source / "installed.json").write_text("{}")
    path = add_bundle(source)
    assert not (path / "notes.txt").exists()
    assert read_record(path).name == "tiny"


def test_add_nothing(tmp_path, models):
    with pytest.raises(BundleNotFoundError, match="no such"):
        add_bundle(tmp_path / "gone")
    (tmp_path / "empty").mkdir()
    with pytest.raises(BundleNotFoundError, match="no model"):
        add_bundle(tmp_path / "empty")
    with pytest.raises(BundleNotFoundError, match="cannot be the name"):
        add_bundle(tmp_path / "empty", name="../up")
    assert list_installed()[1:] == ()


def test_a_damaged_bundle_is_not_added(bundle, tmp_path, models):
    source = Path(shutil.copytree(bundle, tmp_path / "tiny"))
    file = source / "qwen3_asr_llm.q8_0.gguf"
    content = bytearray(file.read_bytes())
    content[-5] ^= 1
    file.write_bytes(content)
    with pytest.raises(GgufDamagedError, match="SHA-256"):
        add_bundle(source)
    file.unlink()
    with pytest.raises(BundleFileMissingError):
        add_bundle(source)
    assert not assert_all_or_nothing(models)


def test_a_pair_that_is_none(bundle, tmp_path, models):
    source = tmp_path / "tiny"
    source.mkdir()
    (source / "mmproj-tiny.gguf").write_bytes(b"GGUF")
    with pytest.raises(BundleNotFoundError, match="0 text models and 1 mmproj"):
        add_bundle(source)
    shutil.copyfile(bundle / "qwen3_asr_llm.q8_0.gguf", source / "tiny.gguf")
    with pytest.raises(GgufDamagedError, match=r"mmproj|cut off"):
        add_bundle(source)
    assert not assert_all_or_nothing(models)


def test_a_name_is_taken(bundle, models):
    add_bundle(bundle, name="one")
    with pytest.raises(BundleExistsError, match="installed already"):
        add_bundle(bundle, name="ONE")
    before = read_record(models / "one")
    add_bundle(bundle, name="one", replace=True)
    assert read_record(models / "one").files == before.files
    assert not left_over(models)


def test_a_failed_replacement_leaves_the_former(bundle, tmp_path, models):
    add_bundle(bundle, name="tiny")
    (tmp_path / "bad.zip").write_bytes(b"PK")
    with pytest.raises(ArchiveDamagedError):
        add_bundle(tmp_path / "bad.zip", name="tiny", replace=True)
    assert assert_all_or_nothing(models)


# Names


def test_named_bundles(bundle, tmp_path, monkeypatch):
    add_bundle(bundle, name="tiny")
    assert named_bundle(None) == default_bundle() == named_bundle("demo-en") == installed_bundle("demo-en")
    assert named_bundle(bundle) == bundle
    assert installed_bundle(bundle) is None
    assert installed_bundle("gone") is None
    with pytest.raises(BundleNotFoundError, match="no model of that name") as caught:
        named_bundle("gone")
    assert "model list" in caught.value.hint
    monkeypatch.chdir(tmp_path)
    shutil.copytree(bundle, tmp_path / "tiny")
    assert named_bundle("tiny") == Path("tiny")  # what is here comes first


def test_list(bundle, models):
    assert [one.name for one in list_installed()] == ["demo-en"]
    add_bundle(bundle, name="tiny")
    add_bundle(bundle, name="broken")
    (models / "broken" / "qwen3_asr_llm.q8_0.gguf").unlink()
    bundled, broken, tiny = list_installed()
    assert bundled.opened.name == "demo-en"
    assert bundled.record is None
    assert isinstance(broken.problem, BundleFileMissingError)
    assert broken.opened is None
    assert tiny.opened.precisions == ("int8",)
    assert tiny.licence == "CC0-1.0"
    assert tiny.size > sum(entry.size for entry in tiny.opened.files)


def test_data_folder(monkeypatch, tmp_path):
    monkeypatch.delenv("QWEN_ASR_MODELS_DIR")
    monkeypatch.setenv("QWEN_ASR_DATA_DIR", str(tmp_path / "data"))
    assert models_folder() == tmp_path / "data" / "models"


# Removing and verifying


def test_remove(bundle, models):
    add_bundle(bundle, name="tiny")
    assert remove_bundle("Tiny") == models / "tiny"
    assert not (models / "tiny").exists()
    with pytest.raises(BundleNotFoundError, match="no model tiny is installed"):
        remove_bundle("tiny")
    with pytest.raises(BundleNotFoundError):
        remove_bundle("../models")
    assert not left_over(models)


def test_verify(released, tmp_path, models):
    """A bundle without a manifest is compared with what was noted when it was installed."""
    (tmp_path / "tiny.zip").write_bytes(released)
    path = add_bundle(tmp_path / "tiny.zip")
    steps = []
    assert verify_installed(path, progress=lambda *step: steps.append(step))
    assert steps[-1][2] == steps[-1][3] > 0
    file = path / "qwen3_asr_encoder_backend.int8.onnx"
    content = bytearray(file.read_bytes())
    content[-5] ^= 1
    file.write_bytes(content)
    with pytest.raises(BundleFileDamagedError, match="changed since it was installed"):
        verify_installed(path)
    file.unlink()
    with pytest.raises(BundleFileMissingError):
        verify_installed(path)
    (path / "installed.json").write_text("[]")
    with pytest.raises(ManifestError, match=r"installed\.json"):
        verify_installed(path)
    assert not verify_installed(default_bundle())


# Pulling


@pytest.mark.parametrize("pinned", [True, False])
def test_pull_a_zip(offered, released, models, server, pinned):
    steps = []
    path = pull_bundle(
        offered({"tiny.zip": released}, pinned=pinned), settings=QUICK, progress=lambda *step: steps.append(step)
    )
    assert path == models / "tiny"
    assert open_bundle(path).precision == "int8"
    record = read_record(path)
    assert (record.kind, record.source, record.licence, record.languages) == ("pull", "tiny", "CC0-1.0", ("en",))
    assert [(one.name, one.sha256) for one in record.downloads] == [
        (server.url + "/tiny.zip", hashlib.sha256(released).hexdigest())
    ]
    assert [*dict.fromkeys(what for what, *_ in steps)] == ["download", "unpack", "check"]
    assert not left_over(models)
    assert list_installed()[1].languages == ("en",)


def test_pull_files(offered, bundle, models):
    entry = offered({file.name: file.read_bytes() for file in bundle.iterdir()}, kind="files", pinned=True)
    assert open_bundle(pull_bundle(entry, name="other", settings=QUICK)).path == models / "other"
    assert not left_over(models)


def test_pull_a_checkpoint(offered, models, tiny_folder, server):
    files = {file.name: file.read_bytes() for file in sorted(tiny_folder.iterdir())}
    entry = offered(files, kind="checkpoint", pinned=True)
    wrong = Conversion(precisions=("int3",))
    with pytest.raises(ConversionError, match="int3"):
        pull_bundle(entry, settings=QUICK, conversion=wrong)
    sent = server.total_sent()
    steps = []
    path = pull_bundle(
        entry,
        settings=QUICK,
        conversion=Conversion(precisions=("fp32",), quants=("f16",)),
        keep_download=True,
        progress=lambda *step: steps.append(step),
    )
    assert server.total_sent() == sent  # what was fetched for the failed attempt is still there
    opened = open_bundle(path)
    assert (opened.name, opened.precision, opened.quant, opened.licence) == ("tiny", "fp32", "f16", "CC0-1.0")
    assert "convert" in {what for what, *_ in steps}
    assert "vocab.json" in left_over(models)
    remove_bundle("tiny")
    assert not left_over(models)


def test_a_damaged_checkpoint_is_not_installed(offered, models):
    files = dict.fromkeys(
        ("config.json", "vocab.json", "merges.txt", "tokenizer_config.json", "model.safetensors"), b"{}"
    )
    with pytest.raises(CheckpointError):
        pull_bundle(offered(files, kind="checkpoint"), settings=QUICK)
    assert not assert_all_or_nothing(models)
    assert not left_over(models)


def test_pull_what_is_there(offered, released, server):
    entry = offered({"tiny.zip": released})
    pull_bundle(entry, settings=QUICK)
    with pytest.raises(BundleExistsError, match="installed already"):
        pull_bundle(entry, settings=QUICK)
    assert len(server.requests) == 1
    pull_bundle(entry, settings=QUICK, replace=True)
    assert len(server.requests) == 2


def test_offline(offered, released, models):
    entry = offered({"tiny.zip": released})
    with pytest.raises(OfflineError):
        pull_bundle(entry, settings=DownloadSettings(offline=True))
    assert not assert_all_or_nothing(models)


@pytest.mark.parametrize("tenth", range(10))
def test_cut_and_pulled_again(offered, released, models, server, fault, tenth):
    entry = offered({"tiny.zip": released})
    server.files["/tiny.zip"].faults = [fault(cut_after=len(released) * tenth // 10)]
    with pytest.raises(TruncatedError):
        pull_bundle(entry, settings=ONCE)
    assert not assert_all_or_nothing(models)
    pull_bundle(entry, settings=ONCE)
    assert assert_all_or_nothing(models)
    assert server.total_sent() == len(released)


def test_finished_files_are_not_fetched_again(offered, bundle, models, server, fault):
    files = {file.name: file.read_bytes() for file in sorted(bundle.iterdir(), reverse=True)}
    entry = offered(files, kind="files")
    last = f"/{list(files)[-1]}"
    server.files[last].faults = [fault(status=404)]
    with pytest.raises(BundleError, match="404"):
        pull_bundle(entry, settings=ONCE)
    assert not assert_all_or_nothing(models)
    pull_bundle(entry, settings=ONCE)
    assert assert_all_or_nothing(models)
    assert server.total_sent() == sum(map(len, files.values()))


@pytest.mark.parametrize("pinned", [True, False])
def test_wrong_bytes(offered, released, models, server, fault, pinned):
    """Pinned: the hash tells. Not pinned: the zip's own CRC does. In both cases the next pull gets it right."""
    entry = offered({"tiny.zip": released}, pinned=pinned)
    at = released.index(b".gguf") + len(released) // 3
    server.files["/tiny.zip"].faults = [fault(change=lambda data: data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])]
    with pytest.raises(ChecksumError if pinned else ArchiveDamagedError) as caught:
        pull_bundle(entry, settings=ONCE)
    assert "removed" in caught.value.hint
    assert not assert_all_or_nothing(models)
    pull_bundle(entry, settings=ONCE)
    assert assert_all_or_nothing(models)


def test_a_zip_cut_at_its_source(offered, released, models):
    with pytest.raises(ArchiveDamagedError, match="end is missing"):
        pull_bundle(offered({"tiny.zip": released[:-2000]}), settings=ONCE)
    assert not left_over(models)


def test_a_harmful_zip(offered, models, tmp_path):
    path = tmp_path / "evil.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("../../evil", b"evil")
    with pytest.raises(ArchiveUnsafeError):
        pull_bundle(offered({"tiny.zip": path.read_bytes()}), settings=ONCE)
    assert not assert_all_or_nothing(models)
    assert not list(tmp_path.rglob("evil"))


def test_a_sound_zip_without_a_model(offered, models, tmp_path):
    path = tmp_path / "other.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", b"hello")
    with pytest.raises(BundleNotFoundError, match="no model"):
        pull_bundle(offered({"tiny.zip": path.read_bytes()}), settings=ONCE)
    assert not assert_all_or_nothing(models)
    assert not left_over(models)


def test_hashes_are_noted_at_first_use_and_checked_ever_after(offered, released, models, server):
    entry = offered({"tiny.zip": released})
    pull_bundle(entry, settings=ONCE)
    remove_bundle("tiny")
    pull_bundle(entry, settings=ONCE)
    remove_bundle("tiny")
    changed = bytearray(released)
    changed[released.index(b"PK\x03\x04") + 10] ^= 1  # the time of the first file: the zip is as sound as before
    server.files["/tiny.zip"].content = bytes(changed)
    with pytest.raises(RemoteChangedError, match="not the file that was fetched at first") as caught:
        pull_bundle(entry, settings=ONCE)
    assert "--accept-changed" in caught.value.hint
    server.files["/tiny.zip"].content = bytes(changed) + b"\0"
    with pytest.raises(RemoteChangedError, match="bytes long"):
        pull_bundle(entry, settings=ONCE)
    assert not assert_all_or_nothing(models)
    server.files["/tiny.zip"].content = bytes(changed)
    pull_bundle(entry, settings=ONCE, accept_changed=True)
    remove_bundle("tiny")
    pull_bundle(entry, settings=ONCE)
    assert assert_all_or_nothing(models)


def test_what_failed_is_not_noted(offered, released, models, server):
    """A broken file at the first use must not make the right one suspicious."""
    entry = offered({"tiny.zip": released[:-2000]})
    with pytest.raises(ArchiveDamagedError):
        pull_bundle(entry, settings=ONCE)
    server.files["/tiny.zip"].content = released
    pull_bundle(entry, settings=ONCE)
    assert assert_all_or_nothing(models)


def test_pinned_files_cannot_be_accepted_changed(offered, released, server):
    entry = offered({"tiny.zip": released}, pinned=True)
    server.files["/tiny.zip"].content = released[:-1] + b"?"
    with pytest.raises(ChecksumError):
        pull_bundle(entry, settings=ONCE, accept_changed=True)


def test_room_for_all_of_it_is_asked_for_first(offered, released, server, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: shutil._ntuple_diskusage(10**9, 10**9, 40 << 20))
    entry = offered({"tiny.zip": released}, pinned=True)
    big = type(entry)(**{**vars(entry), "files": (type(entry.files[0])(**{**vars(entry.files[0]), "size": 10**8}),)})
    with pytest.raises(DiskFullError, match="fetching tiny"):
        pull_bundle(big, settings=ONCE)
    assert not server.requests


def test_a_disk_too_small_to_unpack(offered, released, server, small_disk, monkeypatch):
    import qwen_asr_model.download.space as space

    with small_disk(len(released) + 100_000) as disk:
        monkeypatch.setenv("QWEN_ASR_MODELS_DIR", str(disk))
        entry = offered({"tiny.zip": released})
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(space, "MARGIN_BYTES", -(1 << 40))
            with pytest.raises(DiskFullError, match="the disk is full"):
                pull_bundle(entry, settings=ONCE)
        assert not assert_all_or_nothing(disk)
        subprocess.run(["mount", "-o", "remount,size=200m", disk], check=True)
        pull_bundle(entry, settings=ONCE)
        assert assert_all_or_nothing(disk)
        assert server.total_sent() == len(released)


# Killed


_PULL = """
import functools, importlib, os, signal, sys
from qwen_asr_model.catalogue import parse_catalogue
from qwen_asr_model.store_pull import pull_bundle

url, module, path, call, after = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), sys.argv[5] == "after"
*owners, name = path.split(".")
owner = functools.reduce(getattr, owners, importlib.import_module(f"qwen_asr_model.{module}"))
original, calls = getattr(owner, name), 0

def wrapped(*arguments, **named):
    global calls
    calls += 1
    if calls == call and not after:
        os.kill(os.getpid(), signal.SIGKILL)
    result = original(*arguments, **named)
    if calls == call:
        os.kill(os.getpid(), signal.SIGKILL)
    return result

setattr(owner, name, wrapped)
entry = dict(name="tiny", kind="zip", files=[dict(name="tiny.zip", urls=[url])])
entries = parse_catalogue(dict(format="qwen-asr-catalogue", version=1, models=[entry]), where="")
pull_bundle(entries[0], replace=True)
"""


def pulling(url: str, module="store", function="add_bundle", call=1, when="before") -> subprocess.Popen:
    """A process that pulls, and kills itself at some call of some function."""
    command = [sys.executable, "-c", _PULL, url, module, function, str(call), when]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is POSIX")
@pytest.mark.parametrize("installed", [False, True], ids=["nothing before", "one before"])
@pytest.mark.parametrize(
    ("module", "function", "call", "when"),
    [
        ("download.part", "Part.finish", 1, "before"),
        ("download.part", "Part.finish", 1, "after"),
        ("download.unpack", "_checked", 1, "after"),
        ("download.unpack", "_write", 2, "before"),
        ("store_record", "hash_file", 2, "before"),
        ("store", "write_record", 1, "after"),
        ("store_folders", "_rename", 1, "after"),
        ("store_folders", "_rename", 2, "after"),
        ("store_pull", "KnownFiles.note", 1, "before"),
    ],
)
def test_killed_at_any_moment(offered, released, bundle, models, server, module, function, call, when, installed):
    """``kill -9`` between any two steps: the old bundle, the new one or none; the next pull needs no further byte."""
    if installed:
        add_bundle(bundle, name="tiny")
    entry = offered({"tiny.zip": released})
    process = pulling(server.url + "/tiny.zip", module, function, call, when)
    _, errors = process.communicate(timeout=60)
    nothing_to_kill = call == 2 and function == "_rename" and not installed  # there is only one folder to rename
    assert process.returncode == (0 if nothing_to_kill else -signal.SIGKILL), errors
    found = installed_bundle("tiny")
    assert found is not None or not installed
    assert assert_all_or_nothing(models) == (found is not None)
    pull_bundle(entry, settings=ONCE, replace=True)
    assert assert_all_or_nothing(models)
    assert read_record(models / "tiny").kind == "pull"
    assert not left_over(models)
    assert server.total_sent() == len(released) * (2 if nothing_to_kill else 1)


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is POSIX")
def test_killed_while_it_comes(offered, released, models, server, fault):
    entry = offered({"tiny.zip": released})
    server.files["/tiny.zip"].faults = [fault(drip_s=0.005, drip_bytes=len(released) // 50)]
    process = pulling(server.url + "/tiny.zip")
    while server.total_sent() < len(released) / 2:
        assert process.poll() is None
        time.sleep(0.002)
    process.kill()
    process.communicate(timeout=10)
    assert not assert_all_or_nothing(models)
    kept = (models / ".work" / "tiny" / "download" / "tiny.zip.part").stat().st_size
    pull_bundle(entry, settings=ONCE)
    assert assert_all_or_nothing(models)
    assert server.requests[-1][1]["Range"] == f"bytes={kept}-"


def test_two_at_once(offered, released, models, server, fault):
    """The second process says so; the first one's bundle is whole."""
    offered({"tiny.zip": released})
    server.files["/tiny.zip"].faults = [fault(drip_s=0.02, drip_bytes=len(released) // 100)]
    process = pulling(server.url + "/tiny.zip")
    while not server.total_sent():
        time.sleep(0.01)
    with pytest.raises(BundleExistsError, match="another process"):
        remove_bundle("tiny")
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert assert_all_or_nothing(models)


def test_known_files_that_cannot_be_read(offered, released, models):
    models.mkdir()
    (models / ".known-files.json").write_text('{"x": 1}')
    with pytest.raises(ManifestError, match="known-files") as caught:
        pull_bundle(offered({"tiny.zip": released}), settings=ONCE)
    assert "Delete it" in caught.value.hint


def test_records_are_for_programs_too(offered, released, models):
    pull_bundle(offered({"tiny.zip": released}, memory_mb=500), settings=ONCE)
    raw = json.loads((models / "tiny" / "installed.json").read_text())
    assert (raw["format"], raw["version"], raw["memory_mb"]) == ("qwen-asr-installed", 1, 500)
    assert raw["added"].endswith("+00:00")
