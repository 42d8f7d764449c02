# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: RUF001
"""What the writers write is read without loss by other people's parsers, by ffmpeg and by our own reader."""

import io
import random
import re
import subprocess
from datetime import timedelta
from fractions import Fraction

import pysubs2
import pytest
import srt
import ttconv.imsc.reader
import webvtt
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from ttconv.isd import ISD

from qwen_asr_plugin.subtitles import FORMATS, TranscriptInfo, get_norm, render
from qwen_asr_plugin.subtitles.check import check_cues, check_document
from qwen_asr_plugin.subtitles.formats.safe_text import clean_lines
from qwen_asr_plugin.subtitles.reading import parse_subtitles
from subtitle_hooks import Segment

INFO = TranscriptInfo(backend="test", model="none", language="en")
TIMED = sorted(set(FORMATS) - {"txt"})

LATIN = [
    "the",
    "quick",
    "brown",
    "fox,",
    "naïve",
    "façade:",
    "3.14",
    "U.S.A.",
    "isn't",
    "50%",
    "&",
    "a",
    "<",
    "b",
    ">",
    "#1",
    "*x*",
]
CJK = ["今天天气很好，", "我们走吧。", "カーテン", "東京へ行きます。", "안녕하세요", "🀄", "𠮷野家", "「はい」"]
THAI = ["สวัสดีครับ", "ประเทศไทย", "ผู้ใหญ่", "๑๒๓"]
ARABIC = ["مرحبا", "بالعالم", "كيف", "\u200fالحال؟", "\u2067עברית\u2069", "\u202bשלום\u202c", "١٢٣"]
NASTY = [
    *(
        "-->",
        "<i>",
        "</b>",
        "{\\an8}",
        "{b}",
        "\\N",
        "\\h",
        "C:\\new",
        "&lt;",
        "&amp;",
        "&",
        "<00:00:01.000>",
        "<c.red>",
    ),
    *("[00:12.00]", "[music]", "WEBVTT", "NOTE", "1", "42", "00:00:01,000", "Dialogue:", "Comment: x", "{1}{2}", "|"),
    *("\u2028", "\u0085", "\n\n", "\r", "\t", "\x00", "\x1b[0m", "\ufeff", "\u202e", "\u2066", "\ud800", "\uffff"),
    *(
        "e\u0301",
        "👨‍👩‍👧",
        "🇩🇪",
        "\u00a0",
        "\u200b",
        "</tt>",
        "]]>",
        "<!--",
        "'",
        "\\",
        "\\n",
        "start\tend\ttext",
        "STYLE",
        "#",
    ),
]
WORDS = st.sampled_from([*LATIN, *CJK, *THAI, *ARABIC, *NASTY])
TEXTS = st.one_of(
    st.lists(st.sampled_from(LATIN), min_size=1, max_size=12).map(" ".join),
    st.lists(st.sampled_from(CJK), min_size=1, max_size=6).map("".join),
    st.lists(st.sampled_from([*THAI, *ARABIC]), min_size=1, max_size=6).map(" ".join),
    st.lists(WORDS, min_size=1, max_size=8).map(" ".join),
    st.text(min_size=1, max_size=30),
).filter(clean_lines)


@st.composite
def transcripts(draw):
    segments, at = [], 0
    for text in draw(st.lists(TEXTS, max_size=8)):
        at += draw(st.sampled_from([0, 1, 83, 500, 3_700_000]))
        length = draw(st.sampled_from([1, 9, 833, 1500, 7000]))
        segments.append(
            Segment(start_ms=at, end_ms=at + length, text=text, language=draw(st.sampled_from(["en", None])))
        )
        at += length
    return segments


def visible(text):
    """What is left to see: no white space, nothing without width, and the look-alikes as what they stand for."""
    text = re.sub(r"[\s\u200b\u200e\u200f\u2060-\u2069\u202a-\u202e\u061c\ufeff]", "", text)
    return text.translate({0xFF5B: "{", 0xFF5D: "}"}).replace("→", "-->")


def expected(segments):
    return [(s.start_ms, s.end_ms, visible("".join(clean_lines(s.text)))) for s in segments]


