# SPDX-License-Identifier: Apache-2.0
"""The command ``subtitle-host plugins new``: a project for a backend of one's own."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from ._action import Action

__all__ = ["NEW"]

_DESCRIPTION = "Write a ready project for a backend: package, one module, tests with the contract kit, CI file, README."
_EPILOG = """\
examples:
  subtitle-host plugins new my-subtitles              writes the folder my-subtitles
  subtitle-host plugins new my-subtitles --directory ~/code/subs --license mit --author "Ada Lovelace"

NAME is the name of the distribution; those of the backend and of the module follow from it. An existing folder is used
if it is empty, and never written over.
"""
_LICENSES = ("apache-2.0", "mit", "none")


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("name", metavar="NAME", help="name of the new distribution, for example my-subtitles")
    add("--directory", type=Path, metavar="D", help="folder of the project (default: NAME in the working directory)")
    add("--license", choices=_LICENSES, default="apache-2.0", help="default: %(default)s")
    add("--author", default="", metavar="TEXT", help="who holds the copyright (default: 'The NAME developers')")


def _run(arguments: argparse.Namespace) -> int:
    from subtitle_hooks.template import check_folder, plan_project, write_project

    project = plan_project(arguments.name, arguments.directory, author=arguments.author, license=arguments.license)
    check_folder(project.folder)
    paths = [project.folder / path for path in project.files] if arguments.dry_run else write_project(project)
    if arguments.json:
        names = project.names
        data = {
            "distribution": names.distribution,
            "backend": names.backend,
            "module": names.module,
            "folder": str(project.folder),
            "files": [str(path) for path in paths],
            "dry_run": arguments.dry_run,
        }
        print(json.dumps(data, indent=2))
        return 0
    print("\n".join(str(path) for path in paths))
    if arguments.dry_run:
        print("Nothing was written.", file=sys.stderr)
    else:
        print(f"Next: cd {project.folder} && python3 -m pip install -e '.[test]' && pytest", file=sys.stderr)
    return 0


NEW = Action(
    name="new",
    summary="write a project for a backend of your own",
    description=_DESCRIPTION,
    epilog=_EPILOG,
    add_arguments=_add_arguments,
    run=_run,
)
"""The command, for the table of `_plugins`."""
