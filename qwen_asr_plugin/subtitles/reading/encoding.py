# SPDX-License-Identifier: Apache-2.0
"""Bytes to text: byte order marks, UTF-8, UTF-16 without a mark, and a guess for everything else."""

from __future__ import annotations

import codecs
import re
from typing import Final

from .document import OddityLog

__all__ = ["decode"]

_BOMS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # begins like the mark of UTF-16, so it is looked for first
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_XML_ENCODING: Final = re.compile(rb"""\A\s*<\?xml[^>]{0,200}?\sencoding\s*=\s*["']([A-Za-z0-9._:-]{1,40})["']""")
# What subtitle files that are not Unicode are written in; of equally likely ones the first is taken.
_LEGACY: Final = (
    "gb18030",
    "big5",
    "cp932",
    "euc_jp",
    "cp949",
    "cp1252",
    "cp1250",
    "cp1251",
    "cp1256",
    "cp1253",
    "cp1254",
    "cp1255",
    "cp1257",
    "cp1258",
    "cp874",
    "koi8_r",
)
_SAMPLE_BYTES: Final = 32_768
# A file in UTF-8 that was damaged is told from other encodings by its many correct characters.
_GOOD_PER_BAD: Final = 8


def decode(data: bytes, oddities: OddityLog) -> tuple[str, str]:
    """Decode the bytes of a subtitle file; never fails.

    Returns:
        The text without the mark at its start, and Python's name of the encoding.
    """
    text, encoding = _decode(data, oddities)
    if "\x00" in text:
        oddities.add(text.count("\n", 0, text.index("\x00")) + 1, "nul")
    return text, encoding


def _decode(data: bytes, oddities: OddityLog) -> tuple[str, str]:
    for bom, encoding in _BOMS:
        if data.startswith(bom) and (encoding != "utf-32-le" or _decodes(data, encoding)):
            if encoding == "utf-8":
                oddities.add(1, "bom")
            else:
                oddities.add(1, "utf-16", f"The text is {encoding[:-3].upper()}, which web players do not read.")
            return _tolerant(data[len(bom) :], encoding, oddities), encoding
    if encoding := _utf16_without_mark(data):
        oddities.add(1, "utf-16", "UTF-16 without a byte order mark, which most players take for something else.")
        return data.decode(encoding), encoding
    try:
        return data.decode("utf-8"), "utf-8"
    except UnicodeDecodeError:
        pass
    text = data.decode("utf-8", "replace")
    bad = text.count("\ufffd")
    if sum(char > "\x7f" for char in text) - bad >= _GOOD_PER_BAD * bad:
        return _tolerant(data, "utf-8", oddities), "utf-8"
    encoding = _declared(data) or _guess(data)
    oddities.add(1, "encoding", f"The text is not UTF-8; it was read as {encoding}.")
    return _tolerant(data, encoding, oddities), encoding


def _tolerant(data: bytes, encoding: str, oddities: OddityLog) -> str:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        oddities.add(line, "bad-encoding", f"Bytes that {encoding} does not allow became U+FFFD.")
        return data.decode(encoding, "replace")


def _decodes(data: bytes, encoding: str) -> bool:
    try:
        data.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _utf16_without_mark(data: bytes) -> str:
    """Name UTF-16 where every other byte is often NUL: digits, spaces and line ends stand in every subtitle file."""
    sample = data[:_SAMPLE_BYTES]
    if len(data) % 2 or len(sample) < 4:
        return ""
    even, odd = sample[::2].count(0), sample[1::2].count(0)
    few, many = sorted((even, odd))
    if many * 10 < len(sample) or few * 20 > many:
        return ""
    encoding = "utf-16-le" if odd > even else "utf-16-be"
    return encoding if _decodes(data, encoding) else ""


def _declared(data: bytes) -> str:
    """Name the encoding an XML declaration states, if it is one that fits."""
    found = _XML_ENCODING.match(data)
    if not found:
        return ""
    try:
        encoding = codecs.lookup(found[1].decode("ascii")).name
        data.decode(encoding)
    except (LookupError, UnicodeError, ValueError):
        return ""
    return encoding


def _guess(data: bytes) -> str:
    # Only lines that are not ASCII tell encodings apart; the rest would drown them.
    lines, size = [], 0
    for line in re.split(rb"[\r\n]+", data):
        if not line.isascii():
            lines.append(line)
            size += len(line)
            if size > _SAMPLE_BYTES:
                break
    from charset_normalizer import from_bytes

    sample = b"\n".join(lines)[: 2 * _SAMPLE_BYTES]
    matches = list(from_bytes(sample, cp_isolation=list(_LEGACY), preemptive_behaviour=False))
    if not matches:
        return "cp1252"
    best = min(matches, key=lambda match: (match.chaos, -match.coherence, _rank(match.encoding)))
    return best.encoding


def _rank(encoding: str) -> int:
    return _LEGACY.index(encoding) if encoding in _LEGACY else len(_LEGACY)
