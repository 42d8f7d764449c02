# SPDX-License-Identifier: Apache-2.0
"""The other side of `_isolation`: loads one plugin and leaves its findings in a file."""

from __future__ import annotations

import contextlib
import dataclasses
import faulthandler
import json
import os
import sys
from pathlib import Path
from typing import Any, NoReturn

from ._backends import descriptors
from ._discovery import broken, create_plugin_manager, find_plugins, load_plugin
from ._errors import PluginError, PluginLoadError

__all__ = ["main"]


def main(request: dict[str, Any]) -> NoReturn:
    """Examine the plugin that `request` names, write the answer, and end the process at once."""
    faulthandler.enable()
    # A hang is reported with the place where it hangs, shortly before the process is ended from outside.
    faulthandler.dump_traceback_later(request["limit_s"] * 0.8)
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    answer = Path(request["answer"])
    draft = answer.with_suffix(".tmp")
    draft.write_text(json.dumps(_examined(request["distribution"], request["entry_point"])), encoding="utf-8")
    with contextlib.suppress(OSError, ValueError, AttributeError):
        sys.stdout.flush()
    draft.replace(answer)
    # Not sys.exit(): threads and exit handlers of the plugin are no part of loading it.
    os._exit(0)


def _examined(distribution: str, entry_point: str) -> dict[str, Any]:
    manager = create_plugin_manager()
    for found in find_plugins(all_of_them=True):
        if (found.origin.distribution, found.origin.entry_point) == (distribution, entry_point):
            try:
                infos = descriptors(manager, load_plugin(manager, found), found.origin)
            except PluginError as error:
                return {"backends": [], "broken": _problem(error, broken(found.origin, error).traceback)}
            return {"backends": [_plain(dataclasses.asdict(info)) for info in infos], "broken": None}
    missing = PluginLoadError(
        f"{distribution} (entry point {entry_point!r}) is not found by a Python process started for it.",
        hint="Is it on a search path that only this program has?",
    )
    return {"backends": [], "broken": _problem(missing, str(missing))}


def _problem(error: PluginError, traceback: str) -> dict[str, object]:
    return {"code": error.code, "what": error.what, "hint": error.hint, "traceback": traceback}


def _plain(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: sorted(value) if isinstance(value, frozenset) else value for name, value in fields.items()}
