# SPDX-License-Identifier: Apache-2.0
"""Messages between the host's process and the worker: a JSON header and raw float32 samples, length-prefixed.

No pickle: whatever reaches the pipe, nothing is executed. Lengths are bounded before memory is taken for them, and a
header is accepted only as one of the operations below with exactly the kinds of values they need; all else is a
`WireError`, after which the pipe cannot be used any more.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping
from types import NoneType
from typing import IO, Any, Final

import numpy as np
import numpy.typing as npt

__all__ = ["ANSWERS", "MAX_HEADER_BYTES", "REQUESTS", "WireError", "longest_payload", "pack_message", "read_message"]

Operations = Mapping[str, Mapping[str, tuple[type, ...]]]

MAX_HEADER_BYTES: Final = 1 << 20
_MAGIC: Final = b"qAs1"
_PREFIX: Final = struct.Struct("<4sII")

REQUESTS: Final[Operations] = {
    "load": {"options": (dict,)},
    "chunk": {"id": (int,), "job": (int,), "context": (str,), "language": (str, NoneType), "align": (bool,)},
    "cancel": {"job": (int,)},
}
"""What the host says, and the values that go with it."""

ANSWERS: Final[Operations] = {
    "alive": {"peak": (int,)},
    "ready": {"info": (dict,), "peak": (int,)},
    "failed": {"error": (dict,)},
    "started": {"id": (int,)},
    "result": {
        "id": (int,),
        "text": (str,),
        "language": (str, NoneType),
        "times": (dict,),
        "context_cut": (bool,),
        "aligned": (list, NoneType),
        "peak": (int,),
    },
    "error": {"id": (int,), "error": (dict,)},
    "dropped": {"id": (int,)},
}
"""What the worker says: signs of life, the outcome of loading, and exactly one last word on every chunk."""


class WireError(Exception):
    """What came through the pipe is no message, or a message would be too long."""


def longest_payload(max_chunk_seconds: float) -> int:
    """Return the most bytes of samples that a chunk may have; twice the model's limit, which it checks itself."""
    return 4 * 16000 * int(2 * max_chunk_seconds + 1)


def pack_message(header: dict[str, Any], samples: npt.NDArray[np.float32] | None = None) -> bytes:
    """Return one message as bytes.

    Raises:
        WireError: The header is longer than `MAX_HEADER_BYTES`.
    """
    text = json.dumps(header).encode()
    if len(text) > MAX_HEADER_BYTES:
        raise WireError(f"a header of {len(text)} bytes is too long")
    payload = b"" if samples is None else np.ascontiguousarray(samples, "<f4").tobytes()
    return _PREFIX.pack(_MAGIC, len(text), len(payload)) + text + payload


def read_message(
    pipe: IO[bytes], operations: Operations, *, max_payload_bytes: Callable[[], int] = lambda: 0
) -> tuple[dict[str, Any], npt.NDArray[np.float32]] | None:
    """Read one message; None when the other side has closed the pipe, be it in the middle of a message.

    Args:
        pipe: A buffered pipe.
        operations: What may come: `REQUESTS` or `ANSWERS`.
        max_payload_bytes: Says how many bytes of samples may come, once a message is there; only a chunk has any.

    Returns:
        The header and its samples, float32 ``[n]``.

    Raises:
        WireError: Something else came.
    """
    prefix = pipe.read(_PREFIX.size)
    if not _MAGIC.startswith(prefix[: len(_MAGIC)]):
        raise WireError(f"{prefix!r} is not the beginning of a message")
    if len(prefix) < _PREFIX.size:
        return None
    _, header_size, payload_size = _PREFIX.unpack(prefix)
    if header_size > MAX_HEADER_BYTES or payload_size > max_payload_bytes() or payload_size % 4:
        raise WireError(f"a message of {header_size} and {payload_size} bytes cannot be")
    text, payload = pipe.read(header_size), pipe.read(payload_size)
    if len(text) < header_size or len(payload) < payload_size:
        return None
    return _checked(text, operations, with_payload=payload_size > 0), np.frombuffer(payload, "<f4")


def _checked(text: bytes, operations: Operations, *, with_payload: bool) -> dict[str, Any]:
    try:
        header = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise WireError(f"the header is no JSON: {error}") from None
    if not isinstance(header, dict):
        raise WireError("the header is no object")
    operation = header.get("op")
    expected = operations.get(operation) if isinstance(operation, str) else None
    if expected is None:
        raise WireError(f"{str(operation)[:60]!r} is not an operation")
    for name, kinds in expected.items():
        if type(header.get(name, ...)) not in kinds:
            raise WireError(f"{operation}: {name} is missing or of the wrong kind")
    if with_payload and operation != "chunk":
        raise WireError(f"{operation} has no samples")
    return header
