# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: RUF001
import codecs
import os
import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qwen_asr_plugin.subtitles import get_norm
from qwen_asr_plugin.subtitles.check import check_document
from qwen_asr_plugin.subtitles.reading import ODDITY_KINDS, parse_subtitles, read_subtitles
from subtitle_hooks import (
    MediaFormatError,
    MediaIsDirectoryError,
    MediaNotFoundError,
    MediaUnreadableError,
)

SRT = "1\n00:00:01,000 --> 00:00:02,500\nHé, là\nça va?\n\n2\n00:00:03,000 --> 00:00:04,000\nZwölf.\n"
TIMES = [(1000, 2500), (3000, 4000)]


def parse(text, name="x.srt"):
    return parse_subtitles(text.encode() if isinstance(text, str) else text, name)


def times(document):
    return [(cue.start_ms, cue.end_ms) for cue in document.cues]


def texts(document):
    return [cue.text for cue in document.cues]


def kinds(document):
    return {oddity.kind for oddity in document.oddities}


@pytest.mark.parametrize(
    ("bom", "encoding", "named", "odd"),
    [
        (b"", "utf-8", "utf-8", set()),
        (codecs.BOM_UTF8, "utf-8", "utf-8", {"bom"}),
        (codecs.BOM_UTF16_LE, "utf-16-le", "utf-16-le", {"utf-16"}),
        (codecs.BOM_UTF16_BE, "utf-16-be", "utf-16-be", {"utf-16"}),
        (codecs.BOM_UTF32_LE, "utf-32-le", "utf-32-le", {"utf-16"}),
        (codecs.BOM_UTF32_BE, "utf-32-be", "utf-32-be", {"utf-16"}),
        (b"", "utf-16-le", "utf-16-le", {"utf-16"}),
        (b"", "utf-16-be", "utf-16-be", {"utf-16"}),
        (b"", "cp1252", "cp1252", {"encoding"}),
    ],
)
def test_encodings(bom, encoding, named, odd):
    document = parse(bom + SRT.encode(encoding))
    assert document.encoding == named
    assert kinds(document) == odd
    assert texts(document) == ["Hé, là\nça va?", "Zwölf."]
    assert times(document) == TIMES


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp1251", "Съешь же ещё этих мягких французских булок, да выпей чаю. Сегодня хорошая погода."),
        ("gb18030", "今天天气很好，我们一起去公园散步，然后再去吃饭。"),
        ("cp932", "今日はいい天気ですから、公園へ散歩に行きましょう。"),
        ("cp949", "오늘은 날씨가 좋아서 공원으로 산책을 갑니다."),
        ("cp1256", "اليوم الطقس جميل ونحن نذهب إلى الحديقة"),
    ],
)
def test_old_encodings_are_guessed(encoding, text):
    document = parse(SRT.replace("Hé, là\nça va?", text).replace("Zwölf.", text).encode(encoding))
    assert texts(document) == [text, text]
    assert "encoding" in kinds(document)


def test_damaged_utf8_stays_utf8():
    document = parse((SRT + "é" * 20).encode().replace("Zw\u00f6".encode(), b"Zw\xc3"))
    assert document.encoding == "utf-8"
    assert kinds(document) == {"bad-encoding"}
    assert next(o.line for o in document.oddities) == 8


def test_xml_declaration_names_the_encoding():
    text = '<?xml version="1.0" encoding="ISO-8859-7"?><tt xmlns="http://www.w3.org/ns/ttml"><body><div>'
    text += '<p begin="1s" end="2s">Καλημέρα</p></div></body></tt>'
    document = parse(text.encode("iso8859-7"), "x.ttml")
    assert texts(document) == ["Καλημέρα"]
    assert document.encoding == "iso8859-7"


