# SPDX-License-Identifier: Apache-2.0
"""Finds models by name: in the catalogues of the user's own, then in the one that comes with the package."""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Sequence
from pathlib import Path

from qwen_asr_model.download import DownloadSettings, fetch_text
from qwen_asr_model.errors import BundleNotFoundError, CatalogueError

from .entries import Entry, parse_catalogue

__all__ = ["CATALOGUE_VARIABLE", "builtin_catalogue", "find_entry", "load_catalogue"]

CATALOGUE_VARIABLE = "QWEN_ASR_CATALOGUE"
"""Environment variable with further catalogues, files or addresses, separated by ``;``."""

_BUILTIN = Path(__file__).parent / "catalogue.json"


def builtin_catalogue() -> tuple[Entry, ...]:
    """Return the models that the package knows."""
    return parse_catalogue(json.loads(_BUILTIN.read_bytes()), where=str(_BUILTIN))


def load_catalogue(sources: Sequence[str] = (), *, settings: DownloadSettings | None = None) -> tuple[Entry, ...]:
    """Return all models there are to pull.

    Args:
        sources: Catalogues of the user's own, JSON files or addresses; before those that ``QWEN_ASR_CATALOGUE`` names,
            which are before the package's. Of several models of one name the first counts.
        settings: How to fetch the ones that are addresses.

    Raises:
        CatalogueError: One cannot be read.
        DownloadError: One cannot be fetched.
    """
    named = [source.strip() for source in os.environ.get(CATALOGUE_VARIABLE, "").split(";")]
    entries: dict[str, Entry] = {}
    for source in (*sources, *filter(None, named)):
        for entry in _read(source, settings):
            entries.setdefault(entry.name, entry)
    for entry in builtin_catalogue():
        entries.setdefault(entry.name, entry)
    return tuple(entries.values())


def find_entry(name: str, entries: Sequence[Entry]) -> Entry:
    """Return the model of a name or alias, in upper or lower case.

    Raises:
        BundleNotFoundError: There is none; the message has names that are similar.
    """
    folded = name.casefold()
    for entry in entries:
        if folded in (entry.name, *(alias.casefold() for alias in entry.aliases)):
            return entry
    near = difflib.get_close_matches(folded, [entry.name for entry in entries], n=3, cutoff=0.5)
    hint = f"Did you mean {', '.join(near)}? " if near else ""
    raise BundleNotFoundError(
        f"there is no model {name!r} in the catalogue.", hint=f"{hint}`qwen-asr-plugin model list` shows all."
    )


def _read(source: str, settings: DownloadSettings | None) -> tuple[Entry, ...]:
    is_address = source.startswith(("http://", "https://"))
    try:
        text = fetch_text(source, settings=settings) if is_address else Path(source).expanduser().read_text("utf-8")
        raw = json.loads(text)
    except OSError as error:
        raise CatalogueError(f"cannot be read ({error.strerror}).", path=source) from error
    except ValueError as error:
        raise CatalogueError(f"not JSON ({error}).", path=source) from error
    except RecursionError as error:
        raise CatalogueError("not JSON that can be read (nested too deep).", path=source) from error
    return parse_catalogue(raw, where=source, base_url=source if is_address else "")
