# SPDX-License-Identifier: Apache-2.0
"""Read a folder of odd subtitle files of other projects and compare with what is known about each.

    python benchmarks/subtitle_corpus.py FOLDER

FOLDER holds the WebVTT parsing suite of web-platform-tests and broken SRT, VTT, ASS and TTML files in sub-folders
(sources: tests/subtitles/data/corpus/README.md, which describes the part of them that lies there). The expectations
below are those of the suite's test pages and of the files' own descriptions, not what this program once read. Exit
status 1 when a file deviates.
"""

import argparse
import math
import pathlib
import sys
import time

from qwen_asr_plugin.subtitles import get_norm
from qwen_asr_plugin.subtitles.check import check_document
from qwen_asr_plugin.subtitles.reading import SubtitleDocument, read_subtitles

# WebVTT files whose cues are all shown from 0 to 1 s: how many cues.
FIRST_SECOND = {
    "arrows": 6,
    "header-garbage": 1,
    "header-space": 1,
    "header-tab": 1,
    "header-timings": 1,
    "ids": 5,
    "newlines": 4,
    "nulls": 7,
    "regions-id": 4,
    "regions-lines": 13,
    "regions-old": 2,
    "regions-regionanchor": 20,
    "regions-scroll": 6,
    "regions-viewportanchor": 20,
    "settings-align": 13,
    "settings-line": 46,
    "settings-multiple": 2,
    "settings-position": 22,
    "settings-region": 9,
    "settings-size": 16,
    "settings-vertical": 8,
    "stylesheets": 2,
    "timings-omitted-hours": 3,
    "timings-too-long": 2,
    "timings-too-short": 2,
    "whitespace-chars": 3,
}
NO_CUES = (
    "signature-bom",
    "signature-no-newline",
    "signature-space",
    "signature-space-no-newline",
    "signature-tab",
    "signature-tab-no-newline",
    "signature-timings",
    "timings-eof",
    "timings-garbage",
)
# Cue n is shown from n to n + 1 s.
COUNTING = {
    "cuetext-entities": 25,
    "cuetext-tags": 28,
    "cuetext-text": 5,
    "cuetext-timestamps": 10,
    "cuetext-tree-building": 9,
}
TIMES = {
    "timings-60": [(0, 216_001_000), (216_000_000, 216_001_000)],
    "timings-negative": [(0, 0), (1000, 999), (60_000, 59_999), (3_600_000, 3_599_999)],
    "rendering-2_cues_overlapping_completely_move_up": [(0, 5000), (1000, 5000)],
    "rendering-bidi_vertical_rl": [(0, 5000)],
    "rendering-too_many_cues": [(0, 10_000)] * 10,
    "rendering-u002E_u2028_u05D0": [(0, 5000)],
    "rendering-very_long_cue": [(0, 10_000)],
}
TEXTS = {
    "arrows": [f"text{n}" for n in range(6)],
    "header-garbage": ["text"],
    "header-space": ["text"],
    "header-tab": ["text"],
    "header-timings": ["text"],
    "newlines": [f"text{n}" for n in range(4)],
    "nulls": ["text0", "text1", "\ufffdtext\ufffd2", "text3", "text4", "text5", "text6"],
    "timings-60": ["text1", "text2"],
    "timings-too-long": ["text0", "text1"],
    "timings-too-short": ["text0", "text1"],
    "whitespace-chars": ["   text0", "text1", "text2"],
}
IDENTIFIERS = {
    "arrows": [""] * 6,
    "ids": [" leading space", "trailing space ", "-- >", "->", " "],
    "newlines": ["cr", "lf", "crlf", "lfcr"],
    "nulls": ["", "\ufffd (null in id)", "\ufffd (null in cue data)", "", "", "", ""],
    "settings-multiple": ["id0", "id1"],
    "whitespace-chars": ["spaces", "tabs", "form feed"],
}
# The values of one setting, with its default where it is not there.
_AUTO = "auto"
SETTINGS = {
    "nulls": ("align", "center", ["center"] * 6 + ["end"]),
    "settings-align": (
        "align",
        "center",
        ["center", "start", "center", "end", "left", "right", *["end"] * 6, "center"],
    ),
    "settings-line": (
        "line",
        _AUTO,
        [
            *(-1, 0, 0, 1, 100, 101, 65536, 4294967296, 18446744073709552000, 1e34, 1.5),
            *(sys.float_info.max, -sys.float_info.max, 5e-324, 0),
            *[_AUTO] * 23,
            *("0%", "0%", "100%", "100%,start", "100%,center", "100%,end", "5e-324%", "0%"),
        ],
    ),
    "settings-position": (
        "position",
        _AUTO,
        ["1%", "100%", "1%", "1.5%", "1%,line-left", "1%,center", "1%,line-right", "1%", *[_AUTO] * 14],
    ),
    "settings-region": ("region", "none", ["foo", "bar", "bar", "none", "foo", *["none"] * 4]),
    "settings-size": ("size", "100%", ["100%", "2%", "0%", "0%", "100%", "50%", "1.5%", *["100%"] * 9]),
    "settings-vertical": ("vertical", "none", ["none", "lr", "rl", "lr", *["none"] * 4]),
    "regions-old": ("region", "none", ["none", "none"]),
}
_ANCHORS = ["0%,100%", "0%,0%", "1%,1%", "100%,0%", "0%,100%", "100%,100%", *["0%,100%"] * 14]
# The values of one setting of the regions the cues are in.
REGIONS = {
    "regions-id": ("lines", "3", ["2", "1", "3", "4"]),
    "regions-lines": (
        "lines",
        "3",
        [0, 1, 100, 101, 65536, 4294967296, 18446744073709552000, 1e34, 2, *["3"] * 4],
    ),
    "regions-regionanchor": ("regionanchor", "0%,100%", _ANCHORS),
    "regions-viewportanchor": ("viewportanchor", "0%,100%", _ANCHORS),
    "regions-scroll": ("scroll", "none", ["none", "up", "up", "none", "none", "up"]),
}
MULTIPLE = [
    {"align": "start", "line": "1%", "vertical": "lr", "size": "50%", "position": "25%"},
    {"align": "center", "line": "1", "vertical": "rl", "size": "0%", "position": "100%"},
]
HEADER_REGIONS = [
    *[None] * 4,
    {},
    {"width": "32%", "lines": "5", "regionanchor": "41%,20%", "viewportanchor": "31%,84%", "scroll": "up"},
    {"regionanchor": "41.125%,20.25%", "viewportanchor": "32.75%,32.5%"},
    {"width": "67%"},
    None,
]

