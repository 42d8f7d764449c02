# SPDX-License-Identifier: Apache-2.0
"""What is inside the files of a bundle: tensors, graphs, metadata, tokenizer.

Only the heads of the files are read, never the weights.
"""

from __future__ import annotations

import math
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from qwen_asr_native.errors import ModelLoadError
from qwen_asr_native.gguf_file import GgufFile, TensorInfo, read_array

from ._onnx_head import OnnxValue, _mapped, _Reader, read_onnx
from ._structure import check_gguf, file_quant
from .aligner import AlignerFiles
from .bundle import open_any
from .errors import GgufDamagedError
from .manifest import FileEntry
from .vocabulary import TokenType

__all__ = ["BundleContents", "GraphFacts", "PartContents", "SpecialToken", "TensorFacts", "Tokenizer", "inspect_bundle"]

# Numbers of ``TensorProto.DataType`` -> name, bits of an element.
_ONNX_TYPES = {
    1: ("float32", 32),
    2: ("uint8", 8),
    3: ("int8", 8),
    4: ("uint16", 16),
    5: ("int16", 16),
    6: ("int32", 32),
    7: ("int64", 64),
    9: ("bool", 8),
    10: ("float16", 16),
    11: ("float64", 64),
    16: ("bfloat16", 16),
    21: ("uint4", 4),
    22: ("int4", 4),
}
_MODEL_IR, _MODEL_PRODUCER, _MODEL_OPSET = 1, 2, 8
_OPSET_DOMAIN, _OPSET_VERSION = 1, 2
_DEFAULT_DOMAIN = "ai.onnx"
_USES = {"bos": "begins a text", "eos": "ends an answer", "padding": "pads"}
_CACHE_BYTES = 2
"""Of a number in the KV cache, which is float16."""


@dataclass(frozen=True, kw_only=True)
class TensorFacts:
    """One tensor as it is stored.

    Attributes:
        name: Its name in the file.
        type: Element type of ONNX (``float32``, ``int8``), or type of ggml (``F32``, ``Q8_0``).
        shape: Rows first, as numpy writes it; a graph's input or output has None where the size is free.
        size: Bytes in the file; None: not known.
    """

    name: str
    type: str
    shape: tuple[int | None, ...]
    size: int | None


@dataclass(frozen=True, kw_only=True)
class GraphFacts:
    """What an ONNX file says beside its weights.

    Attributes:
        ir_version: Version of the file format.
        producer: The program that wrote it; empty: it does not say.
        opsets: Version of each set of operators; the default one is ``ai.onnx``.
        inputs: What the graph takes.
        outputs: What it gives.
        operators: How often each operator occurs, the most frequent first.
    """

    ir_version: int
    producer: str
    opsets: dict[str, int]
    inputs: tuple[TensorFacts, ...]
    outputs: tuple[TensorFacts, ...]
    operators: dict[str, int]


@dataclass(frozen=True, kw_only=True)
class SpecialToken:
    """One token that is no text.

    Attributes:
        id: Its number.
        token: Its spelling.
        kind: ``control``, ``user-defined``, or another of `TokenType`.
        use: What the file says it is for; empty: nothing.
    """

    id: int
    token: str
    kind: str
    use: str


@dataclass(frozen=True, kw_only=True)
class Tokenizer:
    """The tokenizer of a GGUF file.

    Attributes:
        kind: ``gpt2`` is byte-level BPE, ``none`` a list of classes that are no text.
        pre: How text is cut before merging; empty: it does not say.
        entries: Size of the vocabulary.
        unused: How many entries only fill the table up.
        merges: Number of merge rules.
        special: Tokens that are no text, by id.
    """

    kind: str
    pre: str
    entries: int
    unused: int
    merges: int
    special: tuple[SpecialToken, ...]


