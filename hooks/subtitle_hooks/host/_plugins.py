# SPDX-License-Identifier: Apache-2.0
"""The commands below ``subtitle-host plugins``."""

from __future__ import annotations

import argparse
import json

from subtitle_hooks import SubtitleError

from ._action import Action
from ._list import LIST
from ._registry import DOCTOR, INSTALL, REMOVE, SEARCH, SHOW, UPDATE
from .new import NEW

__all__ = ["ACTIONS", "add_plugins_parser", "run_plugins"]

ACTIONS: tuple[Action, ...] = (
    LIST,
    SEARCH,
    SHOW,
    INSTALL,
    UPDATE,
    REMOVE,
    DOCTOR,
    NEW,
)
"""In the order of the help text."""

_EPILOG = """\
examples:
  subtitle-host plugins                         what is installed, and what is broken
  subtitle-host plugins search                  everything the configured indexes offer
  subtitle-host plugins install qwen-asr        install, prove that it works, or put back what was there
  subtitle-host plugins update --dry-run        what would change

SUBTITLE_HOOKS_PLUGINS=name,name loads only these entry points or distributions; empty loads none.
"""


def add_plugins_parser(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``plugins`` alone, which lists, and its commands."""
    parser.epilog = _EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.set_defaults(action=LIST)
    _common(parser, default=False)
    LIST.add_arguments(parser)
    commands = parser.add_subparsers(metavar="COMMAND")
    for action in ACTIONS:
        command = commands.add_parser(
            action.name,
            help=action.summary,
            description=action.description or action.summary,
            epilog=action.epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            # What stands before the command must not be undone by the defaults of what stands behind it.
            argument_default=argparse.SUPPRESS if action is LIST else None,
        )
        _common(command, default=argparse.SUPPRESS)
        action.add_arguments(command)
        command.set_defaults(action=action)


def run_plugins(arguments: argparse.Namespace) -> int:
    """Run the chosen command; with ``--json`` an error is printed as data too.

    Raises:
        SubtitleError: What the command has to say.
    """
    try:
        status: int = arguments.action.run(arguments)
    except SubtitleError as error:
        if arguments.json:
            problem = {
                "code": error.code,
                "class": type(error).__name__,
                "what": error.what,
                "path": error.path,
                "hint": error.hint,
            }
            print(json.dumps({"error": problem}, indent=2))
        raise
    return status


def _common(parser: argparse.ArgumentParser, *, default: bool | str) -> None:
    add = parser.add_argument
    add("--json", action="store_true", default=default, help="machine-readable")
    add("--dry-run", "-n", action="store_true", default=default, help="change nothing, say what would change")
