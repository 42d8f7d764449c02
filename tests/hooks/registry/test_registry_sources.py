# SPDX-License-Identifier: Apache-2.0
"""Where indexes come from, and the copies of them."""

from __future__ import annotations

import json
import os
import time

import pytest

from subtitle_hooks.registry import (
    IndexInvalidError,
    IndexNotConfiguredError,
    IndexTooLargeError,
    IndexUnreachableError,
    RedirectRefusedError,
    config_file,
    configured_indexes,
    read_index,
)

pytestmark = pytest.mark.usefixtures("user_folders")


@pytest.fixture
def index(wheels):
    wheels.add_plugin("good")
    return wheels.write(wheels.entry())


def copies():
    from subtitle_hooks.registry._folders import cache_folder

    return list(cache_folder().rglob("*.json"))


def test_option_before_environment_before_file(monkeypatch):
    with pytest.raises(IndexNotConfiguredError) as caught:
        configured_indexes()
    for way in ("--index", "SUBTITLE_HOOKS_INDEX", str(config_file())):
        assert way in str(caught.value)
    config_file().parent.mkdir(parents=True)
    config_file().write_text("# mine\n\n  /a folder/with blanks \nhttps://example.org/\n", encoding="utf-8")
    assert configured_indexes() == ["/a folder/with blanks", "https://example.org/"]
    monkeypatch.setenv("SUBTITLE_HOOKS_INDEX", " one  two ")
    assert configured_indexes() == ["one", "two"]
    assert configured_indexes(["three"]) == ["three"]


def test_a_list_that_cannot_be_read_is_named():
    config_file().parent.mkdir(parents=True)
    config_file().write_bytes(b"\xff\xfe\x00")
    with pytest.raises(IndexUnreachableError, match=r"indexes\.txt"):
        configured_indexes()


def test_file_folder_and_url_are_the_same_index(index, server):
    places = [str(index), str(index.parent), index.as_uri(), f"{server.url}/index.json", f"{server.url}/", server.url]
    assert {read_index(place).releases for place in places} == {read_index(str(index)).releases}
    assert all(read_index(place).age_s is None for place in places)


def test_a_copy_serves_when_the_server_is_gone(index, server):
    url = f"{server.url}/index.json"
    fresh = read_index(url)
    (copy,) = copies()
    kept = json.loads(copy.read_text(encoding="utf-8"))
    kept["fetched_at"] = time.time() - 7200
    copy.write_text(json.dumps(kept), encoding="utf-8")
    assert read_index(url, offline=True).releases == fresh.releases
    server.stop()
    found = read_index(url)
    assert found.releases == fresh.releases
    assert found.age_s is not None
    assert 7200 <= found.age_s < 7260
    assert "a copy is used: " in found.note


def test_a_damaged_copy_is_no_copy(index, server):
    url = f"{server.url}/index.json"
    read_index(url)
    (copy,) = copies()
    copy.write_text("{", encoding="utf-8")
    with pytest.raises(IndexUnreachableError, match="there is no copy"):
        read_index(url, offline=True)


def test_without_keeping_nothing_is_written(index, server):
    read_index(f"{server.url}/", keep=False)
    assert copies() == []


def test_trouble_of_the_server_is_bridged_but_a_refusal_is_not(index, server):
    url = f"{server.url}/status/503"
    with pytest.raises(IndexUnreachableError, match="503"):
        read_index(url)
    # Put the copy of a good index where that of the bad address would be.
    import hashlib

    read_index(f"{server.url}/index.json")
    (copy,) = copies()
    copy.rename(copy.with_name(f"{hashlib.sha256(url.encode()).hexdigest()[:32]}.json"))
    assert "503" in read_index(url).note
    gone = f"{server.url}/status/410"
    copies()[0].rename(copy.with_name(f"{hashlib.sha256(gone.encode()).hexdigest()[:32]}.json"))
    with pytest.raises(IndexUnreachableError, match="410"):
        read_index(gone)


@pytest.mark.parametrize(
    "target", ["file:///etc/passwd", "ftp://127.0.0.1/i.json", "https://127.0.0.1/i.json", "gopher://x/"]
)
def test_a_redirect_to_another_scheme_is_refused(server, target):
    with pytest.raises(RedirectRefusedError, match="another scheme"):
        read_index(f"{server.url}/redirect/{target}")


def test_a_redirect_within_the_scheme_is_followed(index, server):
    assert read_index(f"{server.url}/redirect/HERE/index.json").releases
    assert read_index(f"{server.url}/redirect//index.json").releases


@pytest.mark.parametrize("kind", ["huge", "endless"])
def test_an_index_of_200_mb_is_refused_without_reading_it(server, kind):
    began = time.monotonic()
    with pytest.raises(IndexTooLargeError, match="8 MB"):
        read_index(f"{server.url}/{kind}")
    assert time.monotonic() - began < 10
    time.sleep(0.2)
    assert server.sent < 40_000_000


def test_a_file_of_200_mb_is_refused_without_reading_it(tmp_path):
    path = tmp_path / "index.json"
    with path.open("wb") as file:
        file.truncate(200_000_000)
    with pytest.raises(IndexTooLargeError, match="8 MB"):
        read_index(str(path))


def test_a_new_index_that_is_malformed_is_not_covered_up_by_the_copy(index, server):
    read_index(f"{server.url}/index.json")
    index.write_text("{", encoding="utf-8")
    with pytest.raises(IndexInvalidError):
        read_index(f"{server.url}/index.json")
    assert read_index(f"{server.url}/index.json", offline=True).releases


@pytest.mark.parametrize("location", ["gone/index.json", "ftp://example.org/index.json", "data:,{}", "a\0b"])
def test_what_cannot_be_read_is_named(location):
    with pytest.raises(IndexUnreachableError):
        read_index(location)


def test_passwords_are_not_shown(server):
    with pytest.raises(IndexUnreachableError) as caught:
        read_index(server.url.replace("http://", "http://user:secret@") + "/gone.json")
    assert "secret" not in str(caught.value)


@pytest.mark.skipif(os.name == "nt", reason="XDG folders")
def test_the_users_folders_follow_the_standard(monkeypatch, tmp_path):
    from subtitle_hooks.registry._folders import cache_folder, expand

    assert str(config_file()).endswith("subtitle-hooks/indexes.txt")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", "relative/is/ignored")
    if os.uname().sysname == "Linux":
        assert config_file() == tmp_path / "subtitle-hooks" / "indexes.txt"
        assert cache_folder().is_absolute()
    assert expand("{home}/x/y").parts[-2:] == ("x", "y")
