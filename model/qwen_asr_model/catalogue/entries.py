# SPDX-License-Identifier: Apache-2.0
"""What a catalogue says about a model: its files, where they are, and what it is good for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urljoin

from qwen_asr_model.download import name_fault
from qwen_asr_model.errors import CatalogueError
from qwen_asr_model.manifest import Family

__all__ = ["FORMAT", "VERSION", "Entry", "Kind", "RemoteFile", "parse_catalogue", "valid_name"]

FORMAT = "qwen-asr-catalogue"
VERSION = 1

_NAME = re.compile(r"[a-z0-9][a-z0-9._+-]{0,99}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_LANGUAGE = re.compile(r"[a-z]{2,3}(?:-[A-Za-z0-9]+)*")

T = TypeVar("T")


class Kind:
    """In which form a model is offered."""

    ZIP = "zip"
    """One zip file with all files of a bundle."""
    FILES = "files"
    """The files of a bundle, one by one, ``bundle.json`` among them."""
    CHECKPOINT = "checkpoint"
    """An official checkpoint, which is converted after it has been fetched."""
    GGUF_PAIR = "gguf-pair"
    """A text GGUF and an ``mmproj`` GGUF as llama.cpp uses them."""
    ALL = (ZIP, FILES, CHECKPOINT, GGUF_PAIR)


@dataclass(frozen=True, kw_only=True)
class RemoteFile:
    """One file to fetch.

    Attributes:
        name: Its name here.
        urls: Addresses of it, the best first.
        size: Bytes; None: not known.
        about_size: Bytes, roughly, where `size` is not known; None: not known either.
        sha256: Hash of the whole file, lower-case hexadecimal; None: not known, it is noted when it is first fetched.
    """

    name: str
    urls: tuple[str, ...]
    size: int | None
    about_size: int | None
    sha256: str | None


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One model of a catalogue.

    Attributes:
        name: Name to pull it by, and of the folder it becomes.
        aliases: Other names of it, such as its repository's.
        title: What it is, for a table.
        kind: One of `Kind.ALL`.
        family: One of `qwen_asr_model.manifest.Family`.
        languages: ISO 639 codes; empty: not known.
        licence: SPDX expression of the weights' licence; empty: not known.
        precision: Encoder precision; empty: not known, or chosen when it is converted.
        quant: Language model type; empty: as `precision`.
        memory_mb: Memory that the engine takes with it, in MB; None: not known.
        homepage: Page about it; empty: none.
        files: What to fetch.
    """

    name: str
    aliases: tuple[str, ...]
    title: str
    kind: str
    family: str
    languages: tuple[str, ...]
    licence: str
    precision: str
    quant: str
    memory_mb: int | None
    homepage: str
    files: tuple[RemoteFile, ...]

    @property
    def size(self) -> int | None:
        """Bytes to fetch, exact or roughly; None: not known."""
        sizes = [file.about_size if file.size is None else file.size for file in self.files]
        return None if None in sizes else sum(size for size in sizes if size is not None)

    @property
    def pinned(self) -> bool:
        """Whether the hash of every file is known beforehand."""
        return all(file.sha256 for file in self.files)


def valid_name(name: str) -> bool:
    """Whether a text can be the name of a bundle: lower case, and a folder's name on every system."""
    return bool(_NAME.fullmatch(name)) and not name_fault(name)


def parse_catalogue(raw: object, *, where: str, base_url: str = "") -> tuple[Entry, ...]:
    """Read a catalogue; ``catalogue.schema.json`` beside this file says how it is written.

    Args:
        raw: The JSON value.
        where: Its file or address, for errors.
        base_url: Address that addresses in it may be relative to; empty: they may not be relative.

    Raises:
        CatalogueError: It cannot be used; the message names the model and the field.
    """
    if not isinstance(raw, dict) or raw.get("format") != FORMAT:
        raise CatalogueError(f"not a list of models (its format is not {FORMAT!r}).", path=where)
    if raw.get("version") != VERSION:
        raise CatalogueError(
            f"version {raw.get('version')!r} of the list of models, this program knows {VERSION}.",
            path=where,
            hint="Update the program.",
        )
    models = raw.get("models")
    if not isinstance(models, list):
        raise CatalogueError("field models is missing or wrong.", path=where)
    entries: list[Entry] = []
    for number, model in enumerate(models):
        label = model.get("name") if isinstance(model, dict) else None
        try:
            entry = _entry(_Fields(model, ""), base_url)
        except _FieldError as error:
            raise CatalogueError(
                f"model {label or number + 1}: field {error} is missing or wrong.", path=where
            ) from error
        if any(entry.name == other.name for other in entries):
            raise CatalogueError(f"model {entry.name} is there twice.", path=where)
        entries.append(entry)
    return tuple(entries)


