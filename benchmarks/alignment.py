#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How far word starts are from the labels of a folder of timed clips, and whether the labels can be right.

    python benchmarks/alignment.py FOLDER [--model-dir BUNDLE]

FOLDER holds clips and ``words.jsonl``: one clip a line with ``file``, ``text`` and ``words`` (text, start and end in
seconds). Four tables:

1. Speech that voice activity finds from the start of each sentence on, against the time the labels give its words. The
   ratio is 1 where labels are right. The sentences of ``tests/samples`` are measured the same way: there the true times
   come from the sound itself.
2. The bundle's forced aligner with the true text, unrepaired, on clips up to its limit, against the labels as they are.
3. Word starts with the true text, against the labels and against stretched labels (each sentence from the start of its
   sound on, times the factor that fits the estimate best; the estimate knows nothing of labels): the aligner, repaired,
   and the estimate that needs no aligner. Before it the share of the speech that is left without a word, for them, for
   words at the stretched labels, and for words known to be wrong; and how many clips pass the product's check: all with
   right times should, and none with wrong ones. Further columns show other limits of the check.
4. The product end to end, over correctly recognised words, with and without its check of the aligner.
"""

import argparse
import difflib
import itertools
import json
import pathlib
import re
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from _common import SAMPLE, machine, table

from qwen_asr_model import default_bundle, find_bundle, open_bundle
from qwen_asr_native import Model, load_library
from qwen_asr_plugin.alignment import (
    TimedWord,
    align_units,
    align_words,
    estimate_words,
    is_plausible,
    repair_times,
    silent_share,
)
from qwen_asr_plugin.alignment.forced import ForcedAligner
from qwen_asr_plugin.audio import SpeechChunk, SpeechSpan, find_chunks
from qwen_asr_plugin.engine.encoder import Encoder
from qwen_asr_plugin.media import choose_track, find_ffmpeg, open_audio, probe
from subtitle_hooks import SubtitleHost, SubtitleRequest

SENTENCE_END = re.compile(r"[.?!][\"”']?$")
BACKEND = "qwen-asr"
LIMITS = (0.15, 0.2, 0.25, 0.3, 0.35, 0.4)
SPARE_MS = 400


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path, help="clips and words.jsonl")
    parser.add_argument("--model-dir", type=pathlib.Path, default=default_bundle(), help="a bundle with an aligner")
    options = parser.parse_args()
    clips = [json.loads(line) for line in (options.folder / "words.jsonl").read_text(encoding="utf-8").splitlines()]
    for clip in clips:
        clip["path"] = options.folder / clip["file"]
    print(f"{machine()}\n")

    ratios, leads = zip(*itertools.chain.from_iterable(map(label_ratios, clips)), strict=True)
    lead = float(np.median(leads))
    stretch = best_stretch(clips, lead)
    rows = [("labels of the folder", len(ratios), *percentiles(ratios, 2)), sample_row()]
    print(table(("speech / labelled time", "sentences", "median", "5 %", "95 %"), rows))
    print(
        f"\nThe sound begins {lead:.0f} ms after the label (median). Word starts fit the estimate best when stretched"
    )
    print(f"by {stretch:.2f} from the start of each sentence.\n")

    rows, by_hand = true_text(clips, open_bundle(find_bundle(options.model_dir)), stretch, lead)
    print(table(("bundled aligner, true text, clips up to its limit", "words", "median ms", "95 %", "mean"), rows))
    print()
    print(table(("true text", "words", "median ms", "95 %", "mean"), by_hand))
    print()
    print(table(("end to end", "words", "median ms", "95 %", "mean"), end_to_end(clips, options, stretch, lead)))


def sentences(clip: dict[str, Any]) -> list[int]:
    """For each word the index of its sentence's first word."""
    first, firsts = 0, []
    for index, _ in enumerate(clip["words"]):
        if index and SENTENCE_END.search(clip["words"][index - 1][0]):
            first = index
        firsts.append(first)
    return firsts