@pytest.mark.parametrize(
    ("text", "name", "wanted"),
    [
        (SRT, "x", "srt"),
        (SRT, "x.ass", "srt"),
        ("WEBVTT\n\n00:01.000 --> 00:02.000\nx", "x.srt", "vtt"),
        ("Dialogue: 0,0:00:01.00,0:00:02.00,Default,,0,0,0,,x", "x.txt", "ass"),
        ("[Script Info]\n[Events]\nFormat: Start, End, Text\n", "x", "ass"),
        ("1\n00:00:01,000 --> 00:00:02,000\nDialogue: x\n", "x", "srt"),
        ('<?xml version="1.0"?>\n<!-- x -->\n<tt:tt xmlns:tt="http://www.w3.org/ns/ttml"/>', "x", "ttml"),
        ("[ti:x]\n[00:01.00]a --> b\n", "x.lrc", "lrc"),
        ("start\tend\ttext\n1\t2\ta --> 1:1\n", "x.tsv", "tsv"),
        ("{1}{1}25\n{25}{50}x", "x.sub", "microdvd"),
        ('{"segments": []}', "x.json", "json"),
        ("", "x.vtt", "vtt"),
        ("", "x", "srt"),
    ],
)
def test_format_is_that_of_the_content(text, name, wanted):
    document = parse(text, name)
    assert document.format == wanted
    assert ("suffix" in kinds(document)) == (name in {"x.ass", "x.srt"})


@pytest.mark.parametrize(
    ("text", "name"), [("Just a letter.", "x.txt"), ("Just a letter.", "x"), ("\x7fELF\x01", "x.mp4")]
)
def test_what_is_no_subtitle_file_is_refused(text, name):
    with pytest.raises(MediaFormatError, match="known format"):
        parse(text, name)


def test_unreadable_files(tmp_path):
    with pytest.raises(MediaNotFoundError):
        read_subtitles(tmp_path / "nothing.srt")
    with pytest.raises(MediaNotFoundError):
        read_subtitles(tmp_path / "nul\x00.srt")
    with pytest.raises(MediaIsDirectoryError):
        read_subtitles(tmp_path)
    big = tmp_path / "big.srt"
    with big.open("wb") as file:
        file.truncate(33 << 20)
    with pytest.raises(MediaFormatError, match="33 MiB"):
        read_subtitles(big)


@pytest.mark.skipif(sys.platform == "win32" or getattr(os, "geteuid", lambda: 1)() == 0, reason="root reads everything")
def test_a_file_without_permission(tmp_path):
    path = tmp_path / "x.srt"
    path.write_text(SRT)
    path.chmod(0)
    with pytest.raises(MediaUnreadableError, match="Permission"):
        read_subtitles(path)


@pytest.mark.skipif(sys.platform == "win32", reason="no named pipes in the file system")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.srt")
    with pytest.raises(MediaFormatError, match="regular"):
        read_subtitles(tmp_path / "pipe.srt")


@pytest.mark.parametrize(
    ("body", "wanted", "odd"),
    [
        ("00:00:01,000 --> 00:00:02,000", (1000, 2000), set()),
        ("00:00:01.000 --> 00:00:02,000", (1000, 2000), {"dot-fraction"}),
        ("00:01,5 --> 00:02,25", (1500, 2250), {"missing-hours", "odd-fraction"}),
        ("00:00:01,0004 --> 00:00:02,0005", (1000, 2001), {"odd-fraction"}),
        ("-00:00:01,000 --> 00:00:02", (-1000, 2000), {"negative-time", "missing-fraction"}),
        ("0:0:1,000-->100:00:02,000", (1000, 360_002_000), {"odd-digits", "long-hours"}),
        ("00:00:01,000 --> 00:00:02,000 X1:1 X2:2", (1000, 2000), {"coordinates"}),
        ("00:00:01,000 --> 00:00:02,000 align:start", (1000, 2000), {"bad-setting"}),
        ("00:00:01,000 -> 00:00:02,000", None, {"missing-timing"}),
        ("00:00:01,000 --> soon", None, {"unreadable-timing"}),
    ],
)
def test_subrip_times(body, wanted, odd):
    document = parse(f"1\n{body}\nx\n")
    assert times(document) == ([wanted] if wanted else [])
    assert kinds(document) == odd


