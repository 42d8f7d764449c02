# SPDX-License-Identifier: Apache-2.0
"""The languages Qwen3-ASR names, and the ways users write them.

The model writes and reads English names ("language English<asr_text>"); hosts speak ISO 639. Order and names are those
of the official package, the codes those of the technical report (arXiv 2601.21337, table of supported languages).
"""

from __future__ import annotations

from typing import Final

from subtitle_hooks import RequestError

__all__ = ["ISO_CODES", "iso_code", "model_name", "same_language", "try_iso_code"]

# English name; ISO 639-1 (639-3 where there is none); then 639-2/T, 639-2/B, 639-3 of the main variety, withdrawn codes
# and further English names, as media files and users write them.
_LANGUAGES: Final[tuple[tuple[str, str, tuple[str, ...]], ...]] = (
    ("Chinese", "zh", ("zho", "chi", "cmn", "mandarin")),
    ("English", "en", ("eng",)),
    ("Cantonese", "yue", ("zh-yue",)),
    ("Arabic", "ar", ("ara", "arb")),
    ("German", "de", ("deu", "ger")),
    ("French", "fr", ("fra", "fre")),
    ("Spanish", "es", ("spa", "castilian")),
    ("Portuguese", "pt", ("por",)),
    ("Indonesian", "id", ("ind", "in")),
    ("Italian", "it", ("ita",)),
    ("Korean", "ko", ("kor",)),
    ("Russian", "ru", ("rus",)),
    ("Thai", "th", ("tha",)),
    ("Vietnamese", "vi", ("vie",)),
    ("Japanese", "ja", ("jpn",)),
    ("Turkish", "tr", ("tur",)),
    ("Hindi", "hi", ("hin",)),
    ("Malay", "ms", ("msa", "may", "zsm")),
    ("Dutch", "nl", ("nld", "dut", "flemish")),
    ("Swedish", "sv", ("swe",)),
    ("Danish", "da", ("dan",)),
    ("Finnish", "fi", ("fin",)),
    ("Polish", "pl", ("pol",)),
    ("Czech", "cs", ("ces", "cze")),
    ("Filipino", "fil", ("tl", "tgl", "tagalog")),
    ("Persian", "fa", ("fas", "per", "pes", "farsi")),
    ("Greek", "el", ("ell", "gre")),
    ("Romanian", "ro", ("ron", "rum", "mo", "mol")),
    ("Hungarian", "hu", ("hun",)),
    ("Macedonian", "mk", ("mkd", "mac")),
)

ISO_CODES: Final = tuple(code for _, code, _ in _LANGUAGES)
_NAME_OF: Final = {code: name for name, code, _ in _LANGUAGES}
_CODE_OF: Final = {spelling: code for name, code, others in _LANGUAGES for spelling in (name.lower(), code, *others)}


def try_iso_code(language: str) -> str | None:
    """Return the ISO code for an English name or any ISO 639 code, None for a language the model does not know.

    A region or script after the language ("pt-BR", "zh_Hans") does not matter.
    """
    tag = _tag(language)
    return _CODE_OF.get(tag) or _CODE_OF.get(tag.partition("-")[0])


def iso_code(language: str) -> str:
    """Return the ISO code of `language`.

    Raises:
        RequestError: The model does not know it.
    """
    code = try_iso_code(language)
    if code is None:
        raise RequestError(
            f"Qwen3-ASR does not know the language {language!r}.",
            hint=f"Leave it out to let the model find out, or use one of: {', '.join(ISO_CODES)}.",
        )
    return code


def model_name(code: str) -> str:
    """Return the name the model uses for one of `ISO_CODES`."""
    return _NAME_OF[code]


def same_language(left: str, right: str) -> bool:
    """Say whether two language tags mean the same language, whatever standard each follows; regions are ignored."""
    return _canonical(left) == _canonical(right)


def _canonical(language: str) -> str:
    return try_iso_code(language) or _tag(language).partition("-")[0]


def _tag(language: str) -> str:
    return language.strip().lower().replace("_", "-")