def label_ratios(clip: dict[str, Any]) -> list[tuple[float, float]]:
    """Speech against labelled time, and how long after the label the sound begins in ms, for each sentence."""
    spans = [(span.start_ms, span.end_ms) for chunk in chunks_of(clip["path"]) for span in chunk.spans]
    found = []
    starts = sorted(set(sentences(clip)))
    for first, after in zip(starts, [*starts[1:], len(clip["words"])], strict=True):
        begin, end = clip["words"][first][1] * 1000, clip["words"][after - 1][2] * 1000
        until = clip["words"][after][1] * 1000 if after < len(clip["words"]) else float("inf")
        inside = [(a, min(b, until)) for a, b in spans if begin - 100 <= a < until - 100]
        if inside:
            found.append((sum(b - a for a, b in inside) / (end - begin), inside[0][0] - begin))
    return found


def sample_row() -> tuple[object, ...]:
    reference = json.loads(SAMPLE.with_name("sample.reference.json").read_text(encoding="utf-8"))["sentences"]
    spans = [(span.start_ms, span.end_ms) for chunk in chunks_of(SAMPLE) for span in chunk.spans]
    ratios = []
    for sentence in reference:
        begin, end = sentence["start_ms"], sentence["end_ms"]
        speech = sum(max(0, min(b, end + 300) - max(a, begin - 300)) for a, b in spans)
        ratios.append(speech / (end - begin))
    return ("sample video, times from the sound", len(ratios), *percentiles(ratios, 2))


def best_stretch(clips: list[dict[str, Any]], lead: float) -> float:
    """The factor with the smallest median distance between the estimate and stretched labels."""
    pairs = []
    for clip in clips:
        chunks = chunks_of(clip["path"])
        spans = tuple(span for chunk in chunks for span in chunk.spans)
        words = estimate_words(clip["text"], spans, start_ms=0, end_ms=chunks[-1].end_ms, language="en")
        pairs.append((clip, [word.start_ms for word in words]))

    def distance(factor: float) -> float:
        return float(
            np.median(
                [
                    abs(a - b)
                    for clip, starts in pairs
                    for a, b in zip(starts, stretched(clip, factor, lead), strict=True)
                ]
            )
        )

    return min((round(float(factor), 2) for factor in np.arange(0.8, 2.6, 0.05)), key=distance)


def true_text(
    clips: list[dict[str, Any]], bundle: Any, stretch: float, lead: float
) -> tuple[list[tuple[object, ...]], list[tuple[object, ...]]]:
    library = load_library()
    decoder = Model(library, bundle.llm)
    aligner = ForcedAligner(bundle.aligner, library, decoder, tokenizer_sha256=bundle.tokenizer_sha256, threads=2)
    encoder = Encoder(bundle.encoder_frontend, bundle.encoder_backend, threads=2)
    raw: list[float] = []
    errors: dict[str, list[float]] = {}
    placed: dict[str, list[tuple[Sequence[TimedWord], Sequence[SpeechSpan]]]] = {}
    for clip in clips:
        samples = np.concatenate(list(blocks_of(clip["path"])))
        duration = len(samples) // 16
        if duration > bundle.aligner.max_chunk_seconds * 1000:
            continue
        spans = tuple(span for chunk in chunks_of(clip["path"]) for span in chunk.spans)
        units = align_units(clip["text"], "en")
        times = aligner.align(encoder.encode(samples), [unit.text for unit in units], duration)
        labels, true = label_times(clip), stretched(clip, stretch, lead)
        right = right_words(clip, stretch, lead, duration)
        missing = [word for at, word in enumerate(right) if at % 5 != 2]
        short = right_words(clip, 0.75 * stretch, lead, duration)
        placed.setdefault("right: stretched labels", []).append((right, spans))
        placed.setdefault("right, but every fifth word is missing", []).append((missing, spans))
        placed.setdefault("wrong: labels stretched by a quarter less", []).append((short, spans))
        raw += [abs(at - label) for at, label in zip(repair_times(times)[::2], labels, strict=True)]
        aligned = align_words(clip["text"], units, times, spans, start_ms=0, end_ms=duration)
        estimated = estimate_words(clip["text"], spans, start_ms=0, end_ms=duration, language="en")
        for name, words in (("the aligner", aligned), ("the estimate", estimated)):
            placed.setdefault(name, []).append((words, spans))
            for against, wanted in (("labels", labels), ("stretched labels", true)):
                differences = [abs(word.start_ms - at) for word, at in zip(words, wanted, strict=True)]
                errors.setdefault(f"{name}, {against}", []).extend(differences)
    aligner.close()
    decoder.close()
    print(plausibility(placed))
    print()
    return [summary("against the labels", raw)], [summary(name, values) for name, values in errors.items()]


