#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Do word times stay right over hours, and does no word last over a silence?

    python benchmarks/alignment_drift.py [--hours 3] [--model-dir BUNDLE]

A FLAC file is made of the clips of ``tests/speech`` at known places: talk with pauses, silences of minutes, and noise
like music of minutes. The first and the last minute are the same sound. The product makes subtitles of it twice, with
and without its check of the aligner (option ``check_alignment``). In each run

- the words of the last minute must be those of the first, but for one in twenty, and begin as long after its start: the
  median of the differences must be within 20 ms. Single words differ by more: voice activity remembers what came
  before and cuts chunks some milliseconds earlier or later, and then an aligner, whose clock ticks every 80 ms, chooses
  another tick for some words. That is no drift, and two columns show how much it is;
- no word lasts over more than 300 ms in which voice activity finds no speech.

Ends with status 1 where one of it is not so. Takes 5 minutes on 2 cores; the file needs 150 MB in a scratch folder.
"""

import argparse
import difflib
import itertools
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from _common import machine, table

from qwen_asr_model import default_bundle, find_bundle, open_bundle
from qwen_asr_plugin.audio import SpeechSpan, find_chunks
from qwen_asr_plugin.media import choose_track, find_ffmpeg, open_audio, probe
from subtitle_hooks import SubtitleHost, SubtitleRequest, Word

Samples = npt.NDArray[np.float32]
CLIPS = pathlib.Path(__file__).resolve().parent.parent / "tests" / "speech"
RATE = 16000
MINUTE_MS = 60_000
ALLOWED_MS = 20
SAME_WORDS = 0.95
SILENCE_MS = 300
HISS = 3e-4
SHARES = {"talk": 0.35, "silence": 0.35, "music": 0.3}
"""How often one follows; talk is shorter than the others, about a fifth of the time."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=3.0, help="length of the file (default: %(default)s)")
    parser.add_argument("--model-dir", type=pathlib.Path, default=default_bundle(), help="a bundle with an aligner")
    parser.add_argument("--seed", type=int, default=0, help="another file of the same kind (default: %(default)s)")
    options = parser.parse_args()
    print(machine(), flush=True)
    bundle = open_bundle(find_bundle(options.model_dir))
    if bundle.aligner is None:
        raise SystemExit(f"{bundle.path} has no forced aligner.")
    longest = min(bundle.max_chunk_seconds, bundle.aligner.max_chunk_seconds)
    with tempfile.TemporaryDirectory() as scratch:
        media = pathlib.Path(scratch, "hours.flac")
        total_ms, seconds = write(media, round(options.hours * 3600), options.seed)
        parts = ", ".join(f"{name} {value / 60:.0f} min" for name, value in seconds.items())
        print(f"{total_ms / 3_600_000:.2f} h: {parts}\n", flush=True)
        spans = [
            span
            for chunk in filter(None, find_chunks(blocks_of(media), start_ms=0, max_seconds=longest))
            for span in chunk.spans
        ]
        good, rows = True, []
        for check in ("no", "yes"):
            fine, row = examine(media, options.model_dir, check, total_ms, spans)
            good, rows = good and fine, [*rows, row]
    head = (
        "check_alignment",
        "words",
        "aligned",
        "estimated",
        "repaired",
        "last minute: same words",
        "median ms",
    )
    head = (*head, "distance: median", "90 %", "most silence in a word, ms", "wall s", "peak MB")
    print(table(head, rows))
    print("as it should be" if good else "NOT as it should be")
    return int(not good)


def examine(
    media: pathlib.Path, model: pathlib.Path, check: str, total_ms: int, spans: list[SpeechSpan]
) -> tuple[bool, tuple[object, ...]]:
    """One run of the product: whether it is as it should be, and a row of the table."""
    request = SubtitleRequest(media=media, model=str(model), options={"check_alignment": check})
    with SubtitleHost().generate(request, backend="qwen-asr") as transcript:
        words = [word for segment in transcript for word in segment.words]
    statistics = transcript.statistics
    first = [word for word in words if word.end_ms <= MINUTE_MS]
    moved = differences(first, words, total_ms - MINUTE_MS)
    silence = most_silence(words, spans)
    median = float(np.median(moved or [np.inf]))
    good = len(moved) >= SAME_WORDS * len(first) > 0 and abs(median) <= ALLOWED_MS
    row = (
        check,
        len(words),
        f"{statistics['aligned_chunks']}/{statistics['chunks']} chunks",
        sum(word.estimated for word in words),
        sum(word.repaired for word in words),
        f"{len(moved)} of {len(first)}",
        f"{median:+.0f}",
        *(f"{np.percentile(np.abs(moved or [np.inf]), q):.0f}" for q in (50, 90)),
        silence,
        statistics["wall_seconds"],
        statistics["peak_memory_mb"],
    )
    return good and silence <= SILENCE_MS, row


