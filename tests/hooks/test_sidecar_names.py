# SPDX-License-Identifier: Apache-2.0
"""Names players understand, and never two files for one meaning."""

from pathlib import Path

import pytest

from subtitle_hooks import OutputExistsError, RequestError, check_sidecar, sidecar_path, write_sidecar
from subtitle_hooks._iso639 import LANGUAGE_FORMS, convert_language, is_language, language_meaning
from subtitle_hooks._sidecar import SidecarName, check_new_file, existing_sidecar, new_file


@pytest.mark.parametrize(
    ("language", "names"),
    [
        ("de", ["de", "ger", "deu", "deu"]),
        ("eng", ["en", "eng", "eng", "eng"]),
        ("zh-Hant", ["zh-Hant", "chi-Hant", "zho-Hant", "zho-Hant"]),
        ("yue", ["yue", "yue", "yue", "yue"]),
        ("fil", ["fil", "fil", "fil", "fil"]),
    ],
)
def test_language_in_the_standard_asked_for(language, names):
    paths = [sidecar_path("film.mkv", language, form=form) for form in LANGUAGE_FORMS]
    assert [path.name for path in paths] == [f"film.{name}.srt" for name in names]


def test_tags_stand_behind_the_language_once():
    path = sidecar_path("film.mkv", "en", tags=["forced", "qwen-asr", "forced"])
    assert path.name == "film.en.forced.qwen-asr.srt"


@pytest.mark.parametrize("tag", ["", "a.b", "a/b", "..", "eng", "de", "Turkish", "x" * 40, "a b"])
def test_tags_that_would_be_read_as_something_else(tag):
    with pytest.raises(RequestError):
        sidecar_path("film.mkv", "en", tags=[tag])


def test_hi_is_hearing_impaired_behind_a_language_and_hindi_otherwise():
    assert sidecar_path("film.mkv", "en", tags=["hi"]).name == "film.en.hi.srt"
    assert SidecarName.of("film.en.hi.srt").language == "en"
    assert SidecarName.of("film.hi.srt").language == "hi"


@pytest.mark.parametrize(
    "same",
    [
        ["film.en.srt", "film.eng.srt", "film.EN.srt", "film.English.SRT"],
        ["film.de.forced.srt", "film.ger.forced.srt", "film.deu.Foreign.srt"],
        ["film.en.sdh.srt", "film.en.hi.srt", "film.eng.cc.srt"],
        ["film.zh-Hans.srt", "film.chi-hans.srt", "film.zho_Hans.srt"],
        ["film.fil.srt", "film.tl.srt", "film.tgl.srt"],
    ],
)
def test_names_of_one_meaning(same, tmp_path):
    for existing in same:
        folder = tmp_path / existing
        folder.mkdir()
        (folder / existing).write_text("mine", encoding="utf-8")
        for other in same:
            with pytest.raises(OutputExistsError) as caught:
                check_sidecar(folder / other)
            assert Path(caught.value.path).name == existing
            with pytest.raises(OutputExistsError):
                write_sidecar(folder / other, "new")
            assert existing_sidecar(folder / other).name == existing
        assert [path.read_text(encoding="utf-8") for path in folder.iterdir()] == ["mine"]


@pytest.mark.parametrize(
    "other",
    [
        "film.de.srt",
        "film.en.vtt",
        "film.en-GB.srt",
        "film.en.forced.srt",
        "film2.en.srt",
        "film.srt",
        "film.part1.en.srt",
    ],
)
def test_another_meaning_is_not_in_the_way(other, tmp_path):
    (tmp_path / other).write_text("theirs", encoding="utf-8")
    write_sidecar(tmp_path / "film.en.srt", "ours")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([other, "film.en.srt"])


def test_names_without_a_language_are_compared_letter_by_letter(tmp_path):
    (tmp_path / "Da.Vinci.srt").touch()
    check_sidecar(tmp_path / "Dan.Vinci.srt")


def test_every_code_has_one_meaning():
    for code in ("en", "eng", "ger", "deu", "de", "per", "fas", "cmn", "iw", "he", "heb", "nob", "no"):
        assert is_language(code)
        assert language_meaning(convert_language(code, "iso639-2b")) == language_meaning(code)


def test_a_new_file_of_any_kind_appears_whole_or_not_at_all(tmp_path):
    (tmp_path / "film.eng.mkv").touch()
    target = tmp_path / "film.en.mkv"  # another film is no subtitle of the same meaning
    check_new_file(target)
    with pytest.raises(ZeroDivisionError), new_file(target) as temporary:
        temporary.write_bytes(b"half" * (1 // 0))
    assert [path.name for path in tmp_path.iterdir()] == ["film.eng.mkv"]
    with new_file(target) as temporary:
        temporary.write_bytes(b"whole")
        assert not target.exists()
    assert target.read_bytes() == b"whole"
    with pytest.raises(OutputExistsError), new_file(target):
        pytest.fail("an existing file was lent")
