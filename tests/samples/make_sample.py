# SPDX-License-Identifier: Apache-2.0
"""Make the sample video: synthesised sentences over a title card with a moving waveform.

    pip install numpy soundfile pillow imageio-ffmpeg
    python make_sample.py FOLDER

FOLDER holds the clips and their table ``words.jsonl`` (one JSON object a line: ``file``, ``text`` and ``words``, a list
of ``[word, start, end]`` in seconds). Writes ``sample.mp4``, ``sample.reference.json`` and ``sample.txt``.

The table only tells the sentences apart. The times in ``sample.reference.json`` are measured in the sound itself, which
between sentences is digital near-silence: first and last 10 ms that rise above it. (Within a sentence the table's times
run at half the pace of the sound, so its word ends are not those one hears.)
"""

import argparse
import json
import pathlib
import re
import subprocess
import tempfile
from typing import Any

import imageio_ffmpeg
import numpy as np
import numpy.typing as npt
import soundfile
from PIL import Image, ImageDraw, ImageFont

CLIPS = ("06.flac", "02.flac", "08.flac", "07.flac", "09.flac", "11.flac")
SILENCE_MS = 1000  # between two clips, beside the silence they begin and end with
SAMPLE_RATE = 16000
HOP = SAMPLE_RATE // 100
SIZE = (640, 360)
FRAME_RATE = 25
BACKGROUND, TITLE, FAINT, ACCENT = "#10222e", "#f2efe6", "#8ba3ad", "#5fc9b0"
SENTENCE_END = re.compile(r"(?<!Mr)[.?!]$")


def sentences_of(words: list[list[Any]]) -> list[list[list[Any]]]:
    """Group the words of a clip by sentence."""
    sentences: list[list[list[Any]]] = [[]]
    for word in words:
        sentences[-1].append(word)
        if SENTENCE_END.search(word[0]):
            sentences.append([])
    return [sentence for sentence in sentences if sentence]


def loud_frames(samples: npt.NDArray[np.float32]) -> npt.NDArray[np.intp]:
    """Return the indices of the 10 ms frames 12 dB above the clip's silence, or above -52 dBFS if that is more."""
    frames = samples[: len(samples) // HOP * HOP].reshape(-1, HOP)
    level = 20 * np.log10(np.sqrt((frames**2).mean(axis=1)) + 1e-7)
    return np.flatnonzero(level > max(np.percentile(level, 5) + 12, -52))


def compose(folder: pathlib.Path) -> tuple[npt.NDArray[np.float32], list[dict[str, Any]]]:
    """Join the clips; return the samples and the sentences with their times in the joined sound."""
    lines = (folder / "words.jsonl").read_text(encoding="utf-8").splitlines()
    table = {clip["file"]: clip for clip in map(json.loads, lines)}
    pieces: list[npt.NDArray[np.float32]] = []
    cues: list[dict[str, Any]] = []
    position = 0
    for name in CLIPS:
        samples, rate = soundfile.read(folder / name, dtype="float32")
        if rate != SAMPLE_RATE:
            message = f"{name}: {rate} Hz instead of {SAMPLE_RATE}"
            raise ValueError(message)
        sentences = sentences_of(table[name]["words"])
        begins = [round(sentence[0][1] * 100) for sentence in sentences]
        loud = loud_frames(samples)
        for sentence, first, after in zip(sentences, begins, [*begins[1:], len(samples) // HOP], strict=True):
            inside = loud[(loud >= first) & (loud < after)]
            cues.append(
                {
                    "start_ms": position * 1000 // SAMPLE_RATE + int(inside[0]) * 10,
                    "end_ms": position * 1000 // SAMPLE_RATE + (int(inside[-1]) + 1) * 10,
                    "text": " ".join(word[0] for word in sentence),
                    "clip": name,
                }
            )
        silence = np.zeros(SAMPLE_RATE * SILENCE_MS // 1000, np.float32)
        pieces += [samples, silence]
        position += len(samples) + len(silence)
    return np.concatenate(pieces), cues


def draw_card(path: pathlib.Path) -> None:
    """Draw the still part of the picture."""
    card = Image.new("RGB", SIZE, BACKGROUND)
    draw = ImageDraw.Draw(card)
    draw.text((40, 44), "qwen-asr-plugin", fill=TITLE, font=ImageFont.load_default(size=40))
    draw.text((40, 100), "subtitles made on your own computer", fill=FAINT, font=ImageFont.load_default(size=18))
    draw.rectangle((40, 306, SIZE[0] - 40, 309), fill="#1f3947")
    card.save(path)


def encode(samples: npt.NDArray[np.float32], output: pathlib.Path) -> None:
    """Write the video: H.264 and stereo AAC at 44.1 kHz, as an ordinary film has it."""
    seconds = len(samples) / SAMPLE_RATE
    bar = SIZE[0] - 80
    picture = (
        f"[1:a]showwaves=s={bar}x110:mode=cline:rate={FRAME_RATE}:scale=sqrt:draw=full:colors={ACCENT}[waves];"
        f"color=c={ACCENT}:s={bar}x4:r={FRAME_RATE}[bar];color=c={BACKGROUND}:s=40x4:r={FRAME_RATE}[edge];"
        f"[0:v][bar]overlay=x='40-{bar}+{bar}*t/{seconds}':y=306[moved];[moved][edge]overlay=x=0:y=306[card];"
        "[card][waves]overlay=x=40:y=160:format=auto,format=yuv420p[picture]"
    )
    with tempfile.TemporaryDirectory() as scratch:
        card, sound = pathlib.Path(scratch) / "card.png", pathlib.Path(scratch) / "sound.wav"
        draw_card(card)
        soundfile.write(sound, samples, SAMPLE_RATE, subtype="PCM_16")
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-loglevel", "error", "-y"]
        command += ["-loop", "1", "-framerate", str(FRAME_RATE), "-i", str(card), "-i", str(sound)]
        command += ["-filter_complex", picture, "-map", "[picture]", "-map", "1:a", "-t", f"{seconds:.3f}"]
        command += ["-c:v", "libx264", "-preset", "veryslow", "-crf", "32", "-tune", "animation", "-bf", "0"]
        command += ["-c:a", "aac", "-b:a", "96k", "-ar", "44100", "-ac", "2"]
        command += [
            "-map_metadata",
            "-1",
            "-metadata:s:a:0",
            "language=eng",
            "-metadata",
            "title=qwen-asr-plugin sample",
        ]
        command += ["-fflags", "+bitexact", "-movflags", "+faststart", str(output)]
        subprocess.run(command, check=True)


def main() -> None:
    here = pathlib.Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path, help="folder with the clips and words.jsonl")
    parser.add_argument("--output", type=pathlib.Path, default=here, help="where to write (default: beside this file)")
    arguments = parser.parse_args()

    samples, cues = compose(arguments.folder)
    encode(samples, arguments.output / "sample.mp4")
    reference = {
        "media": "sample.mp4",
        "language": "en",
        "duration_ms": len(samples) * 1000 // SAMPLE_RATE,
        "sentences": cues,
    }
    text = json.dumps(reference, indent=1, ensure_ascii=False)
    (arguments.output / "sample.reference.json").write_text(text + "\n", encoding="utf-8")
    lines = "".join(cue["text"] + "\n" for cue in cues)
    (arguments.output / "sample.txt").write_text(lines, encoding="utf-8")


if __name__ == "__main__":
    main()
