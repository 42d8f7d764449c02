# SPDX-License-Identifier: Apache-2.0
"""The command ``subtitle-host plugins``."""

from __future__ import annotations

import json

from subtitle_hooks import API_VERSION, SubtitleHost

__all__ = ["list_plugins"]


def list_plugins(host: SubtitleHost, *, as_json: bool, verbose: bool) -> int:
    """Print the backends and the broken plugins of `host` to standard output.

    Returns:
        Exit status 0: a broken plugin is a finding, not a failure (``--strict`` makes it one).
    """
    if as_json:
        print(json.dumps(_as_data(host, verbose=verbose), indent=2))
        return 0
    rows = [("BACKEND", "VERSION", "FROM", "LANGUAGES", "SUMMARY")]
    for backend in host.backends():
        info, origin = backend.info, backend.origin
        whose = f"{origin.distribution} {origin.version}"
        rows.append((info.name, info.version, whose, _brief(info.languages), info.summary))
    if len(rows) > 1:
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        for row in rows:
            print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    else:
        print("No usable backend is installed. To get one, for example: pip install qwen-asr-plugin")
    if host.broken:
        print("\nBroken, left out:")
    for plugin in host.broken:
        print(f"  {plugin.error}")
        if verbose:
            print("".join(f"    {line}" for line in plugin.traceback.splitlines(keepends=True)).rstrip())
    return 0


def _brief(languages: tuple[str, ...]) -> str:
    return " ".join(languages) if len(languages) <= 4 else f"{' '.join(languages[:3])} +{len(languages) - 3}"


def _as_data(host: SubtitleHost, *, verbose: bool) -> dict[str, object]:
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
            for backend in host.backends()
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
            for plugin in host.broken
        ],
    }
