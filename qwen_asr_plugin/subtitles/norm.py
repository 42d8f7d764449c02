# SPDX-License-Identifier: Apache-2.0
"""Subtitle norms: the numbers cues have to obey, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from subtitle_hooks import RequestError

__all__ = ["NORMS", "Norm", "get_norm"]


@dataclass(frozen=True, kw_only=True)
class Norm:
    """Limits of one cue and of the space between cues.

    The defaults are Netflix's for Latin scripts: General Requirements (lines, durations, gap) and the Timed Text Style
    Guides of the languages (characters, reading speed).

    Attributes:
        name: What users call it.
        max_lines: Lines of a cue.
        max_chars_per_line: Columns of a line, counted by `text_width`: a full-width character counts two.
        min_duration_ms: 5/6 s; a cue is shown at least so long where the next one leaves the time.
        max_duration_ms: 7 s.
        min_gap_ms: Two frames at 24 frames per second between cues, so that a viewer sees them change.
        max_extension_ms: How long a cue may stay after its last word so that it can be read, 12 frames at 24 frames
            per second; the minimum duration may take more.
        close_gap_ms: A shorter gap than this (12 frames) looks like flicker and is closed to `min_gap_ms`.
        chars_per_second: Columns an adult reads in a second; a cue that is faster is extended as far as it may be.
        split_pause_ms: Words with a longer silence between them never share a cue, so that no line is shown before it
            is said. Below the 1 s from which the BBC guidelines want a pause to be seen, since recognised speech has
            no editor who moves text across a pause.
        join_pause_ms: A sentence too short to be read alone shares a cue with the next only over a shorter silence.
    """

    name: str
    max_lines: int = 2
    max_chars_per_line: int = 42
    min_duration_ms: int = 833
    max_duration_ms: int = 7000
    min_gap_ms: int = 83
    max_extension_ms: int = 500
    close_gap_ms: int = 500
    chars_per_second: int = 17
    split_pause_ms: int = 600
    join_pause_ms: int = 300

    @property
    def capacity(self) -> int:
        """Columns of a full cue."""
        return self.max_lines * self.max_chars_per_line


NORMS: Final[Mapping[str, Norm]] = MappingProxyType({norm.name: norm for norm in (Norm(name="default"),)})
"""Every norm by its name."""


def get_norm(name: str) -> Norm:
    """Look up a norm.

    Args:
        name: Its name, as in `SubtitleRequest.norm`.

    Raises:
        RequestError: There is no norm of this name.
    """
    try:
        return NORMS[name]
    except KeyError:
        raise RequestError(
            f"There is no subtitle norm called {name!r}.", hint=f"Choose one of: {', '.join(sorted(NORMS))}."
        ) from None
