# SPDX-License-Identifier: Apache-2.0
"""The reference host: the command ``subtitle-host``, which uses nothing but the public API of `subtitle_hooks`."""

from ._cli import main

__all__ = ["main"]
