# SPDX-License-Identifier: Apache-2.0
"""How fast is it, and beside what? Run from the root of the repository; nothing of it is part of what users install.

    python -m benchmarks prepare                                  random weights of the 0.6B shape, 9 GB, 10 minutes
    python -m benchmarks compare --seconds 60 --rounds 3          our configurations, the ancestor's, llama.cpp
    python -m benchmarks compare --contenders slow --name slow --official-python PYTHON --seconds 60 --rounds 3
    python -m benchmarks encoder | neighbour | length             small experiments of their own
    python -m benchmarks report                                   the report again, from the raw runs

Every experiment keeps its raw runs in docs/performance/runs and writes docs/performance/report.md from all of them.
"""

from __future__ import annotations

import argparse
import ast
import sys
from pathlib import Path

from benchmarks.speed.commands import add_commands

_SCRIPTS = Path(__file__).parent


def _scripts() -> str:
    """The single scripts and the first line of each."""
    lines = []
    for file in sorted(_SCRIPTS.glob("[!_]*.py")):
        text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
        lines.append(f"  {file.name:26} {text.partition(chr(10))[0]}")
    return "scripts of their own (python benchmarks/NAME.py --help):\n" + "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        epilog=_scripts(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_commands(parser.add_subparsers(required=True, metavar="command"))
    given = parser.parse_args()
    status: int = given.run(given)
    return status


if __name__ == "__main__":
    sys.exit(main())
