# SPDX-License-Identifier: Apache-2.0
"""Writes models as others do: the released bundles of the ancestor project, and pairs for llama.cpp.

The tests need files of these forms and none can be shipped. Written from their description: names, shapes, types and
transformations of the tensors, and the metadata.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
import numpy.typing as npt

from qwen_asr_model._encoder import sinusoids
from qwen_asr_model._llm import _tensors as llm_tensors
from qwen_asr_model._onnx_file import Graph
from qwen_asr_model._shapes import encoder_shapes
from qwen_asr_model.checkpoint import AUDIO_PREFIX, TEXT_PREFIX, Checkpoint
from qwen_asr_native import quantize

Array = npt.NDArray[np.float32]
BLOCK = 128
PADDING = -100.0


# Text models, as llama.cpp's converter writes them.


def write_text_model(checkpoint: Checkpoint, file: Path, *, quant: str = "", separate_head: bool = False) -> None:
    """Architecture qwen3vl with its sections; an aligner's head is padded to the vocabulary with rows of -100.

    Args:
        checkpoint: Where the weights come from.
        file: The file to write, f16.
        quant: What to quantise it to afterwards; f16 stays if not given.
        separate_head: Write the output matrix even where it is the token table.
    """
    config, vocabulary = checkpoint.config.text, checkpoint.vocabulary
    target = file.with_suffix(".f16.tmp") if quant else file
    writer = gguf.GGUFWriter(target, "qwen3vl")
    writer.add_name("foreign")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
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
    writer.add_rope_dimension_sections([*config.mrope_section, *[0] * (4 - len(config.mrope_section))])
    writer.add_uint32("qwen3vl.n_deepstack_layers", 0)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(list(vocabulary.tokens))
    writer.add_token_types([int(kind) for kind in vocabulary.types])
    writer.add_token_merges(list(vocabulary.merges))
    writer.add_bos_token_id(vocabulary.eos_id)
    writer.add_eos_token_id(vocabulary.eos_id)
    aligner = checkpoint.config.aligner
    for tensor in llm_tensors(checkpoint):
        values = checkpoint.load(tensor.source, tensor.shape)
        if aligner is not None and tensor.name == "token_embd.weight":
            # Our own form has the head in this place.
            padding = np.full((config.vocab_size - aligner.classes, config.hidden_size), PADDING, np.float32)
            writer.add_tensor("output.weight", np.concatenate([values, padding]).astype(np.float16))
            shape = (config.vocab_size, config.hidden_size)
            values = checkpoint.load(f"{TEXT_PREFIX}embed_tokens.weight", shape)
        elif tensor.name == "token_embd.weight" and separate_head:
            writer.add_tensor("output.weight", values.astype(np.float16))
        writer.add_tensor(tensor.name, values if values.ndim == 1 else values.astype(np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    if quant:
        quantize(target, file, quant)
        target.unlink()


# The encoder, as llama.cpp's converter writes it.

_LAYER = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.out_proj": "attn_out",
    "self_attn_layer_norm": "ln1",
    "final_layer_norm": "ln2",
    "fc1": "ffn_up",
    "fc2": "ffn_down",
}
_OUTSIDE = {"conv_out": "a.conv_out", "ln_post": "a.post_ln", "proj1": "mm.a.mlp.1", "proj2": "mm.a.mlp.2"}


def write_mmproj(checkpoint: Checkpoint, file: Path, *, matrices: str = "F32", projector: str = "qwen3a") -> None:
    """Kernels are always f16, their biases [channels, 1, 1], matrices of the type asked for, the rest f32."""
    audio = checkpoint.config.audio
    writer = gguf.GGUFWriter(file, "clip")
    writer.add_type("mmproj")
    writer.add_bool("clip.has_audio_encoder", val=True)
    writer.add_string("clip.audio.projector_type", projector)
    for key, value in {
        "projection_dim": audio.output_dim,
        "embedding_length": audio.d_model,
        "feed_forward_length": audio.ffn_dim,
        "block_count": audio.layers,
        "attention.head_count": audio.heads,
        "num_mel_bins": audio.n_mels,
    }.items():
        writer.add_uint32(f"clip.audio.{key}", value)
    writer.add_float32("clip.audio.attention.layer_norm_epsilon", 1e-5)
    writer.add_tensor("a.position_embd.weight", sinusoids(1500, audio.d_model))
    for name, shape in encoder_shapes(audio).items():
        values = checkpoint.load(name, shape)
        part, _, what = name.removeprefix(AUDIO_PREFIX).rpartition(".")
        if part.startswith("layers."):
            _, layer, inner = part.split(".", 2)
            outside = f"a.blk.{layer}.{_LAYER[inner]}.{what}"
        elif part.startswith("conv2d"):
            outside = f"a.conv2d.{part.removeprefix('conv2d')}.{what}"
            values = values.astype(np.float16) if what == "weight" else values[:, None, None]
        else:
            outside = f"{_OUTSIDE[part]}.{what}"
        kind = gguf.GGMLQuantizationType[matrices]
        if values.ndim == 2 and kind != gguf.GGMLQuantizationType.F32:
            writer.add_tensor(outside, gguf.quants.quantize(values, kind), raw_dtype=kind)
        else:
            writer.add_tensor(outside, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


# The released bundles.


def write_released(checkpoint: Checkpoint, folder: Path, *, quant: str = "q4_k_m") -> None:
    """Static one-second frontend, backend with a mask, int4 in asymmetric blocks of 128, q4_k; no manifest."""
    name = quant.removesuffix("_m") or "f16"
    kind = "asr" if checkpoint.config.aligner is None else "aligner"
    folder.mkdir(exist_ok=True)
    _write_frontend(checkpoint, folder / f"qwen3_{kind}_encoder_frontend.int4.onnx")
    _write_backend(checkpoint, folder / f"qwen3_{kind}_encoder_backend.int4.onnx")
    write_text_model(checkpoint, folder / f"qwen3_{kind}_llm.{name}.gguf", quant=quant, separate_head=True)


class _Encoder:
    def __init__(self, checkpoint: Checkpoint, name: str) -> None:
        self.graph = Graph(name)
        self.config = checkpoint.config.audio
        self._checkpoint = checkpoint

    def value(self, name: str) -> Array:
        return self._checkpoint.tensors.load(AUDIO_PREFIX + name)

    def stored(self, name: str, change: Callable[[Array], Array] = lambda values: values) -> str:
        return self.constant(name, change(self.value(name)))

    def constant(self, name: str, values: np.ndarray) -> str:
        return self.graph.store(name, values.dtype, values.shape, lambda: values)

    def integers(self, *values: int) -> str:
        return self.graph.constant("i_" + "_".join(map(str, values)), np.array(values, np.int64))

    def linear(self, x: str, name: str, *, bias: bool = True) -> str:
        matrix = self.value(f"{name}.weight")
        rows, columns = matrix.shape
        packed, scales, zeros = quantise_asymmetric(matrix)
        y = self.graph.node(
            "MatMulNBits",
            [
                x,
                self.constant(f"{name}.weight_Q4", packed),
                self.constant(f"{name}.weight_scales", scales),
                self.constant(f"{name}.weight_zero_points", zeros),
            ],
            contrib=True,
            K=columns,
            N=rows,
            bits=4,
            block_size=BLOCK,
        )
        return self.graph.node("Add", [y, self.stored(f"{name}.bias")]) if bias else y

    def gelu(self, x: str) -> str:
        return self.graph.node("Gelu", [x], contrib=True)

    def norm(self, x: str, name: str) -> str:
        parts = [self.stored(f"{name}.weight"), self.stored(f"{name}.bias")]
        return self.graph.node("LayerNormalization", [x, *parts], axis=-1, epsilon=1e-5)


def quantise_asymmetric(matrix: Array) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Quantise ``[out, in]`` to 4 bits with a zero point per block, in the layout of ``MatMulNBits``."""
    rows, columns = matrix.shape
    blocks = np.pad(matrix, ((0, 0), (0, -columns % BLOCK))).reshape(rows, -1, BLOCK)
    low, high = np.minimum(blocks.min(axis=2), 0), np.maximum(blocks.max(axis=2), 0)
    scales = ((high - low) / 15).astype(np.float32)
    scales[scales == 0] = 1
    zeros = np.clip(np.rint(-low / scales), 0, 15).astype(np.uint8)
    levels = np.clip(np.rint(blocks / scales[..., None]) + zeros[..., None], 0, 15).astype(np.uint8)
    even = np.pad(zeros, ((0, 0), (0, zeros.shape[1] % 2)), constant_values=8)
    return (
        levels[..., 0::2] | levels[..., 1::2] << 4,
        scales.reshape(-1),
        (even[:, 0::2] | even[:, 1::2] << 4).reshape(-1),
    )


