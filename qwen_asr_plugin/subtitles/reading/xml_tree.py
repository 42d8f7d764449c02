# SPDX-License-Identifier: Apache-2.0
"""A small XML tree with line numbers that survives undeclared prefixes and a broken end, and expands no entity.

`xml.etree` knows no line numbers and gives up on an undeclared prefix; both matter for a check.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final
from xml.parsers import expat

from .document import OddityLog

__all__ = ["Element", "parse_xml"]

MAX_DEPTH: Final = 200


@dataclass(eq=False)
class Element:
    """An element: local name, prefix, attributes by local name, children in order (texts are strings)."""

    name: str
    prefix: str
    line: int
    attributes: dict[str, str]
    children: list[Element | str] = field(default_factory=list)

    def elements(self) -> Iterator[Element]:
        """Yield the children that are elements."""
        return (child for child in self.children if isinstance(child, Element))

    def walk(self) -> Iterator[Element]:
        """Yield this element and all below it, in the order of the file."""
        waiting = [self]
        while waiting:
            element = waiting.pop()
            yield element
            waiting.extend(reversed(list(element.elements())))


class _Stop(Exception):  # noqa: N818 - ends the parsing, is no error
    """Raised inside a handler to end the parsing."""


class _Builder:
    def __init__(self, oddities: OddityLog) -> None:
        self.root: Element | None = None
        self.oddities = oddities
        self._open: list[Element] = []
        self._prefixes: list[frozenset[str]] = [frozenset(("xml", "xmlns", ""))]
        self._unbound: set[str] = set()
        self.parser = expat.ParserCreate()
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._text
        self.parser.EntityDeclHandler = self._entity

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        line = self.parser.CurrentLineNumber
        if len(self._open) >= MAX_DEPTH:
            self.oddities.add(line, "too-deep")
            raise _Stop
        declared = {key[6:] for key in attributes if key.startswith("xmlns:")}
        known = self._prefixes[-1] | declared if declared else self._prefixes[-1]
        for key in (name, *attributes):
            prefix = key.partition(":")[0] if ":" in key else ""
            if prefix not in known and prefix not in self._unbound:
                self._unbound.add(prefix)
                self.oddities.add(line, "unbound-prefix", f"The prefix {prefix[:40]!r} is not declared.")
        prefix, _, local = name.rpartition(":")
        element = Element(local, prefix, line, {key.rpartition(":")[2]: value for key, value in attributes.items()})
        if "xmlns" in attributes or any(key.startswith("xmlns:") for key in attributes):
            element.attributes["xmlns"] = attributes.get("xmlns" if not prefix else f"xmlns:{prefix}", "")
        if self._open:
            self._open[-1].children.append(element)
        else:
            self.root = element
        self._open.append(element)
        self._prefixes.append(known)

    def _end(self, _: str) -> None:
        self._open.pop()
        self._prefixes.pop()

    def _text(self, text: str) -> None:
        if self._open:
            self._open[-1].children.append(text)

    def _entity(self, *_: object) -> None:
        self.oddities.add(self.parser.CurrentLineNumber, "declared-entity")
        raise _Stop


def parse_xml(text: str, oddities: OddityLog) -> Element | None:
    """Parse XML text; what comes before an error is kept.

    A document that declares an entity is not read any further, so that nothing can grow.

    Returns:
        The root element, None where there is none.
    """
    builder = _Builder(oddities)
    try:
        builder.parser.Parse(text, True)  # noqa: FBT003 - its only name is positional
    except expat.ExpatError as error:
        oddities.add(error.lineno, "not-well-formed", f"The XML is broken: {expat.ErrorString(error.code)}.")
    except _Stop:
        pass
    return builder.root