class _FieldError(ValueError):
    """Names the field that is wrong."""


class _Fields:
    """The fields of a JSON object, each checked as it is taken."""

    def __init__(self, raw: object, at: str) -> None:
        if not isinstance(raw, dict):
            raise _FieldError(at.rstrip(".") or "models")
        self._raw: Mapping[str, Any] = raw
        self._at = at

    def text(self, name: str, *, pattern: re.Pattern[str] | None = None, default: str | None = None) -> str:
        value = self._raw.get(name)
        if value is None and default is not None:
            return default
        if not isinstance(value, str) or (pattern is not None and not pattern.fullmatch(value)):
            raise self.wrong(name)
        return value

    def count(self, name: str) -> int | None:
        value = self._raw.get(name)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
            raise self.wrong(name)
        return value

    def texts(self, name: str, *, pattern: re.Pattern[str] | None = None) -> tuple[str, ...]:
        value = self._raw.get(name, [])
        if not isinstance(value, list) or not all(
            isinstance(text, str) and (pattern is None or pattern.fullmatch(text)) for text in value
        ):
            raise self.wrong(name)
        return tuple(value)

    def objects(self, name: str) -> tuple[_Fields, ...]:
        value = self._raw.get(name)
        if not isinstance(value, list) or not value:
            raise self.wrong(name)
        return tuple(_Fields(one, f"{self._at}{name}.") for one in value)

    def wrong(self, name: str) -> _FieldError:
        return _FieldError(f"{self._at}{name}")


def _entry(fields: _Fields, base_url: str) -> Entry:
    name = fields.text("name")
    if not valid_name(name):
        raise fields.wrong("name")
    kind, family = fields.text("kind"), fields.text("family", default=Family.RECOGNISER)
    if kind not in Kind.ALL:
        raise fields.wrong("kind")
    if family not in (Family.RECOGNISER, Family.ALIGNER):
        raise fields.wrong("family")
    bases = tuple(urljoin(base_url, base) for base in fields.texts("base_urls"))
    files = tuple(_file(one, bases, base_url) for one in fields.objects("files"))
    names = [file.name.lower() for file in files]
    if len(set(names)) != len(names) or (kind == Kind.ZIP and len(files) != 1):
        raise fields.wrong("files")
    return Entry(
        name=name,
        aliases=fields.texts("aliases"),
        title=fields.text("title", default=""),
        kind=kind,
        family=family,
        languages=fields.texts("languages", pattern=_LANGUAGE),
        licence=fields.text("licence", default=""),
        precision=fields.text("precision", default=""),
        quant=fields.text("quant", default=""),
        memory_mb=fields.count("memory_mb"),
        homepage=fields.text("homepage", default=""),
        files=files,
    )


def _file(fields: _Fields, bases: tuple[str, ...], base_url: str) -> RemoteFile:
    name = fields.text("name")
    if name_fault(name):
        raise fields.wrong("name")
    urls = tuple(urljoin(base_url, url) for url in fields.texts("urls")) or tuple(base + name for base in bases)
    if not urls or not all(url.startswith(("http://", "https://")) for url in urls):
        raise fields.wrong("urls")
    return RemoteFile(
        name=name,
        urls=urls,
        size=fields.count("size"),
        about_size=fields.count("about_size"),
        sha256=fields.text("sha256", pattern=_SHA256, default="") or None,
    )
