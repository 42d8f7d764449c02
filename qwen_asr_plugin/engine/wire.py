# SPDX-License-Identifier: Apache-2.0
"""Messages between the host's process and the worker: a JSON header and raw float32 samples, length-prefixed.

No pickle: whatever reaches the pipe, nothing is executed.
"""

from __future__ import annotations

import json
import struct
from typing import IO, Any, Final

import numpy as np
import numpy.typing as npt

__all__ = ["read_message", "write_message"]

_LENGTHS: Final = struct.Struct("<II")


def write_message(pipe: IO[bytes], header: dict[str, Any], samples: npt.NDArray[np.float32] | None = None) -> None:
    """Write one message and flush.

    Raises:
        OSError: The other side is gone.
    """
    text = json.dumps(header).encode()
    payload = b"" if samples is None else np.ascontiguousarray(samples, "<f4").tobytes()
    pipe.write(_LENGTHS.pack(len(text), len(payload)) + text + payload)
    pipe.flush()


def read_message(pipe: IO[bytes]) -> tuple[dict[str, Any], npt.NDArray[np.float32]] | None:
    """Read one message; None when the other side has closed the pipe."""
    lengths = pipe.read(_LENGTHS.size)
    if len(lengths) < _LENGTHS.size:
        return None
    header_size, payload_size = _LENGTHS.unpack(lengths)
    header, payload = pipe.read(header_size), pipe.read(payload_size)
    if len(header) < header_size or len(payload) < payload_size:
        return None
    return json.loads(header), np.frombuffer(payload, "<f4")
