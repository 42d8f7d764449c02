# SPDX-License-Identifier: Apache-2.0
"""The command line ``qwen-asr-plugin``."""

from __future__ import annotations

__all__ = ["main"]


def main() -> int:
    """Run the command line and return its exit status; Ctrl-C is 130 from the first import on."""
    try:
        from .app import run

        return run()
    except KeyboardInterrupt:
        return 130
