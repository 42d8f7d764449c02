# SPDX-License-Identifier: Apache-2.0
"""What a contender's process is told and what it answers. The standard library only: other Pythons import it, too."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["CannotRunError", "pieces", "serve", "tokens_of"]

Job = Mapping[str, Any]
Result = dict[str, Any]


class CannotRunError(Exception):
    """This contender cannot run here; the text says why, for the report."""


def serve(work: Callable[[Job], Result]) -> None:
    """Do the job on standard input; the last line of standard output is the result, or why there is none."""
    job = json.loads(sys.stdin.read())
    try:
        result = work(job)
    except CannotRunError as error:
        result = {"error": str(error)}
    print("\n" + json.dumps(result), flush=True)


def pieces(samples: int, rate: int, longest: float) -> list[tuple[int, int]]:
    """Cut so many samples into equal pieces of at most `longest` seconds; return begin and end of each."""
    count = max(1, -(-samples // int(longest * rate)))
    borders = [samples * number // count for number in range(count + 1)]
    return list(itertools.pairwise(borders))


def tokens_of(seconds: float, rate: float) -> int:
    """Tokens to generate for a piece of audio."""
    return max(1, round(seconds * rate))
