# SPDX-License-Identifier: Apache-2.0
"""One request: what to ask for, what the answer means, and whether asking again can help."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from qwen_asr_model.errors import DownloadError, NetworkError, RemoteForbiddenError, RemoteNotFoundError, TruncatedError

from .part import Origin
from .settings import DownloadSettings

if TYPE_CHECKING:
    import requests

__all__ = ["AgainError", "Answer", "network_trouble", "new_session", "request"]

_READ_BYTES = 1 << 20
_CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")
_TRY_AGAIN = frozenset({408, 421, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524})
_LATER = "Try again later; what has come is kept and not fetched again."
_CONNECTION = "Check the connection and the proxy (HTTPS_PROXY); what has come is kept and not fetched again."


class AgainError(Exception):
    """This attempt has failed, the next may not.

    Args:
        error: What to raise when no attempt is left.
        wait_s: How long the server asked to wait; 0: it did not say.
    """

    def __init__(self, error: DownloadError, *, wait_s: float = 0.0) -> None:
        self.error = error
        self.wait_s = wait_s
        super().__init__(str(error))


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a server answered, before its body is read.

    Attributes:
        origin: Which file the body is of.
        offset: Where in the file the body begins.
        complete: There is no body: the server says that nothing is missing.
        misplaced: The body does not begin where it was asked to; what came before must be thrown away.
        response: The answer itself.
    """

    origin: Origin
    offset: int
    complete: bool
    misplaced: bool
    response: requests.Response

    def blocks(self, settings: DownloadSettings) -> Iterator[bytes]:
        """Yield the body as it comes.

        Raises:
            AgainError: The connection broke, hangs, or is slower than `settings` allow.
        """
        url = self.origin.url
        since, got = time.monotonic(), 0
        while True:
            with network_trouble(url):
                block = self.response.raw.read1(_READ_BYTES, decode_content=False)
            if not block:
                return
            yield block
            got += len(block)
            passed = time.monotonic() - since
            if passed >= settings.slow_after_s:
                if got < passed * settings.slowest_bytes_per_s:
                    raise AgainError(NetworkError(f"{url}: only {got} bytes in {passed:.0f} s.", url=url, hint=_LATER))
                since, got = time.monotonic(), 0


def new_session() -> requests.Session:
    """Return a session; the environment's proxies, certificates and ``.netrc`` are used."""
    import requests

    session = requests.Session()
    # Bytes as they are stored: lengths and ranges of a body compressed on the way mean nothing.
    session.headers.update({"User-Agent": "qwen-asr-plugin", "Accept-Encoding": "identity"})
    return session


def request(
    session: requests.Session, url: str, settings: DownloadSettings, *, offset: int, known: Origin | None
) -> Answer:
    """Ask for a file from `offset` on.

    Args:
        session: Of `new_session`.
        url: Address; mirrors are applied here.
        settings: Time limits and mirrors.
        offset: Bytes that are here already.
        known: What they are of.

    Returns:
        The answer. Close its response.

    Raises:
        AgainError: A passing trouble.
        RemoteNotFoundError: 404 or 410.
        RemoteForbiddenError: 401, 403, 407 or 451.
        DownloadError: Any other refusal, or an answer that cannot be used.
    """
    headers = {}
    if offset:
        headers["Range"] = f"bytes={offset}-"
        if known is not None and known.url == url and known.validator:
            headers["If-Range"] = known.validator
    with network_trouble(url):
        response = session.get(
            settings.mirrored(url),
            headers=headers,
            stream=True,
            timeout=(settings.connect_timeout_s, settings.read_timeout_s),
        )
    try:
        _check_redirects(url, [step.url for step in (*response.history, response)])
        return _read_head(url, response, offset)
    except BaseException:
        response.close()
        raise