def _write_frontend(checkpoint: Checkpoint, file: Path) -> None:
    encoder = _Encoder(checkpoint, "frontend")
    graph, config = encoder.graph, encoder.config
    x = graph.node("Unsqueeze", ["chunk_mel", encoder.integers(1)])
    for number in (1, 2, 3):
        inputs = [x, encoder.stored(f"conv2d{number}.weight"), encoder.stored(f"conv2d{number}.bias")]
        x = encoder.gelu(graph.node("Conv", inputs, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]))
    x = graph.node("Transpose", [x], perm=[0, 3, 1, 2])
    x = graph.node("Reshape", [x, encoder.integers(1, config.chunk_rows, config.conv_channels * config.conv_bins)])
    x = encoder.linear(x, "conv_out", bias=False)
    x = graph.node("Add", [x, encoder.constant("positions", sinusoids(config.chunk_rows, config.d_model))])
    graph.write(
        file,
        inputs={"chunk_mel": [1, config.n_mels, config.chunk_frames]},
        outputs={"chunk_out": x},
        shapes={"chunk_out": [1, config.chunk_rows, config.d_model]},
    )


def _write_backend(checkpoint: Checkpoint, file: Path) -> None:
    encoder = _Encoder(checkpoint, "backend")
    graph, config = encoder.graph, encoder.config
    heads, width = config.heads, config.d_model
    split = encoder.integers(0, 0, heads, width // heads)
    scale = encoder.constant("scale", np.array((width // heads) ** -0.5, np.float32))
    x = "hidden_states"
    for layer in range(config.layers):
        at = f"layers.{layer}."
        normal = encoder.norm(x, f"{at}self_attn_layer_norm")
        parts = [encoder.linear(normal, f"{at}self_attn.{part}_proj") for part in "qkv"]
        parts = [graph.node("Reshape", [part, split]) for part in parts]
        q, v = (graph.node("Transpose", [parts[i]], perm=[0, 2, 1, 3]) for i in (0, 2))
        k = graph.node("Transpose", [parts[1]], perm=[0, 2, 3, 1])
        scores = graph.node("Mul", [graph.node("MatMul", [q, k]), scale])
        weights = graph.node("Softmax", [graph.node("Add", [scores, "attention_mask"])], axis=-1)
        joined = graph.node("Transpose", [graph.node("MatMul", [weights, v])], perm=[0, 2, 1, 3])
        joined = graph.node("Reshape", [joined, encoder.integers(0, 0, width)])
        x = graph.node("Add", [x, encoder.linear(joined, f"{at}self_attn.out_proj")])
        inner = encoder.gelu(encoder.linear(encoder.norm(x, f"{at}final_layer_norm"), f"{at}fc1"))
        x = graph.node("Add", [x, encoder.linear(inner, f"{at}fc2")])
    x = encoder.gelu(encoder.linear(encoder.norm(x, "ln_post"), "proj1"))
    graph.write(
        file,
        inputs={
            "hidden_states": ["batch", "time", width],
            "attention_mask": ["batch", 1, "time_q", "time_k"],
        },
        outputs={"last_hidden_state": encoder.linear(x, "proj2")},
        shapes={"last_hidden_state": ["batch", "time", config.output_dim]},
    )