def test_subrip_text_with_blank_lines_numbers_and_arrows():
    document = parse(
        "1\n00:00:01,000 --> 00:00:02,000\n1984\n\nwas --> a year\n\n1999\ntoo\n2\n00:00:03,000 --> 00:00:04,000\n\n"
    )
    assert texts(document) == ["1984\nwas --> a year\n1999\ntoo", ""]
    assert {(o.line, o.kind) for o in document.oddities} == {
        (4, "blank-line"),
        (5, "arrow-in-text"),
        (6, "blank-line"),
        (9, "missing-blank-line"),
    }
    assert [cue.line for cue in document.cues] == [2, 10]


def test_subrip_markup():
    document = parse(
        "1\n00:00:01,000 --> 00:00:02,000\n<i>a</i> <font color='red'>b {\\an8}&amp; 1 < 2 <John> AT&T &nbsp\n"
        "<b>c</u>\u202ed\x07\n"
    )
    assert texts(document) == ["a b & 1 < 2 <John> AT&T &nbsp\nc\u202ed"]
    assert kinds(document) == {
        *("override-tag", "entity", "unknown-tag", "bad-entity", "unclosed-tag", "misnested-tag"),
        *("bidi-override", "control-character"),
    }


def test_webvtt_text_is_what_a_browser_shows():
    document = parse(
        "WEBVTT\n\n00:01.000 --> 00:04.000\n"
        "<v Ann>Tom &amp; <c.red>1 &lt; 2</c> <ruby>漢<rt>kan</rt></ruby><00:02.000>x &lrm;\n",
        "x.vtt",
    )
    assert texts(document) == ["Tom & 1 < 2 漢x \u200e"]
    assert kinds(document) == set()


def test_ass_lines_drawings_and_comments():
    document = parse(
        "[Script Info]\nPlayResX: 1\nPlayResY: 1\nWrapStyle: 2\n[Events]\nFormat: Layer, Start, End, Text\n"
        "Comment: 0,0:00:00.00,0:00:01.00,not shown\n"
        "Dialogue: 0,0:00:01.00,0:00:02.50,{\\i1}a\\Nb\\nc\\hd{\\p1}m 0 0 l 9 9{\\p0}, e\n",
        "x.ass",
    )
    assert texts(document) == ["a\nb\nc\u00a0d, e"]
    assert times(document) == [(1000, 2500)]
    assert document.resolution_ms == 10


def test_ttml_spans_with_times_of_their_own():
    document = parse(
        '<tt xmlns="http://www.w3.org/ns/ttml"><body><div begin="10s"><p>\n'
        '<span begin="1s" end="2s">one <br/>line</span> <span begin="2s" dur="500ms">two</span></p></div></body></tt>',
        "x.ttml",
    )
    assert times(document) == [(11_000, 12_000), (12_000, 12_500)]
    assert texts(document) == ["one\nline", "two"]


def test_broken_xml_keeps_what_came_before():
    document = parse('<tt xmlns="http://www.w3.org/ns/ttml"><body><div>\n<p begin="1s" end="2s">a</p>\n<p', "x.ttml")
    assert texts(document) == ["a"]
    assert {(o.line, o.kind) for o in document.oddities} == {(3, "not-well-formed")}


def test_entities_do_not_expand():
    bomb = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 12))
    document = parse(f'<!DOCTYPE tt [<!ENTITY e0 "x">{bomb}]><tt><body><p>&e11;</p></body></tt>', "x.ttml")
    assert document.cues == ()
    assert kinds(document) == {"declared-entity"}


def test_lrc():
    document = parse(
        "[ar:x]\n[offset:+100]\n[00:10.00][00:01.50]again <00:02.00>and\n[00:03.00]\n[00:20.5]end\n", "x.lrc"
    )
    assert list(zip(times(document), texts(document), strict=True)) == [
        ((1400, 2900), "again and"),
        ((9900, 20_400), "again and"),
        ((20_400, None), "end"),
    ]
    assert kinds(document) == {"offset", "odd-fraction", "no-end"}


