# SPDX-License-Identifier: Apache-2.0
"""Writes the language model as GGUF, one tensor at a time.

A forced aligner's decoder is written so that **its vocabulary is the list of time classes**: the head is the token
table, which libllama also multiplies by at the end where there is no separate output matrix. Everything goes in as
embedding rows and the logits of a row are its classes, so that no vocabulary logits are ever computed. The table of
the real tokens is a file of its own (`write_text`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import numpy as np

from .checkpoint import HEAD_NAME, TEXT_PREFIX, Checkpoint
from .config import TextConfig
from .errors import ConversionError
from .vocabulary import Vocabulary

if TYPE_CHECKING:
    from gguf import GGMLQuantizationType, GGUFWriter

__all__ = ["K_QUANTS", "PLAIN_QUANTS", "QUANTS", "text_quant", "write_gguf", "write_llm", "write_text"]

ARCHITECTURE = "qwen3"
"""The language model is a plain Qwen3: the three position axes of its rotary embedding are always equal, with which the
sections (``qwen3vl`` in llama.cpp) have no effect. Older libraries know it, too, an embedding row has one position
instead of four, and no rotary pair is left to llama.cpp's fourth axis, which is always 0."""
_TABLE = "token_embd.weight"
PLAIN_QUANTS = ("f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0")
"""Types that numpy code can write."""
K_QUANTS = {
    "q6_k": ("q6_k", None),
    "q5_k": ("q5_k_m", None),
    "q4_k": ("q4_k_m", "q4_k"),
    "q3_k": ("q3_k_m", None),
}
"""Types that need libllama's quantiser -> the name of its mixture, and the output head's type where it is another.

The mixtures give the head six bits, and a third of the time of a step is reading it. With four, 8 words more out of
9968 were wrong (docs/performance.md), which is less than what other roundings of the same model differ by.
"""
QUANTS = (*PLAIN_QUANTS, *K_QUANTS)
_FLOATS = ("f32", "f16", "bf16")


@dataclass(frozen=True, kw_only=True)
class _Tensor:
    name: str
    source: str
    shape: tuple[int, ...]


def write_llm(checkpoint: Checkpoint, quant: str, file: Path, *, name: str, licence: str) -> None:
    """Write the language model in any known type.

    Args:
        checkpoint: Where the weights come from.
        quant: One of `QUANTS`.
        file: The file to write.
        name: Model name for the metadata.
        licence: SPDX licence expression for the metadata.

    Raises:
        CheckpointError: A tensor is missing, damaged or of another shape.
        ConversionError: The file cannot be written, or no installed libllama can make a K-quant.
    """
    if quant in PLAIN_QUANTS:
        write_gguf(checkpoint, quant, file, name=name, licence=licence)
        return
    if quant not in K_QUANTS:
        raise ConversionError(f"unknown quantisation {quant!r}.", hint=f"Known: {', '.join(QUANTS)}.")
    from qwen_asr_native import QuantizeError, QuantizerNotFoundError, quantize

    whole = file.with_suffix(".f16.tmp")
    try:
        write_gguf(checkpoint, "f16", whole, name=name, licence=licence)
        kind, head = K_QUANTS[quant]
        quantize(whole, file, kind, head=None if checkpoint.config.aligner else head)
    except QuantizerNotFoundError as error:
        raise ConversionError(
            f"{quant} needs libllama's own quantiser, and no installed library has one ({error}).",
            hint=f"Install ik-llama-cpp-python, or choose one of {', '.join(PLAIN_QUANTS)}.",
        ) from error
    except QuantizeError as error:
        raise ConversionError(f"libllama could not make {quant} ({error}).", path=file) from error
    finally:
        whole.unlink(missing_ok=True)


