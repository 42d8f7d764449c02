# SPDX-License-Identifier: Apache-2.0
"""Checks the parts of a model against each other, from the heads of their files alone.

Both native libraries answer a cut-off file with an obscure message at best and a crash at worst, and files of two
models fit together only by accident. These checks touch only the heads (memory-mapped), so that they cost milliseconds
whatever the size of the file, and are bounded in time and memory whatever it holds.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from qwen_asr_native.errors import ModelLoadError
from qwen_asr_native.gguf_file import GgufFile, check_model, read_gguf

from ._onnx_head import FLOAT, FLOAT16, OnnxHead, OnnxValue, read_onnx
from .config import AudioConfig
from .errors import GgufDamagedError, OnnxDamagedError, WrongModelError

__all__ = [
    "EncoderSizes",
    "check_decoder",
    "check_encoder",
    "check_gguf",
    "check_tokens",
    "check_width",
    "encoder_of",
    "file_quant",
]

ARCHITECTURES = ("qwen3vl", "qwen3")
_MISPLACED = "Keep every model in a folder of its own; the files of 0.6B and 1.7B carry the same names."
_AGAIN = "Copy the bundle again, or convert the checkpoint again."


def check_gguf(file: Path) -> GgufFile:
    """Check that a GGUF file holds all of its tensors.

    Args:
        file: The file.

    Returns:
        Its head.

    Raises:
        GgufDamagedError: It is not GGUF, cut off or corrupt.
        WrongModelError: It holds a model of another architecture.
    """
    try:
        head = read_gguf(file)
        architecture = head.metadata.get("general.architecture")
        if isinstance(architecture, str) and architecture not in ARCHITECTURES:
            raise WrongModelError(
                f"holds a model of architecture {architecture[:64]!r}.",
                path=file,
                hint=f"Needed: {' or '.join(ARCHITECTURES)}.",
            )
        check_model(file, head)
    except ModelLoadError as error:
        raise GgufDamagedError(str(error).removeprefix(f"{file}: "), path=file) from error
    return head


def check_decoder(file: Path, *, quant: str) -> GgufFile:
    """Check that a GGUF file holds a whole decoder: every tensor, in the shape its own metadata say.

    Args:
        file: The file.
        quant: What the bundle says it is stored as.

    Returns:
        Its head.

    Raises:
        GgufDamagedError: It is not GGUF, cut off, corrupt, or a tensor is missing or of another shape.
        WrongModelError: It holds a model of another architecture, or another type than the bundle says.
    """
    head = check_gguf(file)
    stored = file_quant(head)
    if stored and quant.lower() in _KNOWN_QUANTS and stored != quant.lower():
        raise WrongModelError(f"is stored as {stored}, the bundle says {quant}.", path=file, hint=_AGAIN)
    name = head.metadata["general.architecture"]

    def size(key: str, default: int = 0) -> int:
        value = head.metadata.get(f"{name}.{key}", default)
        return value if isinstance(value, int) else 0

    width, heads, inner = size("embedding_length"), size("attention.head_count"), size("feed_forward_length")
    key_heads = size("attention.head_count_kv", heads)
    head_width = size("attention.key_length", width // max(heads, 1))
    value_width = size("attention.value_length", width // max(heads, 1))
    if heads % max(key_heads, 1) or head_width % 2:
        raise GgufDamagedError(
            f"{heads} query heads cannot share {key_heads} key heads of width {head_width}.", path=file, hint=_AGAIN
        )
    tokens = head.metadata["tokenizer.ggml.tokens"]
    wanted: dict[str, tuple[int, ...]] = {"output_norm.weight": (width,)}
    if "output.weight" in head.tensors:
        wanted["output.weight"] = (width, tokens)
    for layer in range(size("block_count")):
        parts: dict[str, tuple[int, ...]] = {
            "attn_norm": (width,),
            "attn_q": (width, heads * head_width),
            "attn_k": (width, key_heads * head_width),
            "attn_v": (width, key_heads * value_width),
            "attn_output": (heads * value_width, width),
            "attn_q_norm": (head_width,),
            "attn_k_norm": (head_width,),
            "ffn_norm": (width,),
            "ffn_gate": (width, inner),
            "ffn_up": (width, inner),
            "ffn_down": (inner, width),
        }
        wanted |= {f"blk.{layer}.{part}.weight": shape for part, shape in parts.items()}
    for tensor, shape in wanted.items():
        found = head.tensors.get(tensor)
        if found is None or found.shape != shape:
            what = "is missing" if found is None else f"has the shape {found.shape}, not {shape}"
            raise GgufDamagedError(f"tensor {tensor} {what}.", path=file, hint=_AGAIN)
    return head


def file_quant(head: GgufFile) -> str:
    """Return the type a GGUF file says it is stored in, as bundles name it; empty: it does not say."""
    kind = head.metadata.get("general.file_type")
    return _FILE_TYPES.get(kind, "") if isinstance(kind, int) else ""


# Numbers of ``enum llama_ftype``; the three sizes of a mixture go by one name.
_FILE_TYPES = {
    0: "f32",
    1: "f16",
    2: "q4_0",
    3: "q4_1",
    7: "q8_0",
    8: "q5_0",
    9: "q5_1",
    11: "q3_k",
    12: "q3_k",
    13: "q3_k",
    14: "q4_k",
    15: "q4_k",
    16: "q5_k",
    17: "q5_k",
    18: "q6_k",
    32: "bf16",
}
_KNOWN_QUANTS = frozenset(_FILE_TYPES.values())


def check_tokens(file: Path, head: GgufFile, tokens: Sequence[str]) -> None:
    """Check that a vocabulary has some special tokens; that it has nothing twice, `check_gguf` has seen.

    Args:
        file: The GGUF file.
        head: Its head.
        tokens: Their spellings.

    Raises:
        WrongModelError: One is missing.
        GgufDamagedError: The file cannot be read any more.
    """
    info = head.arrays["tokenizer.ggml.tokens"]
    try:
        with file.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
            for token in tokens:
                spelled = token.encode()
                entry = struct.pack("<Q", len(spelled)) + spelled
                if data.find(entry, info.start, info.end) < 0:
                    raise WrongModelError(f"its vocabulary has no {token}.", path=file, hint="Is it a Qwen3-ASR model?")
    except (OSError, ValueError) as error:
        raise GgufDamagedError(f"cannot be read ({error}).", path=file) from error


@dataclass(frozen=True, kw_only=True)
class EncoderSizes:
    """What an encoder's graphs say about themselves.

    Attributes:
        n_mels: Mel bins of the frontend's input.
        chunk_frames: Frames of its input; None: free.
        width: Width of the rows the backend returns.
    """

    n_mels: int
    chunk_frames: int | None
    width: int


def encoder_of(config: AudioConfig) -> EncoderSizes:
    """Return what the graphs of a configuration would say about themselves."""
    return EncoderSizes(n_mels=config.n_mels, chunk_frames=None, width=config.output_dim)


def check_encoder(frontend: Path, backend: Path, *, precision: str) -> EncoderSizes:
    """Check that two ONNX files are the two graphs of one encoder.

    The graphs of this package have free sizes; those of the released bundles have a frontend of exactly one second
    and a backend with a mask as second input.

    Args:
        frontend: ``[chunks, n_mels, frames] -> [chunks, rows, d_model]``.
        backend: ``[batch, time, d_model]`` (and perhaps a mask of rank 4) ``-> [batch, time, width]``.
        precision: What the bundle says they are stored as.

    Returns:
        Their sizes.

    Raises:
        OnnxDamagedError: A file is not ONNX, cut off or corrupt.
        WrongModelError: A graph is another one, they do not fit together, or are of another precision than the bundle
            says.
    """
    first, second = read_onnx(frontend), read_onnx(backend)
    mel, rows = _one(frontend, first, "inputs"), _one(frontend, first, "outputs")
    _check_value(frontend, mel, 3, (1,))
    _check_value(frontend, rows, 3, (2,))
    if not 1 <= len(second.inputs) <= 2:
        raise _other_graph(backend, f"it has {len(second.inputs)} inputs")
    hidden, out = second.inputs[0], _one(backend, second, "outputs")
    _check_value(backend, hidden, 3, (2,))
    _check_value(backend, out, 3, (2,))
    for mask in second.inputs[1:]:
        _check_value(backend, mask, 4, ())
    if rows.shape[2] != hidden.shape[2]:
        raise WrongModelError(
            f"reads rows of {hidden.shape[2]} numbers, {frontend.name} writes {rows.shape[2]}.",
            path=backend,
            hint=_MISPLACED,
        )
    if len({value.type for value in (mel, rows, *second.inputs)}) > 1:
        raise WrongModelError(f"takes other numbers than {frontend.name}.", path=backend, hint=_MISPLACED)
    for file, head in ((frontend, first), (backend, second)):
        _check_precision(file, head, precision)
    n_mels, width = mel.shape[1], out.shape[2]
    assert n_mels is not None
    assert width is not None
    return EncoderSizes(n_mels=n_mels, chunk_frames=mel.shape[2], width=width)


def check_width(encoder: EncoderSizes, backend: Path, decoder: GgufFile, file: Path) -> None:
    """Check that a decoder reads the rows an encoder writes.

    Raises:
        WrongModelError: It does not.
    """
    width = decoder.tensors["token_embd.weight"].shape[0]
    if encoder.width != width:
        raise WrongModelError(
            f"reads rows of {width} numbers, {backend.name} writes {encoder.width}: they belong to different models.",
            path=file,
            hint=_MISPLACED,
        )


def _one(file: Path, head: OnnxHead, what: str) -> OnnxValue:
    values: tuple[OnnxValue, ...] = getattr(head, what)
    if len(values) != 1:
        raise _other_graph(file, f"it has {len(values)} {what}")
    return values[0]


def _check_value(file: Path, value: OnnxValue, rank: int, known: tuple[int, ...]) -> None:
    if value.type not in (FLOAT, FLOAT16) or len(value.shape) != rank:
        raise _other_graph(file, f"{value.name!r} has {len(value.shape)} dimensions of type {value.type}")
    for axis in known:
        if not 1 <= (value.shape[axis] or 0) <= _MAX_SIZE:
            raise _other_graph(file, f"{value.name!r} does not say how large its dimension {axis} is")


_MAX_SIZE = 1 << 20


def _other_graph(file: Path, what: str) -> OnnxDamagedError:
    return OnnxDamagedError(f"not the graph of an encoder: {what}.", path=file, hint=_AGAIN)


def _check_precision(file: Path, head: OnnxHead, precision: str) -> None:
    # The frontend of int4 has little to store in 4 bits, or nothing.
    allowed = {"fp32": {"fp32"}, "fp16": {"fp16"}, "int8": {"int8"}, "int4": {"int4", "int8"}}.get(precision)
    if allowed is not None and head.precision not in allowed:
        raise WrongModelError(f"is stored as {head.precision}, the bundle says {precision}.", path=file, hint=_AGAIN)
