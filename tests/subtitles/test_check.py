# SPDX-License-Identifier: Apache-2.0
from dataclasses import replace

import pytest

from qwen_asr_plugin.subtitles import get_norm
from qwen_asr_plugin.subtitles.check import RULES, check_cues, check_document
from qwen_asr_plugin.subtitles.reading import parse_subtitles
from subtitle_hooks import Segment

NORM = replace(
    get_norm("default"),
    max_lines=2,
    max_chars_per_line=20,
    width="columns",
    min_duration_ms=1000,
    max_duration_ms=5000,
    min_gap_ms=100,
    chars_per_second=10,
)


def cues(*spans, text="Text."):
    return [Segment(start_ms=start, end_ms=end, text=text) for start, end in spans]


def found(segments, norm=NORM, **options):
    return [(v.rule, v.cue, v.value, v.limit) for v in check_cues(segments, norm, **options)]


def test_what_just_keeps_the_norm():
    text = "12345678901234567890\n12345678901234567890"
    assert found([*cues((0, 4000), text=text), *cues((4100, 9100), (9200, 10_200))]) == []
    assert found([]) == []


@pytest.mark.parametrize(
    ("segments", "wanted"),
    [
        (cues((0, 999)), ("min-duration", 1, 999, 1000)),
        (cues((0, 5001)), ("max-duration", 1, 5001, 5000)),
        (cues((0, 1000), (1099, 2099)), ("min-gap", 2, 99, 100)),
        (cues((0, 1000), (1000, 2000)), ("min-gap", 2, 0, 100)),
        (cues((0, 2000), (1999, 3000)), ("overlap", 2, 1, 0)),
        (cues((500, 500)), ("end-before-start", 1, 0, 0)),
        (cues((500, 400)), ("end-before-start", 1, -100, 0)),
        (cues((0, 1000), text=" \n"), ("empty", 1, 0, None)),
        (cues((0, 5000), text="a\nb\nc"), ("lines", 1, 3, 2)),
        (cues((0, 5000), text="x" * 21), ("chars-per-line", 1, 21, 20)),
        (cues((0, 5000), text="全" * 11), ("chars-per-line", 1, 22, 20)),
        (cues((0, 1000), text="elevenchars"), ("chars-per-second", 1, 11.0, 10)),
        (cues((0, 5000), text="one\nseven77"), ("balance", 1, 0.43, 0.5)),
    ],
)
def test_each_rule(segments, wanted):
    assert found(segments) == [wanted]
    violation = check_cues(segments, NORM)[0]
    assert violation.severity == RULES[violation.rule][0]
    assert violation.message.endswith(".")


def test_width_is_counted_as_the_norm_says():
    japanese = replace(NORM, width="cjk", max_chars_per_line=10)
    assert found(cues((0, 5000), text="全" * 10), japanese) == []
    assert found(cues((0, 5000), text="全" * 10 + "a"), japanese) == [("chars-per-line", 1, 10.5, 10)]


def test_none_is_no_limit():
    free = replace(NORM, max_lines=None, max_chars_per_line=None, max_duration_ms=None, chars_per_second=None)
    assert found(cues((0, 60_000), text="\n".join(["x" * 500] * 9)), free) == []


def test_overlap_with_a_long_cue_further_back():
    segments = cues((0, 5000), (1000, 2000), (3000, 4000), (5000, 6000))
    assert [(rule, cue) for rule, cue, *_ in found(segments)] == [("overlap", 2), ("overlap", 3), ("min-gap", 4)]


def test_a_file_out_of_order_is_measured_in_the_order_of_time():
    assert found(cues((5000, 6000), (0, 1000), (1050, 2050))) == [("order", 2, 0, 5000), ("min-gap", 3, 50, 100)]


def test_a_cue_without_an_end_overlaps_all_that_follows():
    document = parse_subtitles(b"{1}{1}25\n{25}{}a\n{75}{125}b\n", "x.sub")
    violations = check_document(document, NORM)
    assert [(v.rule, v.cue, v.value) for v in violations if v.rule == "overlap"] == [("overlap", 2, None)]


def test_coarse_formats_are_forgiven_less_than_a_step():
    assert found(cues((0, 991), (1082, 2082)), resolution_ms=10) == []
    assert [rule for rule, *_ in found(cues((0, 990), (1080, 2080)), resolution_ms=10)] == ["min-duration", "min-gap"]


def test_a_format_without_lines_may_fill_them_all():
    assert found(cues((0, 5000), text="x" * 41), has_lines=False) == []
    assert found(cues((0, 5000), text="x" * 42), has_lines=False) == [("chars-per-line", 1, 42, 41)]


def test_oddities_come_with_the_cues_in_the_order_of_lines():
    data = b"\xef\xbb\xbf1\n00:00:01.000 --> 00:00:01,500\na\n\n2\nno times\n"
    violations = check_document(parse_subtitles(data, "x.srt"), NORM)
    assert [(v.rule, v.severity, v.line, v.cue) for v in violations] == [
        ("bom", "note", 1, None),
        ("dot-fraction", "warning", 2, None),
        ("min-duration", "error", 2, 1),
        ("missing-timing", "error", 5, None),
    ]
