# SPDX-License-Identifier: Apache-2.0
"""How to download: whether at all, from which mirror, how patiently."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from qwen_asr_model.errors import DownloadError

__all__ = ["MIRROR_VARIABLE", "OFFLINE_VARIABLE", "DownloadSettings", "read_mirrors"]

OFFLINE_VARIABLE = "QWEN_ASR_OFFLINE"
"""Environment variable that forbids the network when it is set to anything but ``0``, ``no``, ``false`` or nothing."""
MIRROR_VARIABLE = "QWEN_ASR_MIRROR"
"""Environment variable with mirrors, ``OLD=NEW`` separated by ``;``: addresses that begin with OLD begin with NEW."""
_HUB = "https://huggingface.co"
_HUB_VARIABLE = "HF_ENDPOINT"


@dataclass(frozen=True, kw_only=True)
class DownloadSettings:
    """How to download.

    Proxies come from the usual environment variables (``HTTPS_PROXY``, ``HTTP_PROXY``, ``NO_PROXY``) or the system's
    settings, certificates of one's own from ``REQUESTS_CA_BUNDLE``.

    Attributes:
        offline: Whether the network is forbidden.
        mirrors: Pairs of what an address begins with and what to put in its place; the first that fits is taken.
        attempts: How often to try before giving up. Counted anew after each attempt that got a good piece further.
        first_wait_s: Seconds before the second attempt; each further wait is twice as long.
        longest_wait_s: Longest wait, also where a server asks for a longer one.
        connect_timeout_s: Seconds until a connection must be there.
        read_timeout_s: Seconds within which something must come.
        slowest_bytes_per_s: A connection slower than this on average ...
        slow_after_s: ... for so many seconds is given up and tried anew.
        most_bytes: Longest file that is taken where no size is known beforehand.
    """

    offline: bool = False
    mirrors: tuple[tuple[str, str], ...] = ()
    attempts: int = 5
    first_wait_s: float = 1.0
    longest_wait_s: float = 60.0
    connect_timeout_s: float = 20.0
    read_timeout_s: float = 60.0
    slowest_bytes_per_s: float = 1000.0
    slow_after_s: float = 60.0
    most_bytes: int = 64 << 30

    @classmethod
    def from_environment(
        cls, *, offline: bool = False, mirrors: Sequence[str] = (), read_timeout_s: float = 60.0
    ) -> DownloadSettings:
        """Return the settings that the environment and these arguments ask for.

        Args:
            offline: Forbid the network, whatever the environment says.
            mirrors: ``OLD=NEW``, before those of the environment.
            read_timeout_s: Seconds within which something must come.

        Raises:
            DownloadError: A mirror is not of that form.
        """
        forbidden = os.environ.get(OFFLINE_VARIABLE, "").strip().lower() not in ("", "0", "no", "false")
        pairs = [*mirrors, *os.environ.get(MIRROR_VARIABLE, "").split(";")]
        hub = os.environ.get(_HUB_VARIABLE, "").strip().rstrip("/")
        if hub and hub != _HUB:
            pairs.append(f"{_HUB}={hub}")
        return cls(
            offline=offline or forbidden,
            mirrors=read_mirrors([pair for pair in pairs if pair.strip()]),
            read_timeout_s=read_timeout_s,
        )

    def mirrored(self, url: str) -> str:
        """Return the address to ask instead of `url`."""
        for old, new in self.mirrors:
            if url.startswith(old):
                return new + url.removeprefix(old)
        return url


def read_mirrors(pairs: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Split texts of the form ``OLD=NEW``; both must begin with ``http://`` or ``https://``.

    Raises:
        DownloadError: One is not of that form.
    """
    mirrors = []
    for pair in pairs:
        old, _, new = pair.strip().partition("=http")
        new = f"http{new}"
        if not all(side.startswith(("http://", "https://")) for side in (old, new)):
            raise DownloadError(
                f"{pair!r} is no mirror.", hint="Write OLD=NEW, such as https://huggingface.co=https://hub.example.org."
            )
        mirrors.append((old, new))
    return tuple(mirrors)
