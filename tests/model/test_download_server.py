# SPDX-License-Identifier: Apache-2.0
"""A small web server on this machine that does to downloads what networks do, and counts what it sends; and its test.

Other test files, of other folders too, load this one by its path for the fixtures ``server`` and ``fault``.
"""

from __future__ import annotations

import http.client
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest


@dataclass
class Fault:
    """What goes wrong with one answer; the attributes that are None do not."""

    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    cut_after: int | None = None
    drip_s: float | None = None
    drip_bytes: int = 1
    hang: bool = False
    ignore_range: bool = False
    chunked: bool = False
    change: Callable[[bytes], bytes] | None = None
    length: int | None = None


@dataclass
class Served:
    """One file of the server."""

    content: bytes
    etag: str | None = '"one"'
    last_modified: str | None = formatdate(1_700_000_000, usegmt=True)
    ranges: bool = True
    faults: list[Fault] = field(default_factory=list)
    always: Fault | None = None


class FaultServer:
    """Serves `files` and notes every request and every byte of a body it sent."""

    def __init__(self) -> None:
        self.files: dict[str, Served] = {}
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.sent: dict[str, int] = {}
        self._counting = threading.Lock()
        self.statuses: list[int] = []
        self.stop = threading.Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                server.answer(self)

            def log_message(self, *_: Any) -> None:
                pass

        class Quiet(ThreadingHTTPServer):
            def handle_error(self, request: Any, client_address: Any) -> None:
                pass  # clients that go away are what is tested

        self._http = Quiet(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self.stop.set()
        self._http.shutdown()
        self._http.server_close()

    def add(self, path: str, content: bytes, **attributes: Any) -> str:
        """Serve a file; return its address."""
        self.files[path] = Served(content, **attributes)
        return self.url + path

    def redirect(self, path: str, to: str, status: int = 302) -> str:
        """Serve a redirection."""
        self.files[path] = Served(b"", always=Fault(status=status, headers={"Location": to}))
        return self.url + path

    def total_sent(self) -> int:
        return sum(self.sent.values())

    def _count(self, path: str, number: int) -> None:
        with self._counting:
            self.sent[path] = self.sent.get(path, 0) + number

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        path = handler.path
        self.requests.append((path, dict(handler.headers)))
        served = self.files.get(path)
        if served is None:
            self._refuse(handler, 404, {})
            return
        fault = served.faults.pop(0) if served.faults else served.always or Fault()
        if fault.status is not None:
            self._refuse(handler, fault.status, fault.headers)
            return
        content = served.content if fault.change is None else fault.change(served.content)
        begin = self._begin(handler, served, fault)
        if begin is None:
            self._refuse(handler, 416, {"Content-Range": f"bytes */{len(content)}"})
            return
        body = content[begin:]
        status = 206 if begin or ("Range" in handler.headers and served.ranges and not fault.ignore_range) else 200
        if status == 206 and not self._if_range(handler, served):
            status, body = 200, content
        self.statuses.append(status)
        handler.send_response(status)
        if served.etag:
            handler.send_header("ETag", served.etag)
        if served.last_modified:
            handler.send_header("Last-Modified", served.last_modified)
        if status == 206:
            handler.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
        if fault.chunked:
            handler.send_header("Transfer-Encoding", "chunked")
        else:
            handler.send_header("Content-Length", str(len(body) if fault.length is None else fault.length))
        for name, value in fault.headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        self._send(handler, path, body, fault)

    def _begin(self, handler: BaseHTTPRequestHandler, served: Served, fault: Fault) -> int | None:
        text = handler.headers.get("Range", "")
        if not text or not served.ranges or fault.ignore_range:
            return 0
        begin = int(text.removeprefix("bytes=").split("-")[0])
        return None if begin >= len(served.content) and self._if_range(handler, served) else begin

    @staticmethod
    def _if_range(handler: BaseHTTPRequestHandler, served: Served) -> bool:
        condition = handler.headers.get("If-Range")
        return condition is None or condition in (served.etag, served.last_modified)

    def _refuse(self, handler: BaseHTTPRequestHandler, status: int, headers: dict[str, str]) -> None:
        self.statuses.append(status)
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    def _send(self, handler: BaseHTTPRequestHandler, path: str, body: bytes, fault: Fault) -> None:
        step = fault.drip_bytes if fault.drip_s is not None else 1 << 16
        end = len(body) if fault.cut_after is None else min(fault.cut_after, len(body))
        try:
            for at in range(0, end, step):
                if self.stop.is_set():
                    break
                piece = body[at : min(at + step, end)]
                self._count(path, len(piece))  # before: who has got a byte must find it counted
                try:
                    handler.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece) if fault.chunked else piece)
                    handler.wfile.flush()
                except OSError:
                    self._count(path, -len(piece))
                    raise
                if fault.drip_s is not None:
                    time.sleep(fault.drip_s)
            if fault.hang:
                self.stop.wait(30)
            if fault.chunked and end == len(body):
                handler.wfile.write(b"0\r\n\r\n")
        except OSError:
            pass  # the other side has gone
        if end < len(body) or fault.length is not None or fault.hang:
            handler.close_connection = True


@pytest.fixture
def server() -> Iterator[FaultServer]:
    """A server without files."""
    made = FaultServer()
    yield made
    made.close()


@pytest.fixture
def fault() -> type[Fault]:
    """The class of what can go wrong with an answer."""
    return Fault


def test_the_server_itself(server: FaultServer) -> None:
    url = server.add("/f", b"0123456789", faults=[Fault(cut_after=4)])
    with pytest.raises(http.client.IncompleteRead), urllib.request.urlopen(url) as answer:
        answer.read()
    request = urllib.request.Request(url, headers={"Range": "bytes=7-"})
    with urllib.request.urlopen(request) as answer:
        assert (answer.status, answer.read()) == (206, b"789")
    assert server.total_sent() == 7