def write_gguf(checkpoint: Checkpoint, quant: str, file: Path, *, name: str, licence: str) -> None:
    """Write the language model in a type that numpy code can write; see `write_llm`."""
    import gguf

    writer = gguf.GGUFWriter(None, ARCHITECTURE)
    _write_general(writer, quant, name=name, licence=licence)
    _write_sizes(writer, checkpoint.config.text)
    aligner = checkpoint.config.aligner
    if aligner is None:
        _write_tokenizer(writer, checkpoint.vocabulary)
    else:
        # "none": libllama makes up the tokens, and never splits text with them.
        writer.add_tokenizer_model("none")
        writer.add_vocab_size(aligner.classes)
        writer.add_token_list([f"<{number * aligner.class_ms} ms>" for number in range(aligner.classes)])
    tensors = list(_tensors(checkpoint))
    types = {tensor.name: _storage(tensor, quant) for tensor in tensors}
    if aligner is not None:
        # Neighbouring classes are alike, and the head is small.
        types[_TABLE] = _storage(tensors[0], quant if quant in _FLOATS else "f16")
    _write_file(writer, checkpoint, tensors, types, file)


def text_quant(quant: str) -> str:
    """Return the type of the text table that goes with a forced aligner's decoder of type ``quant``.

    Its rows are looked up, not multiplied, so that fewer than 8 bits would make nothing faster.
    """
    return quant if quant in _FLOATS else "q8_0"


def write_text(checkpoint: Checkpoint, quant: str, file: Path, *, name: str, licence: str) -> None:
    """Write a forced aligner's text table: its token embeddings and its tokenizer.

    libllama can open it for its vocabulary alone; ``ik`` libraries want the model's sizes even for that.

    Args:
        checkpoint: Where the weights come from.
        quant: One of `PLAIN_QUANTS`.
        file: The file to write.
        name: Model name for the metadata.
        licence: SPDX licence expression for the metadata.

    Raises:
        CheckpointError: The table is missing, damaged or of another shape.
        ConversionError: The file cannot be written.
    """
    import gguf

    writer = gguf.GGUFWriter(None, ARCHITECTURE)
    _write_general(writer, quant, name=name, licence=licence)
    _write_sizes(writer, checkpoint.config.text)
    _write_tokenizer(writer, checkpoint.vocabulary)
    table = _token_table(checkpoint)
    _write_file(writer, checkpoint, [table], {table.name: _storage(table, quant)}, file)


def _write_file(
    writer: GGUFWriter,
    checkpoint: Checkpoint,
    tensors: list[_Tensor],
    types: dict[str, GGMLQuantizationType],
    file: Path,
) -> None:
    import gguf

    for tensor in tensors:
        kind = types[tensor.name]
        if kind in (gguf.GGMLQuantizationType.F32, gguf.GGMLQuantizationType.F16):
            dtype: np.dtype[Any] = np.dtype(np.float32 if kind == gguf.GGMLQuantizationType.F32 else np.float16)
            stored = tensor.shape
        else:
            dtype = np.dtype(np.uint8)
            stored = gguf.quant_shape_to_byte_shape(tensor.shape, kind)
        writer.add_tensor_info(tensor.name, stored, dtype, int(np.prod(stored)) * dtype.itemsize, raw_dtype=kind)
    try:
        writer.write_header_to_file(file)
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for tensor in tensors:
            streamed = _Streamed(checkpoint, tensor, types[tensor.name], file)
            # The writer wants an array, but uses no more of it than what `_Streamed` has.
            writer.write_tensor_data(cast("np.ndarray[Any, Any]", streamed))
    except OSError as error:
        raise ConversionError(f"cannot be written ({error.strerror}).", path=file) from error
    finally:
        writer.close()


class _Streamed:
    """A tensor that is loaded, converted and written a few rows at a time."""

    def __init__(self, checkpoint: Checkpoint, tensor: _Tensor, kind: GGMLQuantizationType, file: Path) -> None:
        import gguf

        self._checkpoint, self._tensor, self._kind, self._file = checkpoint, tensor, kind, file
        block, size = gguf.GGML_QUANT_SIZES[kind]
        self.nbytes = math.prod(tensor.shape) // block * size

    def byteswap(self, *, inplace: bool) -> _Streamed:
        # Asked for on big-endian machines only, where `tofile` writes little-endian in any case.
        del inplace
        return self

    def tofile(self, stream: BinaryIO) -> None:
        import gguf

        tensor, half = self._tensor, self._kind == gguf.GGMLQuantizationType.F16
        for values in self._checkpoint.blocks(tensor.source, tensor.shape):
            if half and np.abs(values).max(initial=0) > np.finfo(np.float16).max:
                raise ConversionError(
                    f"{tensor.source} has values beyond the range of float16.", path=self._file, hint="Convert to bf16."
                )
            stored = gguf.quants.quantize(values, self._kind)
            stream.write(stored.astype(stored.dtype.newbyteorder("<"), copy=False).tobytes())