@dataclass(frozen=True, kw_only=True)
class PartContents:
    """What is inside one file of a bundle.

    Attributes:
        file: Its name.
        role: What it is for, of `qwen_asr_model.manifest.Role`.
        variant: Precision or type the bundle says.
        size: Bytes.
        stored_as: Precision or type the file itself says; empty: it does not say.
        tensors: Its tensors, in the order of the file.
        graph: Of an ONNX file; None: it is another one.
        metadata: Of a GGUF file: scalars and strings; of an array the number of its elements.
        tokenizer: Of a GGUF file; None: it is another one.
        kv_cache_bytes: Bytes that each position of the context takes in the KV cache; None: it is no decoder.
    """

    file: str
    role: str
    variant: str
    size: int
    stored_as: str
    tensors: tuple[TensorFacts, ...] = field(repr=False)
    graph: GraphFacts | None = None
    metadata: dict[str, Any] = field(default_factory=dict, repr=False)
    tokenizer: Tokenizer | None = None
    kv_cache_bytes: int | None = None

    @property
    def tensor_bytes(self) -> int:
        """Bytes of all tensors whose size is known."""
        return sum(tensor.size or 0 for tensor in self.tensors)

    @property
    def architecture(self) -> str:
        """Architecture of a GGUF file; empty for others."""
        return str(self.metadata.get("general.architecture", ""))

    @property
    def context_length(self) -> int | None:
        """Positions that the decoder was trained for; None: not known."""
        found = self.metadata.get(f"{self.architecture}.context_length")
        return found if isinstance(found, int) else None

    def by_type(self) -> dict[str, tuple[int, int]]:
        """Count tensors and bytes of each type, the largest share first."""
        found: dict[str, tuple[int, int]] = {}
        for tensor in self.tensors:
            count, size = found.get(tensor.type, (0, 0))
            found[tensor.type] = (count + 1, size + (tensor.size or 0))
        return dict(sorted(found.items(), key=lambda item: -item[1][1]))

    def as_dict(self, *, tensors: bool = False) -> dict[str, Any]:
        """Return plain values for JSON; the list of tensors only if asked for."""
        listed = [asdict(tensor) for tensor in self.tensors] if tensors else None
        return {
            "file": self.file,
            "role": self.role,
            "variant": self.variant,
            "size": self.size,
            "stored_as": self.stored_as,
            "tensor_count": len(self.tensors),
            "tensor_bytes": self.tensor_bytes,
            "types": {name: {"count": count, "bytes": size} for name, (count, size) in self.by_type().items()},
            **({} if self.graph is None else {"graph": asdict(self.graph)}),
            **({"architecture": self.architecture, "metadata": self.metadata} if self.metadata else {}),
            **({} if self.tokenizer is None else {"tokenizer": asdict(self.tokenizer)}),
            **({} if self.context_length is None else {"context_length": self.context_length}),
            **({} if self.kv_cache_bytes is None else {"kv_cache_bytes_per_position": self.kv_cache_bytes}),
            **({} if listed is None else {"tensors": listed}),
        }


@dataclass(frozen=True, kw_only=True)
class BundleContents:
    """What is inside a bundle.

    Attributes:
        parts: One entry for each file, in the order of the bundle.
        weights_bytes: Memory for the files of the default choice, which are mapped or loaded, in bytes.
        kv_cache_bytes: Memory for one position of the recogniser's (or else the aligner's) context in one lane.
    """

    parts: tuple[PartContents, ...]
    weights_bytes: int
    kv_cache_bytes: int

    def as_dict(self, *, tensors: bool = False) -> dict[str, Any]:
        """Return plain values for JSON; the lists of tensors only if asked for."""
        return {
            "memory": {"weights_bytes": self.weights_bytes, "kv_cache_bytes_per_position": self.kv_cache_bytes},
            "parts": [part.as_dict(tensors=tensors) for part in self.parts],
        }


def inspect_bundle(path: str | os.PathLike[str]) -> BundleContents:
    """Look into every file of a bundle.

    Only the heads are read (memory-mapped), and what is kept grows with the number of tensors and tokens, not with the
    weights: some 30 MB for an official vocabulary.

    Args:
        path: The folder.

    Returns:
        What is in it.

    Raises:
        BundleError: As `open_bundle` and `open_aligner`, and for files that are not of the default choice, too.
    """
    opened = open_any(path)
    parts = tuple(_part(opened.path / entry.name, entry) for entry in opened.files)
    by_file = {part.file: part for part in parts}
    used = [opened.encoder_frontend, opened.encoder_backend, opened.llm]
    beside = opened if isinstance(opened, AlignerFiles) else opened.aligner
    if beside is not None:
        used += [beside.encoder_frontend, beside.encoder_backend, beside.llm, beside.text]
    return BundleContents(
        parts=parts,
        weights_bytes=sum(by_file[name].size for name in {file.name for file in used}),
        kv_cache_bytes=by_file[opened.llm.name].kv_cache_bytes or 0,
    )