def differences(first: list[Word], words: list[Word], offset_ms: int) -> list[int]:
    """How much later each word of the first minute begins in the minute at `offset_ms`; fewer where words differ."""
    there = [word for word in words if offset_ms <= word.start_ms and word.end_ms <= offset_ms + MINUTE_MS]
    matcher = difflib.SequenceMatcher(None, [w.text for w in first], [w.text for w in there], autojunk=False)
    return [
        there[b + at].start_ms - offset_ms - first[a + at].start_ms
        for a, b, size in matcher.get_matching_blocks()
        for at in range(size)
    ]


def most_silence(words: list[Word], spans: list[SpeechSpan]) -> int:
    """The most time without speech in any word, in ms."""
    starts = np.array([span.start_ms for span in spans])
    ends = np.array([span.end_ms for span in spans])
    lengths = [
        word.end_ms
        - word.start_ms
        - int(np.clip(np.minimum(ends, word.end_ms) - np.maximum(starts, word.start_ms), 0, None).sum())
        for word in words
    ]
    return max(lengths, default=0)


def write(path: pathlib.Path, seconds: int, seed: int) -> tuple[int, dict[str, float]]:
    """Write the file; its length in ms, and the seconds of each kind of sound."""
    ffmpeg = [str(find_ffmpeg(None).ffmpeg), "-hide_banner", "-loglevel", "error", "-y"]
    source = ["-f", "s16le", "-ar", str(RATE), "-ac", "1", "-i", "pipe:0"]
    process = subprocess.Popen([*ffmpeg, *source, str(path)], stdin=subprocess.PIPE)
    assert process.stdin is not None
    samples, spent = 0, dict.fromkeys(SHARES, 0.0)
    for kind, sound in sounds(seconds * RATE, seed):
        process.stdin.write((np.clip(sound, -1, 1) * 32767).astype("<i2").tobytes())
        samples += len(sound)
        spent[kind] += len(sound) / RATE
    process.stdin.close()
    if process.wait():
        raise SystemExit("ffmpeg could not write the file.")
    return samples * 1000 // RATE, spent


def sounds(total: int, seed: int) -> Iterator[tuple[str, Samples]]:
    """The file piece by piece, `total` samples together; the same minute of talk at both ends."""
    dice = np.random.default_rng(seed)
    clips = [np.concatenate(list(blocks_of(path))) for path in sorted(CLIPS.glob("*.flac"))]
    minute = talk(dice, clips[:: len(clips) // 6], MINUTE_MS * RATE // 1000)
    yield "talk", minute
    left = total - 2 * len(minute)
    while left:
        kind = dice.choice(list(SHARES), p=list(SHARES.values()))
        if left < 5 * MINUTE_MS * RATE // 1000:
            kind, size = "silence", left
        elif kind == "talk":
            size = int(dice.uniform(30, 120) * RATE)
        else:
            size = int(dice.uniform(60, 240) * RATE)
        if kind == "talk":
            order = dice.permutation(len(clips))
            sound = talk(dice, [clips[at] for at in order], size)
        else:
            sound = music(dice, size) if kind == "music" else hiss(dice, size)
        yield kind, sound
        left -= size
    yield "talk", minute


def talk(dice: np.random.Generator, clips: list[Samples], size: int) -> Samples:
    """10 s of silence, clips with pauses of 0.3 to 3 s over and over, whole ones only, and silence again."""
    sound = hiss(dice, size)
    at = 10 * RATE  # so that what came before is forgotten
    for clip in itertools.cycle(clips):
        if at + len(clip) + RATE > size:
            return sound
        sound[at : at + len(clip)] += clip
        at += len(clip) + int(dice.uniform(0.3, 3.0) * RATE)
    raise AssertionError


def hiss(dice: np.random.Generator, size: int) -> Samples:
    return dice.normal(0, HISS, size).astype(np.float32)


def music(dice: np.random.Generator, size: int) -> Samples:
    """Chords with overtones that die away, one every 0.5 s, over a hiss."""
    sound = hiss(dice, size)
    beat = RATE // 2
    clock = np.arange(4 * beat) / RATE
    for at in range(0, size, beat):
        chord = np.zeros(len(clock))
        for tone in 110 * 2 ** (dice.choice([0, 3, 4, 7, 10, 12, 15, 19], 3) / 12):
            chord += sum(np.sin(2 * np.pi * tone * k * clock) / k**1.5 for k in (1, 2, 3, 4))
        rest = min(len(clock), size - at)
        sound[at : at + rest] += (0.05 * chord * np.exp(-2.5 * clock))[:rest].astype(np.float32)
    return sound


def blocks_of(path: pathlib.Path) -> Iterator[Samples]:
    found = probe(path, find_ffmpeg(None))
    with open_audio(found, choose_track(found), find_ffmpeg(None)) as stream:
        yield from stream


if __name__ == "__main__":
    sys.exit(main())
