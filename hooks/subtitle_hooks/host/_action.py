# SPDX-License-Identifier: Apache-2.0
"""What a command below ``subtitle-host plugins`` is."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Action"]


@dataclass(frozen=True, kw_only=True)
class Action:
    """One command: ``subtitle-host plugins NAME``.

    Attributes:
        name: What the user types.
        summary: One line for the list of commands.
        description: First paragraph of its help; empty takes the summary.
        epilog: Examples, printed as they are.
        add_arguments: Adds its arguments to a parser. ``--json`` and ``--dry-run`` are there already.
        run: Does it and returns the exit status; raises `SubtitleError`. Imports what only it needs when it is called.
    """

    name: str
    summary: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]
    description: str = ""
    epilog: str = ""
