# SPDX-License-Identifier: Apache-2.0
"""How long does it take to make the cues of a transcript, and does it grow with its length only?

    python benchmarks/cues.py
    python benchmarks/cues.py --sizes 10000 100000 --norm bbc

The words are those of the sample's transcript over and over, with a pause behind every sentence, given to the builder
in chunks of 60; the Chinese ones are single characters. 100 000 English words are 10 hours of speech. Status 1 when
100 000 English words take 5 s of processor time or more, or when a word of the longest transcript takes half as long
again as one of the shortest.
"""

import argparse
import itertools
import json
import pathlib
import sys
import time

from _common import SAMPLE, machine, table

from qwen_asr_plugin.alignment import TimedWord, split_words
from qwen_asr_plugin.subtitles import CueBuilder, get_norm

_LIMIT_SECONDS = 5.0
_LIMIT_WORDS = 100_000
_GROWTH = 1.5
_CHUNK = 60
_CHINESE = (
    "我们今天去公园散步，然后再去吃饭。因为昨天晚上下了很大的雨所以今天早上的路上有很多积水大家走路的时候都很小心。"  # noqa: RUF001
)


def make_words(text: str, count: int, ms_per_char: int) -> list[TimedWord]:
    """Repeat a text to so many words, one behind the other."""
    words: list[TimedWord] = []
    at = 0
    for unit in itertools.islice(itertools.cycle(split_words(text)), count):
        end = at + ms_per_char * len(unit)
        words.append(TimedWord(text=unit, start_ms=at, end_ms=end, estimated=True))
        at = end + (500 if unit.strip()[-1:] in ".?!。" else 0)
    return words


def measure(words: list[TimedWord], language: str, norm: str) -> tuple[float, float, int]:
    """Return processor seconds, seconds on the clock, and cues."""
    builder = CueBuilder(get_norm(norm))
    cues = 0
    clock, processor = time.perf_counter(), time.process_time()
    for at in range(0, len(words), _CHUNK):
        cues += len(builder.add(words[at : at + _CHUNK], language))
    cues += len(builder.finish())
    return time.process_time() - processor, time.perf_counter() - clock, cues


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", type=int, default=[10_000, 50_000, 100_000], help="words")
    parser.add_argument("--norm", default="default")
    parser.add_argument("--json", type=pathlib.Path, help="also write the figures to this file")
    options = parser.parse_args()
    sentences = json.loads(SAMPLE.with_name("sample.reference.json").read_text(encoding="utf-8"))["sentences"]
    english = " ".join(sentence["text"] for sentence in sentences) + " "
    figures, is_good = [], True
    for language, text, pace in (("en", english, 60), ("zh", _CHINESE, 200)):
        per_word = []
        for size in sorted(options.sizes):
            processor, clock, cues = measure(make_words(text, size, pace), language, options.norm)
            per_word.append(processor / size)
            figures.append({"language": language, "words": size, "cues": cues, "cpu": processor, "clock": clock})
            is_good &= language != "en" or size > _LIMIT_WORDS or processor < _LIMIT_SECONDS
        is_good &= per_word[-1] < _GROWTH * per_word[0]
    print(machine())
    print()
    rows = []
    for figure in figures:
        times = (f"{figure['cpu']:.2f}", f"{figure['clock']:.2f}", f"{1e6 * figure['cpu'] / figure['words']:.1f}")
        rows.append([figure["language"], figure["words"], figure["cues"], *times])
    print(table(["language", "words", "cues", "CPU seconds", "seconds", "CPU µs per word"], rows))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2), encoding="utf-8")
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
