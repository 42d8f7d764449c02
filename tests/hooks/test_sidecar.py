# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import errno
import os
import stat
import sys
from pathlib import Path

import pytest

from subtitle_hooks import (
    OutputExistsError,
    OutputNotWritableError,
    RequestError,
    check_sidecar,
    sidecar_path,
    write_sidecar,
)

posix = pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
not_root = pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write anywhere")


@pytest.mark.parametrize(
    ("media", "language", "name"),
    [
        ("film.mkv", "en", "film.en.srt"),
        ("film.part1.mkv", "yue", "film.part1.yue.srt"),
        ("film", "zh-Hant", "film.zh-Hant.srt"),
        ("film.mkv", None, "film.und.srt"),
        (".mkv", "en", ".mkv.en.srt"),
        ("фильм [1080p].mkv", "ru", "фильм [1080p].ru.srt"),
    ],
)
def test_name_beside_the_media(media, language, name):
    assert sidecar_path(Path("films") / media, language) == Path("films") / name


def test_other_suffix_and_folder():
    assert sidecar_path("a/film.mkv", "en", ".vtt", folder="b") == Path("b/film.en.vtt")


@pytest.mark.parametrize("language", ["", "../x", "en/x", "English", "e", "en.", "en\n"])
def test_a_language_that_is_none_cannot_become_part_of_a_path(language):
    with pytest.raises(RequestError):
        sidecar_path("film.mkv", language)


@pytest.mark.parametrize("suffix", ["srt", "./x", "", "."])
def test_a_suffix_must_be_one(suffix):
    with pytest.raises(RequestError):
        sidecar_path("film.mkv", "en", suffix)


def test_bytes_are_utf8_without_bom_and_with_plain_line_ends(tmp_path, listing):
    target = tmp_path / "film.en.srt"
    write_sidecar(target, "1\nñ 字\n\n")
    assert target.read_bytes() == "1\nñ 字\n\n".encode()
    assert listing(tmp_path) == {"film.en.srt"}


def test_empty_text_makes_an_empty_file(tmp_path):
    write_sidecar(tmp_path / "film.und.srt", "")
    assert (tmp_path / "film.und.srt").read_bytes() == b""


@posix
@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
@pytest.mark.parametrize("overwrite", [False, True])
def test_permissions_follow_the_umask(tmp_path, umask, mode, overwrite):
    before = os.umask(umask)
    try:
        write_sidecar(tmp_path / "film.en.srt", "x", overwrite=overwrite)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "film.en.srt").stat().st_mode) == mode


def test_an_existing_file_is_left_alone(tmp_path, listing):
    target = tmp_path / "film.en.srt"
    target.write_text("mine", encoding="utf-8")
    for action in (lambda: check_sidecar(target), lambda: write_sidecar(target, "new")):
        with pytest.raises(OutputExistsError, match=r"film\.en\.srt: exists already"):
            action()
    assert target.read_text(encoding="utf-8") == "mine"
    assert listing(tmp_path) == {"film.en.srt"}


def test_overwriting_on_purpose(tmp_path, listing):
    target = tmp_path / "film.en.srt"
    target.write_text("a longer old text", encoding="utf-8")
    check_sidecar(target, overwrite=True)
    assert target.read_text(encoding="utf-8") == "a longer old text"
    write_sidecar(target, "new", overwrite=True)
    assert target.read_text(encoding="utf-8") == "new"
    assert listing(tmp_path) == {"film.en.srt"}


@posix
def test_a_dangling_link_counts_as_there(tmp_path):
    target = tmp_path / "film.en.srt"
    target.symlink_to(tmp_path / "gone")
    with pytest.raises(OutputExistsError):
        check_sidecar(target)


@pytest.mark.parametrize("hard_links", [True, False], ids=["hard links", "no hard links"])
def test_a_file_that_appears_meanwhile_is_not_replaced(tmp_path, monkeypatch, listing, hard_links):
    target = tmp_path / "film.en.srt"
    real_fsync = os.fsync

    def slow_disk(descriptor):
        target.write_text("theirs", encoding="utf-8")
        real_fsync(descriptor)

    monkeypatch.setattr(os, "fsync", slow_disk)
    if not hard_links:
        monkeypatch.setattr(os, "link", refuse_link)
    with pytest.raises(OutputExistsError):
        write_sidecar(target, "ours")
    assert target.read_text(encoding="utf-8") == "theirs"
    assert listing(tmp_path) == {"film.en.srt"}


