# SPDX-License-Identifier: Apache-2.0
"""Reads the JSON files of a checkpoint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .errors import CheckpointError

__all__ = ["read_json"]

MAX_BYTES = 64 << 20
"""Longest file that is read; the largest real one, ``tokenizer.json``, has 11 MB."""


def read_json(file: Path) -> Any:
    """Return what a JSON file holds.

    Args:
        file: The file.

    Raises:
        CheckpointError: It cannot be read, is not JSON, or far too long.
    """
    try:
        if file.stat().st_size > MAX_BYTES:
            raise CheckpointError(f"longer than {MAX_BYTES >> 20} MiB.", path=file, hint="Download it again.")
        return json.loads(file.read_bytes())
    except OSError as error:
        raise CheckpointError(f"cannot be read ({error.strerror}).", path=file) from error
    except (ValueError, RecursionError) as error:
        raise CheckpointError("not JSON.", path=file) from error
