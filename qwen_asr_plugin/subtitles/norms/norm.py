# SPDX-License-Identifier: Apache-2.0
"""What a subtitle norm is: the limits of a cue and of the space between cues."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from qwen_asr_plugin.languages import try_iso_code
from qwen_asr_plugin.subtitles.width import WIDTH_RULES, WidthRule, text_width
from subtitle_hooks import RequestError

__all__ = ["Norm"]


@dataclass(frozen=True, kw_only=True)
class Norm:
    """Limits of one cue and of the space between cues.

    Lines, characters, durations and the gap are hard rules: no cue of `CueBuilder` breaks one. The reading speed and
    the pauses say what it aims at. None means that there is no limit.

    Attributes:
        name: What users call it, with the language behind a hyphen where it is meant for one.
        language: ISO 639 code of the language these numbers are for; None for any language not in `variants`.
        variants: Norms of the same family for single languages, by ISO 639 code.
        max_lines: Lines of a cue.
        max_chars_per_line: Width of a line in units of `width`.
        width: How `text_width` counts.
        min_duration_ms: A cue is shown at least so long; where the next one would leave less, the next one waits.
        max_duration_ms: A cue is shown at most so long.
        min_gap_ms: Time between two cues, so that a viewer sees them change.
        max_extension_ms: How long a cue may stay after its last word so that it can be read; the minimum duration may
            take more.
        close_gap_ms: A shorter gap than this looks like flicker and is closed to `min_gap_ms`.
        chars_per_second: What an adult reads in a second, in units of `width`, spaces included. Speech cannot be
            slowed down, so this is an aim, not a hard rule.
        split_pause_ms: Words with a longer silence between them never share a cue, so that nothing is shown long
            before it is said.
        join_pause_ms: Two sentences share a cue over a shorter silence than this only.
    """

    name: str
    language: str | None = None
    variants: Mapping[str, Norm] = field(default_factory=lambda: MappingProxyType({}), repr=False, compare=False)
    max_lines: int | None = 2
    max_chars_per_line: int | None = 42
    width: WidthRule = "columns"
    min_duration_ms: int = 833
    max_duration_ms: int | None = 7000
    min_gap_ms: int = 83
    max_extension_ms: int = 500
    close_gap_ms: int = 500
    chars_per_second: float | None = 17
    split_pause_ms: int = 600
    join_pause_ms: int = 300

    def __post_init__(self) -> None:
        """Check that the numbers are possible.

        Raises:
            RequestError: One of them is not, or has the wrong type.
        """
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if value is None and name in _UNLIMITED:
                continue
            if isinstance(value, bool) or not isinstance(value, int | float if name == "chars_per_second" else int):
                raise self._wrong(name, "a number" if name == "chars_per_second" else "a whole number")
            if not least <= value < float("inf"):
                raise self._wrong(name, f"at least {least:g}")
        if self.width not in WIDTH_RULES:
            raise self._wrong("width", f"one of {', '.join(WIDTH_RULES)}")
        if self.max_duration_ms is not None and self.max_duration_ms < self.min_duration_ms:
            raise self._wrong("max_duration_ms", f"at least min_duration_ms ({self.min_duration_ms})")
        if self.close_gap_ms < self.min_gap_ms:
            raise self._wrong("close_gap_ms", f"at least min_gap_ms ({self.min_gap_ms})")

    def _wrong(self, key: str, wanted: str) -> RequestError:
        value = getattr(self, key)
        return RequestError(
            f"The subtitle norm {self.name!r} has an impossible {key}: {value!r}.", hint=f"{key} must be {wanted}."
        )

    def for_language(self, language: str | None) -> Norm:
        """Return the norm of this family for a language.

        Args:
            language: Any spelling of a language ("de", "zh-Hant", "Korean"); None where it is unknown.

        Returns:
            The one of `variants`; this norm under the name of the language where there is none; this norm itself
            where the language is unknown, or where it is already meant for one.
        """
        if language is None or self.language is not None:
            return self
        code = try_iso_code(language) or language.lower().replace("_", "-").partition("-")[0]
        found = self.variants.get(code)
        return found or replace(self, name=f"{self.name}-{code}", language=code)

    def text_width(self, line: str) -> float:
        """Measure one line by the rule of this norm."""
        return text_width(line, self.width)


_LEAST: Mapping[str, float] = MappingProxyType(
    {
        "max_lines": 1,
        "max_chars_per_line": 2,
        "min_duration_ms": 1,
        "max_duration_ms": 1,
        "min_gap_ms": 0,
        "max_extension_ms": 0,
        "close_gap_ms": 0,
        "chars_per_second": 0.1,
        "split_pause_ms": 1,
        "join_pause_ms": 0,
    }
)
_UNLIMITED = frozenset(("max_lines", "max_chars_per_line", "max_duration_ms", "chars_per_second"))
