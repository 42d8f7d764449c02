# SPDX-License-Identifier: Apache-2.0
"""A file on its way: what has come so far, and what the server said it was part of."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

__all__ = ["Origin", "Part"]


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Which file of a server the bytes are of.

    Attributes:
        url: Address that was asked for.
        etag: Its strong entity tag; empty: there is none.
        last_modified: Its date of change as the server wrote it; empty: there is none.
        total: Its length in bytes; None: not known.
    """

    url: str
    etag: str = ""
    last_modified: str = ""
    total: int | None = None

    @property
    def validator(self) -> str:
        """What ``If-Range`` can name; empty: nothing."""
        return self.etag or self.last_modified


class Part:
    """``<target>.part`` and ``<target>.state.json``, which make going on possible after any interruption.

    Args:
        target: The file that it is to become.
    """

    def __init__(self, target: Path) -> None:
        self.target = target
        self.path = target.with_name(f"{target.name}.part")
        self._state = target.with_name(f"{target.name}.state.json")
        self.origin: Origin | None = None
        self.answers = 0
        self.sha256 = ""
        self._load()

    @property
    def size(self) -> int:
        """Bytes that have come."""
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return 0

    @property
    def assembled(self) -> bool:
        """Whether it was put together from several answers."""
        return self.answers > 1

    def begin(self, origin: Origin) -> None:
        """Note, before a byte of an answer is written, what the answer is a part of."""
        self.origin = origin
        self.answers += 1
        self._save()

    def reset(self) -> None:
        """Throw away what has come."""
        self.path.unlink(missing_ok=True)
        self._state.unlink(missing_ok=True)
        self.origin, self.answers, self.sha256 = None, 0, ""

    def finish(self, sha256: str) -> None:
        """Give the file its name; the hash is noted before, so that it is known as long as the file is there."""
        self.sha256 = sha256
        self._save()
        os.replace(self.path, self.target)  # noqa: PTH105 - one call on every system, replacing what is there

    def discard(self) -> None:
        """Throw everything away, the finished file included."""
        self.target.unlink(missing_ok=True)
        self.reset()

    def _save(self) -> None:
        origin = None if self.origin is None else asdict(self.origin)
        text = json.dumps({"origin": origin, "answers": self.answers, "sha256": self.sha256})
        fresh = self._state.with_name(f"{self._state.name}.new")
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(self._state)

    def _load(self) -> None:
        raw: Any = None
        with contextlib.suppress(OSError, ValueError):
            raw = json.loads(self._state.read_text(encoding="utf-8"))
        try:
            self.origin = None if raw["origin"] is None else Origin(**raw["origin"])
            self.answers, self.sha256 = int(raw["answers"]), str(raw["sha256"])
        except (KeyError, TypeError, ValueError):
            self.reset_state()

    def reset_state(self) -> None:
        """Forget what cannot be read; without it nothing can be gone on with."""
        self.origin, self.answers, self.sha256 = None, 0, ""
