# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: RUF001
"""Where cues and lines may end, language by language: ``|`` marks the place in question."""

import pytest

from qwen_asr_plugin.alignment import TimedWord, split_words
from qwen_asr_plugin.subtitles import CueBuilder, get_norm
from qwen_asr_plugin.subtitles.pieces import Piece
from qwen_asr_plugin.subtitles.seams import Seam, judge_seam


def piece(text, *, space=False, continues=False):
    return Piece(text=text.strip(), space_before=space, continues=continues, start_ms=0, end_ms=0, width=len(text))


def judge(text, language):
    left, right = text.split("|")
    before, after = split_words(left)[-1], split_words(right)[0]
    space = left[-1:].isspace() or right[:1].isspace()
    return judge_seam(piece(before), piece(after, space=space), language)


@pytest.mark.parametrize(
    ("text", "language", "seam"),
    [
        ("He left. |She", "en", Seam.SENTENCE),
        ("he left, |she", "en", Seam.CLAUSE),
        ("He left |because", "en", Seam.OPENING),
        ("He went |into", "en", Seam.LEADING),
        ("He went |home", "en", Seam.PLAIN),
        ("into |the", "en", Seam.TIGHT),
        ("the |house", "en", Seam.TIGHT),
        ("she |laughed", "en", Seam.TIGHT),
        ("don't |know", "en", Seam.TIGHT),
        ("saw her |in", "en", Seam.PLAIN),
        ("Then I |Paul", "en", Seam.TIGHT),
        ("said I'm |Paul", "en", Seam.TIGHT),
        ("with New |York", "en", Seam.UNIT),
        ("Mr. |Smith", "en", Seam.UNIT),
        ("20 |km", "en", Seam.UNIT),
        ("10 |000", "en", Seam.UNIT),
        ("20 |houses", "en", Seam.TIGHT),
        ("He left |because", None, Seam.OPENING),
        ("Er ging, |weil", "de", Seam.CLAUSE),
        ("Er ging |weil", "de", Seam.OPENING),
        ("Er ging |nach", "de", Seam.LEADING),
        ("in das |Haus", "de", Seam.TIGHT),
        ("am 3. |Oktober", "de", Seam.UNIT),
        ("je sais |qu'il", "fr", Seam.OPENING),
        ("la fin |d'une", "fr", Seam.LEADING),
        ("d'une |histoire", "fr", Seam.TIGHT),
        ("la |maison", "fr", Seam.TIGHT),
        ("se fue |porque", "es", Seam.OPENING),
        ("la |casa", "es", Seam.TIGHT),
        ("è vero |che", "it", Seam.OPENING),
        ("della |casa", "it", Seam.TIGHT),
        ("está |cansado", "pt", Seam.TIGHT),
        ("casa |da", "pt", Seam.LEADING),
        ("он сказал |что", "ru", Seam.OPENING),
        ("संसद |के", "hi", Seam.TIGHT),
        ("할 |수", "ko", Seam.TIGHT),
        ("公园散步，|然后", "zh", Seam.CLAUSE),
        ("我|们去", "zh", Seam.TIGHT),
        ("好看|的书", "zh", Seam.TIGHT),
        ("下雨|所以", "zh", Seam.LEADING),
        ("2024|年", "zh", Seam.UNIT),
        ("九千八|百", "zh", Seam.UNIT),
        ("用iPhone |15", "zh", Seam.UNIT),
        ("映画を|見ました", "ja", Seam.LEADING),
        ("映|画", "ja", Seam.TIGHT),
        ("ラー|メン", "ja", Seam.TIGHT),
        ("1時|間", "ja", Seam.UNIT),
        ("ไปดู|หนัง", "th", Seam.TIGHT),
        ("กับ|เพื่อน", "th", Seam.PLAIN),
        ("ดูหนัง |แล้ว", "th", Seam.CLAUSE),
    ],
)
def test_seams(text, language, seam):
    assert judge(text, language) is seam


@pytest.mark.parametrize("after", ["。", "、", "」", "ッ", "ー", "々", ")", "؟"])
def test_no_line_begins_with_what_closes(after):
    assert judge_seam(piece("あ"), piece(after), "ja") is Seam.INSIDE


def test_the_inside_of_a_word_is_the_last_resort():
    assert judge_seam(piece("abc"), piece("def", continues=True), "en") is Seam.INSIDE


LINES = {
    "en": "The president of the United States said in New York that he would not run again because he was tired.",
    "de": "Der Präsident der Vereinigten Staaten hat am 3. Oktober erklärt, dass er nicht mehr um das Amt kämpft.",
    "fr": "Le président de la République a dit à la télévision qu'il ne reviendrait pas parce qu'il était fatigué.",
    "es": "El presidente de la República dijo en la televisión que no volvería porque quería estar con su familia.",
    "it": "Il presidente della Repubblica ha detto in televisione che non tornerà perché vuole stare con la famiglia.",
    "pt": "O presidente da República disse na televisão que não voltaria porque queria ficar com a sua família.",
}
LOOSE = {
    "en": "the of in that he would not a his was United New because",
    "de": "der am hat dass er nicht um das 3.",
    "fr": "le de la à qu'il ne parce était a",
    "es": "el de la en que no porque su con",
    "it": "il della in che non perché la ha con",
    "pt": "o da na que não porque com a sua",
}


@pytest.mark.parametrize("language", sorted(LINES))
@pytest.mark.parametrize("name", ["default", "netflix", "bbc", "ted"])
def test_no_line_ends_with_a_word_that_belongs_to_the_next(language, name):
    words, at = [], 0
    for unit in split_words(LINES[language]):
        words.append(TimedWord(text=unit, start_ms=at, end_ms=at + 60 * len(unit), estimated=True))
        at += 60 * len(unit)
    builder = CueBuilder(get_norm(name))
    cues = builder.add(words, language) + builder.finish()
    lines = "\n".join(cue.text for cue in cues).split("\n")
    assert " ".join(lines) == LINES[language]
    assert not [line for line in lines if line.rsplit(" ", 1)[-1].lower() in LOOSE[language].split()]


@pytest.mark.parametrize("token", ["3.14", "U.S.A.", "10:30", "https://example.org/path", "1,000,000", "10\u202f000"])
@pytest.mark.parametrize("before", range(1, 14))
def test_numbers_times_abbreviations_and_urls_stay_whole(token, before):
    text = "word " * before + token + " and more words behind it to fill the line, until the end."
    words = [
        TimedWord(text=unit, start_ms=200 * at, end_ms=200 * at + 200, estimated=True)
        for at, unit in enumerate(split_words(text))
    ]
    builder = CueBuilder(get_norm("default"))
    cues = builder.add(words, "en") + builder.finish()
    assert any(token in line.split(" ") for cue in cues for line in cue.text.split("\n"))
