# SPDX-License-Identifier: Apache-2.0
"""Zip files that would do harm, or are no zip files: nothing of them is used, and the error says why."""

from __future__ import annotations

import stat
import struct
import time
import tracemalloc
import zipfile

import pytest

from qwen_asr_model.download import UnpackLimits, name_fault, same_name_key, unpack
from qwen_asr_model.errors import ArchiveDamagedError, ArchiveError, ArchiveUnsafeError, ConversionError, DiskFullError

CONTENT = bytes(range(256)) * 400


@pytest.fixture
def zipped(tmp_path):
    """Write a zip file of ``(name or ZipInfo, content)`` pairs."""

    def write(*members, method=zipfile.ZIP_DEFLATED, name="model.zip"):
        path = tmp_path / name
        with zipfile.ZipFile(path, "w", method) as archive:
            for member, content in members:
                archive.writestr(member, content)
        return path

    return write


def info(name, *, mode=0o644, kind=stat.S_IFREG, **attributes):
    member = zipfile.ZipInfo(name)
    member.external_attr = (kind | mode) << 16
    member.filename = name  # as it is, without the changes of ZipInfo
    for key, value in attributes.items():
        setattr(member, key, value)
    return member


def test_a_sound_zip(zipped, tmp_path):
    archive = zipped(("a.onnx", CONTENT), ("sub/b.gguf", b"b"), (info("empty/", kind=stat.S_IFDIR), b""))
    seen = []
    written = unpack(archive, tmp_path / "out", progress=lambda *step: seen.append(step))
    assert written == (tmp_path / "out" / "a.onnx", tmp_path / "out" / "sub" / "b.gguf")
    assert written[0].read_bytes() == CONTENT
    assert seen[-1] == ("sub/b.gguf", len(CONTENT) + 1, len(CONTENT) + 1)


def test_rights_are_not_taken_over(zipped, tmp_path):
    (file,) = unpack(zipped((info("a", mode=0o4777), b"x")), tmp_path / "out")
    assert not file.stat().st_mode & (stat.S_ISUID | stat.S_IXUSR)


def test_litter_of_systems_stays_outside(zipped, tmp_path):
    archive = zipped(("a", b"x"), ("__MACOSX/._a", b"?"), (".DS_Store", b"?"), ("sub/Thumbs.db", b"?"))
    assert unpack(archive, tmp_path / "out") == (tmp_path / "out" / "a",)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("../evil", "leads out"),
        ("a/../../evil", "leads out"),
        ("..", "leads out"),
        ("/etc/evil", "leads out"),
        ("a//b", "leads out"),
        ("C:/evil", "':'"),
        ("a:stream", "':'"),
        ("..\\evil", r"'\\\\'"),
        ("\\\\server\\share", r"'\\\\'"),
        ("a\0b", "x00"),
        ("a\nb", "n"),
        ("CON", "device"),
        ("con.txt", "device"),
        ("sub/NUL.gguf", "device"),
        ("lpt1.tar.gz", "device"),
        ("COM¹", "device"),
        ("file.", "dot or a blank"),
        ("file ", "dot or a blank"),
        ("sub./file", "dot or a blank"),
        ("what?", "'?'"),
        ("a*", "'*'"),
        ("x" * 256, "too long"),
        (".", "no name"),
    ],
)
def test_names_that_must_not_be(zipped, tmp_path, name, why):
    archive = zipped(("good", b"good"), (info(name), b"evil"))
    with pytest.raises(ArchiveUnsafeError, match=why.replace("?", r"\?").replace("*", r"\*")) as caught:
        unpack(archive, tmp_path / "out" / "deep")
    assert caught.value.path == archive
    assert caught.value.code == "archive-unsafe"
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["model.zip"]  # nothing was written anywhere


