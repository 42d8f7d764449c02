# SPDX-License-Identifier: Apache-2.0
"""TTML, its profile IMSC and its older name DFXP.

A cue is a paragraph, or one of its parts where spans of a paragraph are shown at times of their own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from .document import CueList, OddityLog, SubtitleDocument
from .markup import tidy
from .times import round_ms
from .ttml_times import Clock, Interval, own_interval
from .xml_tree import Element, parse_xml

__all__ = ["looks_like_ttml", "read_ttml"]

_ROOT: Final = re.compile(r"<(?:[A-Za-z_][\w.-]{0,40}:)?tt[\s>/]")
_PROLOG_CHARACTERS: Final = 65_536
_SPACE: Final = re.compile(r"[ \t\r\n]+")
_FONT_SIZE: Final = re.compile(
    r"\s*(?:\d+(?:\.\d+)?|\.\d+)(?:px|em|c|%|rw|rh)(?:\s+(?:\d+(?:\.\d+)?|\.\d+)(?:px|em|c|%))?\s*"
)
_CONTENT: Final = frozenset(("body", "div", "p", "span", "br"))
# Ruby annotations stand above the line and are not part of it.
_RUBY_ASIDE: Final = frozenset(("text", "textContainer", "delimiter"))


def looks_like_ttml(text: str) -> bool:
    """Whether the root element is ``tt``."""
    return text.lstrip().startswith("<") and _ROOT.search(text, 0, _PROLOG_CHARACTERS) is not None


def read_ttml(text: str, encoding: str, oddities: OddityLog) -> SubtitleDocument:
    """Read TTML text.

    Args:
        text: The file's text.
        encoding: What it was decoded with.
        oddities: Where to take down what is odd.
    """
    root = parse_xml(text.lstrip(), oddities)
    cues = CueList()
    if root is not None:
        reader = _Reader(root, oddities, cues)
        reader.read()
        if reader.clock.uses_frames:
            oddities.add(None, "frame-times")
    return SubtitleDocument(format="ttml", encoding=encoding, cues=cues.finish(), oddities=oddities.finish())


@dataclass(frozen=True, kw_only=True)
class _Context:
    """What a child inherits: when its parent is shown, the way it counts time, its region and its white space."""

    shown: Interval
    reference: Fraction
    sequential: bool = False
    region: str | None = None
    preserve: bool = False


class _Reader:
    def __init__(self, root: Element, oddities: OddityLog, cues: CueList) -> None:
        self._root = root
        self._oddities = oddities
        self._cues = cues
        self.clock = Clock(root, oddities)
        self._regions: dict[str, Interval] = {}
        self._timed = False
        self._durations: dict[Element, Fraction | None] = {}

    def read(self) -> None:
        self._check_document()
        everything = Interval(Fraction(0), None)
        for element in self._root.walk():
            if element.name == "region":
                shown = own_interval(element, self.clock, Fraction(0), lambda _: None)
                self._regions.setdefault(element.attributes.get("id", ""), shown)
        for body in self._root.elements():
            if body.name == "body":
                preserve = self._root.attributes.get("space") == "preserve"
                self._element(body, _Context(shown=everything, reference=Fraction(0), preserve=preserve))
        if len(self._cues) and not self._timed:
            self._oddities.add(None, "no-times")

    def _check_document(self) -> None:
        if not self._root.attributes.get("xmlns"):
            self._oddities.add(self._root.line, "no-namespace")
        seen: set[str] = set()
        for element in self._root.walk():
            identifier = element.attributes.get("id")
            if identifier is not None and identifier in seen:
                self._oddities.add(element.line, "duplicate-id", f"The identifier {identifier[:40]!r} is used twice.")
            elif identifier is not None:
                seen.add(identifier)
            size = element.attributes.get("fontSize")
            if size is not None and not _FONT_SIZE.fullmatch(size[:200]):
                self._oddities.add(element.line, "bad-attribute", f"{size[:40]!r} is no font size.")
            if element.attributes.get("unicodeBidi") == "bidiOverride":
                self._oddities.add(element.line, "bidi-override")
            if element.name == "region" and {"begin", "end", "dur"} & element.attributes.keys():
                self._oddities.add(element.line, "region", "A region that is shown for a time only.")

    def _interval(self, element: Element, context: _Context) -> Interval:
        self._timed = self._timed or bool({"begin", "end", "dur"} & element.attributes.keys())
        return own_interval(
            element, self.clock, context.reference, lambda begin: self._implicit_end(element, context, begin)
        )

    def _implicit_end(self, element: Element, context: _Context, begin: Fraction) -> Fraction | None:
        """End of an element that states none: its parent's; in a sequence, when its own last child ends."""
        if not context.sequential or element.attributes.get("timeContainer") != "seq":
            return None
        if element not in self._durations:
            duration: Fraction | None = Fraction(0)
            for child in element.elements():
                if child.name in _CONTENT and duration is not None:
                    inner = _Context(shown=Interval(Fraction(0), None), reference=duration, sequential=True)
                    duration = self._interval(child, inner).end
            self._durations[element] = duration
        known = self._durations[element]
        return None if known is None else begin + known

    def _element(self, element: Element, context: _Context) -> Interval:
        """Read a body, div or p; returns when it would be shown if nothing cut it short."""
        own = self._interval(element, context)
        region = element.attributes.get("region", context.region)
        shown = own.within(context.shown)
        impossible = own.end is not None and own.end <= own.begin
        if element.name == "p":
            limits = self._regions.get(region or "") if region else None
            if impossible:
                shown = own
            elif shown is not None and limits is not None:
                shown = shown.within(limits)
            self._paragraph(element, shown, context)
            return own
        if shown is None:
            if any(child.name == "p" for child in element.walk()):
                self._oddities.add(element.line, "never-shown")
            return own
        sequential = element.attributes.get("timeContainer") == "seq"
        reference = own.begin
        preserve = _preserve(element, context.preserve)
        for child in element.elements():
            if child.name in ("div", "p"):
                inner = _Context(
                    shown=shown, reference=reference, sequential=sequential, region=region, preserve=preserve
                )
                end = self._element(child, inner).end
                if sequential and end is None:
                    break  # what follows something without an end is never reached
                reference = end if sequential and end is not None else reference
        return own

    def _paragraph(self, element: Element, shown: Interval | None, context: _Context) -> None:
        if shown is None:
            self._oddities.add(element.line, "never-shown", "The timing of what it stands in never shows this text.")
            return
        runs: list[tuple[Interval, str]] = []
        self._runs(element, shown, _preserve(element, context.preserve), runs)
        texts: dict[Interval, list[str]] = {}
        for interval, text in runs:
            texts.setdefault(interval, []).append(text)
        visible = {interval: raw for interval, parts in texts.items() if (raw := "".join(parts)).strip()}
        identifier = element.attributes.get("id", "")
        for interval, raw in (visible or {shown: ""}).items():
            end_ms = None if interval.end is None else round_ms(interval.end)
            if end_ms is None:
                self._oddities.add(element.line, "no-end")
            text = tidy(raw, element.line, self._oddities)
            self._cues.add(element.line, round_ms(interval.begin), end_ms, text, raw, identifier=identifier)

    def _runs(self, element: Element, shown: Interval, preserve: bool, runs: list[tuple[Interval, str]]) -> None:
        """Collect texts with the times they are shown at; a text directly in a sequence has no duration."""
        sequential = element.attributes.get("timeContainer") == "seq"
        reference = shown.begin
        for child in element.children:
            if isinstance(child, str):
                if not sequential:
                    runs.append((shown, child if preserve else _SPACE.sub(" ", child)))
                elif child.strip():
                    self._oddities.add(element.line, "never-shown", "A text in a sequence has no duration.")
            elif child.name == "br":
                runs.append((shown, "\n"))
            elif child.name == "span" and child.attributes.get("ruby") not in _RUBY_ASIDE:
                own = self._interval(child, _Context(shown=shown, reference=reference, sequential=sequential))
                inner = own.within(shown)
                if inner is not None:
                    self._runs(child, inner, _preserve(child, preserve), runs)
                elif any(isinstance(text, str) and text.strip() for text in child.children):
                    self._oddities.add(child.line, "never-shown")
                if sequential:
                    if own.end is None:
                        break
                    reference = own.end


def _preserve(element: Element, inherited: bool) -> bool:
    space = element.attributes.get("space")
    return inherited if space is None else space == "preserve"
