# SPDX-License-Identifier: Apache-2.0
import pytest

from qwen_asr_model._languages import iso_codes
from qwen_asr_plugin.languages import ISO_CODES, iso_code, model_name, same_language, try_iso_code
from subtitle_hooks import RequestError


def test_the_thirty_languages_of_the_model_have_one_code_each():
    assert len(set(ISO_CODES)) == 30
    for code in ISO_CODES:
        assert iso_code(code) == iso_code(model_name(code)) == code
    assert iso_codes(map(model_name, ISO_CODES)) == ISO_CODES, "the model room knows the same"


@pytest.mark.parametrize("spelling", ["de", "DE", "deu", "ger", "German", " german ", "de-AT", "de_DE"])
def test_every_standard_is_understood(spelling):
    assert iso_code(spelling) == "de"
    assert same_language(spelling, "German")


def test_a_variety_with_a_code_of_its_own_keeps_it():
    assert try_iso_code("zh-yue") == "yue"
    assert try_iso_code("zh-Hans") == "zh"
    assert not same_language("zh-yue", "zh")


def test_languages_the_model_does_not_know():
    assert try_iso_code("tlh") is None
    assert same_language("gsw", "gsw-CH")
    with pytest.raises(RequestError, match="tlh"):
        iso_code("tlh")
