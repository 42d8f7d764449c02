# SPDX-License-Identifier: Apache-2.0
"""Downloads from a server on this machine that cuts, drips, lies, refuses and changes its files."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from qwen_asr_model.download import DownloadSettings, fetch, fetch_text
from qwen_asr_model.download.answer import _check_redirects
from qwen_asr_model.errors import (
    ChecksumError,
    ConversionError,
    DiskFullError,
    DownloadError,
    NetworkError,
    OfflineError,
    RemoteChangedError,
    RemoteForbiddenError,
    RemoteNotFoundError,
    TruncatedError,
)

_spec = importlib.util.spec_from_file_location("fault_server", Path(__file__).with_name("test_download_server.py"))
_fault_server = importlib.util.module_from_spec(_spec)
sys.modules[_spec.name] = _fault_server
_spec.loader.exec_module(_fault_server)
server, fault = _fault_server.server, _fault_server.fault

FILE = random.Random(1).randbytes(200_000)
SHA256 = hashlib.sha256(FILE).hexdigest()
OTHER = random.Random(2).randbytes(200_000)
QUICK = DownloadSettings(attempts=3, first_wait_s=0.01, longest_wait_s=0.05, connect_timeout_s=5, read_timeout_s=5)


@pytest.fixture
def target(tmp_path):
    return tmp_path / "downloads" / "model.bin"


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "HF_ENDPOINT", "QWEN_ASR_MIRROR"):
        monkeypatch.delenv(name, raising=False)


def assert_nothing(target: Path) -> None:
    """No file has the name, and what is half there does not look like one."""
    assert not target.exists()


def test_a_file_comes_whole(server, target):
    seen = []
    got = fetch([server.add("/f", FILE)], target, settings=QUICK, progress=lambda *step: seen.append(step))
    assert target.read_bytes() == FILE
    assert (got.size, got.sha256, got.path) == (len(FILE), SHA256, target)
    assert seen[0] == ("model.bin", 0, len(FILE))
    assert seen[-1] == ("model.bin", len(FILE), len(FILE))


def test_what_is_here_is_not_fetched_again(server, target):
    url = server.add("/f", FILE)
    fetch([url], target, settings=QUICK)
    fetch([url], target, settings=QUICK)
    fetch([url], target, settings=DownloadSettings(offline=True))
    assert len(server.requests) == 1


def test_what_is_here_but_changed_is_fetched_again(server, target):
    url = server.add("/f", FILE)
    fetch([url], target, settings=QUICK)
    target.write_bytes(OTHER)
    fetch([url], target, settings=QUICK)
    assert target.read_bytes() == FILE


@pytest.mark.parametrize("pinned", [True, False])
@pytest.mark.parametrize("tenth", range(10))
def test_a_cut_download_goes_on_where_it_stopped(server, target, tenth, pinned, fault):
    cut = len(FILE) * tenth // 10
    url = server.add("/f", FILE, faults=[fault(cut_after=cut)])
    once = DownloadSettings(attempts=1, first_wait_s=0.01)
    with pytest.raises(TruncatedError, match=r"only|ended before"):
        fetch([url], target, settings=once)
    assert_nothing(target)
    fetch([url], target, sha256=SHA256 if pinned else None, settings=once)
    assert target.read_bytes() == FILE
    assert server.total_sent() == len(FILE)  # not a byte twice


def test_many_cuts_in_one_call(server, target, fault):
    url = server.add("/f", FILE, always=fault(cut_after=len(FILE) // 10))
    said = []
    fetch([url], target, settings=QUICK, say=said.append)  # 3 attempts, but each gets a good piece further
    assert target.read_bytes() == FILE
    assert len(said) == 9
    assert server.total_sent() == len(FILE)


def test_cuts_without_progress_end(server, target, fault):
    url = server.add("/f", FILE, always=fault(cut_after=10))
    with pytest.raises(TruncatedError) as caught:
        fetch([url], target, settings=QUICK)
    assert "not fetched again" in caught.value.hint
    assert len(server.requests) == 3
    assert_nothing(target)


def test_a_cut_chunked_answer_is_noticed(server, target, fault):
    url = server.add("/f", FILE, faults=[fault(chunked=True, cut_after=70_000)], always=fault(chunked=True))
    fetch([url], target, settings=QUICK)
    assert target.read_bytes() == FILE
    assert server.total_sent() == len(FILE)


def test_a_body_shorter_than_announced(server, target, fault):
    url = server.add("/f", FILE, always=fault(length=len(FILE) + 100))
    with pytest.raises((TruncatedError, RemoteChangedError), match=r"ended before|keeps changing"):
        fetch([url], target, settings=QUICK)
    assert_nothing(target)


@pytest.mark.parametrize("size", [len(FILE) - 1, len(FILE) + 1])
def test_another_length_than_known_is_refused_before_it_comes(server, target, size):
    with pytest.raises(RemoteChangedError, match=f"{len(FILE)} bytes long, expected are {size}"):
        fetch([server.add("/f", FILE)], target, size=size, settings=QUICK)
    assert_nothing(target)


def test_an_unannounced_length_is_bounded(server, target, fault):
    url = server.add("/f", FILE, always=fault(chunked=True))
    with pytest.raises(RemoteChangedError, match="longer than the 1000 bytes"):
        fetch([url], target, size=1000, settings=QUICK)
    with pytest.raises(RemoteChangedError, match="longer than the 2000 bytes"):
        fetch([url], target, settings=DownloadSettings(most_bytes=2000))
    assert_nothing(target)
    assert not list(target.parent.glob("*.part"))


def test_wrong_bytes_are_refused_and_removed(server, target, fault):
    url = server.add("/f", FILE, faults=[fault(change=lambda content: content[:-1] + b"?")])
    with pytest.raises(ChecksumError, match=SHA256) as caught:
        fetch([url], target, sha256=SHA256, settings=QUICK)
    assert caught.value.code == "checksum"
    assert not list(target.parent.iterdir())
    fetch([url], target, sha256=SHA256, settings=QUICK)  # no loop: the next call begins anew
    assert target.read_bytes() == FILE


def test_pieces_that_do_not_fit_are_fetched_once_more(server, target, fault):
    """A pinned file without a validator: the hash tells that the pieces are of two files."""
    url = server.add("/f", OTHER, etag=None, last_modified=None, faults=[fault(cut_after=100_000)])
    with pytest.raises(TruncatedError):
        fetch([url], target, sha256=SHA256, settings=DownloadSettings(attempts=1))
    server.files["/f"].content = FILE
    said = []
    fetch([url], target, sha256=SHA256, settings=QUICK, say=said.append)
    assert target.read_bytes() == FILE
    assert any("do not fit" in line for line in said)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (404, RemoteNotFoundError),
        (410, RemoteNotFoundError),
        (401, RemoteForbiddenError),
        (403, RemoteForbiddenError),
        (407, RemoteForbiddenError),
        (451, RemoteForbiddenError),
        (400, DownloadError),
        (500, NetworkError),
        (503, NetworkError),
        (429, NetworkError),
    ],
)
def test_refusals(server, target, status, kind, fault):
    url = server.add("/f", FILE, always=fault(status=status))
    with pytest.raises(DownloadError, match=f"answers {status}") as caught:
        fetch([url], target, settings=QUICK)
    assert type(caught.value) is kind
    assert url in str(caught.value)
    assert caught.value.hint
    assert len(server.requests) == (3 if kind is NetworkError else 1)
    assert_nothing(target)


@pytest.mark.parametrize("status", [500, 502, 503, 429, 408])
def test_trouble_that_passes(server, target, status, fault):
    url = server.add("/f", FILE, faults=[fault(status=status), fault(status=status)])
    fetch([url], target, settings=QUICK)
    assert target.read_bytes() == FILE


@pytest.mark.parametrize(("asked", "least", "most"), [("1", 0.3, 0.7), ("0", 0.0, 0.2), ("soon", 0.0, 0.2)])
def test_a_server_may_ask_to_wait_but_not_for_long(server, target, fault, asked, least, most):
    url = server.add("/f", b"x", faults=[fault(status=503, headers={"Retry-After": asked})])
    begin = time.monotonic()
    fetch([url], target, settings=DownloadSettings(attempts=2, first_wait_s=0.01, longest_wait_s=0.3))
    assert least <= time.monotonic() - begin <= most + 0.5


def test_416_for_what_is_complete_and_for_what_is_too_long(server, target, fault):
    """Killed after the last byte of an answer without a length: the server confirms that nothing is missing."""
    url = server.add("/f", FILE, faults=[fault(chunked=True, hang=True)])
    hasty = DownloadSettings(attempts=1, read_timeout_s=0.2)
    with pytest.raises(NetworkError):
        fetch([url], target, settings=hasty)
    fetch([url], target, settings=QUICK)
    assert server.statuses == [200, 416]
    assert target.read_bytes() == FILE
    assert server.total_sent() == len(FILE)
    target.unlink()
    server.files["/f"] = type(server.files["/f"])(FILE, faults=[fault(chunked=True, hang=True)])
    with pytest.raises(NetworkError):
        fetch([url], target, settings=hasty)
    server.files["/f"].content = FILE[:1000]  # shorter now, and the validator has not changed
    fetch([url], target, settings=QUICK)
    assert target.read_bytes() == FILE[:1000]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_followed_and_resumed(server, target, status, fault):
    server.add("/real", FILE, faults=[fault(cut_after=50_000)])
    url = server.redirect("/f", server.redirect("/g", server.url + "/real", status), status)
    fetch([url], target, settings=QUICK)
    assert target.read_bytes() == FILE
    assert server.total_sent() == len(FILE)


def test_redirects_without_end(server, target):
    with pytest.raises(DownloadError, match="without end"):
        fetch([server.redirect("/f", server.url + "/f")], target, settings=QUICK)


def test_redirects_never_leave_encryption():
    _check_redirects("u", ["http://a/", "https://b/", "https://c/"])
    with pytest.raises(DownloadError, match="without encryption"):
        _check_redirects("u", ["https://a/", "http://b/"])


def test_a_slow_drip_is_given_up_and_gone_on_with(server, target, fault):
    url = server.add("/f", FILE, faults=[fault(drip_s=0.02)])
    settings = DownloadSettings(attempts=2, first_wait_s=0.01, slow_after_s=0.3, slowest_bytes_per_s=10_000)
    said = []
    fetch([url], target, settings=settings, say=said.append)
    assert target.read_bytes() == FILE
    assert "bytes in" in said[0]
    assert server.total_sent() < len(FILE) + 100


def test_silence_is_given_up(server, target, fault):
    url = server.add("/f", FILE, faults=[fault(cut_after=1000, hang=True)])
    said = []
    fetch([url], target, settings=DownloadSettings(attempts=2, first_wait_s=0.01, read_timeout_s=0.3), say=said.append)
    assert target.read_bytes() == FILE
    assert "no answer in time" in said[0]


@pytest.mark.parametrize("honest", [True, False], ids=["If-Range", "ignores If-Range"])
@pytest.mark.parametrize("length", [len(OTHER), len(OTHER) - 7])
def test_a_file_that_changed_between_two_calls_is_fetched_anew(server, target, fault, honest, length):
    url = server.add("/f", FILE, faults=[fault(cut_after=120_000)])
    with pytest.raises(TruncatedError):
        fetch([url], target, settings=DownloadSettings(attempts=1))
    server.files["/f"].content = OTHER[:length]
    server.files["/f"].etag = '"two"'
    if not honest:
        server._if_range = lambda *_: True
    said = []
    fetch([url], target, settings=QUICK, say=said.append)
    assert target.read_bytes() == OTHER[:length]
    assert said


@pytest.mark.parametrize(
    "attributes",
    [{"ranges": False}, {"etag": None, "last_modified": None}, {"etag": 'W/"weak"', "last_modified": None}],
    ids=["no ranges", "no validator", "weak validator"],
)
def test_what_cannot_be_gone_on_with_safely_begins_anew(server, target, fault, attributes):
    url = server.add("/f", FILE, faults=[fault(cut_after=150_000)], **attributes)
    fetch([url], target, settings=QUICK)
    assert target.read_bytes() == FILE
    assert server.total_sent() == len(FILE) + 150_000


def test_a_date_is_a_validator_too(server, target, fault):
    url = server.add("/f", FILE, faults=[fault(cut_after=150_000)], etag=None)
    fetch([url], target, settings=QUICK)
    assert server.total_sent() == len(FILE)
    assert server.requests[1][1]["If-Range"].endswith("GMT")


def test_a_state_that_cannot_be_read_is_no_state(server, target, fault):
    url = server.add("/f", FILE, faults=[fault(cut_after=150_000)])
    with pytest.raises(TruncatedError):
        fetch([url], target, settings=DownloadSettings(attempts=1))
    target.with_name("model.bin.state.json").write_text("{")
    fetch([url], target, settings=QUICK)
    assert target.read_bytes() == FILE


def test_the_next_address_is_asked(server, target, fault):
    urls = [server.url + "/gone", server.add("/bad", OTHER), server.add("/good", FILE)]
    got = fetch(urls, target, sha256=SHA256, settings=QUICK)
    assert got.url == urls[2]
    assert target.read_bytes() == FILE
    target.unlink()
    with pytest.raises(RemoteNotFoundError, match=r"also tried: .*/bad"):
        fetch(urls[:2], target, sha256=SHA256, settings=QUICK)


def test_another_address_goes_on_with_a_pinned_file(server, target, fault):
    urls = [server.add("/one", FILE, always=fault(cut_after=0), faults=[fault(cut_after=80_000)])]
    urls.append(server.add("/two", FILE, etag='"other"'))
    fetch(urls, target, sha256=SHA256, settings=QUICK)
    assert target.read_bytes() == FILE
    assert server.total_sent() == len(FILE)


def test_mirrors(server, target, monkeypatch):
    server.add("/mirror/a/f", FILE)
    monkeypatch.setenv("QWEN_ASR_MIRROR", f"https://models.example/hub={server.url}/mirror")
    got = fetch(["https://models.example/hub/a/f"], target)
    assert got.url == "https://models.example/hub/a/f"
    monkeypatch.setenv("HF_ENDPOINT", f"{server.url}/mirror/")
    settings = DownloadSettings.from_environment(mirrors=["https://x.example=https://y.example"])
    assert settings.mirrored("https://huggingface.co/a/f") == f"{server.url}/mirror/a/f"
    assert settings.mirrored("https://x.example/1") == "https://y.example/1"
    assert settings.mirrored("https://elsewhere.example/1") == "https://elsewhere.example/1"
    for wrong in ("x", "https://a", "https://a=b", "ftp://a=https://b"):
        with pytest.raises(DownloadError, match="no mirror"):
            DownloadSettings.from_environment(mirrors=[wrong])


def test_proxies_of_the_environment_are_used(server, target, monkeypatch):
    server.add("http://models.example/f", FILE)  # what a proxy is asked for is a whole address
    monkeypatch.setenv("http_proxy", server.url)
    fetch(["http://models.example/f"], target, settings=QUICK)
    assert target.read_bytes() == FILE


@pytest.mark.parametrize("value", ["1", "yes", "true"])
def test_offline(server, target, monkeypatch, value):
    monkeypatch.setenv("QWEN_ASR_OFFLINE", value)
    url = server.add("/f", FILE)
    with pytest.raises(OfflineError, match="forbidden"):
        fetch([url], target)
    with pytest.raises(OfflineError):
        fetch_text(url)
    assert not server.requests
    monkeypatch.setenv("QWEN_ASR_OFFLINE", "0")
    fetch([url], target)


def test_no_server_there(target):
    with pytest.raises(NetworkError, match=r"no connection: .*refused") as caught:
        fetch(["http://127.0.0.1:9/f"], target, settings=QUICK)
    assert "proxy" in caught.value.hint


@pytest.mark.parametrize("url", ["http://", "gopher://x/y", "x", "http://[1/"])
def test_no_address(target, url):
    with pytest.raises(DownloadError):
        fetch([url], target, settings=QUICK)


def test_compressed_on_the_way(server, target, fault):
    url = server.add("/f", FILE, always=fault(headers={"Content-Encoding": "gzip"}))
    with pytest.raises(DownloadError, match="compresses"):
        fetch([url], target, settings=QUICK)
    assert server.requests[0][1]["Accept-Encoding"] == "identity"


def test_an_empty_file_is_no_file(server, target):
    with pytest.raises(NetworkError, match="empty"):
        fetch([server.add("/f", b"")], target, settings=QUICK)
    assert_nothing(target)


def test_room_is_asked_for_first(server, target, monkeypatch):
    import shutil

    monkeypatch.setattr(shutil, "disk_usage", lambda _path: shutil._ntuple_diskusage(10**9, 10**9, 40 << 20))
    url = server.add("/f", b"\0" * (9 << 20))
    with pytest.raises(DiskFullError, match=r"not enough room: model\.bin needs") as caught:
        fetch([url], target, settings=QUICK)
    assert caught.value.needed > caught.value.free
    assert "QWEN_ASR_MODELS_DIR" in caught.value.hint


@pytest.mark.skipif(sys.platform == "win32", reason="limits of processes are POSIX")
def test_a_disk_that_gets_full_on_the_way(server, target, tmp_path):
    """A limit on the length of files stands in for a full disk where no small one can be had."""
    url = server.add("/f", FILE)
    script = (
        "import resource, signal, sys, pathlib\n"
        "from qwen_asr_model.download import fetch\n"
        "from qwen_asr_model.errors import DiskFullError\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))\n"
        "try:\n    fetch([sys.argv[1]], pathlib.Path(sys.argv[2]))\n"
        "except DiskFullError as error:\n    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, url, target], capture_output=True, text=True, timeout=60, check=False
    )
    assert "the disk is full" in done.stdout, done.stderr
    assert "not fetched again" in done.stdout
    assert_nothing(target)
    before = server.total_sent()
    fetch([url], target, settings=QUICK)
    assert target.read_bytes() == FILE
    assert server.total_sent() - before == len(FILE) - 65536


def test_a_small_disk(server, small_disk):
    with small_disk(40 << 20) as disk:
        url = server.add("/f", FILE * 20)
        (disk / "filler").write_bytes(b"\0" * (8 << 20))
        fetch_into = disk / "model.bin"
        with pytest.raises(DiskFullError, match="not enough room"):
            fetch([url], fetch_into, settings=QUICK)
        import qwen_asr_model.download.space as space

        with pytest.MonkeyPatch.context() as patch:  # room is there when asked for, and gone when it is needed
            patch.setattr(space, "MARGIN_BYTES", -(1 << 40))
            (disk / "filler").write_bytes(b"\0" * (38 << 20))
            with pytest.raises(DiskFullError, match="the disk is full"):
                fetch([url], fetch_into, settings=QUICK)
        assert not fetch_into.exists()
        kept = (disk / "model.bin.part").stat().st_size
        (disk / "filler").unlink()
        fetch([url], fetch_into, settings=QUICK)
        assert fetch_into.read_bytes() == FILE * 20
        assert server.requests[-1][1]["Range"] == f"bytes={kept}-"


@pytest.mark.skipif(sys.platform == "win32" or (hasattr(os, "geteuid") and os.geteuid() == 0), reason="root may write")
def test_a_folder_that_cannot_be_written(server, target):
    target.parent.mkdir()
    target.parent.chmod(0o500)
    with pytest.raises(ConversionError, match="cannot be written"):
        fetch([server.add("/f", FILE)], target, settings=QUICK)
    target.parent.chmod(0o700)


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is POSIX")
@pytest.mark.parametrize("at", [0.1, 0.5, 0.95])
def test_killed_on_the_way(server, target, fault, at):
    url = server.add("/f", FILE, faults=[fault(drip_s=0.01, drip_bytes=5000)])
    script = (
        "import sys, pathlib\nfrom qwen_asr_model.download import fetch\n"
        "fetch([sys.argv[1]], pathlib.Path(sys.argv[2]))\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script, url, str(target)])
    while server.total_sent() < at * len(FILE):
        assert process.poll() is None
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait(10)
    assert_nothing(target)
    kept = target.with_name("model.bin.part").stat().st_size
    assert kept > 0
    fetch([url], target, sha256=SHA256, settings=QUICK)
    assert target.read_bytes() == FILE
    assert server.requests[-1][1]["Range"] == f"bytes={kept}-"


def test_texts(server, fault):
    assert fetch_text(server.add("/t", "{ }é".encode()), settings=QUICK) == "{ }é"
    with pytest.raises(DownloadError, match="longer than"):
        fetch_text(server.add("/t", b" " * (5 << 20)), settings=QUICK)
    url = server.add("/t", b"[]", faults=[fault(status=500)])
    assert fetch_text(url, settings=QUICK) == "[]"
