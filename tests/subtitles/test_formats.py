# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: RUF001
import json

import pytest

from qwen_asr_plugin.subtitles import FORMATS, NORMS, TranscriptInfo, get_norm, render
from subtitle_hooks import RequestError, Segment

SEGMENTS = [
    Segment(start_ms=0, end_ms=1500, text="Mr. Smith said\nthat he", language="en"),
    Segment(start_ms=1583, end_ms=3000, text="would come. So\nhe came.", language="en"),
    Segment(start_ms=5000, end_ms=7000, text="And", language="en"),
    Segment(start_ms=9500, end_ms=10000, text="then?", language="en"),
]
INFO = TranscriptInfo(backend="qwen-asr", model="demo", language="en", duration_ms=12000, statistics={"rtf": 0.5})


def test_srt():
    assert render("srt", SEGMENTS[:2], INFO) == (
        "1\n00:00:00,000 --> 00:00:01,500\nMr. Smith said\nthat he\n\n"
        "2\n00:00:01,583 --> 00:00:03,000\nwould come. So\nhe came.\n\n"
    )


def test_txt_is_a_sentence_per_line_and_a_paragraph_per_pause():
    assert render("txt", SEGMENTS, INFO) == "Mr. Smith said that he would come.\nSo he came.\n\nAnd\n\nthen?\n"


def test_txt_puts_no_space_into_chinese():
    segments = [
        Segment(start_ms=0, end_ms=1000, text="我想\n我们", language="zh"),
        Segment(start_ms=1083, end_ms=2000, text="走吧。好！", language="zh"),
    ]
    assert render("txt", segments, INFO) == "我想我们走吧。\n好！\n"


def test_json_schema():
    assert json.loads(render("json", SEGMENTS[:1], INFO)) == {
        "version": 1,
        "backend": "qwen-asr",
        "model": "demo",
        "language": "en",
        "duration_ms": 12000,
        "statistics": {"rtf": 0.5},
        "segments": [{"start_ms": 0, "end_ms": 1500, "text": "Mr. Smith said\nthat he", "language": "en"}],
    }


def test_json_is_readable_utf8():
    text = render("json", [Segment(start_ms=0, end_ms=1, text="né 好")], TranscriptInfo(backend="b"))
    assert "né 好" in text
    assert text.endswith("}\n")


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_no_segments(name):
    assert render(name, [], INFO).strip() in {"", render("json", [], INFO).strip()}


def test_unknown_names_are_refused_with_the_choices():
    with pytest.raises(RequestError, match=r"'vtt'.*json, srt, txt"):
        render("vtt", SEGMENTS, INFO)
    with pytest.raises(RequestError, match=r"'fancy'.*default"):
        get_norm("fancy")


def test_every_norm_is_found_by_its_name():
    assert all(get_norm(name).name == name for name in NORMS)
