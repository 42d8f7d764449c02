# SPDX-License-Identifier: Apache-2.0
"""All known layouts.

The tables were taken from the header ``llama.h`` and the ``*_default_params()`` functions of the builds they name. The
maintained list of changes to watch is https://github.com/ggml-org/llama.cpp/issues/9289.
"""

from __future__ import annotations

from qwen_asr_native.layouts import Layout, StructKind
from qwen_asr_native.layouts_ik import LAYOUTS_IK
from qwen_asr_native.layouts_mainline import LAYOUTS_MAINLINE

__all__ = ["LAYOUTS", "layouts_of"]

LAYOUTS: tuple[Layout, ...] = LAYOUTS_IK + LAYOUTS_MAINLINE


def layouts_of(kind: StructKind) -> tuple[Layout, ...]:
    """The known layouts of one struct."""
    return tuple(layout for layout in LAYOUTS if layout.kind == kind)
