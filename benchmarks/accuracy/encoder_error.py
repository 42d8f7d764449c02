# SPDX-License-Identifier: Apache-2.0
"""What each encoder precision of a bundle costs: size, relative error against fp32, time.

    python encoder_error.py BUNDLE FOLDER

FOLDER holds clips and ``transcripts.tsv``. The relative error of a clip is the Euclidean norm of the difference of the
two outputs over the norm of the fp32 output. Time: 20 s of audio, one thread, the best of five runs.
"""

import argparse
import json
import pathlib
import statistics
import sys
import time
from typing import Any

import numpy as np
import numpy.typing as npt
from wer import read_transcripts

from qwen_asr_model import open_bundle
from qwen_asr_plugin.engine.encoder import Encoder
from qwen_asr_plugin.media import choose_track, find_ffmpeg, open_audio, probe

REFERENCE = "fp32"
TIMED_SECONDS = 20
RUNS = 5
SAMPLE_RATE = 16000


def read_clip(path: pathlib.Path) -> npt.NDArray[np.float32]:
    """Return a clip as the engine gets it: mono, 16 kHz, float32."""
    found = probe(path, find_ffmpeg())
    with open_audio(found, choose_track(found), find_ffmpeg()) as stream:
        return np.concatenate(list(stream))


def best_time(encoder: Encoder, samples: npt.NDArray[np.float32]) -> float:
    """Return the seconds the fastest of `RUNS` runs took."""
    taken = []
    for _ in range(RUNS):
        start = time.perf_counter()
        encoder.encode(samples)
        taken.append(time.perf_counter() - start)
    return min(taken)


def measure(folder: pathlib.Path, clips: list[npt.NDArray[np.float32]]) -> list[dict[str, Any]]:
    """Return one row per precision of the bundle, fp32 first."""
    everything = np.concatenate(clips)
    timed = np.resize(everything, TIMED_SECONDS * SAMPLE_RATE)
    precisions = open_bundle(folder).precisions
    if REFERENCE not in precisions:
        sys.exit(f"encoder_error.py: {folder} has no {REFERENCE} encoder to compare with")
    wanted: list[npt.NDArray[np.float32]] = []
    rows = []
    for precision in (REFERENCE, *(other for other in precisions if other != REFERENCE)):
        bundle = open_bundle(folder, precision=precision)
        encoder = Encoder(
            bundle.encoder_frontend,
            bundle.encoder_backend,
            chunk_frames=bundle.chunk_frames,
            window_chunks=bundle.window_chunks,
            threads=1,
        )
        found = [encoder.encode(clip) for clip in clips]
        wanted = wanted or found
        errors = [
            float(np.linalg.norm(ours - fp32) / np.linalg.norm(fp32)) for ours, fp32 in zip(found, wanted, strict=True)
        ]
        size = bundle.encoder_frontend.stat().st_size + bundle.encoder_backend.stat().st_size
        rows.append(
            {
                "precision": precision,
                "bytes": size,
                "median error": statistics.median(errors),
                "largest error": max(errors),
                "seconds": best_time(encoder, timed),
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=pathlib.Path, help="bundle with fp32 and other precisions")
    parser.add_argument("folder", type=pathlib.Path, help="folder with clips and transcripts.tsv")
    parser.add_argument("--output", type=pathlib.Path, help="write the rows to this JSON file")
    arguments = parser.parse_args()
    clips = [read_clip(arguments.folder / clip.file) for clip in read_transcripts(arguments.folder)]
    rows = measure(arguments.bundle, clips)
    print("| precision | encoder, MB | relative error, median / largest | seconds per 20 s |\n|---|---:|---:|---:|")
    for row in rows:
        errors = f"{row['median error']:.3f} / {row['largest error']:.3f}"
        print(f"| `{row['precision']}` | {row['bytes'] / 1e6:.1f} | {errors} | {row['seconds']:.3f} |")
    if arguments.output:
        arguments.output.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