def rounded(cues):
    """Times as formats of hundredths have them."""
    return [((a + 5) // 10 * 10, max((b + 5) // 10, (a + 5) // 10 + 1) * 10, text) for a, b, text in cues]


def by_us(name, text):
    document = parse_subtitles(text.encode(), f"x.{name}")
    assert document.format == name
    return [(cue.start_ms, cue.end_ms, visible(cue.text)) for cue in document.cues]


@settings(deadline=None)
@given(transcripts())
def test_srt_by_the_srt_package(segments):
    found = list(srt.parse(render("srt", segments, INFO)))
    ms = timedelta(milliseconds=1)
    assert [(s.start // ms, s.end // ms, visible(s.content)) for s in found] == expected(segments)


@settings(deadline=None)
@given(transcripts())
def test_srt_and_ass_by_pysubs2(segments):
    # It takes any line with two times for a timing line, arrow or not.
    assume(not any(len(re.findall(r"\d:\d+:\d+[.,]\d", segment.text)) > 1 for segment in segments))
    text = render("srt", segments, INFO)
    found = pysubs2.SSAFile.from_string(text, "srt", keep_html_tags=True, keep_ssa_tags=True) if segments else []
    shown = [(event.start, event.end, visible(event.text.replace("\\N", "\n"))) for event in found]
    assert shown == expected(segments)
    found = pysubs2.SSAFile.from_string(render("ass", segments, INFO), "ass")
    assert [(event.start, event.end, visible(event.plaintext)) for event in found] == rounded(expected(segments))


@settings(deadline=None)
@given(transcripts())
def test_webvtt_by_webvtt_py(segments):
    found = webvtt.from_buffer(io.StringIO(render("vtt", segments, INFO))).captions
    unescape = {"&lt;": "<", "&gt;": ">", "&amp;": "&"}
    shown = [
        (
            _ms(caption.start),
            _ms(caption.end),
            visible(re.sub("&(?:lt|gt|amp);", lambda found: unescape[found[0]], caption.raw_text)),
        )
        for caption in found
    ]
    assert shown == expected(segments)


def _ms(text):
    hours, minutes, seconds = text.split(":")
    return round((int(hours) * 3600 + int(minutes) * 60) * 1000 + Fraction(seconds) * 1000)


@settings(deadline=None, max_examples=40)
@given(transcripts())
def test_ttml_by_ttconv(segments):
    document = ttconv.imsc.reader.to_model(_tree(render("ttml", segments, INFO)))
    times = ISD.significant_times(document)
    assert {Fraction(ms, 1000) for segment in segments for ms in (segment.start_ms, segment.end_ms)} <= {0, *times}
    for segment in segments:
        shown = ISD.from_model(document, Fraction(segment.start_ms, 1000))
        texts = "".join(
            element.get_text()
            for region in shown.iter_regions()
            for element in region.dfs_iterator()
            if hasattr(element, "get_text")
        )
        assert visible("".join(clean_lines(segment.text))) in visible(texts)


def _tree(text):
    import xml.etree.ElementTree as ET

    return ET.ElementTree(ET.fromstring(text))


@settings(deadline=None)
@given(transcripts())
def test_everything_by_our_own_reader(segments):
    wanted = expected(segments)
    for name in ("srt", "vtt", "ttml"):
        assert by_us(name, render(name, segments, INFO)) == wanted, name
    assert by_us("ass", render("ass", segments, INFO)) == rounded(wanted)
    # Formats that say one time less or join lines have the same texts.
    for name in ("lrc", "tsv"):
        assert [cue[2] for cue in by_us(name, render(name, segments, INFO))] == [cue[2] for cue in wanted], name


def good_transcript(count, seed):
    """A transcript that keeps the default norm."""
    chance = random.Random(seed)
    segments, at = [], 0
    for _ in range(count):
        kind = chance.choice([LATIN, CJK, [*THAI, *ARABIC]])
        lines = [chance.choices(kind, k=chance.randint(1, 3)) for _ in range(chance.randint(1, 2))]
        text = "\n".join(("" if kind is CJK else " ").join(words) for words in lines)
        start = at + chance.randint(83, 2000)
        at = start + chance.randint(833, 7000)
        segments.append(Segment(start_ms=start, end_ms=at, text=text))
    return segments


@pytest.mark.parametrize("name", TIMED)
def test_what_keeps_the_norm_keeps_it_in_every_format(name):
    norm = get_norm("default")
    segments = good_transcript(300, seed=5)
    assert not [found for found in check_cues(segments, norm) if found.severity == "error"]
    document = parse_subtitles(render(name, segments, INFO).encode(), f"x.{name}")
    assert len(document.cues) == 300
    assert not [found for found in check_document(document, norm) if found.severity == "error"]


@pytest.mark.parametrize("name", ["srt", "vtt", "ass", "lrc"])
def test_ffmpeg_reads_every_cue(name, ffmpeg_exe, tmp_path):
    texts = [
        "Plain text.",
        "two\nlines, here",
        "<i>no tag</i> {\\an8}x",
        "a & b --> c",
        "今天天气",
        "مرحبا \u2067x",
        "C:\\new [x]",
    ]
    segments = [Segment(start_ms=2000 * n, end_ms=2000 * n + 1500, text=text) for n, text in enumerate(texts)]
    path = tmp_path / f"x.{name}"
    path.write_bytes(render(name, segments, INFO).encode())
    command = [ffmpeg_exe, "-v", "error", "-i", path, "-f", "srt", "-c:s", "subrip", "-"]
    done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    found = list(srt.parse(done.stdout.decode()))
    ms = timedelta(milliseconds=1)
    if name == "lrc":  # it has no ends, and ffmpeg shows its empty lines as cues without text
        found = [cue for cue in found if cue.content.strip()]
    assert [cue.start // ms for cue in found] == [segment.start_ms for segment in segments]
    # ffmpeg writes the style of an ASS line as a font tag, and its own escape of a brace as it is.
    seen = [visible(re.sub(r"</?font[^>]*>", "", cue.content).replace("\\{{}", "{")) for cue in found]
    assert seen == [text for _, _, text in expected(segments)]
    if name != "lrc":
        assert [cue.end // ms for cue in found] == [segment.end_ms for segment in segments]