def refuse_link(source, target):
    raise OSError(errno.EPERM, "Operation not permitted")


def test_file_systems_without_hard_links(tmp_path, monkeypatch, listing):
    monkeypatch.setattr(os, "link", refuse_link)
    write_sidecar(tmp_path / "film.en.srt", "text")
    assert (tmp_path / "film.en.srt").read_text(encoding="utf-8") == "text"
    assert listing(tmp_path) == {"film.en.srt"}


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("failure", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_nothing_stays_behind_when_writing_fails(tmp_path, monkeypatch, listing, failure, overwrite):
    def full(descriptor):
        raise failure

    (tmp_path / "old.en.srt").write_text("old", encoding="utf-8")
    monkeypatch.setattr(os, "fsync", full)
    target = tmp_path / ("old.en.srt" if overwrite else "new.en.srt")
    expected = OutputNotWritableError if isinstance(failure, OSError) else KeyboardInterrupt
    with pytest.raises(expected):
        write_sidecar(target, "text", overwrite=overwrite)
    assert listing(tmp_path) == {"old.en.srt"}
    assert (tmp_path / "old.en.srt").read_text(encoding="utf-8") == "old"


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("action", [check_sidecar, lambda path, **kw: write_sidecar(path, "x", **kw)])
class TestImpossibleTargets:
    def test_missing_folder(self, tmp_path, action, overwrite):
        with pytest.raises(OutputNotWritableError, match="folder does not exist"):
            action(tmp_path / "gone" / "film.en.srt", overwrite=overwrite)

    def test_folder_is_a_file(self, tmp_path, action, overwrite):
        (tmp_path / "file").touch()
        with pytest.raises(OutputNotWritableError):
            action(tmp_path / "file" / "film.en.srt", overwrite=overwrite)

    def test_target_is_a_folder(self, tmp_path, action, overwrite):
        (tmp_path / "film.en.srt").mkdir()
        with pytest.raises(OutputNotWritableError if overwrite else OutputExistsError):
            action(tmp_path / "film.en.srt", overwrite=overwrite)

    @pytest.mark.skipif(sys.platform == "win32", reason="limits differ")
    def test_name_too_long(self, tmp_path, action, overwrite):
        with pytest.raises(OutputNotWritableError, match="too long"):
            action(tmp_path / ("x" * 300 + ".en.srt"), overwrite=overwrite)

    @not_root
    def test_folder_may_not_be_written(self, tmp_path, action, overwrite):
        (tmp_path / "locked").mkdir(mode=0o555)
        with pytest.raises(OutputNotWritableError, match="ermission"):
            action(tmp_path / "locked" / "film.en.srt", overwrite=overwrite)


@not_root
def test_a_read_only_file_is_not_overwritten(tmp_path):
    target = tmp_path / "film.en.srt"
    target.write_text("kept", encoding="utf-8")
    target.chmod(0o444)
    with pytest.raises(OutputNotWritableError, match="read-only"):
        write_sidecar(target, "new", overwrite=True)
    assert target.read_text(encoding="utf-8") == "kept"


@posix
def test_a_folder_that_refuses_is_explained_even_to_root(tmp_path, monkeypatch):
    # /dev/full cannot stand in for a folder; /proc refuses new files for everybody.
    if not Path("/proc/self").is_dir():
        pytest.skip("no /proc here")
    with pytest.raises(OutputNotWritableError, match="cannot be written"):
        check_sidecar("/proc/film.en.srt")


def test_the_longest_possible_name_works(tmp_path, listing):
    name = "x" * (255 - len(".en.srt")) + ".en.srt"
    if sys.platform == "win32":
        pytest.skip("path length limits")
    write_sidecar(tmp_path / name, "x")
    assert listing(tmp_path) == {name}
