# SPDX-License-Identifier: Apache-2.0
"""Word error rate of the official PyTorch model in float32: what the product is measured against.

    pip install qwen-asr==0.0.6 torch soundfile jiwer
    python reference_wer.py CHECKPOINT FOLDER [FOLDER ...] --output reference.json

Each FOLDER holds clips and ``transcripts.tsv`` (columns ``file`` and ``text``; ``voice`` if there are several). Clips
are cut at quiet points into pieces of at most 20 s, the encoder attends within 8 s windows, decoding is greedy.
"""

import argparse
import json
import pathlib
import sys
import time

import torch
from wer import Transcript, read_transcripts, table

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tests" / "golden"))
from official import SAMPLE_RATE, OfficialModel, load_audio, split_quietly


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=pathlib.Path, help="official checkpoint folder")
    parser.add_argument("folders", type=pathlib.Path, nargs="+", help="folders with clips and transcripts.tsv")
    parser.add_argument("--max-seconds", type=float, default=20.0, help="longest piece (default: %(default)s)")
    parser.add_argument("--full-attention", action="store_true", help="no 8 s windows: the official path on a CPU")
    parser.add_argument("--threads", type=int, default=2, help="PyTorch threads (default: %(default)s)")
    parser.add_argument("--output", type=pathlib.Path, help="write every transcript to this JSON file")
    arguments = parser.parse_args()

    torch.set_num_threads(arguments.threads)
    model = OfficialModel(arguments.checkpoint)
    results: list[Transcript] = []
    for folder in arguments.folders:
        for clip in read_transcripts(folder):
            samples = load_audio(folder / clip.file)
            start = time.perf_counter()
            texts = []
            for piece in split_quietly(samples, arguments.max_seconds):
                with model.windows(windowed=not arguments.full_attention):
                    texts.append(model.decode(model.inputs(piece)).text)
            text = " ".join(filter(None, texts))
            seconds = len(samples) / SAMPLE_RATE
            print(f"{clip.file} {seconds:.2f} s in {time.perf_counter() - start:.1f} s: {text}", file=sys.stderr)
            results.append(clip.heard_as(text))
    print(table(results))
    if arguments.output:
        lines = [result.as_dict() for result in results]
        arguments.output.write_text(json.dumps(lines, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
