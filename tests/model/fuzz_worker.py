# SPDX-License-Identifier: Apache-2.0
"""Opens mutated files one after the other and writes a line of JSON about each; run by ``test_fuzz.py``.

    python fuzz_worker.py FOLDER FIRST LAST BYTES

BYTES are all the memory it gets. In FOLDER are a bundle, a released bundle, a pair and a checkpoint. File number FIRST
to LAST - 1 of the sequence is mutated in place, opened with everything it belongs to, and put right again.
"""

from __future__ import annotations

import json
import random
import resource
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path

from qwen_asr_model import BundleError, open_aligner, open_bundle
from qwen_asr_model.checkpoint import read_checkpoint
from qwen_asr_model.mmproj import _audio_config, _read_encoder


def open_mmproj(file: Path) -> None:
    _audio_config(file, _read_encoder(file))


def open_checkpoint(file: Path) -> None:
    checkpoint = read_checkpoint(file.parent)
    checkpoint.tensors.load("thinker.model.norm.weight")


# (file, how it is opened); the sequence goes round.
TARGETS: list[tuple[str, Callable[[Path], object]]] = [
    ("own/qwen3_asr_llm.q8_0.gguf", lambda file: open_bundle(file.parent)),
    ("released/qwen3_asr_encoder_frontend.int4.onnx", lambda file: open_bundle(file.parent)),
    ("checkpoint/model.safetensors", open_checkpoint),
    ("released/qwen3_aligner_llm.f16.gguf", lambda file: open_aligner(file.parent)),
    ("own/qwen3_asr_encoder_backend.int8.onnx", lambda file: open_bundle(file.parent)),
    ("pair/mmproj.gguf", open_mmproj),
]


def mutate(data: bytes, dice: random.Random) -> bytes:
    """Change a file in one of the ways that hurt parsers: mostly in its head, where the structure is."""
    changed = bytearray(data)
    head = min(len(data), dice.choice([64, 512, 4096, 65536, len(data)]))
    kind = dice.randrange(7)
    if kind == 0:  # single bits
        for _ in range(dice.choice([1, 4, 64])):
            changed[dice.randrange(head)] ^= 1 << dice.randrange(8)
    elif kind == 1:  # extreme numbers
        size = dice.choice([1, 2, 4, 8])
        at = dice.randrange(max(1, head - size))
        changed[at : at + size] = dice.choice(
            [bytes(size), b"\xff" * size, b"\x7f" * size, b"\x00" * (size - 1) + b"\x80"]
        )
    elif kind == 2:  # cut off
        del changed[dice.randrange(len(data)) :]
    elif kind == 3:  # a piece over another
        size = dice.randrange(1, 4096)
        source, at = dice.randrange(head), dice.randrange(head)
        changed[at : at + size] = data[source : source + size]
    elif kind == 4:  # a piece left out or put in
        at, size = dice.randrange(head), dice.randrange(1, 256)
        if dice.random() < 0.5:
            del changed[at : at + size]
        else:
            changed[at:at] = dice.randbytes(size)
    elif kind == 5:  # a length
        at = dice.randrange(max(1, head - 8))
        changed[at : at + 8] = struct.pack("<Q", dice.choice([0, 1, 1 << 20, 1 << 31, 1 << 40, (1 << 63) - 1, 1 << 63]))
    else:  # noise, or the same byte over and over
        at, size = dice.randrange(head), dice.randrange(1, 65536)
        changed[at : at + size] = dice.choice([dice.randbytes(size), bytes([dice.randrange(256)]) * size])
    return bytes(changed)


def main() -> None:
    folder, first, last, memory = Path(sys.argv[1]), *map(int, sys.argv[2:])
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    for number in range(first, last):
        name, opened = TARGETS[number % len(TARGETS)]
        file = folder / name
        data = file.read_bytes()
        started = time.monotonic()
        try:
            file.write_bytes(mutate(data, random.Random(number)))
            sys.stdout.write(json.dumps({"number": number, "file": name}) + "\n")
            sys.stdout.flush()
            opened(file)
            said = "opened"
        except BundleError as error:
            said = error.code if file.name in str(error) or file.parent.name in str(error) else f"unnamed: {error}"
        finally:
            file.write_bytes(data)
        seconds = time.monotonic() - started
        sys.stdout.write(json.dumps({"number": number, "file": name, "said": said, "seconds": seconds}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
