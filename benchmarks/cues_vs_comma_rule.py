# SPDX-License-Identifier: Apache-2.0
"""Are our cues better than those of the usual rule: end at every comma, or at 40 characters?

    python benchmarks/cues_vs_comma_rule.py SPEECH...            # folders with audio, or audio files
    python benchmarks/cues_vs_comma_rule.py --save words.json SPEECH...
    python benchmarks/cues_vs_comma_rule.py --words words.json   # without recognising again

The files are recognised by the product's engine and their words timed by the product; both rules get the same words.
The comma rule puts words into a cue until one has a ``, . ? !`` in it (or the Chinese marks for these) or the cue has
40 characters; the cue has one line, begins with its first word and ends with its last, and loses the mark at its end.

A cue ends at a clause boundary if its last word has the punctuation of a clause or a sentence, or half a second of
silence follows. Status 1 when the comma rule has the better figure anywhere.
"""

import argparse
import json
import pathlib
import re
import statistics
import sys
from collections.abc import Callable, Iterable, Sequence

from _common import table

from qwen_asr_plugin.alignment import Boundary, TimedWord, boundary_after, estimate_words
from qwen_asr_plugin.audio import find_chunks
from qwen_asr_plugin.engine import shared_engine
from qwen_asr_plugin.media import choose_track, find_ffmpeg, open_audio, probe
from qwen_asr_plugin.options import parse_options
from qwen_asr_plugin.subtitles import CueBuilder, Norm, get_norm
from subtitle_hooks import Segment

_NORMS = ("default", "netflix", "bbc", "ted")
_MARKS = "，。？！、,.?!"  # noqa: RUF001 - Chinese marks
_LENGTH = 40
_CLAUSE_PAUSE_MS = 500

Call = tuple[str | None, list[TimedWord]]


def recognise(paths: Iterable[pathlib.Path]) -> dict[str, list[Call]]:
    """Recognise files and time their words: the words of every chunk, by file."""
    ffmpeg = find_ffmpeg(None)
    found: dict[str, list[Call]] = {}
    with shared_engine(parse_options({}).engine_part(), lambda: False) as engine:
        for path in paths:
            media = probe(path, ffmpeg)
            track = choose_track(media, index=None, language=None)
            with open_audio(media, track, ffmpeg, start_ms=0, duration_ms=None, allow_damaged=False) as stream:
                chunks = find_chunks(stream, start_ms=0, max_seconds=engine.info.max_chunk_seconds)
                found[str(path)] = [
                    (
                        heard.language,
                        list(
                            estimate_words(
                                heard.text,
                                heard.spans,
                                start_ms=heard.start_ms,
                                end_ms=heard.end_ms,
                                language=heard.language,
                            )
                        ),
                    )
                    for heard in engine.recognize(chunks, context="", language=None, cancelled=lambda: False)
                ]
    return found


def load(path: pathlib.Path) -> dict[str, list[Call]]:
    """Read what `save` wrote."""
    return {
        file: [
            (
                language,
                [TimedWord(text=text, start_ms=start, end_ms=end, estimated=True) for text, start, end in words],
            )
            for language, words in calls
        ]
        for file, calls in json.loads(path.read_text(encoding="utf-8")).items()
    }


def save(path: pathlib.Path, found: dict[str, list[Call]]) -> None:
    """Write words as JSON."""
    document = {
        file: [(language, [(word.text, word.start_ms, word.end_ms) for word in words]) for language, words in calls]
        for file, calls in found.items()
    }
    path.write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")


def comma_rule(calls: Sequence[Call]) -> list[Segment]:
    """Make cues by the comma rule."""
    cues: list[Segment] = []
    for language, words in calls:
        text, start_ms = "", 0
        for word in words:
            start_ms = start_ms if text else word.start_ms
            text += word.text
            is_last = word is words[-1]
            if is_last or len(text) >= _LENGTH or any(mark in word.text for mark in _MARKS):
                if line := text.strip().rstrip(_MARKS):
                    cues.append(Segment(start_ms=start_ms, end_ms=word.end_ms, text=line, language=language))
                text = ""
    return cues


def ours(calls: Sequence[Call], norm: Norm) -> list[Segment]:
    """Make cues with the product."""
    builder = CueBuilder(norm)
    cues = [cue for language, words in calls for cue in builder.add(words, language)]
    return cues + builder.finish()


