# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

import subtitle_hooks
from subtitle_hooks import SubtitleError, host, testing

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("module", [subtitle_hooks, testing, host])
def test_all_is_sorted_and_true(module):
    assert module.__all__ == sorted(module.__all__, key=lambda name: (not name.isupper(), name))
    public = {name for name, value in vars(module).items() if not name.startswith("_") and not inspect.ismodule(value)}
    if module is subtitle_hooks:
        assert public == set(module.__all__)
    assert all(hasattr(module, name) for name in module.__all__)


@pytest.mark.parametrize("module", [subtitle_hooks, testing])
def test_every_public_name_is_explained(module):
    text = "".join((DOCS / name).read_text(encoding="utf-8") for name in ("host-authors.md", "backend-authors.md"))
    undocumented = [name for name in module.__all__ if not re.search(rf"\b{name}\b", text)]
    assert undocumented == []
    for name in module.__all__:
        value = getattr(module, name)
        if inspect.isclass(value) or inspect.isfunction(value):
            assert inspect.getdoc(value), name


def errors():
    return [
        value for value in vars(subtitle_hooks).values() if inspect.isclass(value) and issubclass(value, SubtitleError)
    ]


def test_error_codes_are_unique_and_below_the_backends_range():
    codes = [error.code for error in errors()]
    assert len(set(codes)) == len(codes)
    assert not set(codes) & {0, 9, *range(100, 126)}
    assert all(0 < code < 256 for code in codes)


def test_the_tree_in_the_docstring_is_the_tree_in_the_code():
    drawn = dict(re.findall(r"(\w+Error) +(\d+) ", inspect.getmodule(SubtitleError).__doc__))
    assert {name: int(code) for name, code in drawn.items()} == {error.__name__: error.code for error in errors()}
    table = (DOCS / "host-authors.md").read_text(encoding="utf-8")
    for error in errors():
        if error is not SubtitleError:
            assert re.search(rf"`{error.__name__}` (\| )?{error.code}\b", table), error


def test_messages_say_what_where_and_what_next():
    error = SubtitleError("is cut off.", path=Path("film.mkv"), hint="Copy it again.")
    assert str(error) == "film.mkv: is cut off. Copy it again."
    assert str(SubtitleError("is cut off.")) == "is cut off."
