# SPDX-License-Identifier: Apache-2.0
"""Everything odd that a reader can notice in a subtitle file, and how much it matters."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal

__all__ = ["ODDITY_KINDS", "Severity"]

Severity = Literal["error", "warning", "note"]
"""``error``: players lose text or refuse the file. ``warning``: players differ. ``note``: harmless, worth knowing."""

_ERRORS: Final = {
    "file-cut-off": "the file ends inside a cue",
    "missing-timing": "a cue has no timing line",
    "negative-time": "a time is before zero",
    "never-shown": "text that the file's own timing never shows",
    "not-well-formed": "the XML or JSON is broken; what comes after is lost",
    "signature": "the first line is not the WEBVTT signature; players refuse the file",
    "stray-text": "text that belongs to no cue; players drop it",
    "too-deep": "elements are nested too deep to be read",
    "unreadable-timing": "a timing line cannot be read; players drop the cue",
}
_WARNINGS: Final = {
    "arrow-in-text": "--> where no timing line is",
    "bad-attribute": "an attribute has an impossible value",
    "bad-encoding": "bytes that the encoding does not allow became U+FFFD",
    "bad-entity": "an & that begins no complete character reference",
    "bad-field": "a field has an impossible value",
    "bad-inline-time": "a time inside the text is malformed or outside its cue",
    "bad-region": "a region setting is not valid and has no effect",
    "bad-setting": "a cue setting is not valid and has no effect",
    "bad-tag": "a tag has an impossible value",
    "bidi-override": "the order of characters is overridden",
    "blank-line": "a blank line inside a cue; some players end the cue there",
    "control-character": "a control character",
    "coordinates": "screen coordinates after the times",
    "declared-entity": "the XML declares an entity; it is not expanded",
    "dot-fraction": "a dot before the fraction where SubRip has a comma",
    "duplicate-id": "an identifier is used twice",
    "encoding": "not UTF-8; the encoding is a guess",
    "entity": "HTML character references, which not every SubRip player decodes",
    "header-line": "a line in the file header that means nothing",
    "id-space": "a cue identifier with white space at its ends",
    "inner-bom": "a byte order mark inside the text",
    "mixed-line-endings": "several kinds of line endings",
    "line-separator": "a Unicode line separator inside a line; some players break the line there",
    "misnested-tag": "an end tag without its start tag",
    "missing-blank-line": "no blank line before a cue",
    "missing-field": "a line has fewer fields than its format says",
    "missing-format": "no Format line says what the fields are",
    "missing-fraction": "a time without milliseconds",
    "missing-hours": "a time without hours",
    "missing-number": "a cue without a number",
    "missing-section": "a section that the format wants is not there",
    "no-end": "the file does not say when it ends",
    "no-frame-rate": "times are frames and the file does not say how many a second has",
    "no-namespace": "no TTML namespace",
    "no-play-res": "no PlayResX and PlayResY: sizes mean what the player thinks",
    "no-times": "text without any times",
    "nul": "a NUL character",
    "number-order": "cue numbers do not count up one by one",
    "odd-digits": "times with an unusual number of digits",
    "odd-fraction": "a fraction of a second that does not have the format's number of digits",
    "old-region": "a REGION line of an old WebVTT draft, which has no effect",
    "offset": "an offset shifts every time",
    "override-tag": "{\\...} tags, which not every player knows in this format",
    "soft-break": "\\n, a line break in some wrap styles only",
    "spaces-around-arrow": "no white space around -->",
    "starred-style": "a style name that begins with an asterisk",
    "suffix": "the file name's extension says another format than the content",
    "tag-without-braces": "an override tag outside braces is shown as text",
    "text-on-signature": "--> on the line of the WEBVTT signature",
    "unbound-prefix": "an XML prefix that is not declared",
    "unclosed-tag": "a tag is not closed",
    "unknown-line": "a line that means nothing in this section",
    "unknown-tag": "a tag that the format does not have",
}
_NOTES: Final = {
    "bom": "a byte order mark at the start",
    "cr-line-endings": "lines end with CR alone",
    "extra-blank-line": "more than one blank line between cues",
    "frame-times": "times are frames or ticks, rounded here to milliseconds",
    "long-hours": "hours with more than two digits",
    "region": "regions",
    "style": "style sheets",
    "timestamp-map": "the times are to be shifted by an X-TIMESTAMP-MAP header",
    "utf-16": "UTF-16, which web players do not read",
}

ODDITY_KINDS: Final[Mapping[str, tuple[Severity, str]]] = MappingProxyType(
    {
        **{kind: ("error", text) for kind, text in _ERRORS.items()},
        **{kind: ("warning", text) for kind, text in _WARNINGS.items()},
        **{kind: ("note", text) for kind, text in _NOTES.items()},
    }
)
"""Severity and meaning of every kind of `Oddity`."""
