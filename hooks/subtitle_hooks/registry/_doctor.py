# SPDX-License-Identifier: Apache-2.0
"""What may keep plugins from being installed or from working, one finding for each thing looked at."""

from __future__ import annotations

import platform
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from subtitle_hooks import API_VERSION, SubtitleError
from subtitle_hooks._isolation import check_plugins, sort_out

from ._folders import own_version
from ._installed import installed_plugins, missing_requirements
from ._installer import find_installer
from ._resolve import platform_word
from ._sources import configured_indexes, read_index
from .errors import IndexNotConfiguredError

__all__ = ["Finding", "examine"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        subject: What it is: ``python``, ``installer``, ``index``, ``plugin``.
        level: ``ok``, ``note`` (works, but), or ``problem``.
        text: What was found, and what to do about it.
    """

    subject: str
    level: Literal["ok", "note", "problem"]
    text: str


def examine(chosen: Sequence[str] = (), *, offline: bool = False) -> list[Finding]:
    """Look at the environment, the installer, the indexes and every plugin; change nothing.

    Args:
        chosen: Indexes to look at instead of the configured ones.
        offline: Use copies of indexes.
    """
    here = f"Python {platform.python_version()} on {platform_word()}, {sys.prefix}"
    contract = f"subtitle-hooks {own_version()}, contract version {API_VERSION}"
    findings = [
        Finding(subject="python", level="ok", text=here),
        Finding(subject="contract", level="ok", text=contract),
    ]
    try:
        installer = find_installer("NAME").name
        findings.append(Finding(subject="installer", level="ok", text=installer))
    except SubtitleError as error:
        findings.append(Finding(subject="installer", level="problem", text=str(error)))
    findings += _indexes(chosen, offline=offline)
    return findings + _plugins()


def _indexes(chosen: Sequence[str], *, offline: bool) -> list[Finding]:
    try:
        locations = configured_indexes(chosen)
    except IndexNotConfiguredError as error:
        return [Finding(subject="index", level="note", text=str(error))]
    except SubtitleError as error:
        return [Finding(subject="index", level="problem", text=str(error))]
    findings = []
    for location in locations:
        try:
            index = read_index(location, offline=offline, keep=False)
        except SubtitleError as error:
            findings.append(Finding(subject="index", level="problem", text=str(error)))
            continue
        text = f"{index.name}: {len({one.name for one in index.releases})} plugins"
        findings.append(
            Finding(
                subject="index",
                level="note" if index.note else "ok",
                text=f"{text} ({index.note})" if index.note else text,
            )
        )
    return findings


def _plugins() -> list[Finding]:
    usable, broken = sort_out(check_plugins(fresh=True))
    findings = [
        Finding(subject="plugin", level="ok", text=f"backend {one.name!r} of {one.origin} loads") for one in usable
    ]
    findings += [Finding(subject="plugin", level="problem", text=str(one.error)) for one in broken]
    for plugin in installed_plugins():
        missing = missing_requirements(plugin.distribution)
        if missing:
            text = f"{plugin.distribution} {plugin.version} needs {', '.join(missing)}"
            findings.append(Finding(subject="plugin", level="problem", text=f"{text}. Reinstall it."))
    if not usable and not broken:
        text = "none is installed. See: subtitle-host plugins search"
        findings.append(Finding(subject="plugin", level="note", text=text))
    return findings