def _part(file: Path, entry: FileEntry) -> PartContents:
    common: dict[str, Any] = {"file": entry.name, "role": entry.role, "variant": entry.variant, "size": entry.size}
    if file.suffix == ".onnx":
        head = read_onnx(file)
        with _mapped(file) as data:
            ir_version, producer, opsets = _Model(data).facts()
        operators = dict(sorted(head.operators.items(), key=lambda item: (-item[1], item[0])))
        graph = GraphFacts(
            ir_version=ir_version,
            producer=producer,
            opsets=opsets,
            inputs=tuple(map(_onnx_tensor, head.inputs)),
            outputs=tuple(map(_onnx_tensor, head.outputs)),
            operators=operators,
        )
        tensors = tuple(map(_onnx_tensor, head.weights))
        return PartContents(**common, stored_as=head.precision, tensors=tensors, graph=graph)
    found = check_gguf(file)
    return PartContents(
        **common,
        stored_as=file_quant(found),
        tensors=tuple(map(_gguf_tensor, found.tensors.values())),
        metadata=found.metadata,
        tokenizer=_tokenizer(file, found),
        kv_cache_bytes=_kv_cache_bytes(found),
    )


class _Model(_Reader):
    """The fields of a model outside of its graph."""

    def facts(self) -> tuple[int, str, dict[str, int]]:
        """Return the version of the format, the producer, and the sets of operators."""
        version, producer = 0, ""
        opsets: dict[str, int] = {}
        for number, content in self._fields(0, len(self._data)):
            if number == _MODEL_IR and isinstance(content, int):
                version = content
            elif number == _MODEL_PRODUCER and isinstance(content, tuple):
                producer = self._text(*content)
            elif number == _MODEL_OPSET and isinstance(content, tuple):
                domain, operators = "", 0
                for inner, value in self._fields(*content):
                    if inner == _OPSET_DOMAIN and isinstance(value, tuple):
                        domain = self._text(*value)
                    elif inner == _OPSET_VERSION and isinstance(value, int):
                        operators = value
                opsets[domain or _DEFAULT_DOMAIN] = operators
        return version, producer, opsets


def _onnx_tensor(value: OnnxValue) -> TensorFacts:
    name, bits = _ONNX_TYPES.get(value.type, (f"type {value.type}", None))
    size = None if bits is None or None in value.shape else -(-math.prod(filter(None, value.shape)) * bits // 8)
    if 0 in value.shape:
        size = 0
    return TensorFacts(name=value.name, type=name, shape=value.shape, size=size)


def _gguf_tensor(info: TensorInfo) -> TensorFacts:
    import gguf

    try:
        kind = gguf.GGMLQuantizationType(info.type)
    except ValueError:
        return TensorFacts(name=info.name, type=f"type {info.type}", shape=tuple(reversed(info.shape)), size=info.size)
    elements, size = gguf.GGML_QUANT_SIZES[kind]
    return TensorFacts(
        name=info.name, type=kind.name, shape=tuple(reversed(info.shape)), size=info.count // elements * size
    )


def _tokenizer(file: Path, head: GgufFile) -> Tokenizer:
    values = head.metadata
    try:
        tokens: list[str] = read_array(file, head, "tokenizer.ggml.tokens")
        types: list[int] = read_array(file, head, "tokenizer.ggml.token_type")
    except ModelLoadError as error:
        raise GgufDamagedError(str(error).removeprefix(f"{file}: "), path=file) from error
    uses = {values.get(f"tokenizer.ggml.{name}_token_id"): use for name, use in _USES.items()}
    named = (number for number in uses if isinstance(number, int) and 0 <= number < len(tokens))
    kinds: dict[int, int] = dict.fromkeys(named, TokenType.NORMAL)
    kinds |= {number: kind for number, kind in enumerate(types) if kind in _SPECIAL_KINDS}
    return Tokenizer(
        kind=str(values.get("tokenizer.ggml.model", "")),
        pre=str(values.get("tokenizer.ggml.pre", "")),
        entries=len(tokens),
        unused=sum(kind == TokenType.UNUSED for kind in types),
        merges=values.get("tokenizer.ggml.merges", 0),
        special=tuple(
            SpecialToken(id=number, token=tokens[number], kind=_kind_name(kind), use=uses.get(number, ""))
            for number, kind in sorted(kinds.items())
        ),
    )


_SPECIAL_KINDS = (TokenType.UNKNOWN, TokenType.CONTROL, TokenType.USER_DEFINED)


def _kind_name(kind: int) -> str:
    return TokenType(kind).name.lower().replace("_", "-")


def _kv_cache_bytes(head: GgufFile) -> int | None:
    """Keys and values of all layers for one position; None where there are no layers, as in a text table."""
    architecture = head.metadata["general.architecture"]

    def size(key: str, default: int) -> int:
        found = head.metadata.get(f"{architecture}.{key}", default)
        return found if isinstance(found, int) else default

    if "blk.0.attn_k.weight" not in head.tensors:
        return None
    heads = size("attention.head_count", 1)
    width = size("embedding_length", 0) // heads
    both = size("attention.key_length", width) + size("attention.value_length", width)
    return size("block_count", 0) * size("attention.head_count_kv", heads) * both * _CACHE_BYTES
