# SPDX-License-Identifier: Apache-2.0
"""Copies of a folder of clips in which each clip begins a few milliseconds later and is a little quieter.

    python shifted_clips.py FOLDER OUTPUT --copies 7
    python product_wer.py OUTPUT --option quant=q4_k

Nobody hears a difference, yet every number that the model computes is another one. Over a few hundred words, one more
or one less error is luck; what two precisions differ by in the sum of all copies is less so.
"""

import argparse
import csv
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
    parser.add_argument("output", type=pathlib.Path, help="a folder for all copies, the originals among them")
    parser.add_argument("--copies", type=int, default=7, help="default: %(default)s")
    options = parser.parse_args()
    ffmpeg = [str(find_ffmpeg(None).ffmpeg), "-hide_banner", "-nostdin", "-loglevel", "error", "-y"]
    clips = read_transcripts(options.folder)
    options.output.mkdir(parents=True, exist_ok=True)
    with (options.output / "transcripts.tsv").open("w", encoding="utf-8", newline="") as lines:
        table = csv.writer(lines, delimiter="\t", quoting=csv.QUOTE_NONE, lineterminator="\n")
        table.writerow(("file", "voice", "text"))
        for number in range(options.copies):
            # delayed at a rate of 100 kHz, where a tenth of a millisecond is a whole number of samples
            delay = f"aresample=100000,adelay={round(number * STEP_MS * 100)}S,aresample=16000"
            for clip in clips:
                source = options.folder / clip.file
                target = options.output / f"{number}-{clip.file}"
                if number == 0:
                    shutil.copyfile(source, target)
                else:
                    change = f"{delay},volume=-{number * STEP_DB:.1f}dB"
                    subprocess.run([*ffmpeg, "-i", str(source), "-af", change, str(target)], check=True)
                table.writerow((target.name, clip.voice, clip.text))


if __name__ == "__main__":
    main()
