# SPDX-License-Identifier: Apache-2.0
"""Speech chunks to text: audio encoder, language model, guards, and the process they live in."""

from .engine import Engine, EngineInfo, shared_engine, shut_down
from .memory import peak_memory_bytes
from .recognition import AlignedUnit, Recognition, WorkTimes

__all__ = [
    "AlignedUnit",
    "Engine",
    "EngineInfo",
    "Recognition",
    "WorkTimes",
    "peak_memory_bytes",
    "shared_engine",
    "shut_down",
]
