# SPDX-License-Identifier: Apache-2.0
"""Reading files and addresses, with a bound on the size and no change of scheme on the way."""

from __future__ import annotations

import hashlib
import os
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPException, HTTPMessage
from pathlib import Path
from typing import IO
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit

from ._folders import own_version
from ._index import Wheel
from .errors import DownloadError, HashMismatchError, IndexInvalidError, RedirectRefusedError

__all__ = ["OnBytes", "fetch_wheel", "is_web", "join", "local_path", "open_web", "shown"]

OnBytes = Callable[[str, int, int], None]
"""Called with a file's name, the bytes that are there, and the bytes there will be."""

_TIMEOUT_S = 20.0
_BLOCK = 1 << 18


def is_web(location: str) -> bool:
    """Say whether `location` is an http or https URL."""
    return urlsplit(location).scheme.lower() in ("http", "https")


def shown(location: str) -> str:
    """Return `location` fit for messages: without a user name and password."""
    if not is_web(location):
        return location
    parts = urlsplit(location)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def local_path(location: str) -> Path:
    """Turn a path or a ``file:`` URL into a path."""
    if location.lower().startswith("file:"):
        return Path(urllib.request.url2pathname(urlsplit(location).path))
    return Path(location).expanduser()


def join(index: str, location: str) -> str:
    """Resolve the location of a wheel against that of its index.

    Raises:
        IndexInvalidError: An index from the web names a file of this machine.
    """
    if is_web(location):
        return location
    if is_web(index):
        absolute = urljoin(index, location)
        if not is_web(absolute):
            raise IndexInvalidError(f"names {location!r}, which is not on the web.", path=shown(index))
        return absolute
    path = local_path(location) if location.lower().startswith("file:") else Path(unquote(location))
    return str(local_path(index).parent / path)


@contextmanager
def open_web(url: str) -> Iterator[tuple[IO[bytes], int | None]]:
    """Open a URL for reading; yield the stream and the size that the server gives.

    Raises:
        RedirectRefusedError: The server sends the reader to another scheme.
        OSError: The server cannot be reached, or refuses (`urllib.error.HTTPError`).
    """
    request = urllib.request.Request(
        url, headers={"User-Agent": f"subtitle-hooks/{own_version()}", "Accept-Encoding": "identity"}
    )
    opener = urllib.request.OpenerDirector()  # not build_opener(): it knows ftp:, file: and data:, too
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        _SameSchemeRedirects(),
    ):
        opener.add_handler(handler)
    try:
        with opener.open(request, timeout=_TIMEOUT_S) as answer:
            length = answer.headers.get("Content-Length", "")
            yield answer, int(length) if length.isdecimal() else None
    except HTTPException as error:
        raise OSError(f"the server's answer makes no sense ({type(error).__name__})") from error


class _SameSchemeRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        _same_scheme(req.full_url, newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)

    def http_error_302(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage
    ) -> object:
        # urllib refuses other schemes than http, https and ftp before redirect_request() is asked.
        target = headers.get("location") or headers.get("uri") or ""
        _same_scheme(req.full_url, urljoin(req.full_url, target))
        return super().http_error_302(req, fp, code, msg, headers)

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


def _same_scheme(old: str, new: str) -> None:
    if urlsplit(old).scheme.lower() != urlsplit(new).scheme.lower():
        raise RedirectRefusedError(
            f"is redirected to {shown(new)[:200]!r}, which has another scheme; it was not followed.",
            path=shown(old),
            hint="If you trust that address, configure it instead.",
        )


def fetch_wheel(wheel: Wheel, location: str, folder: Path, on_bytes: OnBytes) -> Path:
    """Copy or download a wheel into `folder`; the file takes its name only when its hash is the right one.

    Raises:
        HashMismatchError: It is not the file that the index describes.
        DownloadError: It cannot be read.
        RedirectRefusedError: The server sends the reader to another scheme.
    """
    target = folder / wheel.filename
    draft = folder / f"{wheel.filename}.part"
    digest = hashlib.sha256()
    done = 0
    try:
        with _open(location) as stream, draft.open("wb") as file:
            on_bytes(wheel.filename, 0, wheel.size)
            # One byte too many is enough to know; what else comes is not waited for.
            while done <= wheel.size and (block := stream.read(min(_BLOCK, wheel.size + 1 - done))):
                file.write(block)
                digest.update(block)
                done += len(block)
                on_bytes(wheel.filename, done, wheel.size)
    except (OSError, HTTPException) as error:
        raise DownloadError(
            f"cannot be fetched ({_reason(error)}).",
            path=shown(location),
            hint="Nothing was installed. Check the connection, the folder and the free space, and try again.",
        ) from error
    if done != wheel.size or digest.hexdigest() != wheel.sha256:
        found = f"{'more than ' if done > wheel.size else ''}{min(done, wheel.size)} bytes"
        raise HashMismatchError(
            f"is not the file that the index describes: expected {wheel.size} bytes with SHA-256 {wheel.sha256}, "
            f"found {found} with {digest.hexdigest()}.",
            path=shown(location),
            hint="Nothing was installed. Try again; if it stays so, tell whoever publishes the index.",
        )
    draft.replace(target)
    return target


@contextmanager
def _open(location: str) -> Iterator[IO[bytes]]:
    if is_web(location):
        with open_web(location) as (stream, _):
            yield stream
    else:
        with local_path(location).open("rb") as file:
            yield file


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"the server answers {error.code} {error.reason}"
    if isinstance(error, urllib.error.URLError):
        return str(error.reason)
    return (isinstance(error, OSError) and error.strerror) or os.fspath(str(error)) or type(error).__name__
