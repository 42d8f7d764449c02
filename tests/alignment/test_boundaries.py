# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: RUF001
import pytest

from qwen_asr_plugin.alignment import Boundary, boundary_after, split_words


@pytest.mark.parametrize(
    ("text", "language", "ends_after"),
    [
        ("Mr. Smith met Dr. Jones. They left.", "en", ["Jones.", "left."]),
        ("The U.S.A. is big. J. R. Tolkien, e.g. wrote", "en", ["big."]),
        ("It is 3.14 at 10:30. Done", "en", ["10:30."]),
        ("It was in 1995. Then No. 5 came. No. I will", "en", ["1995.", "came.", "No."]),
        ("It was I. You know", "en", ["I."]),
        ("“What?” he said. “Go!” She went", "en", ["said.", "“Go!”"]),
        ("Wait... for me… Now", "en", ["me…"]),
        ("Am 3. Oktober 1990. Danach", "de", ["1990."]),
        ("I have 3. You have 4.", "en", ["3.", "4."]),
        ("Quoi ? Oui !", "fr", ["Quoi ?", "Oui !"]),
        ("你好。世界！吗？对", "zh", ["好。", "界！", "吗？"]),
        ("क्या है। हाँ", "hi", ["है।"]),
        ("ما هذا؟ نعم", "ar", ["هذا؟"]),
        ("in the U.S.A.", "en", ["U.S.A."]),
        ("Thank you, Mr.", "en", []),
    ],
)
def test_sentence_ends(text, language, ends_after):
    units = split_words(text)
    found = [
        unit.strip()
        for unit, following in zip(units, (*units[1:], None), strict=True)
        if boundary_after(unit, following, language) is Boundary.SENTENCE
    ]
    assert found == ends_after


@pytest.mark.parametrize(
    ("word", "following", "language", "boundary"),
    [
        ("well, ", "then", "en", Boundary.CLAUSE),
        ("well – ", "then", "en", Boundary.CLAUSE),
        ("（好）、", "吗", "zh", Boundary.CLAUSE),
        ("the ", "house", "en", Boundary.TIGHT),
        ("the ", "house", None, Boundary.TIGHT),
        ("the ", "house", "fr", Boundary.NONE),
        ("Glenn ", "Miller", "en", Boundary.TIGHT),
        ("house ", "of", "en", Boundary.PHRASE),
        ("old ", "house", "en", Boundary.NONE),
        ("10:30 ", "on", "fr", Boundary.NONE),
        ("", None, "en", Boundary.NONE),
    ],
)
def test_weaker_boundaries(word, following, language, boundary):
    assert boundary_after(word, following, language) is boundary
