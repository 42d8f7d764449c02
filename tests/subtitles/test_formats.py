# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: RUF001
import json
import math
from pathlib import Path

import jsonschema
import pytest

from qwen_asr_plugin.subtitles import FORMATS, NORMS, TranscriptInfo, get_norm, render
from qwen_asr_plugin.subtitles.reading import parse_subtitles
from subtitle_hooks import OutputError, RequestError, Segment

ROOT = Path(__file__).parents[2]
SEGMENTS = [
    Segment(start_ms=0, end_ms=1500, text="Mr. Smith said\nthat he", language="en"),
    Segment(start_ms=1583, end_ms=3000, text="would come. So\nhe came.", language="en"),
    Segment(start_ms=5000, end_ms=7000, text="And", language="en"),
    Segment(start_ms=9500, end_ms=10000, text="then?", language="en"),
]
INFO = TranscriptInfo(backend="qwen-asr", model="demo", language="en", duration_ms=12000, statistics={"rtf": 0.5})
TEN_HOURS = [Segment(start_ms=36_000_004, end_ms=36_001_005, text="Late.", language="en")]


def one(text):
    return [Segment(start_ms=0, end_ms=1000, text=text)]


def test_srt():
    assert render("srt", SEGMENTS[:2], INFO) == (
        "1\n00:00:00,000 --> 00:00:01,500\nMr. Smith said\nthat he\n\n"
        "2\n00:00:01,583 --> 00:00:03,000\nwould come. So\nhe came.\n\n"
    )


def test_webvtt():
    assert render("vtt", SEGMENTS[:1] + TEN_HOURS, INFO) == (
        "WEBVTT\n\n00:00:00.000 --> 00:00:01.500\nMr. Smith said\nthat he\n\n10:00:00.004 --> 10:00:01.005\nLate.\n"
    )


def test_ass():
    text = render("ass", SEGMENTS[:1] + TEN_HOURS, INFO)
    assert text.startswith("[Script Info]\nScriptType: v4.00+\n")
    assert text.endswith(
        "Dialogue: 0,0:00:00.00,0:00:01.50,Default,,0,0,0,,Mr. Smith said\\Nthat he\n"
        "Dialogue: 0,10:00:00.00,10:00:01.01,Default,,0,0,0,,Late.\n"
    )


def test_ttml():
    segments = [SEGMENTS[0], Segment(start_ms=1583, end_ms=3000, text="a < b & c", language="fr")]
    text = render("ttml", segments, INFO)
    assert text.startswith('<?xml version="1.0" encoding="UTF-8"?>\n<tt xmlns="http://www.w3.org/ns/ttml" ')
    assert '<p begin="00:00:00.000" end="00:00:01.500">Mr. Smith said<br />that he</p>' in text
    assert '<p begin="00:00:01.583" end="00:00:03.000" xml:lang="fr">a &lt; b &amp; c</p>' in text


def test_lrc_ends_a_cue_that_nothing_follows():
    assert render("lrc", SEGMENTS[:3], INFO) == (
        "[00:00.00]Mr. Smith said that he\n[00:01.50]\n[00:01.58]would come. So he came.\n[00:03.00]\n"
        "[00:05.00]And\n[00:07.00]\n"
    )
    touching = [Segment(start_ms=0, end_ms=1000, text="a"), Segment(start_ms=1000, end_ms=6_000_000, text="b")]
    assert render("lrc", touching, INFO) == "[00:00.00]a\n[00:01.00]b\n[100:00.00]\n"


def test_tsv():
    assert render("tsv", [SEGMENTS[0], *one("我想\n我们\t走")[:0]], INFO) == (
        "start\tend\ttext\n0\t1500\tMr. Smith said that he\n"
    )
    assert render("tsv", one("我想\n我们\t走"), INFO).split("\n")[1] == "0\t1000\t我想我们 走"


def test_txt_is_a_sentence_per_line_and_a_paragraph_per_pause():
    assert render("txt", SEGMENTS, INFO) == "Mr. Smith said that he would come.\nSo he came.\n\nAnd\n\nthen?\n"


def test_txt_puts_no_space_into_chinese():
    segments = [
        Segment(start_ms=0, end_ms=1000, text="我想\n我们", language="zh"),
        Segment(start_ms=1083, end_ms=2000, text="走吧。好！", language="zh"),
    ]
    assert render("txt", segments, INFO) == "我想我们走吧。\n好！\n"


def test_json():
    assert json.loads(render("json", SEGMENTS[:1], INFO)) == {
        "version": 1,
        "backend": "qwen-asr",
        "model": "demo",
        "language": "en",
        "duration_ms": 12000,
        "statistics": {"rtf": 0.5},
        "segments": [{"start_ms": 0, "end_ms": 1500, "text": "Mr. Smith said\nthat he", "language": "en", "words": []}],
    }


@pytest.fixture(scope="module")
def validate():
    schema = json.loads((ROOT / "docs" / "transcript.schema.json").read_text(encoding="utf-8"))
    validator = jsonschema.Draft202012Validator(schema)
    validator.check_schema(schema)
    return validator.validate