# Everything else: file name: format, encoding, cues, and what must be found, oddities and rules alike.
# fmt: off
OTHERS = {
    "astisub-example-in-carriage-return.srt": ("srt", "utf-8", 3, "bom cr-line-endings dot-fraction"),
    "astisub-example-in-html-entities.srt": ("srt", "utf-8", 3, "entity bom"),
    "astisub-example-in-styled.srt": ("srt", "utf-8", 10, "unclosed-tag"),
    "astisub-missing-sequence-in.srt": ("srt", "utf-8", 6, "missing-number odd-fraction coordinates"),
    "captioning-failed-equal-start-and-end-time-in-last-queue.srt": ("srt", "utf-8", 7, "end-before-start"),
    "captioning-failed-equal-subtitle-order-number.srt": ("srt", "utf-8", 7, "number-order"),
    "cdownsrt-ascii.srt": ("srt", "utf-8", 3, "number-order"),
    "cdownsrt-gb2312.srt": ("srt", "gb18030", 3, "encoding number-order"),
    "derived-utf16-windows1256.srt": ("srt", "cp1256", 1, "encoding odd-digits"),
    "derived-vtt_with_html-latin1.srt": ("srt", "cp1252", 1, "encoding unknown-tag"),
    "mantas-utf16.srt": ("srt", "utf-16-le", 1, "utf-16 odd-digits"),
    "media-typical_bad_timestamps.srt": ("srt", "utf-8", 3, "odd-fraction"),
    "media-typical_extra_blank_line.srt": ("srt", "utf-8", 3, "extra-blank-line"),
    "media-typical_missing_sequence.srt": ("srt", "utf-8", 3, "missing-number"),
    "media-typical_missing_timecode.srt": ("srt", "utf-8", 2, "missing-timing unreadable-timing"),
    "media-typical_negative_timestamps.srt": ("srt", "utf-8", 3, "negative-time"),
    "media-typical_no_hours_and_millis.srt": ("srt", "utf-8", 3, "missing-hours missing-fraction"),
    "media-typical_unexpected_end.srt": ("srt", "utf-8", 2, "file-cut-off"),
    "media-typical_utf16be.srt": ("srt", "utf-16-be", 3, "utf-16"),
    "media-typical_utf16le.srt": ("srt", "utf-16-le", 3, "utf-16"),
    "media-typical_with_byte_order_mark.srt": ("srt", "utf-8", 3, "bom"),
    "media-typical_with_tags.srt": ("srt", "utf-8", 14, "override-tag odd-digits"),
    "ttconv-alignment.srt": ("srt", "utf-8", 9, "override-tag"),
    "ttconv-extended-tags.srt": ("srt", "utf-8", 1, "unknown-tag"),
    "webvttpy-invalid_format3.srt": ("srt", "utf-8", 0, "missing-timing"),
    "webvttpy-invalid_timeframe.srt": ("srt", "utf-8", 5, "dot-fraction"),
    "webvttpy-missing_caption_text.srt": ("srt", "utf-8", 5, "empty"),
    "webvttpy-missing_timeframe.srt": ("srt", "utf-8", 4, "missing-timing"),
    "webvttruby-invalid_cue.srt": ("srt", "utf-8", 1, "bom blank-line"),
    "webvttruby-weird_format.srt": ("srt", "utf-8", 4, "odd-digits"),
    "astisub-broken-1-in.vtt": ("vtt", "utf-8", 0, "signature"),
    "captioning-invalid_1.1-non-normative_cues-with-multiple-lines.vtt": ("vtt", "utf-8", 3, "stray-text"),
    "captioning-invalid_1.3-non-normative_other-features_5.vtt": ("vtt", "utf-8", 6, "text-on-signature"),
    "captioning-long-hours.vtt": ("vtt", "utf-8", 6, "long-hours"),
    "derived-vtt_with_html-latin1.vtt": ("vtt", "cp1252", 1, "encoding"),
    "mantas-vtt_with_multiple_new_lines.vtt": ("vtt", "utf-8", 2, "stray-text empty"),
    "media-typical_with_bad_timestamps.vtt": ("vtt", "utf-8", 0, "unreadable-timing"),
    "media-with_css_complex_selectors.vtt": ("vtt", "utf-8", 5, "style"),
    "media-with_overlapping_timestamps.vtt": ("vtt", "utf-8", 4, "overlap"),
    "media-with_positioning.vtt": ("vtt", "utf-8", 8, "bad-setting"),
    "media-with_tags.vtt": ("vtt", "utf-8", 4, "misnested-tag"),
    "media-with_wide_unicode_chars_and_cr_endings.vtt": ("vtt", "utf-8", 1, "cr-line-endings"),
    "media-with_x-timestamp-map_header.vtt": ("vtt", "utf-8", 2, "timestamp-map long-hours"),
    "ttconv-comment-in-cue-text.vtt": ("vtt", "utf-8", 2, ""),
    "ttconv-regions-edge-case.vtt": ("vtt", "utf-8", 4, "missing-blank-line unreadable-timing region"),
    "vttjs-arabic.vtt": ("vtt", "utf-8", 1, "bom"),
    "vttjs-bad-double-webvtt.vtt": ("vtt", "utf-8", 0, "signature"),
    "vttjs-chinese.vtt": ("vtt", "utf-8", 1, ""),
    "vttjs-cue-spacing.vtt": ("vtt", "utf-8", 4, "missing-blank-line empty"),
    "vttjs-hebrew.vtt": ("vtt", "utf-8", 1, ""),
    "vttjs-incorrect-close-tag-order.vtt": ("vtt", "utf-8", 1, "misnested-tag"),
    "vttjs-junk_characters.vtt": ("vtt", "utf-8", 1, "bom"),
    "vttjs-long_string_multiple_languages.vtt": ("vtt", "utf-8", 1, ""),
    "vttjs-long_string_thai.vtt": ("vtt", "utf-8", 1, ""),
    "vttjs-max-spots-over-sixty.vtt": ("vtt", "utf-8", 1, "long-hours end-before-start"),
    "vttjs-missing-spaces-between-separator.vtt": ("vtt", "utf-8", 1, "spaces-around-arrow"),
    "vttjs-multiple_languages.vtt": ("vtt", "utf-8", 1, ""),
    "vttjs-nested.vtt": ("vtt", "utf-8", 1, ""),
    "vttjs-out-of-cue-range.vtt": ("vtt", "utf-8", 1, "bad-inline-time"),
    "vttjs-tab-after-bom-before-header.vtt": ("vtt", "utf-8", 0, "bom signature"),
    "vttjs-thai.vtt": ("vtt", "utf-8", 1, ""),
    "vttjs-together.vtt": ("vtt", "utf-8", 1, "bad-entity"),
    "webvttpy-invalid.vtt": ("vtt", "utf-8", 0, "signature"),
    "webvttpy-invalid_timeframe_in_cue_text.vtt": ("vtt", "utf-8", 4, "missing-blank-line empty"),
    "webvttpy-missing_caption_text.vtt": ("vtt", "utf-8", 5, "empty"),
    "webvttruby-invalid_cue.vtt": ("vtt", "utf-8", 1, "inner-bom"),
    "webvttruby-test_multiple_spaces_in_cue.vtt": ("vtt", "utf-8", 2, ""),
    "astisub-example-in-carriage-return.ssa": ("ass", "utf-8", 3, "cr-line-endings odd-fraction"),
    "mantas-ass_different_format3.ass": ("ass", "utf-8", 1, ""),
    "media-empty_style_line.ass": ("ass", "utf-8", 1, "missing-field"),
    "media-invalid_layer.ass": ("ass", "utf-8", 3, "bad-field"),
    "media-invalid_positioning.ass": ("ass", "utf-8", 4, "bad-tag tag-without-braces"),
    "media-invalid_timecodes.ass": ("ass", "utf-8", 4, "unreadable-timing odd-fraction end-before-start"),
    "media-layer.ass": ("ass", "utf-8", 2, "bad-field"),
    "media-overlapping_timecodes.ass": ("ass", "utf-8", 7, "overlap order"),
    "media-positioning.ass": ("ass", "utf-8", 6, ""),
    "media-style_primary_color.ass": ("ass", "utf-8", 7, "bad-field odd-digits"),
    "media-typical_dialogue.ass": ("ass", "utf-8", 3, "missing-section missing-format"),
    "media-typical_utf16be.ass": ("ass", "utf-16-be", 3, "utf-16"),
    "media-typical_utf16le.ass": ("ass", "utf-16-le", 3, "utf-16"),
    "subtitleedit-test.ass": ("ass", "utf-8", 3, "bom no-play-res"),
    "subtitleedit-test.ssa": ("ass", "utf-8", 3, "bom starred-style"),
    "astisub-example-in-breaklines.ttml": ("ttml", "utf-8", 4, "no-namespace"),
    "imsc-BasicTiming007.ttml": ("ttml", "utf-8", 1, "never-shown"),
    "imsc-BeginDur001.ttml": ("ttml", "utf-8", 9, ""),
    "imsc-Direction006.ttml": ("ttml", "utf-8", 1, "bidi-override"),
    "imsc-FixedBeginEnd002.ttml": ("ttml", "utf-8", 12, "no-end overlap"),
    "imsc-MediaSeqTiming004.ttml": ("ttml", "utf-8", 2, "never-shown"),
    "imsc-TimeExpressions001.ttml": ("ttml", "utf-8", 11, "frame-times"),
    "imsc-region-timing.ttml": ("ttml", "utf-8", 5, "region"),
    "imsc-ruby001.ttml": ("ttml", "utf-8", 1, ""),
    "imsc-special-character-001.ttml": ("ttml", "utf-8", 1, ""),
    "imsc-unicode-bidi-override-direction-rtl-001.ttml": ("ttml", "utf-8", 1, "bidi-override"),
    "imsc-unicode-non-bmp-character.ttml": ("ttml", "utf-8", 1, "no-times"),
    "mantas-dfxp_with_different_br.dfxp": ("ttml", "utf-8", 1, "odd-fraction"),
    "mantas-ttml_with_duplicated_element_ids.ttml": ("ttml", "utf-8", 3, "duplicate-id"),
    "mantas-ttml_with_fps_and_multiplier_given.ttml": ("ttml", "utf-8", 1, "unbound-prefix frame-times"),
    "media-font_size_invalid.xml": ("ttml", "utf-8", 3, "bad-attribute"),
    "media-frame_rate.xml": ("ttml", "utf-8", 2, "frame-times"),
    "media-inherit_begin_from_div.xml": ("ttml", "utf-8", 6, ""),
    "media-overlapping_times.xml": ("ttml", "utf-8", 3, "overlap"),
    "ttconv-lwsp_default.ttml": ("ttml", "utf-8", 2, "no-times"),
}
# fmt: on
OTHER_TIMES = {
    "captioning-long-hours.vtt": [
        (36_010_940, 36_020_750),
        (36_030_940, 36_040_750),
        (36_040_940, 36_050_750),
        (360_010_750, 360_020_810),
        (360_030_750, 360_040_810),
        (3_600_022_860, 3_600_025_560),
    ],
    "media-typical_negative_timestamps.srt": [(-4567, -3456), (-2345, 1234), (7_204_567, 7_208_901)],
    "webvttruby-weird_format.srt": [(970, 3000), (4080, 6080), (9350, 13_350), (15_000, 16_000)],
    "astisub-example-in-carriage-return.ssa": [(0, 3766), (3767, 10_732), (10_733, 14_066)],
    "imsc-BasicTiming007.ttml": [(5000, 15_000)],
    "imsc-MediaSeqTiming004.ttml": [(5000, 10_000), (15_000, 20_000)],
    "imsc-region-timing.ttml": [(0, 10_000), (10_000, 15_000), (12_000, 18_000), (10_000, 20_000), (16_000, 20_000)],
    "imsc-FixedBeginEnd002.ttml": [*((1000 * n, None) for n in range(11)), (11_000, 20_000)],
    "mantas-dfxp_with_different_br.dfxp": [(0, 1000)],
    "mantas-ttml_with_fps_and_multiplier_given.ttml": [(15_015, 17_684)],
    "media-frame_rate.xml": [(1000, 1010), (1_001_000, 2_002_000)],
    "media-inherit_begin_from_div.xml": [
        (69_583, 71_125),
        (72_000, 74_500),
        (122_000, 125_000),
        (180_000, 184_000),
        (242_000, 245_000),
        (300_000, 302_000),
    ],
}
OTHER_TEXTS = {
    "astisub-example-in-html-entities.srt": [
        "The man in black fled across the desert,\n& the gunslinger followed.",
        "Go,\u00a0then,",
        "there are other < worlds than these.",
    ],
    "cdownsrt-gb2312.srt": [
        "宇宙守护神  保护我们远离邪恶",
        "他能徒手抓住子弹  拦住疾速的火车",
        "轻轻一跳就能飞跃高楼",
    ],
    "derived-utf16-windows1256.srt": ["ترجمه و تنظيم زيرنويس"],
    "derived-vtt_with_html-latin1.srt": ["Sur les playground, ici à Montpellier"],
    "derived-vtt_with_html-latin1.vtt": ["Sur les playground, ici à Montpellier"],
    "ttconv-extended-tags.srt": ["Hello my name is Bob"],
    "ttconv-comment-in-cue-text.vtt": ["NOTE text", "NOTE text\nNOTE text2"],
    "astisub-example-in-breaklines.ttml": [
        "First line\nSecond line",
        "Third line\nFourth line",
        "Fifth line\nSixth middle line",
        "Seventh line\nEighth middle line",
    ],
    "ttconv-lwsp_default.ttml": ["hello my name is Mathilda", "bonjour mon nom\nest"],
    "webvttruby-invalid_cue.srt": ["Captain Phillips (2013)"],
    "imsc-ruby001.ttml": ["利用許諾"],
    "media-typical_dialogue.ass": [
        "This is the first subtitle.",
        "This is the second subtitle  with a newline\nand another.",
        "This is the third subtitle, with a comma.",
    ],
}


