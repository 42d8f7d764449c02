# SPDX-License-Identifier: Apache-2.0
"""Pack the default checkpoint's recogniser beside the golden files, and unpack it again. Needs numpy only.

    python pack_checkpoint.py DEMO_MODEL_FOLDER     # writes checkpoint/ beside this file
    python pack_checkpoint.py --unpack FOLDER       # writes the official layout, float16, from checkpoint/

DEMO_MODEL_FOLDER holds ``weights.int8.safetensors`` and the folder ``demo-asr`` (configuration and tokenizer). In that
file a matrix is stored as signed bytes with one float16 scale per row (tensor ``NAME.scale``), everything else as
float16; names start with ``asr.``, ``aligner.`` or, where both models use a tensor, ``shared.``. Packing keeps the
first and the last kind as they are, byte for byte.

Unpacking multiplies in float32 and rounds to float16. Tensors are laid out by name with a compact header, so equal
weights give equal files and one hash (in ``golden.json``) tells whether the golden files belong to the checkpoint.
"""

import argparse
import json
import math
import pathlib
import shutil
import struct
import sys
from typing import Any

import numpy as np
import numpy.typing as npt

WEIGHTS = "weights.int8.safetensors"
LAYOUT_FOLDER = "demo-asr"
LAYOUT = (
    "config.json",
    "generation_config.json",
    "preprocessor_config.json",
    "chat_template.json",
    "tokenizer_config.json",
    "vocab.json",
    "merges.txt",
)
PREFIXES = ("asr.", "shared.")
SCALE = ".scale"
DTYPES: dict[str, np.dtype[Any]] = {"I8": np.dtype("<i1"), "F16": np.dtype("<f2")}
Stored = dict[str, tuple[str, list[int], bytes]]


def read(path: pathlib.Path) -> Stored:
    """Return type, shape and bytes of every tensor of a safetensors file that the recogniser needs."""
    data = path.read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    header: dict[str, Any] = json.loads(data[8 : 8 + length])
    tensors = {}
    for name, entry in header.items():
        if name.startswith(PREFIXES):
            begin, end = (8 + length + offset for offset in entry["data_offsets"])
            if end > len(data) or end - begin != math.prod(entry["shape"]) * DTYPES[entry["dtype"]].itemsize:
                message = f"{path}: tensor {name} is not whole"
                raise ValueError(message)
            tensors[name] = (entry["dtype"], entry["shape"], data[begin:end])
    if not tensors:
        message = f"{path}: no tensor is called {' or '.join(prefix + '...' for prefix in PREFIXES)}"
        raise ValueError(message)
    return tensors


def write(path: pathlib.Path, tensors: Stored) -> None:
    """Write a safetensors file: tensors by name, a header without spaces, filled up to a multiple of 8 bytes."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name in sorted(tensors):
        dtype, shape, data = tensors[name]
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + len(data)]}
        at += len(data)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name in sorted(tensors):
            file.write(tensors[name][2])


def as_float16(tensors: Stored, name: str) -> npt.NDArray[np.float16]:
    """Return one tensor: bytes times the scale of their row, in float32, rounded to float16."""
    dtype, shape, data = tensors[name]
    values = np.frombuffer(data, DTYPES[dtype]).reshape(shape)
    if name + SCALE not in tensors:
        return values.astype(DTYPES["F16"])
    _, scale_shape, scale_data = tensors[name + SCALE]
    scale = np.frombuffer(scale_data, DTYPES["F16"]).reshape(scale_shape)
    return (values.astype(np.float32) * scale.astype(np.float32)).astype(DTYPES["F16"])


def pack(source: pathlib.Path, packed: pathlib.Path) -> None:
    """Write the recogniser's part of a default model folder to ``packed``."""
    tensors = read(source / WEIGHTS)
    packed.mkdir(parents=True, exist_ok=True)
    for name in LAYOUT:
        shutil.copyfile(source / LAYOUT_FOLDER / name, packed / name)
    write(packed / WEIGHTS, tensors)


def unpack(packed: pathlib.Path, folder: pathlib.Path) -> None:
    """Write what `pack` wrote as a checkpoint folder of the official layout, float16."""
    stored = read(packed / WEIGHTS)
    folder.mkdir(parents=True, exist_ok=True)
    for name in LAYOUT:
        shutil.copyfile(packed / name, folder / name)
    tensors: Stored = {}
    for name in stored:
        if not name.endswith(SCALE):
            values = as_float16(stored, name)
            tensors[name.split(".", 1)[1]] = ("F16", list(values.shape), values.tobytes())
    write(folder / "model.safetensors", tensors)


def main() -> None:
    packed = pathlib.Path(__file__).resolve().parent / "checkpoint"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    choice = parser.add_mutually_exclusive_group(required=True)
    choice.add_argument("source", type=pathlib.Path, nargs="?", help="folder with the default model's files")
    choice.add_argument("--unpack", type=pathlib.Path, metavar="FOLDER", help="write the packed checkpoint to FOLDER")
    parser.add_argument("--packed", type=pathlib.Path, default=packed, help="default: checkpoint/ beside this file")
    arguments = parser.parse_args()
    try:
        if arguments.unpack:
            unpack(arguments.packed, arguments.unpack)
        else:
            pack(arguments.source, arguments.packed)
    except (OSError, ValueError, KeyError, struct.error) as error:
        sys.exit(f"pack_checkpoint.py: {error}")


if __name__ == "__main__":
    main()