def _tensors(checkpoint: Checkpoint) -> Iterator[_Tensor]:
    """Every tensor of the file: its name here, its name in the checkpoint, its shape."""
    config, aligner = checkpoint.config.text, checkpoint.config.aligner
    hidden, head = config.hidden_size, config.head_dim
    if aligner is None:
        yield _token_table(checkpoint)
    else:
        yield _Tensor(name=_TABLE, source=HEAD_NAME, shape=(aligner.classes, hidden))
    yield _Tensor(name="output_norm.weight", source=f"{TEXT_PREFIX}norm.weight", shape=(hidden,))
    if aligner is None and not config.tied:
        yield _Tensor(name="output.weight", source=HEAD_NAME, shape=(config.vocab_size, hidden))
    parts: dict[str, tuple[str, tuple[int, ...]]] = {
        "attn_norm": ("input_layernorm", (hidden,)),
        "attn_q": ("self_attn.q_proj", (config.heads * head, hidden)),
        "attn_k": ("self_attn.k_proj", (config.kv_heads * head, hidden)),
        "attn_v": ("self_attn.v_proj", (config.kv_heads * head, hidden)),
        "attn_output": ("self_attn.o_proj", (hidden, config.heads * head)),
        "attn_q_norm": ("self_attn.q_norm", (head,)),
        "attn_k_norm": ("self_attn.k_norm", (head,)),
        "ffn_norm": ("post_attention_layernorm", (hidden,)),
        "ffn_gate": ("mlp.gate_proj", (config.intermediate_size, hidden)),
        "ffn_up": ("mlp.up_proj", (config.intermediate_size, hidden)),
        "ffn_down": ("mlp.down_proj", (hidden, config.intermediate_size)),
    }
    for layer in range(config.layers):
        for ours, (theirs, shape) in parts.items():
            yield _Tensor(
                name=f"blk.{layer}.{ours}.weight", source=f"{TEXT_PREFIX}layers.{layer}.{theirs}.weight", shape=shape
            )


def _token_table(checkpoint: Checkpoint) -> _Tensor:
    config = checkpoint.config.text
    return _Tensor(
        name=_TABLE, source=f"{TEXT_PREFIX}embed_tokens.weight", shape=(config.vocab_size, config.hidden_size)
    )


def _storage(tensor: _Tensor, quant: str) -> GGMLQuantizationType:
    """Norms stay float32; a matrix whose rows do not fill whole blocks becomes float16."""
    import gguf

    if len(tensor.shape) == 1:
        return gguf.GGMLQuantizationType.F32
    wanted = gguf.GGMLQuantizationType[quant.upper()]
    block, _ = gguf.GGML_QUANT_SIZES[wanted]
    return gguf.GGMLQuantizationType.F16 if tensor.shape[-1] % block else wanted


def _write_general(writer: GGUFWriter, quant: str, *, name: str, licence: str) -> None:
    import gguf

    writer.add_type("model")
    writer.add_name(name)
    writer.add_license(licence)
    mostly = {"f32": "ALL_F32"}.get(quant, f"MOSTLY_{quant.upper()}")
    writer.add_file_type(gguf.LlamaFileType[mostly])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)


def _write_sizes(writer: GGUFWriter, config: TextConfig) -> None:
    writer.add_block_count(config.layers)
    writer.add_context_length(config.context_length)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.heads)
    writer.add_head_count_kv(config.kv_heads)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_theta)


def _write_tokenizer(writer: GGUFWriter, vocabulary: Vocabulary) -> None:
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(list(vocabulary.tokens))
    writer.add_token_types([int(kind) for kind in vocabulary.types])
    writer.add_token_merges(list(vocabulary.merges))
    writer.add_eos_token_id(vocabulary.eos_id)
    if vocabulary.padding_id is not None:
        writer.add_pad_token_id(vocabulary.padding_id)
    writer.add_add_bos_token(False)  # noqa: FBT003 - a value of the file, not a switch
    if vocabulary.chat_template is not None:
        writer.add_chat_template(vocabulary.chat_template)
