# SPDX-License-Identifier: Apache-2.0
import pytest

from qwen_asr_plugin.subtitles import NORMS, Norm, get_norm
from subtitle_hooks import RequestError


@pytest.mark.parametrize(
    ("name", "line", "width", "speed"),
    [
        ("netflix-en", 42, "columns", 20),
        ("netflix-fr", 42, "columns", 17),
        ("netflix-zh", 16, "characters", 9),
        ("netflix-ja", 13, "cjk", 4),
        ("netflix-ko", 16, "cjk", 12),
        ("netflix-th", 35, "columns", 17),
        ("netflix-ar", 42, "columns", 20),
        ("netflix-hi", 42, "columns", 22),
        ("default-ja", 16, "cjk", 7),
        ("bbc", 37, "columns", 17),
        ("ted-en", 42, "columns", 21),
        ("raw", None, "columns", None),
    ],
)
def test_published_numbers(name, line, width, speed):
    norm = get_norm(name)
    assert (norm.name, norm.max_chars_per_line, norm.width, norm.chars_per_second) == (name, line, width, speed)


def test_a_norm_without_a_language_knows_all():
    family = get_norm("netflix")
    assert family.for_language("Japanese") == get_norm("netflix", "ja") == get_norm("netflix-ja")
    assert family.for_language("zh-Hant").max_chars_per_line == 16
    assert family.for_language("uk").name == "netflix-uk"
    assert family.for_language("uk").chars_per_second == 17
    assert family.for_language(None) is family


def test_a_norm_for_a_language_is_for_all_languages():
    assert get_norm("netflix-ja", "en").language == "ja"


def test_every_norm_is_found_by_its_name():
    for name, family in NORMS.items():
        assert get_norm(name) is family
        assert all(get_norm(norm.name) is norm for norm in family.variants.values())


@pytest.mark.parametrize("name", ["fancy", "netflix-", "", "netflix-xx", "netflix-jp"])
def test_unknown_names(name):
    with pytest.raises(RequestError) as caught:
        get_norm(name)
    assert caught.value.code == 2
    assert name.partition("-")[2] in str(caught.value)


def test_own_norm(tmp_path):
    path = tmp_path / "house.toml"
    path.write_text(
        'base = "netflix"\nmax_chars_per_line = 36\nmin_duration_ms = 1000\nmax_duration_ms = "unlimited"\n'
        "[languages.de]\nchars_per_second = 15.5\n[languages.ja]\nmax_chars_per_line = 20\n",
        encoding="utf-8",
    )
    norm = get_norm(str(path))
    assert (norm.name, norm.max_chars_per_line, norm.min_duration_ms, norm.max_duration_ms) == ("house", 36, 1000, None)
    assert norm.min_gap_ms == 83
    german = norm.for_language("de")
    assert (german.name, german.max_chars_per_line, german.chars_per_second) == ("house-de", 36, 15.5)
    english = get_norm(str(path), "en")
    assert (english.max_chars_per_line, english.chars_per_second, english.min_duration_ms) == (36, 20, 1000)
    # 36 columns are meant for scripts that are counted in columns.
    japanese = norm.for_language("ja")
    assert (japanese.max_chars_per_line, japanese.width, japanese.min_duration_ms) == (20, "cjk", 1000)
    assert norm.for_language("zh").max_chars_per_line == 16


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("max_lines = 0", "impossible max_lines: 0"),
        ("max_lines = 2.5", "impossible max_lines: 2.5"),
        ("max_lines = true", "impossible max_lines: True"),
        ('min_gap_ms = "unlimited"', "impossible min_gap_ms"),
        ('max_lines = "two"', "impossible max_lines: 'two'"),
        ("chars_per_second = -1", "impossible chars_per_second: -1"),
        ("chars_per_second = nan", "impossible chars_per_second: nan"),
        ("max_duration_ms = 500", "impossible max_duration_ms: 500"),
        ("min_gap_ms = 600", "impossible close_gap_ms: 500"),
        ('width = "pixels"', "impossible width: 'pixels'"),
        ("width = [1]", "impossible width"),
        ("lines = 2", "does not know: 'lines'"),
        ("max_lines = ", "is no TOML"),
        ('base = "none"', "impossible base: 'none'"),
        ("base = 1", "impossible base: 1"),
        ("languages = 1", "impossible languages: 1"),
        ("[languages]\nja = 3", "impossible languages.ja: 3"),
        ("[languages.ja]\nfoo = 3", "does not know: 'foo'"),
        ("[languages.jp]\nmax_lines = 3", "impossible languages: 'jp'"),
        ("[languages.ja]\nmax_lines = -3", "impossible max_lines: -3"),
        ('name = ""', "impossible name: ''"),
    ],
)
def test_errors_say_what_is_wrong(tmp_path, text, message):
    path = tmp_path / "own.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(RequestError) as caught:
        get_norm(str(path))
    assert message in str(caught.value)
    assert caught.value.code == 2


def test_unreadable_files(tmp_path):
    with pytest.raises(RequestError, match="cannot be read"):
        get_norm(str(tmp_path / "none.toml"))
    (tmp_path / "latin.toml").write_bytes(b"name = '\xe9'")
    with pytest.raises(RequestError, match="is no TOML"):
        get_norm(str(tmp_path / "latin.toml"))


def test_bad_numbers_in_code_are_refused_too():
    with pytest.raises(RequestError, match="max_chars_per_line"):
        Norm(name="mine", max_chars_per_line=1)
