# SPDX-License-Identifier: Apache-2.0
"""Fetches a file so that it is there whole and right, or not at all, whatever happens on the way."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from qwen_asr_model.errors import (
    ChecksumError,
    DownloadError,
    NetworkError,
    OfflineError,
    RemoteChangedError,
    TruncatedError,
)
from qwen_asr_model.manifest import hash_file

from .answer import AgainError, Answer, new_session, request
from .part import Part
from .settings import OFFLINE_VARIABLE, DownloadSettings
from .space import require_space, write_error

if TYPE_CHECKING:
    import requests

__all__ = ["Fetched", "Progress", "fetch", "fetch_text"]

Progress = Callable[[str, int, "int | None"], None]
"""Called with a file's name, the bytes of it that are here, and its length (None: not known)."""

_GOOD_PIECE = 1 << 20
_KEPT = "What has come is kept and not fetched again."
_MOST_TEXT = 4 << 20


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """A file that is here and right.

    Attributes:
        path: The file.
        url: Where it came from, mirrors not applied; empty where it was here before.
        size: Bytes.
        sha256: Hash of all of it.
    """

    path: Path
    url: str
    size: int
    sha256: str


def fetch(
    urls: Sequence[str],
    target: Path,
    *,
    size: int | None = None,
    sha256: str | None = None,
    settings: DownloadSettings | None = None,
    progress: Progress | None = None,
    say: Callable[[str], None] | None = None,
) -> Fetched:
    """Fetch a file from the first address that has it.

    What an earlier call left behind, finished or not, is gone on with: an unfinished file where the server confirms
    that it still has the same one (``Range`` with ``If-Range``), or where `sha256` will tell. Each address is tried
    several times with growing waits. The file gets its name when its length, and its hash where one is given, have been
    checked.

    Args:
        urls: Addresses of the same file, the best first.
        target: The file to write; its folder is made.
        size: Its length, where known.
        sha256: Its hash, where known.
        settings: Patience, mirrors; those of the environment if not given.
        progress: Called as bytes come.
        say: Told, a sentence each, what is tried again and why.

    Returns:
        The file.

    Raises:
        OfflineError: It is not here, and the network is forbidden.
        RemoteNotFoundError: No address has it (this and the following: the error of the first address).
        RemoteForbiddenError: It is not handed out.
        RemoteChangedError: The server's file is of another length than `size`.
        TruncatedError: The answer keeps ending too early.
        ChecksumError: It has another hash than `sha256`.
        NetworkError: No connection, no answer, or a server in trouble.
        DiskFullError: There is no room.
        ConversionError: It cannot be written for another reason.
        DownloadError: Anything else a server can do.
    """
    settings = settings or DownloadSettings.from_environment()
    wanted = _Wanted(size=size, sha256=sha256)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        part = Part(target)
        done = _already_here(part, wanted)
        if done is not None:
            return done
    except OSError as error:
        raise write_error(error, target) from error
    if settings.offline:
        raise OfflineError(
            f"{target.name} is not here, and the network is forbidden (--offline or {OFFLINE_VARIABLE}).",
            url=urls[0],
            path=target,
            hint="Allow it once, or bring the model from another computer with `qwen-asr-plugin model add`.",
        )
    failures: list[DownloadError] = []
    with new_session() as session:
        for url in urls:
            try:
                return _Transfer(session, url, part, wanted, settings, progress, say or (lambda _line: None)).run()
            except DownloadError as error:  # noqa: PERF203 - the next address may have it
                failures.append(error)
    first = failures[0]
    others = "".join(f"\n      also tried: {error.what}" for error in failures[1:])
    raise type(first)(first.what + others, url=first.url, path=target, hint=first.hint) from first


def fetch_text(url: str, *, settings: DownloadSettings | None = None) -> str:
    """Fetch a short text (UTF-8, 4 MB at most) without keeping it.

    Raises:
        DownloadError: As `fetch`.
    """
    settings = settings or DownloadSettings.from_environment()
    if settings.offline:
        raise OfflineError(f"{url} is needed, and the network is forbidden.", url=url, hint="Name a file instead.")

    def once(session: requests.Session) -> str:
        answer = request(session, url, settings, offset=0, known=None)
        with answer.response:
            content = bytearray()
            for block in answer.blocks(settings):
                content += block
                if len(content) > _MOST_TEXT:
                    raise DownloadError(f"{url}: longer than {_MOST_TEXT} bytes.", url=url)
        return content.decode("utf-8", "replace")

    with new_session() as session:
        return _patiently(lambda: once(session), settings, lambda _line: None)


@dataclass(frozen=True, kw_only=True)
class _Wanted:
    """What is known about the file before it comes."""

    size: int | None
    sha256: str | None


def _already_here(part: Part, wanted: _Wanted) -> Fetched | None:
    if not part.target.is_file():
        return None
    size, sha256 = part.target.stat().st_size, hash_file(part.target)
    if sha256 == (wanted.sha256 or part.sha256) and wanted.size in (None, size):
        return Fetched(path=part.target, url="" if part.origin is None else part.origin.url, size=size, sha256=sha256)
    part.discard()
    return None


def _patiently(
    attempt: Callable[[], str],
    settings: DownloadSettings,
    say: Callable[[str], None],
    pieces: Callable[[], int] = lambda: 0,
) -> str:
    """Try until it works; an attempt that got a good piece further than all before makes the count begin anew."""
    failures, furthest = 0, pieces()
    while True:
        try:
            return attempt()
        except AgainError as trouble:  # noqa: PERF203 - trying again is what the loop is for
            failures = 1 if pieces() > furthest else failures + 1
            furthest = max(furthest, pieces())
            if failures >= settings.attempts:
                raise trouble.error from trouble
            wait = trouble.wait_s or settings.first_wait_s * 2 ** (failures - 1) * random.uniform(1.0, 1.25)
            wait = min(wait, settings.longest_wait_s)
            say(f"{trouble.error.what} Trying again in {wait:.0f} s.")
            time.sleep(wait)