def _same(found: str, wanted: object) -> bool:
    """Compare values of a setting: numbers as numbers, everything else as written."""
    if isinstance(wanted, int | float):
        return not found.endswith("%") and math.isclose(float(found), wanted, rel_tol=1e-15, abs_tol=0.0)
    return found == wanted


def _different(name: str, found: list, wanted: list) -> list[str]:
    same = (_same(a, b) if isinstance(a, str) else a == b for a, b in zip(found, wanted, strict=False))
    if len(found) == len(wanted) and all(same):
        return []
    return [f"{name}: {found!r} instead of {wanted!r}"]


def of_web_platform_tests(name: str, document: SubtitleDocument) -> list[str]:
    """Compare a file of the WebVTT parsing suite with its test page."""
    cues = document.cues
    times = TIMES.get(name)
    if times is None:
        one_after_another = [(1000 * n, 1000 * n + 1000) for n in range(COUNTING.get(name, 0))]
        times = [(0, 1000)] * FIRST_SECOND[name] if name in FIRST_SECOND else one_after_another
    wrong = []
    if name == "header-regions":
        regions = [document.regions.get(cue.settings.get("region", "")) for cue in cues]
        wrong += _different("regions", regions, HEADER_REGIONS)
    else:
        wrong += _different("times", [(cue.start_ms, cue.end_ms) for cue in cues], times)
    if name in TEXTS:
        wrong += _different("texts", [cue.raw for cue in cues], TEXTS[name])
    if name in IDENTIFIERS:
        wrong += _different("identifiers", [cue.identifier for cue in cues], IDENTIFIERS[name])
    if name in SETTINGS:
        key, default, values = SETTINGS[name]
        wrong += _different(key, [cue.settings.get(key, default) for cue in cues], values)
    if name in REGIONS:
        key, default, values = REGIONS[name]
        regions = [document.regions.get(cue.settings.get("region", ""), {}) for cue in cues]
        wrong += _different(key, [region.get(key, default) for region in regions], values)
    if name == "settings-multiple":
        wrong += _different("settings", [dict(cue.settings) for cue in cues], MULTIPLE)
    return wrong


