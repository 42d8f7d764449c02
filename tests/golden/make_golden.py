# SPDX-License-Identifier: Apache-2.0
"""Write the golden files: what the official PyTorch code computes for the clips of ``tests/speech``.

    pip install qwen-asr==0.0.6 torch soundfile
    python make_golden.py CHECKPOINT ../speech

CHECKPOINT is a folder of the official layout (``config.json``, ``model.safetensors``, tokenizer files). Its weights are
loaded as float32 whatever type they are stored in. The clips are those of ``transcripts.tsv`` in the clip folder. A
clip of up to one encoder window (8 s) goes through the official package as it is, a longer one through the official
layers with the block mask (see ``official.py``); ``golden.json`` says which for every clip.
"""

import argparse
import csv
import dataclasses
import hashlib
import importlib.metadata
import json
import pathlib
import sys
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from official import SAMPLE_RATE, OfficialModel, load_audio

PACKAGES = ("qwen-asr", "torch", "transformers", "numpy", "soundfile")
FORMAT_VERSION = 1
PATH_LENGTH = 40
ANSWER_PREFIX = "language English<asr_text>"
# Under one second, under one window, over one window.
ARRAY_CLIPS = ("timed-16-start.flac", "31-flite.flac", "16-hibari.flac")
LOGIT_CLIPS = ("16-hibari.flac", "12-hibari.flac")


def sha256(path: pathlib.Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def prompt_parts(prompt_ids: list[int], audio_token_id: int) -> dict[str, Any]:
    """Fold the run of audio tokens: ``head``, then ``audio_tokens`` times ``audio_token_id``, then ``tail``."""
    start = prompt_ids.index(audio_token_id)
    count = prompt_ids.count(audio_token_id)
    head, tail = prompt_ids[:start], prompt_ids[start + count :]
    if audio_token_id in tail:
        message = "the audio tokens of the prompt are not one run"
        raise ValueError(message)
    return {"head": head, "audio_token_id": audio_token_id, "audio_tokens": count, "tail": tail}


def text_of(header: dict[str, Any], clips: list[dict[str, Any]]) -> str:
    """Return the JSON text with one line for each clip."""
    lines = ",\n".join("  " + json.dumps(clip, ensure_ascii=False) for clip in clips)
    opened = json.dumps(header, indent=1, ensure_ascii=False).removesuffix("\n}")
    return f'{opened},\n "clips": [\n{lines}\n ]\n}}\n'


def main() -> None:
    here = pathlib.Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=pathlib.Path, help="official checkpoint folder")
    parser.add_argument("clips", type=pathlib.Path, help="folder with clips and transcripts.tsv")
    parser.add_argument("--output", type=pathlib.Path, default=here, help="where to write (default: beside this file)")
    parser.add_argument("--full", type=pathlib.Path, help="also write every array whole and in float32 to this folder")
    parser.add_argument("--mel-stride", type=int, default=8, help="keep every n-th mel frame (default: %(default)s)")
    arguments = parser.parse_args()

    torch.set_num_threads(2)
    torch.use_deterministic_algorithms(mode=True)
    model = OfficialModel(arguments.checkpoint)
    audio_token_id = model.thinker.config.audio_token_id
    with (arguments.clips / "transcripts.tsv").open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))

    clips: list[dict[str, Any]] = []
    mel: dict[str, npt.NDArray[Any]] = {}
    encoder: dict[str, npt.NDArray[Any]] = {}
    logits: dict[str, npt.NDArray[Any]] = {}
    full: dict[str, npt.NDArray[Any]] = {}
    for row in rows:
        name = row["file"]
        stem = pathlib.PurePath(name).stem
        samples = load_audio(arguments.clips / name)
        inputs = model.inputs(samples)
        frames = int(inputs["feature_attention_mask"].sum())
        windowed = frames > model.window_frames
        with model.windows(windowed=windowed):
            decoded = dataclasses.asdict(model.decode(inputs))
            clips.append(
                {
                    "file": name,
                    "sha256": sha256(arguments.clips / name),
                    "samples": len(samples),
                    "seconds": len(samples) / SAMPLE_RATE,
                    "mel_frames": frames,
                    "windowed": windowed,
                    "prompt": prompt_parts(decoded.pop("prompt_ids"), audio_token_id),
                    **decoded,
                    "reference": row["text"],
                }
            )
            if name in ARRAY_CLIPS:
                features = inputs["input_features"][0, :, :frames].numpy()
                kept = np.arange(0, frames, 1 if frames < model.window_frames / 8 else arguments.mel_stride)
                mel[stem], mel[f"{stem}.frames"] = features[:, kept], kept.astype(np.int32)
                encoder[stem] = full[f"{stem}.encoder"] = model.encode(inputs)
                full[f"{stem}.mel"] = features
            if name in LOGIT_CLIPS:
                path = model.processor.tokenizer(ANSWER_PREFIX + row["text"])["input_ids"][:PATH_LENGTH]
                steps = model.forced_logits(inputs, path)
                logits[stem], logits[f"{stem}.path"] = steps.astype(np.float16), np.asarray(path, np.int32)
                full[f"{stem}.logits"], full[f"{stem}.path"] = steps, logits[f"{stem}.path"]
        print(f"{name} {frames} frames{', windowed' if windowed else ''}: {decoded['raw']}", file=sys.stderr)

    header = {
        "format_version": FORMAT_VERSION,
        "packages": {package: importlib.metadata.version(package) for package in PACKAGES},
        "checkpoint": {
            "model.safetensors sha256": sha256(arguments.checkpoint / "model.safetensors"),
            "config.json sha256": sha256(arguments.checkpoint / "config.json"),
        },
        "computed in": "float32",
        "stop_ids": model.stop_ids,
        "window_seconds": model.window_seconds,
    }
    (arguments.output / "golden.json").write_text(text_of(header, clips), encoding="utf-8")
    np.savez_compressed(arguments.output / "mel.npz", **mel)
    np.savez_compressed(arguments.output / "encoder.npz", **encoder)
    np.savez_compressed(arguments.output / "logits.npz", **logits)
    if arguments.full:
        arguments.full.mkdir(parents=True, exist_ok=True)
        for key, array in full.items():
            np.save(arguments.full / f"{key}.npy", array)


if __name__ == "__main__":
    main()