class _Transfer:
    """The way of one file from one address."""

    def __init__(
        self,
        session: requests.Session,
        url: str,
        part: Part,
        wanted: _Wanted,
        settings: DownloadSettings,
        progress: Progress | None,
        say: Callable[[str], None],
    ) -> None:
        self._session = session
        self._url = url
        self._part = part
        self._wanted = wanted
        self._settings = settings
        self._progress = progress or (lambda _name, _done, _total: None)
        self._say = say

    def run(self) -> Fetched:
        while True:
            digest = _patiently(self._once, self._settings, self._say, self._pieces)
            if self._wanted.sha256 in (None, digest):
                break
            assembled, found = self._part.assembled, self._part.size
            self._part.reset()
            if not assembled:
                raise ChecksumError(
                    f"{self._url}: not the right file: its {found} bytes have the SHA-256 {digest}, expected is "
                    f"{self._wanted.sha256}.",
                    url=self._url,
                    hint="It was removed. Try again later, or from a mirror (--mirror); somebody may have changed it.",
                )
            self._say(f"{self._url}: the pieces do not fit together. Fetching it again from the start.")
        try:
            self._part.finish(digest)
        except OSError as error:
            raise write_error(error, self._part.target, kept=_KEPT) from error
        size = self._part.target.stat().st_size
        return Fetched(path=self._part.target, url=self._url, size=size, sha256=digest)

    def _pieces(self) -> int:
        """How many good pieces of the file are here."""
        origin = self._part.origin
        total = self._wanted.size if self._wanted.size is not None or origin is None else origin.total
        return self._part.size // (_GOOD_PIECE if total is None else max(1, min(_GOOD_PIECE, total // 20)))

    def _once(self) -> str:
        """Get the rest of the file, or as much as comes; return the hash of all of it."""
        try:
            if not self._whole():
                self._ask()
            return hash_file(self._part.path)
        except OSError as error:
            raise write_error(error, self._part.path, kept=_KEPT) from error

    def _whole(self) -> bool:
        """Whether all of it is here, so that a server need not be asked."""
        origin, size = self._part.origin, self._part.size
        if origin is None or size == 0 or (origin.url != self._url and self._wanted.sha256 is None):
            return False
        return size == (origin.total if self._wanted.size is None else self._wanted.size)

    def _ask(self) -> None:
        part = self._part
        if not self._can_go_on():
            part.reset()
        offset = part.size
        answer = request(self._session, self._url, self._settings, offset=offset, known=part.origin)
        with answer.response:
            if self._is_another(answer) or answer.misplaced:
                part.reset()
                if answer.offset != 0:  # the rest of another file; ask for all of it
                    raise AgainError(
                        RemoteChangedError(
                            f"{self._url}: the file keeps changing on the server.",
                            url=self._url,
                            hint="Try again later.",
                        )
                    )
                if offset:
                    self._say(f"{self._url}: the server has a new file. Fetching it from the start.")
            if answer.complete:
                return
            self._check_length(answer)
            if answer.offset != part.size:  # the whole file although its rest was asked for
                part.reset()
            self._receive(answer)

    def _can_go_on(self) -> bool:
        origin, size = self._part.origin, self._part.size
        if origin is None or size == 0:
            return False
        total = origin.total if self._wanted.size is None else self._wanted.size
        if total is not None and size >= total:
            return False
        same = origin.url == self._url and bool(origin.validator)
        return same or self._wanted.sha256 is not None

    def _is_another(self, answer: Answer) -> bool:
        """Whether the server has another file than the one that began to come."""
        known, now = self._part.origin, answer.origin
        if known is None or known.url != now.url:
            return False
        if known.total is not None and now.total is not None and known.total != now.total:
            return True
        return bool(known.etag) and bool(now.etag) and known.etag != now.etag

    def _check_length(self, answer: Answer) -> None:
        total = answer.origin.total
        most = self._settings.most_bytes if self._wanted.size is None else self._wanted.size
        if total is not None and self._wanted.size not in (None, total):
            raise RemoteChangedError(
                f"{self._url}: the server's file is {total} bytes long, expected are {self._wanted.size}.",
                url=self._url,
                hint="The file was replaced on the server; update the program, or try a mirror (--mirror).",
            )
        if total is not None and total > most:
            raise DownloadError(f"{self._url}: too long ({total} bytes).", url=self._url)
        expected = total if total is not None else self._wanted.size
        if expected is not None:
            require_space(self._part.path.parent, expected - answer.offset, what=self._part.target.name)

    def _receive(self, answer: Answer) -> None:
        part, total = self._part, answer.origin.total if self._wanted.size is None else self._wanted.size
        part.begin(answer.origin)
        done = answer.offset
        most = self._settings.most_bytes if total is None else total
        self._progress(part.target.name, done, total)
        with part.path.open("ab") as file:
            try:
                for block in answer.blocks(self._settings):
                    done += len(block)
                    if done > most:
                        break
                    file.write(block)
                    self._progress(part.target.name, done, total)
            finally:
                file.flush()
            if total is not None and done < total:
                raise AgainError(
                    TruncatedError(f"{self._url}: only {done} of {total} bytes came.", url=self._url, hint=_KEPT)
                )
            os.fsync(file.fileno())
        if done > most:
            part.reset()
            raise RemoteChangedError(f"{self._url}: longer than the {most} bytes expected.", url=self._url)
        if not done:
            raise AgainError(NetworkError(f"{self._url}: an empty answer.", url=self._url, hint="Try again later."))