@pytest.mark.parametrize(
    ("kind", "why"),
    [(stat.S_IFLNK, "link"), (stat.S_IFIFO, "ordinary"), (stat.S_IFCHR, "ordinary"), (stat.S_IFSOCK, "ordinary")],
)
def test_links_and_devices(zipped, tmp_path, kind, why):
    with pytest.raises(ArchiveUnsafeError, match=why):
        unpack(zipped((info("a", kind=kind), b"/etc/passwd")), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    "names",
    [
        ("a", "a"),
        ("model.gguf", "Model.GGUF"),
        ("é", "e\u0301"),
        ("straße", "STRASSE"),
        ("a", "a/b"),
        ("Sub/x", "sub/y"),
    ],
)
def test_two_files_of_one_name(zipped, tmp_path, names):
    with pytest.raises(ArchiveUnsafeError, match=r"same as|twice"):
        unpack(zipped(*((name, b"x") for name in names)), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_bomb(zipped, tmp_path):
    archive = zipped(("a", bytes(64 << 20)))
    assert archive.stat().st_size < 100_000
    with pytest.raises(ArchiveUnsafeError, match="would unpack to 67108864 bytes"):
        unpack(archive, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_bomb_that_lies_about_its_length(zipped, tmp_path):
    """The list says 1 KB; no more than that is ever written, and the CRC does not fit."""
    archive = zipped(("a", bytes(8 << 20)))
    data = bytearray(archive.read_bytes())
    entry = data.index(b"PK\x01\x02")
    struct.pack_into("<L", data, entry + 24, 1024)
    archive.write_bytes(data)
    with pytest.raises(ArchiveDamagedError):
        unpack(archive, tmp_path / "out")
    assert sum(file.stat().st_size for file in (tmp_path / "out").iterdir()) <= 1024


def test_too_many_files(zipped, tmp_path):
    archive = zipped(*((str(number), b"") for number in range(30)))
    with pytest.raises(ArchiveUnsafeError, match="30 files"):
        unpack(archive, tmp_path / "out", limits=UnpackLimits(most_files=20))


@pytest.mark.parametrize("zip64", [False, True])
def test_an_endless_list_of_files_is_not_read(tmp_path, zip64):
    entry = struct.pack("<4s4B4HL2L5H2L", b"PK\x01\x02", 20, 0, 20, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) + b"a"
    listing = entry * 200_000
    end = b""
    size = len(listing)
    if zip64:
        end = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 1, 1, size, 0)
        end += struct.pack("<4sLQL", b"PK\x06\x07", 0, size, 1)
        size = 0xFFFFFFFF
    end += struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1, 1, size, 0, 0)
    archive = tmp_path / "model.zip"
    archive.write_bytes(listing + end)
    tracemalloc.start()
    begin = time.monotonic()
    with pytest.raises(ArchiveUnsafeError, match="list of files"):
        unpack(archive, tmp_path / "out")
    assert time.monotonic() - begin < 5
    assert tracemalloc.get_traced_memory()[1] < 4 << 20
    tracemalloc.stop()


def test_encrypted(zipped, tmp_path):
    archive = zipped(("a", b"x"))
    data = bytearray(archive.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    archive.write_bytes(data)
    with pytest.raises(ArchiveUnsafeError, match="encrypted"):
        unpack(archive, tmp_path / "out")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_methods(zipped, tmp_path, method):
    with pytest.raises(ArchiveDamagedError, match="method") as caught:
        unpack(zipped(("a", CONTENT), method=method), tmp_path / "out")
    assert "model add FOLDER" in caught.value.hint


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>" * 50, b"PK\x05\x06", b"\0" * 70_000])
def test_what_is_no_zip(tmp_path, content):
    archive = tmp_path / "model.zip"
    archive.write_bytes(content)
    with pytest.raises(ArchiveDamagedError, match="end is missing"):
        unpack(archive, tmp_path / "out")


def test_empty_zip(zipped, tmp_path):
    with pytest.raises(ArchiveDamagedError, match="no files"):
        unpack(zipped(), tmp_path / "out")


def test_cut_anywhere(zipped, tmp_path):
    """The list is at the end, so that a zip that lacks its end is told from one that is whole, wherever it was cut."""
    whole = zipped(("a", CONTENT), ("b", CONTENT[:1000]), method=zipfile.ZIP_STORED).read_bytes()
    archive = tmp_path / "cut.zip"
    for length in (*range(0, len(whole), len(whole) // 20), *range(len(whole) - 130, len(whole))):
        archive.write_bytes(whole[:length])
        with pytest.raises(ArchiveDamagedError):
            unpack(archive, tmp_path / f"out{length}")


def test_a_flipped_bit(zipped, tmp_path):
    """In any place: refused, or the file is as it was."""
    whole = zipped(("a", CONTENT[:600])).read_bytes()
    archive = tmp_path / "flipped.zip"
    refused = 0
    for at in range(len(whole)):
        archive.write_bytes(whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :])
        out = tmp_path / f"out{at}"
        try:
            written = unpack(archive, out)
        except ArchiveError:
            refused += 1
        else:
            assert [file.read_bytes() for file in written] == [CONTENT[:600]]
    assert refused > len(whole) // 2


def test_room_is_asked_for(zipped, tmp_path, monkeypatch):
    import shutil

    archive = zipped(("a", CONTENT))
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: shutil._ntuple_diskusage(10**9, 10**9, 1000))
    with pytest.raises(DiskFullError, match=r"unpacking model\.zip"):
        unpack(archive, tmp_path / "out")


def test_nothing_there_is_overwritten(zipped, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a").write_text("mine")
    with pytest.raises(ConversionError):
        unpack(zipped(("a", b"x")), tmp_path / "out")
    assert (tmp_path / "out" / "a").read_text() == "mine"


def test_names_every_system_takes():
    for good in ("qwen3_asr_llm.q4_k.gguf", "Größe.txt", "模型.onnx", ".hidden", "console.log", "COM10", "a b"):
        assert not name_fault(good)
    assert same_name_key("Ä.GGUF") == same_name_key("a\u0308.gguf")
