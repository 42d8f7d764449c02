# SPDX-License-Identifier: Apache-2.0
"""The list of known models, and lists of the user's own."""

from __future__ import annotations

import copy
import importlib.util
import json
import sys
from pathlib import Path

import jsonschema
import pytest

import qwen_asr_model.catalogue as catalogue
from qwen_asr_model.catalogue import (
    Kind,
    builtin_catalogue,
    find_entry,
    load_catalogue,
    parse_catalogue,
    valid_name,
)
from qwen_asr_model.download import DownloadSettings
from qwen_asr_model.errors import BundleNotFoundError, CatalogueError, OfflineError, RemoteNotFoundError

_spec = importlib.util.spec_from_file_location("fault_server", Path(__file__).with_name("test_download_server.py"))
_fault_server = importlib.util.module_from_spec(_spec)
sys.modules[_spec.name] = _fault_server
_spec.loader.exec_module(_fault_server)
server = _fault_server.server

FOLDER = Path(catalogue.__file__).parent
RAW = json.loads((FOLDER / "catalogue.json").read_text("utf-8"))
SCHEMA = json.loads((FOLDER / "catalogue.schema.json").read_text("utf-8"))
ENTRY = {
    "name": "mine",
    "kind": "zip",
    "base_urls": ["https://models.example/"],
    "files": [{"name": "mine.zip", "size": 5, "sha256": "0" * 64}],
}


def listed(*entries):
    return {"format": "qwen-asr-catalogue", "version": 1, "models": list(entries)}


@pytest.fixture(autouse=True)
def _no_catalogue(monkeypatch):
    monkeypatch.delenv("QWEN_ASR_CATALOGUE", raising=False)


def test_the_schema_describes_what_ships():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(RAW, SCHEMA)
    assert len(builtin_catalogue()) == len(RAW["models"])


def test_what_is_known():
    entries = {entry.name: entry for entry in builtin_catalogue()}
    kinds = [entry.kind for entry in entries.values()]
    assert (kinds.count(Kind.CHECKPOINT), kinds.count(Kind.ZIP), kinds.count(Kind.GGUF_PAIR)) == (3, 3, 2)
    for entry in entries.values():
        assert entry.licence == "Apache-2.0"
        assert len(entry.languages) == (11 if "aligner" in entry.family else 30)
        assert entry.size > 5e8
        assert all(url.startswith("https://") for file in entry.files for url in file.urls)
        assert entry.pinned == (entry.kind != Kind.ZIP)  # nobody has published hashes of the released zip files
        for file in entry.files:
            assert bool(file.sha256) == bool(file.size)
    assert [file.name for entry in entries.values() if entry.kind == Kind.ZIP for file in entry.files] == [
        "Qwen3-ASR-0.6B-gguf.zip",
        "Qwen3-ASR-1.7B-gguf.zip",
        "Qwen3-ForceAligner-0.6B-gguf.zip",
    ]
    for name in ("qwen3-asr-0.6b", "qwen3-asr-1.7b"):
        hubs = {url.split("/")[2] for file in entries[name].files for url in file.urls}
        assert len(hubs) == 2
        # What the converter reads, and nothing else.
        needed = {"config.json", "vocab.json", "merges.txt", "tokenizer_config.json"}
        names = {file.name for file in entries[name].files}
        assert needed <= names
        assert all(rest.startswith("model") for rest in names - needed)


@pytest.mark.parametrize("name", ["qwen3-asr-0.6b", "QWEN3-ASR-0.6B", "Qwen/Qwen3-ASR-0.6B"])
def test_names_and_aliases(name):
    assert find_entry(name, builtin_catalogue()).name == "qwen3-asr-0.6b"


def test_an_unknown_name_gets_similar_ones():
    with pytest.raises(BundleNotFoundError, match="no model 'qwen3-asr-6b'") as caught:
        find_entry("qwen3-asr-6b", builtin_catalogue())
    assert "Did you mean qwen3-asr-0.6b" in caught.value.hint


@pytest.mark.parametrize("name", ["a", "qwen3-asr-0.6b", "0", "a.b_c+d-e"])
def test_valid_names(name):
    assert valid_name(name)


@pytest.mark.parametrize("name", ["", "A", ".a", "a/b", "..", "con", "nul.x", "a.", "a b", "ä", "x" * 101, "-a"])
def test_invalid_names(name):
    assert not valid_name(name)


