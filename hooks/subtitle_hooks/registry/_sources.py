# SPDX-License-Identifier: Apache-2.0
"""Where indexes come from: which ones are configured, reading them, and the copies that serve offline."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import time
import urllib.error
from collections.abc import Sequence
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from urllib.parse import urlsplit

from ._fetch import is_web, local_path, open_web, shown
from ._folders import cache_folder, config_folder
from ._index import Release, parse_index
from .errors import IndexInvalidError, IndexNotConfiguredError, IndexTooLargeError, IndexUnreachableError

__all__ = ["INDEX_VARIABLE", "MOST_BYTES", "Index", "config_file", "configured_indexes", "read_index"]

INDEX_VARIABLE = "SUBTITLE_HOOKS_INDEX"
"""Environment variable with indexes, separated by white space."""

MOST_BYTES = 8_000_000
"""An index may be this large. One entry with its dependencies takes about 10 kB."""

_FILE = "index.json"


@dataclass(frozen=True, kw_only=True)
class Index:
    """An index that was read.

    Attributes:
        location: URL or path of the index file itself.
        releases: Its entries.
        age_s: Age of the copy that was used because the server could not be reached; None if it is not a copy.
        note: What the user should know about how it was read; usually empty.
    """

    location: str
    releases: tuple[Release, ...]
    age_s: float | None = None
    note: str = ""

    @property
    def name(self) -> str:
        """The location, fit for messages."""
        return shown(self.location)


def config_file() -> Path:
    """The user's own list of indexes: one in each line, ``#`` begins a comment."""
    return config_folder() / "indexes.txt"


def configured_indexes(chosen: Sequence[str] = ()) -> list[str]:
    """List the indexes to use, in order: `chosen`, else those of ``SUBTITLE_HOOKS_INDEX``, else of the user's file.

    Raises:
        IndexNotConfiguredError: There is none.
        IndexUnreachableError: The user's file cannot be read.
    """
    if chosen:
        return list(chosen)
    setting = os.environ.get(INDEX_VARIABLE, "").split()
    if setting:
        return setting
    file = config_file()
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        lines = []
    except (OSError, UnicodeDecodeError) as error:
        raise IndexUnreachableError(f"cannot be read ({error}).", path=file, hint="Correct or remove it.") from error
    listed = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if not listed:
        raise IndexNotConfiguredError(
            "no plugin index is configured.",
            hint=f"Name one with --index, with the variable {INDEX_VARIABLE}, or in {file}: "
            "a file, a folder with an index.json, or an http(s) URL.",
        )
    return listed


def read_index(location: str, *, offline: bool = False, keep: bool = True) -> Index:
    """Read one index.

    An index from the web is kept as a copy in the user's folder for caches, which serves when the server cannot be
    reached. Refusals (too large, not valid, redirected, not found) are never covered up by a copy.

    Args:
        location: Path of a file or of a folder with an ``index.json``, or an http(s) URL of either (a folder's ends
            with ``/``).
        offline: Use the copy without asking the server.
        keep: Write the copy.

    Raises:
        IndexUnreachableError: It cannot be read and there is no copy.
        IndexTooLargeError: It is larger than 8 MB.
        IndexInvalidError: It is not what the schema says.
        RedirectRefusedError: The server sends the reader to another scheme.
    """
    scheme = urlsplit(location).scheme.lower()
    if not is_web(location) and len(scheme) > 1 and scheme != "file":  # one letter is a drive of Windows
        raise IndexUnreachableError(
            f"has the scheme {scheme!r}.", path=location, hint="Use a file, a folder or an http(s) URL."
        )
    if not is_web(location):
        return _local(location)
    url = f"{location}{_FILE}" if urlsplit(location).path.endswith("/") else location
    if not urlsplit(url).path:
        url = f"{url}/{_FILE}"
    copy = cache_folder() / "indexes" / f"{hashlib.sha256(url.encode()).hexdigest()[:32]}.json"
    if offline:
        return _from_copy(url, copy, "--offline was asked for")
    try:
        content = _download(url)
    except urllib.error.HTTPError as error:
        if error.code < 500:
            raise _unreachable(url, f"the server answers {error.code} {error.reason}") from error
        return _from_copy(url, copy, f"the server answers {error.code} {error.reason}")
    except (OSError, HTTPException) as error:
        return _from_copy(url, copy, str(getattr(error, "reason", None) or error) or type(error).__name__)
    releases = parse_index(content, shown(url))
    if keep:
        _write_copy(copy, url, content)
    note = ""
    if urlsplit(url).scheme == "http" and urlsplit(url).hostname not in ("localhost", "127.0.0.1", "::1"):
        note = "read without encryption; anybody on the way may have changed it"
    return Index(location=url, releases=releases, note=note)


def _local(location: str) -> Index:
    path = local_path(location)
    if path.is_dir():
        path /= _FILE
    try:
        if path.stat().st_size > MOST_BYTES:
            raise _too_large(str(path))
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise _unreachable(str(path), reason) from error
    if len(content) > MOST_BYTES:
        raise _too_large(str(path))
    return Index(location=str(path.absolute()), releases=parse_index(content, str(path)))


def _download(url: str) -> bytes:
    with open_web(url) as (stream, size):
        if size is not None and size > MOST_BYTES:
            raise _too_large(shown(url))
        blocks = []
        left = MOST_BYTES + 1
        while left and (block := stream.read(min(left, 1 << 16))):
            blocks.append(block)
            left -= len(block)
    if not left:
        raise _too_large(shown(url))
    content = b"".join(blocks)
    if size is not None and len(content) < size:
        raise OSError("the connection was lost in the middle")
    return content


def _from_copy(url: str, copy: Path, reason: str) -> Index:
    try:
        if copy.stat().st_size > 2 * MOST_BYTES:
            raise ValueError
        kept = json.loads(copy.read_text(encoding="utf-8"))
        fetched_at, content = float(kept["fetched_at"]), str(kept["content"]).encode()
        releases = parse_index(content, shown(url))
    except (OSError, ValueError, KeyError, TypeError, IndexInvalidError) as error:
        raise _unreachable(url, f"{reason}; there is no copy of it here either") from error
    return Index(
        location=url, releases=releases, age_s=max(0.0, time.time() - fetched_at), note=f"a copy is used: {reason}"
    )


def _write_copy(copy: Path, url: str, content: bytes) -> None:
    # A cache that cannot be written (full disk, read-only home) is no reason to fail.
    draft = copy.with_name(f".{secrets.token_hex(8)}.tmp")
    kept = {"url": shown(url), "fetched_at": time.time(), "content": content.decode("utf-8-sig")}
    with contextlib.suppress(OSError):
        copy.parent.mkdir(parents=True, exist_ok=True)
        try:
            draft.write_text(json.dumps(kept), encoding="utf-8")
            draft.replace(copy)
        finally:
            draft.unlink(missing_ok=True)


def _too_large(name: str) -> IndexTooLargeError:
    return IndexTooLargeError(
        f"is larger than {MOST_BYTES // 1_000_000} MB, too large for a plugin index; it was not read.",
        path=name,
        hint="Is it really an index?",
    )


def _unreachable(location: str, reason: str) -> IndexUnreachableError:
    return IndexUnreachableError(
        f"cannot be read ({reason}).",
        path=shown(location),
        hint="Check the address and the connection, or name another index with --index.",
    )
