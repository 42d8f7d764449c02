#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: RUF001
"""The whole way from words to files for made-up transcripts: built, written, checked, and read by other programs.

    pip install pysubs2 webvtt-py       # the extra "test" brings them
    python benchmarks/cue_corpus.py [--count 2000]

Every transcript (Latin, Chinese, Japanese, Korean, Thai, Arabic, mixed; words without length, overlapping, out of
order, wider than a line) becomes cues by every norm in turn, and files in every format with times. The files must keep
the hard rules of the norm by our own checker, and the packages srt, pysubs2 and webvtt-py and ffmpeg must find the same
cues in them. Exit status 1 otherwise.
"""

import argparse
import io
import pathlib
import random
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta

import pysubs2
import srt
import webvtt
from _common import machine, table

from qwen_asr_plugin.alignment import TimedWord
from qwen_asr_plugin.media import find_ffmpeg
from qwen_asr_plugin.subtitles import CueBuilder, TranscriptInfo, get_norm, render
from qwen_asr_plugin.subtitles.check import check_document
from qwen_asr_plugin.subtitles.reading import parse_subtitles
from subtitle_hooks import Segment

NORMS = ("default", "netflix", "bbc", "ted")
FORMATS = ("srt", "vtt", "ass", "ttml", "lrc", "tsv", "json")
WORDS = {
    "en": "the a house of incomprehensibilities Mr. done. why? well, 3.14 10:30 U.S.A. <i>no</i> --> a&b",
    "de": "und No. Straßenbahnhaltestelle, schön! „Nein“, 10 000 z. B. der",
    "zh": "你 好， 吗？ 2024 年 天 气 很 好。 我 们",
    "ja": "の カー ッ です。 今日 は 東京 「はい」",
    "ko": "영화를 보았습니다. 안녕 하세요? 2024년",
    "th": "เพื่ อน ที่ ดี มาก",
    "ar": "قال الرئيس؟ اليوم ٢٠٢٤ مرحبا",
}
ODD = ["x" * 90, "https://example.org/a/very/long/path", "…", "😀", "\u2067a\u2069", "{\\an8}", "C:\\new"]


def transcript(seed: int) -> tuple[list[TimedWord], str | None]:
    chance = random.Random(seed)
    language = chance.choice([*WORDS, None])
    texts = WORDS[language].split(" ") if language else [word for words in WORDS.values() for word in words.split(" ")]
    space = "" if language in {"zh", "ja", "th"} else " "
    at, words = chance.randint(0, 5000), []
    for _ in range(chance.randint(0, 80)):
        text = chance.choice(ODD) if chance.random() < 0.05 else chance.choice(texts)
        start = max(0, at + chance.choice([0, 0, 0, 0, 20, 100, 400, 700, 5000, -300, -4000]))
        at = start + chance.choice([0, 0, 30, 200, 350, 350, 900, 9000])
        words.append(TimedWord(text=text + space, start_ms=start, end_ms=at, estimated=True))
    return words, language


def visible(text: str) -> str:
    text = re.sub(r"</?font[^>]*>|&lrm;|&rlm;", "", text)
    text = re.sub(r"[\s\u200b\u200e\u200f\u2060-\u2069\u202a-\u202e\u061c\ufeff\\{}\uff5b\uff5d]", "", text)
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&").replace("→", "-->")


def others(files: dict[str, str]) -> dict[str, list[tuple[int, str]]]:
    """Start and text of every cue as other packages read them."""
    ms = timedelta(milliseconds=1)
    found = {"srt by srt": [(cue.start // ms, visible(cue.content)) for cue in srt.parse(files["srt"])]}
    for name, more in (("srt", {"keep_html_tags": True, "keep_ssa_tags": True}), ("ass", {})):
        events = pysubs2.SSAFile.from_string(files[name], name, **more) if files[name] else []
        texts = [event.text if name == "srt" else event.plaintext for event in events]
        starts = [event.start for event in events]
        found[f"{name} by pysubs2"] = [(a, visible(b.replace("\\N", ""))) for a, b in zip(starts, texts, strict=True)]
    captions = webvtt.from_buffer(io.StringIO(files["vtt"])).captions
    found["vtt by webvtt-py"] = [(clock(caption.start), visible(caption.raw_text)) for caption in captions]
    return found


def clock(text: str) -> int:
    hours, minutes, seconds = text.split(":")
    return (int(hours) * 60 + int(minutes)) * 60_000 + round(float(seconds) * 1000)


def by_ffmpeg(ffmpeg: pathlib.Path, path: pathlib.Path) -> list[tuple[int, str]]:
    command = [ffmpeg, "-v", "error", "-i", path, "-f", "srt", "-c:s", "subrip", "-"]
    done = subprocess.run(command, capture_output=True, check=True, timeout=60)
    cues = srt.parse(done.stdout.decode())
    return [(cue.start // timedelta(milliseconds=1), visible(cue.content)) for cue in cues]


def same(found: Sequence[tuple[int, str]], wanted: Sequence[Segment], step: int) -> bool:
    if len(found) != len(wanted):
        return False
    return all(
        abs(start - segment.start_ms) < step and text == visible(segment.text)
        for (start, text), segment in zip(found, wanted, strict=True)
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=2000, help="transcripts (default: %(default)s)")
    options = parser.parse_args()
    ffmpeg = find_ffmpeg(None).ffmpeg
    good: Counter[str] = Counter()
    bad: Counter[str] = Counter()
    cues = 0
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(options.count):
            words, language = transcript(seed)
            norm = get_norm(NORMS[seed % len(NORMS)], language)
            builder = CueBuilder(norm)
            segments = [*builder.add(words, language), *builder.finish()]
            cues += len(segments)
            files = {name: render(name, segments, TranscriptInfo(backend="qwen-asr")) for name in FORMATS}
            for name, text in files.items():
                document = parse_subtitles(text.encode(), f"x.{name}")
                whole = len(document.cues) == len(segments)
                broken = [found for found in check_document(document, norm) if found.severity == "error"]
                count(good, bad, f"{name} by our checker", whole and not broken, seed)
            for name, found in others(files).items():
                if name == "srt by pysubs2" and any(segment.text.split("\n")[-1].isdigit() for segment in segments):
                    continue  # it takes a last line of digits for the number of a cue to come
                count(good, bad, name, same(found, segments, 10 if name.startswith("ass") else 1), seed)
            if segments:  # ffmpeg calls a file without cues invalid
                path = pathlib.Path(folder, "x.srt")
                path.write_text(files["srt"], encoding="utf-8")
                count(good, bad, "srt by ffmpeg", same(by_ffmpeg(ffmpeg, path), segments, 1), seed)
    print(f"{machine()}\n\n{options.count} transcripts, {cues} cues\n")
    print(table(("read", "right", "wrong"), [(name, good[name], bad[name]) for name in sorted(good | bad)]))
    return 1 if bad.total() else 0


def count(good: Counter[str], bad: Counter[str], name: str, right: bool, seed: int) -> None:
    (good if right else bad)[name] += 1
    if not right:
        print(f"transcript {seed}: {name} is not what was written", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
