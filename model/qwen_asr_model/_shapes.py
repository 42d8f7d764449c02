# SPDX-License-Identifier: Apache-2.0
"""Names and shapes of a checkpoint's tensors, from its sizes."""

from __future__ import annotations

from .checkpoint import AUDIO_PREFIX, HEAD_NAME, TEXT_PREFIX
from .config import AudioConfig, ModelConfig

__all__ = ["encoder_shapes", "tensor_shapes"]


def tensor_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Return every tensor of a checkpoint."""
    text = config.text
    hidden = text.hidden_size
    shapes = encoder_shapes(config.audio)
    shapes[f"{TEXT_PREFIX}embed_tokens.weight"] = (text.vocab_size, hidden)
    shapes[f"{TEXT_PREFIX}norm.weight"] = (hidden,)
    if config.aligner is not None:
        shapes[HEAD_NAME] = (config.aligner.classes, hidden)
    elif not text.tied:
        shapes[HEAD_NAME] = (text.vocab_size, hidden)
    for layer in range(text.layers):
        parts: dict[str, tuple[int, ...]] = {
            "input_layernorm": (hidden,),
            "self_attn.q_proj": (text.heads * text.head_dim, hidden),
            "self_attn.k_proj": (text.kv_heads * text.head_dim, hidden),
            "self_attn.v_proj": (text.kv_heads * text.head_dim, hidden),
            "self_attn.o_proj": (hidden, text.heads * text.head_dim),
            "self_attn.q_norm": (text.head_dim,),
            "self_attn.k_norm": (text.head_dim,),
            "post_attention_layernorm": (hidden,),
            "mlp.gate_proj": (text.intermediate_size, hidden),
            "mlp.up_proj": (text.intermediate_size, hidden),
            "mlp.down_proj": (hidden, text.intermediate_size),
        }
        for part, shape in parts.items():
            shapes[f"{TEXT_PREFIX}layers.{layer}.{part}.weight"] = shape
    return shapes


def encoder_shapes(audio: AudioConfig) -> dict[str, tuple[int, ...]]:
    """Return the tensors of the audio encoder."""
    width, channels = audio.d_model, audio.conv_channels
    shapes: dict[str, tuple[int, ...]] = {}

    def audio_layer(name: str, *shape: int, bias: bool = True) -> None:
        shapes[f"{AUDIO_PREFIX}{name}.weight"] = shape
        if bias:
            shapes[f"{AUDIO_PREFIX}{name}.bias"] = shape[:1]

    for number, inputs in ((1, 1), (2, channels), (3, channels)):
        audio_layer(f"conv2d{number}", channels, inputs, 3, 3)
    audio_layer("conv_out", width, channels * audio.conv_bins, bias=False)
    for layer in range(audio.layers):
        at = f"layers.{layer}."
        for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
            audio_layer(f"{at}self_attn.{part}", width, width)
        audio_layer(f"{at}self_attn_layer_norm", width)
        audio_layer(f"{at}fc1", audio.ffn_dim, width)
        audio_layer(f"{at}fc2", width, audio.ffn_dim)
        audio_layer(f"{at}final_layer_norm", width)
    audio_layer("ln_post", width)
    audio_layer("proj1", width, width)
    audio_layer("proj2", audio.output_dim, width)
    return shapes