def plausibility(placed: dict[str, list[tuple[Sequence[TimedWord], Sequence[SpeechSpan]]]]) -> str:
    """Speech without a word, and how many clips pass the product's check and others like it."""
    rows = []
    for name, clips in placed.items():
        speech = [sum(span.end_ms - span.start_ms for span in spans) for _, spans in clips]
        silent = [silent_share(words, spans) for words, spans in clips]
        passed = sum(is_plausible(words, spans) for words, spans in clips)
        others = [
            sum(share * ms <= max(SPARE_MS, limit * ms) for share, ms in zip(silent, speech, strict=True))
            for limit in LIMITS
        ]
        rows.append((name, len(clips), *percentiles(silent, 2), f"{max(silent):.2f}", passed, *others))
    limits = (f"at {limit}" for limit in LIMITS)
    return table(("speech without a word", "clips", "median", "5 %", "95 %", "most", "plausible", *limits), rows)


def end_to_end(
    clips: list[dict[str, Any]], options: argparse.Namespace, stretch: float, lead: float
) -> list[tuple[object, ...]]:
    host = SubtitleHost()
    errors: dict[str, list[float]] = {}
    for check in ("yes", "no"):
        for clip in clips:
            values = {"check_alignment": check}
            request = SubtitleRequest(media=clip["path"], language="en", model=options.model_dir, options=values)
            heard = [word for segment in host.generate(request, backend=BACKEND) for word in segment.words]
            wanted = [plain(word[0]) for word in clip["words"]]
            matcher = difflib.SequenceMatcher(None, [plain(word.text) for word in heard], wanted, autojunk=False)
            for against, times in (("labels", label_times(clip)), ("stretched labels", stretched(clip, stretch, lead))):
                bucket = errors.setdefault(f"check_alignment={check}, {against}", [])
                for ours, theirs, size in matcher.get_matching_blocks():
                    bucket += [abs(heard[ours + k].start_ms - times[theirs + k]) for k in range(size)]
    return [summary(name, values) for name, values in errors.items()]


def label_times(clip: dict[str, Any]) -> list[float]:
    return [word[1] * 1000 for word in clip["words"]]


def right_words(clip: dict[str, Any], stretch: float, lead: float, duration: int) -> list[TimedWord]:
    """The words at stretched labels, none beyond the next one's start."""
    starts = [round(at) for at in stretched(clip, stretch, lead)]
    ends = (
        round(start + stretch * 1000 * (end - begin))
        for start, (_, begin, end) in zip(starts, clip["words"], strict=True)
    )
    return [
        TimedWord(text=word[0], start_ms=start, end_ms=max(start, min(end, following)), estimated=False)
        for word, start, end, following in zip(clip["words"], starts, ends, [*starts[1:], duration], strict=True)
    ]


def stretched(clip: dict[str, Any], stretch: float, lead: float) -> list[float]:
    labels = label_times(clip)
    return [
        labels[first] + lead + stretch * (at - labels[first]) for at, first in zip(labels, sentences(clip), strict=True)
    ]


def blocks_of(path: pathlib.Path) -> Any:
    found = probe(path, find_ffmpeg(None))
    with open_audio(found, choose_track(found), find_ffmpeg(None)) as stream:
        yield from stream


def chunks_of(path: pathlib.Path) -> list[SpeechChunk]:
    return list(filter(None, find_chunks(blocks_of(path), start_ms=0, max_seconds=30)))


def plain(word: str) -> str:
    return re.sub(r"[^a-z0-9']", "", word.lower())


def percentiles(values: Sequence[float], digits: int) -> tuple[str, ...]:
    return tuple(f"{np.percentile(values, q):.{digits}f}" for q in (50, 5, 95))


def summary(name: str, values: Sequence[float]) -> tuple[object, ...]:
    return (name, len(values), f"{np.median(values):.0f}", f"{np.percentile(values, 95):.0f}", f"{np.mean(values):.0f}")


if __name__ == "__main__":
    sys.exit(main())
