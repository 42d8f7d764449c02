# SPDX-License-Identifier: Apache-2.0
"""Write ``aligner.json``: what the official forced aligner computes for the clips of ``tests/speech`` and their text.

    pip install qwen-asr==0.0.6 torch soundfile
    python make_aligner_golden.py CHECKPOINT ../speech

CHECKPOINT is an unpacked forced aligner of the official layout. It is run, and so are the aligners with random weights
that ``random_aligner.py`` makes beside it. Everything is computed in float32; which parts are the package's own code is
said in ``README.md``.
"""

import argparse
import csv
import importlib.metadata
import json
import pathlib
import sys
import tempfile
from typing import Any

import random_aligner
import torch
from make_golden import PACKAGES, prompt_parts, sha256
from official import SAMPLE_RATE, OfficialAligner, load_audio

FORMAT_VERSION = 1
LANGUAGE = "English"
# Where the two best classes are closer than this, rounding alone may swap them (logits lie between about -30 and 30).
TIE = 0.01
# What the tokenizer makes of letters that can be written in two ways, and of other scripts.
TEXTS = (
    "It's 3.14, Well-known CAFÉ naïve 2nd",
    "\u212bngstro\u0308m 5 \u212a \u2126",
    "\u1112\u1161\u11ab\u1100\u116e\u11a8\u110b\u1165 한국어",
    "\uf900\ufa30 你好\uff0c世界 hello 𠮷",
    "Ελλάδα Россия مرحبا हिन्दी ไทย",
)


def text_of(header: dict[str, Any], lists: dict[str, list[dict[str, Any]]]) -> str:
    """Return the JSON text with one line for each entry of a list."""
    text = json.dumps(header, indent=1, ensure_ascii=False).removesuffix("\n}")
    for name, entries in lists.items():
        lines = ",\n".join("  " + json.dumps(entry, ensure_ascii=True) for entry in entries)
        text += f',\n "{name}": [\n{lines}\n ]'
    return f"{text}\n}}\n"


def main() -> None:
    here = pathlib.Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=pathlib.Path, help="official checkpoint folder of a forced aligner")
    parser.add_argument("clips", type=pathlib.Path, help="folder with clips and transcripts.tsv")
    parser.add_argument("--output", type=pathlib.Path, default=here, help="where to write (default: beside this file)")
    arguments = parser.parse_args()

    torch.set_num_threads(2)
    torch.use_deterministic_algorithms(mode=True)
    with (arguments.clips / "transcripts.tsv").open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))
    checkpoints: dict[str, dict[str, str]] = {}
    clips: list[dict[str, Any]] = []
    texts: list[dict[str, Any]] = []
    aligned: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as made:
        folders = {"demo": arguments.checkpoint}
        for variant in random_aligner.VARIANTS:
            folders[variant] = pathlib.Path(made) / variant
            random_aligner.make(variant, arguments.checkpoint, folders[variant])
        for model, folder in folders.items():
            checkpoints[model] = {
                f"{name} sha256": sha256(folder / name) for name in ("model.safetensors", "config.json")
            }
            aligner = OfficialAligner(folder)
            for row in rows:
                samples = load_audio(arguments.clips / row["file"])
                found = aligner.align(samples, row["text"], LANGUAGE)
                if model == "demo":
                    clips.append(
                        {
                            "file": row["file"],
                            "sha256": sha256(arguments.clips / row["file"]),
                            "seconds": len(samples) / SAMPLE_RATE,
                            "text": row["text"],
                            "units": found.units,
                            "prompt": prompt_parts(found.prompt_ids, aligner.thinker.config.audio_token_id),
                        }
                    )
                aligned.append(
                    {
                        "model": model,
                        "file": row["file"],
                        "windowed": found.windowed,
                        "classes": found.classes,
                        "ties": found.ties(TIE),
                        "times_ms": found.times_ms,
                    }
                )
            if model == "demo":
                for text in TEXTS:
                    units, tokens = aligner.tokens(text, LANGUAGE)
                    texts.append({"text": text, "units": units, "tokens": tokens})
            mine = [entry for entry in aligned if entry["model"] == model]
            slots = [number for entry in mine for number in entry["classes"]]
            ties = sum(len(entry["ties"]) for entry in mine)
            print(f"{model}: {len(slots)} slots, {len(set(slots))} classes, {ties} ties", file=sys.stderr)

    header = {
        "format_version": FORMAT_VERSION,
        "packages": {package: importlib.metadata.version(package) for package in PACKAGES},
        "checkpoints": checkpoints,
        "computed in": "float32",
        "language": LANGUAGE,
        "tie": TIE,
    }
    text = text_of(header, {"texts": texts, "clips": clips, "aligned": aligned})
    (arguments.output / "aligner.json").write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
