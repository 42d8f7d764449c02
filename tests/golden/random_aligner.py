# SPDX-License-Identifier: Apache-2.0
"""Make forced aligners with random weights, in the official layout. Needs numpy only.

    python random_aligner.py CHECKPOINT FOLDER      # writes one folder for each of VARIANTS to FOLDER

CHECKPOINT is an unpacked forced aligner (``pack_checkpoint.py``), whose tokenizer and other settings they get. The
weights are sums of whole numbers from a bit generator whose output numpy guarantees, so every machine and version makes
the same bytes: the official code runs on one machine, and the tests make the checkpoints again on another.
"""

import argparse
import json
import math
import pathlib
import shutil
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt
from pack_checkpoint import LAYOUT, Stored, write

# What the official sizes have and the bundled model has not: more classes, heads wider than the layer; then windows of
# another length, another number of query heads per key head, classes of another length.
VARIANTS: dict[str, dict[str, Any]] = {
    "wide": {
        "seed": 5,
        "timestamp_segment_time": 80,
        "classify_num": 5000,
        "audio": {"encoder_layers": 2, "d_model": 128, "encoder_attention_heads": 2, "n_window_infer": 800},
        "text": {"hidden_size": 256, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 128},
        "sections": [24, 20, 20],
    },
    "narrow": {
        "seed": 7,
        "timestamp_segment_time": 40,
        "classify_num": 400,
        "audio": {"encoder_layers": 3, "d_model": 96, "encoder_attention_heads": 3, "n_window_infer": 400},
        "text": {"hidden_size": 192, "num_attention_heads": 3, "num_key_value_heads": 1, "head_dim": 64},
        "sections": [12, 10, 10],
    },
}
TEXT_LAYERS = 2
# Weights of plain size answer with one class at every slot: attention is too even, and adds too little to a row.
SHARPER = 2.5
LOUDER = 4.0


def configuration(checkpoint: pathlib.Path, variant: dict[str, Any]) -> dict[str, Any]:
    """Return the checkpoint's ``config.json`` with the sizes of a variant."""
    config: dict[str, Any] = json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))
    config["timestamp_segment_time"] = variant["timestamp_segment_time"]
    thinker = config["thinker_config"]
    thinker["classify_num"] = variant["classify_num"]
    audio, text = thinker["audio_config"], thinker["text_config"]
    audio.update(variant["audio"], downsample_hidden_size=16, output_dim=variant["text"]["hidden_size"])
    audio["encoder_ffn_dim"] = 2 * audio["d_model"]
    text.update(variant["text"], num_hidden_layers=TEXT_LAYERS, intermediate_size=2 * variant["text"]["hidden_size"])
    text["rope_scaling"]["mrope_section"] = variant["sections"]
    return config


def shapes(thinker: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """Return the names of all tensors and their shapes."""
    audio, text = thinker["audio_config"], thinker["text_config"]
    width, channels, inner = audio["d_model"], audio["downsample_hidden_size"], audio["encoder_ffn_dim"]
    encoder: dict[str, tuple[int, ...]] = {}
    for number, inputs in ((1, 1), (2, channels), (3, channels)):
        encoder[f"conv2d{number}"] = (channels, inputs, 3, 3)
    for layer in range(audio["encoder_layers"]):
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            encoder[f"layers.{layer}.self_attn.{name}"] = (width, width)
        encoder[f"layers.{layer}.self_attn_layer_norm"] = encoder[f"layers.{layer}.final_layer_norm"] = (width,)
        encoder[f"layers.{layer}.fc1"], encoder[f"layers.{layer}.fc2"] = (inner, width), (width, inner)
    encoder["ln_post"], encoder["proj1"] = (width,), (width, width)
    encoder["proj2"] = (audio["output_dim"], width)
    found = {f"audio_tower.{name}.weight": shape for name, shape in encoder.items()}
    found |= {f"audio_tower.{name}.bias": shape[:1] for name, shape in encoder.items()}
    # Three strides of 2 over the mel bins.
    found["audio_tower.conv_out.weight"] = (width, channels * -(-audio["num_mel_bins"] // 8))

    hidden, inner, head = text["hidden_size"], text["intermediate_size"], text["head_dim"]
    queries, keys = text["num_attention_heads"] * head, text["num_key_value_heads"] * head
    found["model.embed_tokens.weight"], found["model.norm.weight"] = (text["vocab_size"], hidden), (hidden,)
    found["lm_head.weight"] = (thinker["classify_num"], hidden)
    for layer in range(text["num_hidden_layers"]):
        parts = {
            "input_layernorm": (hidden,),
            "post_attention_layernorm": (hidden,),
            "self_attn.q_proj": (queries, hidden),
            "self_attn.k_proj": (keys, hidden),
            "self_attn.v_proj": (keys, hidden),
            "self_attn.o_proj": (hidden, queries),
            "self_attn.q_norm": (head,),
            "self_attn.k_norm": (head,),
            "mlp.gate_proj": (inner, hidden),
            "mlp.up_proj": (inner, hidden),
            "mlp.down_proj": (hidden, inner),
        }
        found |= {f"model.layers.{layer}.{name}.weight": shape for name, shape in parts.items()}
    return {f"thinker.{name}": shape for name, shape in found.items()}


def values(name: str, shape: tuple[int, ...], seed: int) -> npt.NDArray[np.float16]:
    """Return one tensor; activations keep about their size from layer to layer."""
    count = math.prod(shape)
    words = np.random.PCG64([seed, zlib.crc32(name.encode())]).random_raw(count).astype("<u8").view("<u2")
    # Four uniform numbers each: nearly a normal distribution. The sums are exact.
    sums = words.reshape(count, 4).sum(axis=1, dtype=np.int64) - 2 * 65535
    normal = (sums / (65536 / math.sqrt(3))).reshape(shape)
    if len(shape) > 1:
        normal /= math.sqrt(math.prod(shape[1:]))
        if name.endswith(("v_proj.weight", "o_proj.weight")) and ".model." in name:
            normal *= LOUDER
    elif name.endswith(".bias"):
        normal *= 0.01
    else:
        normal = 1 + 0.05 * normal
        if name.endswith(("q_norm.weight", "k_norm.weight")):
            normal *= SHARPER
    return normal.astype("<f2")


def make(variant: str, checkpoint: pathlib.Path, folder: pathlib.Path) -> None:
    """Write one of `VARIANTS` as a checkpoint folder, float16."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in LAYOUT:
        shutil.copyfile(checkpoint / name, folder / name)
    settings = VARIANTS[variant]
    config = configuration(checkpoint, settings)
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8", newline="\n")
    tensors: Stored = {}
    for name, shape in shapes(config["thinker_config"]).items():
        tensors[name] = ("F16", list(shape), values(name, shape, settings["seed"]).tobytes())
    write(folder / "model.safetensors", tensors)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=pathlib.Path, help="an unpacked forced aligner")
    parser.add_argument("folder", type=pathlib.Path, help="where to write")
    arguments = parser.parse_args()
    for variant in VARIANTS:
        make(variant, arguments.checkpoint, arguments.folder / variant)


if __name__ == "__main__":
    main()
