# SPDX-License-Identifier: Apache-2.0
"""TTML (``.ttml``), as the text profile of IMSC 1.1."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from typing import Final

from subtitle_hooks import Segment

from .clock import clock
from .info import TranscriptInfo
from .shown import shown

__all__ = ["render_ttml"]

_ROOT: Final = {
    "xmlns": "http://www.w3.org/ns/ttml",
    "xmlns:ttp": "http://www.w3.org/ns/ttml#parameter",
    "xmlns:tts": "http://www.w3.org/ns/ttml#styling",
    "ttp:contentProfiles": "http://www.w3.org/ns/ttml/profile/imsc1.1/text",
}
_STYLE: Final = {
    "xml:id": "subtitle",
    "tts:color": "white",
    "tts:fontFamily": "proportionalSansSerif",
    "tts:fontSize": "100%",
    "tts:textAlign": "center",
    "tts:backgroundColor": "#000000c0",
}
_REGION: Final = {
    "xml:id": "bottom",
    "tts:origin": "10% 80%",
    "tts:extent": "80% 15%",
    "tts:displayAlign": "after",
}


def render_ttml(segments: Sequence[Segment], info: TranscriptInfo) -> str:
    """TTML (https://www.w3.org/TR/ttml-imsc1.1/), one paragraph a cue, each language change marked."""
    root = ET.Element("tt", {**_ROOT, "xml:lang": info.language or ""})
    head = ET.SubElement(root, "head")
    ET.SubElement(ET.SubElement(head, "styling"), "style", _STYLE)
    ET.SubElement(ET.SubElement(head, "layout"), "region", _REGION)
    body = ET.SubElement(root, "body", {"style": "subtitle", "region": "bottom"})
    division = ET.SubElement(body, "div", {"xml:space": "preserve"})
    for cue in shown(segments, "TTML"):
        paragraph = ET.SubElement(division, "p", {"begin": clock(cue.start_ms), "end": clock(cue.end_ms)})
        if cue.language and cue.language != info.language:
            paragraph.set("xml:lang", cue.language)
        paragraph.text = cue.lines[0]
        for line in cue.lines[1:]:
            ET.SubElement(paragraph, "br").tail = line
    ET.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'
