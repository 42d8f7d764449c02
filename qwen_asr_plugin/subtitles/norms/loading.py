# SPDX-License-Identifier: Apache-2.0
"""Finds a norm by its name, or reads one from a TOML file."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from qwen_asr_plugin.languages import try_iso_code
from subtitle_hooks import RequestError

from .norm import Norm
from .tables import NORMS

__all__ = ["get_norm"]

_SUFFIX: Final = ".toml"
_NUMBERS: Final = frozenset(field.name for field in fields(Norm)) - {"name", "language", "variants"}
_KEYS: Final = _NUMBERS | {"name", "base", "languages"}
_NO_LIMIT: Final = "unlimited"
# ISO 639-1, all 183 codes: a file to be checked may be in a language the model does not know.
_TWO_LETTER: Final = (
    "aa ab ae af ak am an ar as av ay az ba be bg bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de dv dz ee el "
    "en eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie ig ii ik io is it "
    "iu ja jv ka kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mr ms mt "
    "my na nb nd ne ng nl nn no nr nv ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg si sk sl "
    "sm sn so sq sr ss st su sv sw ta te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo "
    "za zh zu"
)
_TWO_LETTER_CODES: Final = frozenset(_TWO_LETTER.split())


def get_norm(name: str, language: str | None = None) -> Norm:
    """Look up a norm.

    A file has the names and units of the fields of `Norm` as keys (``"unlimited"`` for no limit), ``name``, ``base``
    (the norm that gives what the file leaves out, ``default`` if it does not say), and a table ``[languages.CODE]``
    with the numbers of a language.

    Args:
        name: ``netflix``; ``netflix-ja`` for its numbers for one language; or the path of a ``.toml`` file.
        language: Resolve a norm without a language for this one, see `Norm.for_language`.

    Returns:
        The norm.

    Raises:
        RequestError: There is no norm of this name, the file cannot be read, or what it says is impossible.
    """
    if name.lower().endswith(_SUFFIX):
        return _load(Path(name)).for_language(language)
    if name in NORMS:
        return NORMS[name].for_language(language)
    family, _, code = name.partition("-")
    if family in NORMS and (known := try_iso_code(code) or (code if code in _TWO_LETTER_CODES else None)):
        return NORMS[family].for_language(known)
    if family in NORMS and code:
        raise RequestError(
            f"The subtitle norm {name!r} is for no language this program knows: {code!r}.",
            hint=f"Write an ISO 639-1 code behind the hyphen, as in '{family}-ja' for Japanese.",
        )
    raise RequestError(
        f"There is no subtitle norm called {name!r}.",
        hint=f"Choose one of: {', '.join(sorted(NORMS))}; or give the path of a .toml file with your own numbers.",
    )


def _load(path: Path) -> Norm:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib

    try:
        table = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise RequestError(
            f"The subtitle norm {path} cannot be read: {error.strerror}.", hint="Check the path and the permissions."
        ) from error
    except ValueError as error:  # not UTF-8, or not TOML
        raise RequestError(f"The subtitle norm {path} is no TOML: {error}.", hint="Correct the file.") from error
    _check_keys(table, _KEYS, str(path))
    base_name = table.get("base", "default")
    name = table.get("name", path.stem)
    languages = table.get("languages", {})
    for key, value in (("name", name), ("base", base_name)):
        if not isinstance(value, str) or not value:
            raise _wrong(str(path), key, value, "a text")
    if base_name not in NORMS:
        raise _wrong(str(path), "base", base_name, f"one of {', '.join(sorted(NORMS))}")
    if not isinstance(languages, dict):
        raise _wrong(str(path), "languages", languages, "a table such as [languages.ja]")

    base = NORMS[base_name]
    common = _numbers(table)
    variants = {code: _variant(norm, name, common, {}) for code, norm in base.variants.items()}
    for language, numbers in languages.items():
        where = f"{path}, [languages.{language}]"
        code = try_iso_code(language) or language
        if code not in variants and code not in _TWO_LETTER_CODES:
            raise _wrong(str(path), "languages", language, "tables named by an ISO 639-1 code, as [languages.ja]")
        if not isinstance(numbers, dict):
            raise _wrong(str(path), f"languages.{language}", numbers, "a table")
        _check_keys(numbers, _NUMBERS, where)
        variants[code] = _variant(base.for_language(code), name, common, _numbers(numbers))
    return replace(base, name=name, variants=MappingProxyType(variants), **common)


def _variant(norm: Norm, name: str, common: Mapping[str, Any], own: Mapping[str, Any]) -> Norm:
    """Number by number: what the file says of the language, else what it says of all, else the base.

    A width is meant for the script it is counted in, so a rule for all languages does not go over to those of which
    the base has a rule of its own.
    """
    if "width" not in own and norm.width != "columns":
        common = {key: value for key, value in common.items() if key not in _BY_SCRIPT}
    return replace(norm, name=f"{name}-{norm.language}", **{**common, **own})


_BY_SCRIPT: Final = frozenset(("width", "max_chars_per_line", "chars_per_second"))


def _check_keys(table: Mapping[str, Any], known: frozenset[str], where: str) -> None:
    for key in table:
        if key not in known:
            raise RequestError(
                f"The subtitle norm {where} has a key this program does not know: {key!r}.",
                hint=f"Use only: {', '.join(sorted(known))}.",
            )


def _numbers(table: Mapping[str, Any]) -> dict[str, Any]:
    return {key: None if value == _NO_LIMIT else value for key, value in table.items() if key in _NUMBERS}


def _wrong(where: str, key: str, value: object, wanted: str) -> RequestError:
    return RequestError(
        f"The subtitle norm {where} has an impossible {key}: {value!r}.", hint=f"{key} must be {wanted}."
    )