def test_tsv_microdvd_and_json():
    assert times(parse("start\tend\ttext\n1\t2\tx\nbad\n", "x.tsv")) == [(1, 2)]
    document = parse("{1}{1}25\n{25}{50}{y:i}a|b\n{75}{}c\n", "x.sub")
    assert times(document) == [(1000, 2000), (3000, None)]
    assert texts(document) == ["a\nb", "c"]
    assert "no-frame-rate" in kinds(parse("{24}{48}a\n", "x.sub"))
    document = parse('{"segments": [{"start_ms": 1, "end_ms": 2, "text": "x"}, {"start_ms": true}, 3]}', "x.json")
    assert times(document) == [(1, 2)]
    assert kinds(document) == {"unreadable-timing"}
    assert kinds(parse('{"segments": [', "x.json")) == {"not-well-formed"}


def test_a_thousand_oddities_are_counted_not_kept():
    document = parse("x\n\n1\n00:00:01,000 --> 00:00:02,000\n" + "-->\n" * 2000)
    assert len(document.oddities) < 600
    assert any("more of this kind" in oddity.message for oddity in document.oddities)


def test_every_oddity_has_a_severity_and_a_meaning():
    assert {severity for severity, _ in ODDITY_KINDS.values()} == {"error", "warning", "note"}
    assert all(meaning and not meaning.endswith(".") for _, meaning in ODDITY_KINDS.values())


SUFFIXES = st.sampled_from([".srt", ".vtt", ".ass", ".ttml", ".lrc", ".tsv", ".json", ".sub"])
PIECES = st.sampled_from(
    [
        *(
            "WEBVTT\n\n",
            "00:00:01.000 --> 00:00:02.000",
            "1\n",
            "\n\n",
            "\r",
            "-->",
            "STYLE\n",
            "REGION\nid:a\n",
            "NOTE",
        ),
        *(
            "[Events]\nFormat: ",
            "Start, End, Text\n",
            "Dialogue: ",
            "0:00:01.00,",
            "{\\p1}",
            "{",
            "}",
            "<tt><body>",
            "<p ",
        ),
        *(
            "begin='1s'",
            "timeContainer='seq'",
            ">",
            "<",
            "</p>",
            "&",
            "&#",
            "&lt;",
            "[00:01.00]",
            "{1}{2}",
            "\t",
            "\x00",
        ),
        *(
            '{"segments":[',
            '{"start_ms":',
            "9" * 5000,
            "-",
            "é",
            "\u202e",
            "<!ENTITY a 'b'>",
            "<!DOCTYPE a [",
            "xmlns=''",
        ),
    ]
)


@settings(deadline=None)
@given(
    st.one_of(st.binary(max_size=400), st.lists(PIECES, max_size=30).map(lambda parts: "".join(parts).encode())),
    SUFFIXES,
)
def test_nothing_crashes(data, suffix):
    document = parse_subtitles(data, f"x{suffix}")
    check_document(document, get_norm("default"))
    assert [cue.number for cue in document.cues] == list(range(1, len(document.cues) + 1))
    lines = data.count(b"\n") + data.count(b"\r") + 2
    assert all(oddity.line is None or 0 < oddity.line <= lines * 2 for oddity in document.oddities)


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"1:" * 100_000 + b"-->", "x.srt"),
        (b"1\n\n" * 60_000, "x.srt"),
        (b"1\n00:00:01,000 --> 00:00:02,000\n" + b"<i>" * 30_000 + b"</i>" * 20_000, "x.srt"),
        (b"WEBVTT\n\n00:01.000 --> 00:02.000\n" + b"<c>" * 60_000, "x.vtt"),
        (b"[Events]\nFormat: Start, End, Text\nDialogue: 0:00:00.00,0:00:01.00,{" + b"\\pos(" * 40_000 + b"}", "x.ass"),
        (b"<tt>" + b"<div timeContainer='seq'>" * 8000, "x.ttml"),
        (b"<tt><body timeContainer='seq'>" + b"<div timeContainer='seq'>" * 190 + b"<p>x</p>" * 5000, "x.ttml"),
        (b"[00:01.00]" * 20_000 + b"x", "x.lrc"),
        (b'{"segments":' + b"[" * 200_000, "x.json"),
        (bytes(range(128, 256)) * 1500, "x.srt"),
    ],
)
def test_time_grows_with_the_size_only(data, name):
    start = time.process_time()
    check_document(parse_subtitles(data, name), get_norm("default"))
    assert time.process_time() - start < 10