def test_a_file_of_the_users_own_comes_first(tmp_path, monkeypatch):
    file = tmp_path / "models.json"
    file.write_text(json.dumps(listed(ENTRY, {**ENTRY, "name": "qwen3-asr-0.6b"})))
    entries = load_catalogue([str(file)])
    assert [entry.name for entry in entries[:2]] == ["mine", "qwen3-asr-0.6b"]
    assert find_entry("qwen3-asr-0.6b", entries).kind == "zip"
    assert len(entries) == len(RAW["models"]) + 1
    monkeypatch.setenv("QWEN_ASR_CATALOGUE", f" {file} ;")
    assert load_catalogue()[0].name == "mine"
    jsonschema.validate(listed(ENTRY), SCHEMA)


def test_an_address_of_the_users_own(server):
    raw = listed({**ENTRY, "base_urls": ["files/"]}, {**ENTRY, "name": "two", "files": [{"name": "b", "urls": ["/b"]}]})
    url = server.add("/lists/models.json", json.dumps(raw).encode())
    one, two = load_catalogue([url])[:2]
    assert one.files[0].urls == (f"{server.url}/lists/files/mine.zip",)
    assert two.files[0].urls == (f"{server.url}/b",)
    assert (two.files[0].size, two.files[0].sha256, two.size, two.pinned) == (None, None, None, False)
    with pytest.raises(RemoteNotFoundError):
        load_catalogue([server.url + "/gone"])
    with pytest.raises(OfflineError):
        load_catalogue([url], settings=DownloadSettings(offline=True))


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"format": "x"}', "[" * 100_000, "\ufeff{}"])
def test_what_is_no_catalogue(tmp_path, text):
    file = tmp_path / "models.json"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(CatalogueError) as caught:
        load_catalogue([str(file)])
    assert caught.value.path == file


def test_what_is_not_there(tmp_path):
    with pytest.raises(CatalogueError, match="No such file"):
        load_catalogue([str(tmp_path / "gone.json")])


def test_a_later_version_is_refused():
    with pytest.raises(CatalogueError, match="version 2") as caught:
        parse_catalogue({**listed(), "version": 2}, where="x")
    assert "Update" in caught.value.hint


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("name",), "../x"),
        (("name",), "CON"),
        (("name",), 5),
        (("name",), None),
        (("kind",), "tar"),
        (("family",), "whisper"),
        (("languages",), ["english"]),
        (("languages",), "en"),
        (("memory_mb",), 0),
        (("memory_mb",), 1.5),
        (("memory_mb",), True),
        (("licence",), 1),
        (("aliases",), [1]),
        (("base_urls",), "https://x"),
        (("files",), []),
        (("files",), {}),
        (("files",), [1]),
        (("files",), [{"name": "a.zip"}, {"name": "b.zip"}]),
        (("files", 0, "name"), "a/b"),
        (("files", 0, "name"), None),
        (("files", 0, "size"), -1),
        (("files", 0, "size"), "5"),
        (("files", 0, "sha256"), "0" * 63),
        (("files", 0, "sha256"), "G" * 64),
    ],
)
def test_wrong_fields_are_named(path, value):
    entry = copy.deepcopy(ENTRY)
    place = entry
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    with pytest.raises(CatalogueError, match=rf"field \S*{path[-1]}") as caught:
        parse_catalogue(listed(entry), where="list.json")
    assert str(caught.value).startswith("list.json: model ")
    if value is not None:
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(listed(entry), SCHEMA)


@pytest.mark.parametrize(
    "entry",
    [
        {**ENTRY, "base_urls": []},
        {**ENTRY, "base_urls": ["files/"]},
        {**ENTRY, "base_urls": ["file:///etc/"]},
        {**ENTRY, "files": [{"name": "passwd", "urls": ["file:///etc/passwd"]}]},
        {**ENTRY, "kind": "files", "files": [{"name": "a"}, {"name": "A"}]},
    ],
)
def test_addresses_must_be_of_the_web(entry):
    with pytest.raises(CatalogueError, match=r"urls|files"):
        parse_catalogue(listed(entry), where="x")


def test_a_name_twice():
    with pytest.raises(CatalogueError, match="mine is there twice"):
        parse_catalogue(listed(ENTRY, ENTRY), where="x")
