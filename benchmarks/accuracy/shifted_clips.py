# SPDX-License-Identifier: Apache-2.0
"""Copies of a folder of clips in which each clip begins a few milliseconds later and is a little quieter.

    python shifted_clips.py FOLDER OUTPUT --copies 7
    python product_wer.py OUTPUT/* --option quant=q4_k

Nobody hears a difference, yet every number that the model computes is another one. Over a few hundred words, one more
or one less error is luck; what two precisions differ by in the sum of all copies is less so.
"""

import argparse
import pathlib
import shutil
import subprocess

from wer import read_transcripts

from qwen_asr_plugin.media import find_ffmpeg

STEP_MS = 3.1  # neither a multiple of the 10 ms between two frames of the log-mel nor near one
STEP_DB = 0.3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path, help="folder with clips and transcripts.tsv")
    parser.add_argument("output", type=pathlib.Path, help="gets one folder per copy, 0 is the original")
    parser.add_argument("--copies", type=int, default=7, help="default: %(default)s")
    options = parser.parse_args()
    ffmpeg = [str(find_ffmpeg(None).ffmpeg), "-hide_banner", "-nostdin", "-loglevel", "error", "-y"]
    for number in range(options.copies):
        copy = options.output / f"{options.folder.name}-{number}"
        copy.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(options.folder / "transcripts.tsv", copy / "transcripts.tsv")
        # delayed at a rate of 100 kHz, where a tenth of a millisecond is a whole number of samples
        change = f"aresample=100000,adelay={round(number * STEP_MS * 100)}S,volume=-{number * STEP_DB:.1f}dB"
        for clip in read_transcripts(options.folder):
            source, target = options.folder / clip.file, copy / clip.file
            if number == 0:
                shutil.copyfile(source, target)
                continue
            subprocess.run([*ffmpeg, "-i", str(source), "-af", f"{change},aresample=16000", str(target)], check=True)
        print(copy, flush=True)


if __name__ == "__main__":
    main()