def _read_head(url: str, response: requests.Response, offset: int) -> Answer:
    status = response.status_code
    if status not in (200, 206, 416):
        raise _refusal(url, response)
    if response.headers.get("Content-Encoding", "identity").lower() not in ("", "identity"):
        raise DownloadError(f"{url}: the server compresses the file on the way.", url=url, hint="Use another mirror.")
    begin, total = _range_of(response.headers.get("Content-Range", ""))
    if status == 200:
        begin, length = 0, response.headers.get("Content-Length", "")
        total = int(length) if length.isdecimal() else None
    etag = response.headers.get("ETag", "")
    origin = Origin(
        url=url,
        etag="" if etag.startswith("W/") else etag,
        last_modified=response.headers.get("Last-Modified", ""),
        total=total,
    )
    return Answer(
        origin=origin,
        offset=offset if status == 416 else begin,
        complete=status == 416 and total == offset,
        misplaced=(status == 416 and total != offset) or (status == 206 and begin != offset),
        response=response,
    )


def _range_of(text: str) -> tuple[int, int | None]:
    """First byte and total length of a ``Content-Range``; -1 where it names no range."""
    match = _CONTENT_RANGE.fullmatch(text.strip())
    if match is None:
        return -1, None
    return int(match[1]) if match[1] else -1, int(match[3]) if match[3] != "*" else None


def _refusal(url: str, response: requests.Response) -> Exception:
    status = response.status_code
    said = f"{url}: the server answers {status} {response.reason}".rstrip() + "."
    if status in (404, 410):
        return RemoteNotFoundError(
            said, url=url, hint="The file has moved or the name is wrong; update the program, or use another source."
        )
    if status in (401, 403, 407, 451):
        hint = (
            "The proxy wants a user name and a password: HTTPS_PROXY=http://USER:PASSWORD@HOST:PORT."
            if status == 407
            else "It wants a permission, or a proxy forbids it; try a mirror (--mirror), or fetch it another way and "
            "`qwen-asr-plugin model add` it."
        )
        return RemoteForbiddenError(said, url=url, hint=hint)
    if status in _TRY_AGAIN:
        return AgainError(NetworkError(said, url=url, hint=_LATER), wait_s=_retry_after(response))
    return DownloadError(said, url=url, hint="Try another source or a mirror (--mirror).")


def _retry_after(response: requests.Response) -> float:
    text = response.headers.get("Retry-After", "").strip()
    if text.isdecimal():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except ValueError:
        return 0.0


def _check_redirects(url: str, steps: list[str]) -> None:
    """Refuse to be led from an encrypted address to one that anybody on the way can change."""
    encrypted = False
    for step in steps:
        if encrypted and not step.startswith("https://"):
            raise DownloadError(f"{url}: leads to an address without encryption, {step}.", url=url)
        encrypted = encrypted or step.startswith("https://")


@contextmanager
def network_trouble(url: str) -> Iterator[None]:
    """Turn the HTTP library's errors into ours."""
    import requests
    import urllib3

    try:
        yield
    except requests.exceptions.SSLError as error:
        raise NetworkError(
            f"{url}: the server's certificate cannot be trusted: {_root(error)}.",
            url=url,
            hint="With certificates of your own, name their file with REQUESTS_CA_BUNDLE.",
        ) from error
    except (
        requests.exceptions.InvalidURL,
        requests.exceptions.MissingSchema,
        requests.exceptions.InvalidSchema,
    ) as error:
        raise DownloadError(f"{url}: no address that can be asked ({error}).", url=url) from error
    except requests.exceptions.TooManyRedirects as error:
        raise DownloadError(f"{url}: leads from one address to the next without end.", url=url) from error
    except (requests.exceptions.Timeout, urllib3.exceptions.TimeoutError) as error:
        raise AgainError(NetworkError(f"{url}: no answer in time.", url=url, hint=_LATER)) from error
    except (urllib3.exceptions.IncompleteRead, urllib3.exceptions.ProtocolError) as error:
        raise AgainError(
            TruncatedError(f"{url}: the connection ended before the file did.", url=url, hint=_LATER)
        ) from error
    except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError) as error:
        raise AgainError(NetworkError(f"{url}: no connection: {_root(error)}.", url=url, hint=_CONNECTION)) from error


def _root(error: BaseException) -> str:
    """The innermost reason, which says more than the layers around it."""
    reason: Any = error
    while True:
        inner = getattr(reason, "reason", None) or next((a for a in getattr(reason, "args", ()) if _is_error(a)), None)
        if not _is_error(inner):
            return str(getattr(reason, "strerror", None) or reason).rstrip(".")
        reason = inner


def _is_error(value: object) -> bool:
    return isinstance(value, BaseException)