def test_json_follows_its_schema(validate):
    validate(json.loads(render("json", SEGMENTS, INFO)))
    odd = TranscriptInfo(backend="b", statistics={"rtf": math.nan, "speed": math.inf, "device": "cpu"})
    document = json.loads(render("json", one("né 好 \ud800\x00"), odd), parse_constant=pytest.fail)
    validate(document)
    assert document["statistics"] == {"rtf": None, "speed": None, "device": "cpu"}
    assert document["segments"][0]["text"] == "né 好 \ufffd\x00"


@pytest.mark.parametrize(
    ("change"),
    [
        {"version": 2},
        {"segments": [{"start_ms": 0.5, "end_ms": 1, "text": "", "language": None}]},
        {"segments": [{"start_ms": 0, "end_ms": 1, "language": None}]},
        {"statistics": {"rtf": []}},
    ],
)
def test_the_schema_refuses_what_is_wrong(validate, change):
    document = json.loads(render("json", SEGMENTS, INFO))
    with pytest.raises(jsonschema.ValidationError):
        validate({**document, **change})


def test_json_is_readable_utf8():
    text = render("json", one("né 好"), TranscriptInfo(backend="b"))
    assert "né 好" in text
    assert text.endswith("}\n")


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_no_segments(name):
    text = render(name, [], INFO)
    assert text == "" if name in {"srt", "txt", "lrc"} else parse_subtitles(text.encode(), f"x.{name}").cues == ()


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_byte_order_mark_and_line_ends_are_options(name):
    plain = render(name, SEGMENTS, INFO)
    assert "\r" not in plain
    assert not plain.startswith("\ufeff")
    for_windows = render(name, SEGMENTS, INFO, bom=True, crlf=True)
    assert for_windows.startswith("\ufeff") == (name != "json")
    assert for_windows.lstrip("\ufeff").replace("\r\n", "\n") == plain
    assert for_windows.count("\n") == for_windows.count("\r\n") > 0


@pytest.mark.parametrize("name", sorted(set(FORMATS) - {"json", "txt"}))
@pytest.mark.parametrize(
    ("start_ms", "end_ms", "text"),
    [(-1, 1000, "a"), (5, 5, "a"), (5, 4, "a"), (0, 1, " \n\u200b\x07"), (0, 1, "\u202e\u2066")],
)
def test_what_would_vanish_is_refused(name, start_ms, end_ms, text):
    with pytest.raises(OutputError, match="would lose it"):
        render(name, [Segment(start_ms=start_ms, end_ms=end_ms, text=text)], INFO)


@pytest.mark.parametrize("name", sorted(set(FORMATS) - {"json", "txt"}))
def test_segments_out_of_order_are_refused(name):
    with pytest.raises(OutputError, match="starts before the cue"):
        render(name, SEGMENTS[1::-1], INFO)


@pytest.mark.parametrize(
    ("name", "text", "written"),
    [
        ("srt", "a --> b", "a → b"),
        ("srt", "<i>x</i> < 5", "<\u2060i>x<\u2060/i> < 5"),
        ("srt", "{\\an8}x {y:i} {b}", "{\u2060\\an8}x {\u2060y:i} {b}"),
        ("srt", "C:\\new \\x", "C:\\\u2060new \\x"),
        ("srt", "AT&T &lt; &#60; R&D;", "AT&T &\u2060lt; &\u2060#60; R&\u2060D;"),
        ("vtt", "a --> <b> & c", "a --&gt; &lt;b&gt; &amp; c"),
        ("ass", "{\\an8} C:\\new", "｛\\\u2060an8｝ C:\\\u2060new"),
        ("lrc", "[12:00] <1 [x]", "[\u206012:00] <\u20601 [x]"),
        ("tsv", "a\tb", "a b"),
    ],
)
def test_what_looks_like_markup_is_shown(name, text, written):
    assert written in render(name, one(text), INFO)


@pytest.mark.parametrize("name", sorted(set(FORMATS) - {"json"}))
@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("a\r\n\r\nb", ["a", "b"]),
        ("a\u2028b\u0085c\x0bd", ["a", "b", "c", "d"]),
        ("\n a \n\n\n b \n", ["a", "b"]),
        ("a\x00\x1b\x9f\ufeff\uffffb", ["ab"]),
        ("a\u202eb\u202cc", ["abc"]),
        ("\u2067a\nb", ["\u2067a\u2069", "b"]),
        ("a\u2069\u202cb", ["ab"]),
        ("\u2067a\u202bb\u2069c", ["\u2067a\u202bb\u2069c"]),
        ("\u200fa\u200e", ["\u200fa\u200e"]),
    ],
)
def test_cleaning(name, text, lines):
    rendered = render(name, one(text), INFO)
    joined = {"srt": "\n", "vtt": "\n", "ass": "\\N", "ttml": "<br />"}.get(name, " ").join(lines)
    assert joined in rendered
    assert not set("\x00\x1b\x9f\uffff\u202e\u2028\u0085\x0b") & set(rendered)


def test_unknown_names_are_refused_with_the_choices():
    with pytest.raises(RequestError, match=r"'docx'.*ass, json, lrc, srt, tsv, ttml, txt, vtt"):
        render("docx", SEGMENTS, INFO)
    with pytest.raises(RequestError, match=r"'fancy'.*default"):
        get_norm("fancy")


def test_every_norm_is_found_by_its_name():
    assert all(get_norm(name).name == name for name in NORMS)