def violations(cues: Sequence[Segment], family: Norm) -> dict[str, int]:
    """Count the cues that break each rule of a norm."""
    counts = dict.fromkeys(("lines", "characters per line", "too short", "too long", "overlap", "gap", "too fast"), 0)
    for cue, following in zip(cues, [*cues[1:], None], strict=True):
        norm = family.for_language(cue.language)
        lines = cue.text.split("\n")
        widths = [norm.text_width(line) for line in lines]
        length_ms = cue.end_ms - cue.start_ms
        counts["lines"] += len(lines) > norm.max_lines
        counts["characters per line"] += max(widths) > norm.max_chars_per_line
        counts["too short"] += length_ms < norm.min_duration_ms
        counts["too long"] += length_ms > norm.max_duration_ms
        counts["too fast"] += sum(widths) * 1000 > norm.chars_per_second * length_ms
        if following is not None:
            gap_ms = following.start_ms - cue.end_ms
            counts["overlap"] += gap_ms < 0
            counts["gap"] += 0 <= gap_ms < norm.min_gap_ms
    return counts


def clause_ends(cues: Sequence[Segment], calls: Sequence[Call]) -> int:
    """Count the cues that end where a clause or a sentence ends, or with half a second of silence."""
    words = [(language, word) for language, list_ in calls for word in list_]
    ends, length = {}, 0
    for (language, word), following in zip(words, [*words[1:], None], strict=True):
        length += len(_letters(word.text))
        is_end = following is None or following[1].start_ms - word.end_ms >= _CLAUSE_PAUSE_MS
        if not is_end:
            is_end = boundary_after(word.text, following[1].text, language) >= Boundary.CLAUSE
        ends[length] = is_end
    count = length = 0
    for cue in cues:
        length += len(_letters(cue.text))
        count += ends.get(length, False)
    return count


def _letters(text: str) -> str:
    return re.sub(r"[\W_]", "", text)


def figures(
    found: dict[str, list[Call]], make: Callable[[Sequence[Call]], list[Segment]], norm: Norm
) -> dict[str, float]:
    """Sum up all files."""
    total: dict[str, int] = {}
    durations: list[float] = []
    speeds: list[float] = []
    ends = 0
    for calls in found.values():
        cues = make(calls)
        for rule, count in violations(cues, norm).items():
            total[rule] = total.get(rule, 0) + count
        durations += [(cue.end_ms - cue.start_ms) / 1000 for cue in cues]
        speeds += [
            sum(map(norm.for_language(cue.language).text_width, cue.text.split("\n")))
            * 1000
            / max(1, cue.end_ms - cue.start_ms)
            for cue in cues
        ]
        ends += clause_ends(cues, calls)
    quantiles = statistics.quantiles(speeds, n=20)
    return {
        "cues": len(durations),
        **total,
        "violations": sum(total.values()),
        "mean duration (s)": statistics.fmean(durations),
        "characters per second, median": statistics.median(speeds),
        "characters per second, 95th percentile": quantiles[18],
        "ends at a clause boundary (%)": 100 * ends / len(durations),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "speech", nargs="*", type=pathlib.Path, help="audio files, or folders with .wav and .flac files"
    )
    parser.add_argument("--words", type=pathlib.Path, help="words saved by an earlier run")
    parser.add_argument("--save", type=pathlib.Path, help="write the words of this run")
    options = parser.parse_args()
    if options.words:
        found = load(options.words)
    else:
        paths = [
            file
            for path in options.speech
            for file in (sorted(path.iterdir()) if path.is_dir() else [path])
            if file.suffix in {".wav", ".flac"}
        ]
        if not paths:
            parser.error("name some speech, or --words")
        found = recognise(paths)
    if options.save:
        save(options.save, found)
    words = sum(len(words) for calls in found.values() for _, words in calls)
    print(f"{len(found)} files, {words} words.\n")
    is_better = True
    for name in _NORMS:
        norm = get_norm(name)
        theirs = figures(found, comma_rule, norm)
        mine = figures(found, lambda calls, norm=norm: ours(calls, norm), norm)
        rows = []
        for key, value in mine.items():
            other = theirs[key]
            rows.append([key, f"{other:.4g}", f"{value:.4g}"])
            more = key.startswith(("mean", "ends"))
            if key != "cues" and (value < other if more else value > other):
                is_better = False
                rows[-1].append("worse")
            else:
                rows[-1].append("")
        print(f"**{name}**\n")
        print(table(["figure", "comma rule", "this project", ""], rows))
        print()
    return 0 if is_better else 1


if __name__ == "__main__":
    sys.exit(main())
