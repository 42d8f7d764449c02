# SPDX-License-Identifier: Apache-2.0
"""Pack the default checkpoints beside the golden files, and unpack them again. Needs numpy only.

    python pack_checkpoint.py DEMO_MODEL_FOLDER     # writes checkpoint/ beside this file
    python pack_checkpoint.py --unpack FOLDER       # writes FOLDER/demo-asr and FOLDER/demo-aligner from checkpoint/

DEMO_MODEL_FOLDER holds ``weights.int8.safetensors`` and the folders ``demo-asr`` and ``demo-aligner`` (configuration
and tokenizer). In that file a matrix is stored as signed bytes with one float16 scale per row (tensor ``NAME.scale``),
everything else as float16; names start with ``asr.``, ``aligner.`` or, where both models use a tensor, ``shared.``.
Packing keeps bytes, scales and values as they are. It puts the recogniser with all that is shared into ``checkpoint/``,
and what only the forced aligner has into ``checkpoint/aligner/``.

Unpacking multiplies in float32, rounds to float16 and writes the official layout. Tensors are laid out by name with a
compact header, so equal weights give equal files and a hash (in ``golden.json`` and ``aligner.json``) tells whether the
golden files belong to the checkpoint.
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
RECOGNISER = "demo-asr"
ALIGNER = "demo-aligner"
ALIGNER_PART = "aligner"
LAYOUT = (
    "config.json",
    "generation_config.json",
    "preprocessor_config.json",
    "chat_template.json",
    "tokenizer_config.json",
    "vocab.json",
    "merges.txt",
)
SHARED = "shared."
RECOGNISER_PREFIXES = ("asr.", SHARED)
ALIGNER_PREFIXES = ("aligner.",)
SCALE = ".scale"
DTYPES: dict[str, np.dtype[Any]] = {"I8": np.dtype("<i1"), "F16": np.dtype("<f2")}
Stored = dict[str, tuple[str, list[int], bytes]]


def read(path: pathlib.Path, prefixes: tuple[str, ...]) -> Stored:
    """Return type, shape and bytes of the tensors of a safetensors file whose names start so."""
    data = path.read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    header: dict[str, Any] = json.loads(data[8 : 8 + length])
    tensors = {}
    for name, entry in header.items():
        if name.startswith(prefixes):
            begin, end = (8 + length + offset for offset in entry["data_offsets"])
            if end > len(data) or end - begin != math.prod(entry["shape"]) * DTYPES[entry["dtype"]].itemsize:
                message = f"{path}: tensor {name} is not whole"
                raise ValueError(message)
            tensors[name] = (entry["dtype"], entry["shape"], data[begin:end])
    if not tensors:
        message = f"{path}: no tensor is called {' or '.join(prefix + '...' for prefix in prefixes)}"
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
    """Write both models of a default model folder to ``packed``; what the aligner has in common only once."""
    recogniser = read(source / WEIGHTS, RECOGNISER_PREFIXES)
    aligner = read(source / WEIGHTS, ALIGNER_PREFIXES)
    part = packed / ALIGNER_PART
    part.mkdir(parents=True, exist_ok=True)
    for name in LAYOUT:
        shutil.copyfile(source / RECOGNISER / name, packed / name)
        if (source / ALIGNER / name).read_bytes() == (packed / name).read_bytes():
            (part / name).unlink(missing_ok=True)
        else:
            shutil.copyfile(source / ALIGNER / name, part / name)
    write(packed / WEIGHTS, recogniser)
    write(part / WEIGHTS, aligner)


def unpack(packed: pathlib.Path, folder: pathlib.Path) -> None:
    """Write what `pack` wrote as two checkpoint folders of the official layout, float16."""
    part = packed / ALIGNER_PART
    recogniser = read(packed / WEIGHTS, RECOGNISER_PREFIXES)
    shared = {name: tensor for name, tensor in recogniser.items() if name.startswith(SHARED)}
    aligner = read(part / WEIGHTS, ALIGNER_PREFIXES)
    for model, own, stored in ((RECOGNISER, packed, recogniser), (ALIGNER, part, {**shared, **aligner})):
        out = folder / model
        out.mkdir(parents=True, exist_ok=True)
        for name in LAYOUT:
            shutil.copyfile((own if (own / name).is_file() else packed) / name, out / name)
        tensors: Stored = {}
        for name in stored:
            if not name.endswith(SCALE):
                values = as_float16(stored, name)
                tensors[name.split(".", 1)[1]] = ("F16", list(values.shape), values.tobytes())
        write(out / "model.safetensors", tensors)


def main() -> None:
    packed = pathlib.Path(__file__).resolve().parent / "checkpoint"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    choice = parser.add_mutually_exclusive_group(required=True)
    choice.add_argument("source", type=pathlib.Path, nargs="?", help="folder with the default models' files")
    choice.add_argument("--unpack", type=pathlib.Path, metavar="FOLDER", help="write both checkpoints to FOLDER")
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
