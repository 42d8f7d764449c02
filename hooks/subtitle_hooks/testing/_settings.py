# SPDX-License-Identifier: Apache-2.0
"""What a test run says about the backend it looks at."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Settings"]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Which backend is held to the contract, and with what.

    Attributes:
        backend: Its name; empty takes the only one of `plugin`.
        plugin: Plugin object that offers it; None looks among the installed ones.
        media: File with at least two segments; None takes what `make_media` makes.
        make_media: ``make_media(folder, stem)`` puts a media file into a folder and returns its path; None copies
            `media`, or makes a WAV file of tones.
        model: `SubtitleRequest.model` of all requests.
        options: `SubtitleRequest.options` of all requests.
        undetected_media: Broken media (see `subtitle_hooks.testing.contract`) this backend cannot tell from sound
            ones because it does not look into them; the tests with these are skipped.
    """

    backend: str = ""
    plugin: object = None
    media: Path | None = None
    make_media: Callable[[Path, str], Path] | None = None
    model: str | None = None
    options: Mapping[str, object] = field(default_factory=dict)
    undetected_media: frozenset[str] = frozenset()
