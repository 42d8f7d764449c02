# SPDX-License-Identifier: Apache-2.0
"""The command ``subtitle-host plugins``."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence

from subtitle_hooks import API_VERSION, BrokenPlugin, InstalledBackend
from subtitle_hooks._isolation import check_plugins, sort_out

from ._action import Action

__all__ = ["LIST", "table"]


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    default = parser.argument_default or False
    add("--verbose", "-v", action="store_true", default=default, help="with the tracebacks of broken plugins")
    add("--strict", action="store_true", default=default, help="fail if any installed plugin is broken")


def _list(arguments: argparse.Namespace) -> int:
    # A broken plugin is a finding, not a failure; --strict makes it one.
    backends, broken = sort_out(check_plugins())
    if arguments.strict and broken:
        raise broken[0].error
    if arguments.json:
        print(json.dumps(_as_data(backends, broken, verbose=arguments.verbose), indent=2))
        return 0
    rows = [("BACKEND", "VERSION", "FROM", "LANGUAGES", "SUMMARY")]
    for backend in backends:
        info, origin = backend.info, backend.origin
        whose = f"{origin.distribution} {origin.version}"
        rows.append((info.name, info.version, whose, _brief(info.languages), info.summary))
    if len(rows) > 1:
        print(table(rows))
    else:
        print("No usable backend is installed. To get one, for example: pip install qwen-asr-plugin")
    if broken:
        print("\nBroken, left out:")
    # A name that two distributions claim is one finding for a reader, and two in the data.
    for plugin in {str(one.error): one for one in broken}.values():
        print(f"  {plugin.error}")
        if arguments.verbose:
            print("".join(f"    {line}" for line in plugin.traceback.splitlines(keepends=True)).rstrip())
    return 0


LIST = Action(
    name="list",
    summary="list installed backends and broken plugins",
    description="List the installed backends, and the plugins that are left out because they are broken.",
    add_arguments=_add_arguments,
    run=_list,
)


def table(rows: Sequence[Sequence[str]]) -> str:
    """Set rows in columns as wide as their widest cell."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _brief(languages: tuple[str, ...]) -> str:
    return " ".join(languages) if len(languages) <= 4 else f"{' '.join(languages[:3])} +{len(languages) - 3}"


def _as_data(
    backends: Sequence[InstalledBackend], broken: Sequence[BrokenPlugin], *, verbose: bool
) -> dict[str, object]:
    return {
        "api_version": API_VERSION,
        "backends": [
            {
                "name": backend.info.name,
                "version": backend.info.version,
                "api_version": backend.info.api_version,
                "summary": backend.info.summary,
                "languages": list(backend.info.languages),
                "capabilities": sorted(backend.info.capabilities),
                "media": list(backend.info.media),
                "distribution": backend.origin.distribution,
                "distribution_version": backend.origin.version,
                "entry_point": backend.origin.entry_point,
            }
            for backend in backends
        ],
        "broken": [
            {
                "distribution": plugin.distribution,
                "distribution_version": plugin.version,
                "entry_point": plugin.entry_point,
                "code": plugin.error.code,
                "error": str(plugin.error),
                **({"traceback": plugin.traceback} if verbose else {}),
            }
            for plugin in broken
        ],
    }
