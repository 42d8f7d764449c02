# SPDX-License-Identifier: Apache-2.0
"""Writes the language model as GGUF, one tensor at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .checkpoint import HEAD_NAME, TEXT_PREFIX, Checkpoint
from .errors import ConversionError

__all__ = ["K_QUANTS", "PLAIN_QUANTS", "QUANTS", "write_gguf", "write_llm"]

ARCHITECTURE = "qwen3vl"
PLAIN_QUANTS = ("f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0")
"""Types that numpy code can write."""
K_QUANTS = {"q6_k": "q6_k", "q5_k": "q5_k_m", "q4_k": "q4_k_m", "q3_k": "q3_k_m"}
"""Types that need libllama's quantiser -> the name of its mixture."""
QUANTS = (*PLAIN_QUANTS, *K_QUANTS)


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
        quantize(whole, file, K_QUANTS[quant])
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

    wanted = gguf.GGMLQuantizationType[quant.upper()]
    tensors = list(_tensors(checkpoint))
    types = {tensor.name: _storage_type(tensor, wanted) for tensor in tensors}
    writer = gguf.GGUFWriter(None, ARCHITECTURE)
    _write_metadata(writer, checkpoint, quant, name=name, licence=licence)
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
            kind = types[tensor.name]
            values = checkpoint.load(tensor.source, tensor.shape)
            if kind == gguf.GGMLQuantizationType.F16 and np.abs(values).max(initial=0) > np.finfo(np.float16).max:
                raise ConversionError(
                    f"{tensor.source} has values beyond the range of float16.", path=file, hint="Convert to bf16."
                )
            writer.write_tensor_data(np.ascontiguousarray(gguf.quants.quantize(values, kind)))
    except OSError as error:
        raise ConversionError(f"cannot be written ({error.strerror}).", path=file) from error
    finally:
        writer.close()


def _tensors(checkpoint: Checkpoint) -> Iterator[_Tensor]:
    """Every tensor of the file: its name here, its name in the checkpoint, its shape."""
    config = checkpoint.config.text
    hidden, head = config.hidden_size, config.head_dim
    yield _Tensor(
        name="token_embd.weight", source=f"{TEXT_PREFIX}embed_tokens.weight", shape=(config.vocab_size, hidden)
    )
    yield _Tensor(name="output_norm.weight", source=f"{TEXT_PREFIX}norm.weight", shape=(hidden,))
    if not config.tied:
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


def _storage_type(tensor: _Tensor, wanted: object) -> object:
    """Norms stay float32; a matrix whose rows do not fill whole blocks becomes float16."""
    import gguf

    if len(tensor.shape) == 1:
        return gguf.GGMLQuantizationType.F32
    block, _ = gguf.GGML_QUANT_SIZES[wanted]
    return gguf.GGMLQuantizationType.F16 if tensor.shape[-1] % block else wanted


def _write_metadata(writer: object, checkpoint: Checkpoint, quant: str, *, name: str, licence: str) -> None:
    import gguf

    assert isinstance(writer, gguf.GGUFWriter)
    config, vocabulary = checkpoint.config.text, checkpoint.vocabulary
    writer.add_type("model")
    writer.add_name(name)
    writer.add_license(licence)
    mostly = {"f32": "ALL_F32"}.get(quant, f"MOSTLY_{quant.upper()}")
    writer.add_file_type(gguf.LlamaFileType[mostly])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
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
    # libllama insists on four sections; the official model has three axes.
    writer.add_rope_dimension_sections([*config.mrope_section, 0, 0, 0][:4])
    writer.add_num_deepstack_layers(0)
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