def of_others(name: str, document: SubtitleDocument) -> list[str]:
    """Compare any other file with its description."""
    kind, encoding, count, needed = OTHERS[name]
    cues = document.cues
    wrong = _different("format and encoding", [document.format, document.encoding], [kind, encoding])
    wrong += _different("cues", [len(cues)], [count])
    if name in OTHER_TIMES:
        wrong += _different("times", [(cue.start_ms, cue.end_ms) for cue in cues], OTHER_TIMES[name])
    if name in OTHER_TEXTS:
        wrong += _different("texts", [cue.text for cue in cues], OTHER_TEXTS[name])
    found = {violation.rule for violation in check_document(document, get_norm("default"))}
    missed = set(needed.split()) - found
    return wrong + ([f"not found: {', '.join(sorted(missed))}"] if missed else [])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    folder = parser.parse_args().folder
    paths = sorted(path for path in folder.glob("*/*") if path.is_file())
    deviations, unknown = 0, []
    start = time.perf_counter()
    for path in paths:
        document = read_subtitles(path)
        check_document(document, get_norm("netflix-en"))
        name = path.stem.removeprefix("wpt-")
        known = {*FIRST_SECOND, *NO_CUES, *COUNTING, *TIMES, "header-regions"}
        if path.name in OTHERS:
            wrong = of_others(path.name, document)
        elif path.name.startswith("wpt-") and name in known:
            wrong = of_web_platform_tests(name, document)
        else:
            unknown.append(path.name)
            continue
        for text in wrong:
            print(f"{path.name}: {text}")
        deviations += bool(wrong)
    seconds = time.perf_counter() - start
    print(f"{len(paths)} files, {deviations} deviate, {len(unknown)} without an expectation, {seconds:.2f} s")
    if unknown:
        print("without an expectation:", ", ".join(unknown))
    return 1 if deviations or unknown or not paths else 0


if __name__ == "__main__":
    sys.exit(main())
