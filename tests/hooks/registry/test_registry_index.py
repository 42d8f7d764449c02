# SPDX-License-Identifier: Apache-2.0
"""Reading an index: what is right, and where what is wrong."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import jsonschema
import pytest

from subtitle_hooks.registry import IndexInvalidError, parse_index

DOCS = Path(__file__).parents[3] / "docs"
EXAMPLE = DOCS / "examples" / "registry" / "index.json"


@pytest.fixture(scope="module")
def schema():
    found = json.loads((DOCS / "registry-index.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(found)
    return jsonschema.Draft202012Validator(found)


@pytest.fixture
def example():
    return json.loads(EXAMPLE.read_text(encoding="utf-8"))


def test_the_example_is_valid_and_read_completely(schema, example):
    schema.validate(example)
    simple, newer, yanked = parse_index(EXAMPLE.read_bytes(), "index.json")
    assert (simple.name, simple.distribution, str(simple.version)) == ("read-along", "example-subtitle-backend", "1.0")
    assert simple.dependencies is None
    assert newer.dependencies is not None
    assert [wheel.distribution for wheel in newer.dependencies] == ["tiny-helper"]
    assert (newer.api_min, newer.api_max, newer.licence) == (1, 2, "MIT")
    assert [place.where for place in newer.data] == ["{user_data}/whisper-like"]
    assert {tag.platform for tag in newer.wheels[1].tags} == {"macosx_11_0_arm64"}
    assert yanked.yanked == "its times drift by two seconds an hour"


def test_names_that_are_not_known_are_ignored(schema, example):
    example["generator"] = example["plugins"][1]["stars"] = example["plugins"][1]["wheels"][0]["mirror"] = "x"
    schema.validate(example)
    assert len(parse_index(json.dumps(example).encode(), "i")) == 3


def put(*path, value):
    def change(index):
        *folders, last = path
        for part in folders:
            index = index[part]
        index[last] = value

    return change


def drop(*path):
    def change(index):
        *folders, last = path
        for part in folders:
            index = index[part]
        del index[last]

    return change


# What the schema refuses too: (change, the place that the message names)
BOTH = [
    (put("plugins", value={}), "plugins: must be an array"),
    (drop("plugins"), "the whole: 'plugins' is missing"),
    (drop("format"), "the whole: 'format' is missing"),
    (put("format", value="1"), "format: must be a whole number"),
    (put("format", value=True), "format: must be a whole number"),
    (put("plugins", 0, value=[]), "plugins[0]: must be an object"),
    (put("plugins", 1, "name", value="Whisper Like"), "plugins[1].name: must be lower-case"),
    (put("plugins", 1, "name", value=7), "plugins[1].name"),
    (drop("plugins", 1, "name"), "plugins[1]: 'name' is missing"),
    (drop("plugins", 1, "summary"), "plugins[1]: 'summary' is missing"),
    (put("plugins", 1, "summary", value="two\nlines"), "plugins[1].summary: must be one line"),
    (put("plugins", 1, "summary", value="\x1b[2Jgone"), "plugins[1].summary"),
    (put("plugins", 1, "summary", value="x" * 501), "plugins[1].summary"),
    (put("plugins", 1, "distribution", value="-x"), "plugins[1].distribution"),
    (put("plugins", 1, "homepage", value="file:///etc"), "plugins[1].homepage"),
    (put("plugins", 1, "licence", value=""), "plugins[1].licence"),
    (put("plugins", 1, "api_version", value=1), "plugins[1].api_version: must be an object"),
    (put("plugins", 1, "api_version", "min", value=0), "plugins[1].api_version.min: must be a whole number from 1"),
    (drop("plugins", 1, "api_version", "max"), "plugins[1].api_version: 'max' is missing"),
    (put("plugins", 1, "python", value=3.1), "plugins[1].python"),
    (put("plugins", 1, "platforms", value=[]), "plugins[1].platforms: must not be empty"),
    (put("plugins", 1, "platforms", 1, value="beos"), "plugins[1].platforms[1]"),
    (put("plugins", 1, "wheels", value=[]), "plugins[1].wheels: must not be empty"),
    (put("plugins", 1, "wheels", 1, value="x.whl"), "plugins[1].wheels[1]: must be an object"),
    (put("plugins", 1, "wheels", 1, "sha256", value="AB" * 32), "plugins[1].wheels[1].sha256: must be 64"),
    (put("plugins", 1, "wheels", 1, "size", value=0), "plugins[1].wheels[1].size"),
    (put("plugins", 1, "wheels", 1, "size", value=1.5), "plugins[1].wheels[1].size"),
    (put("plugins", 1, "wheels", 0, "location", value="setup.py"), "plugins[1].wheels[0].location"),
    (drop("plugins", 1, "dependencies", 0, "sha256"), "plugins[1].dependencies[0]: 'sha256' is missing"),
    (put("plugins", 1, "dependencies", value=None), "plugins[1].dependencies: must be an array"),
    (put("plugins", 1, "yanked", value=True), "plugins[1].yanked"),
    (put("plugins", 1, "data", 0, "where", value="/etc"), "plugins[1].data[0].where"),
    (put("plugins", 1, "data", 0, "where", value="{home}/../root"), "plugins[1].data[0].where"),
]
# What only the reader can see.
READER = [
    (put("format", value=2), "format 2; this program reads formats up to 1"),
    (put("plugins", 1, "version", value="two"), "plugins[1].version"),
    (put("plugins", 1, "version", value="2.0.0"), "is not a wheel of whisper-like-subtitles 2.0.0"),
    (put("plugins", 1, "api_version", "min", value=3), "plugins[1].api_version: max is less than min"),
    (put("plugins", 1, "python", value="3.10 or so"), "plugins[1].python: is not a version range"),
    (put("plugins", 1, "wheels", 0, "location", value="a.whl"), "plugins[1].wheels[0].location: does not end"),
    (put("plugins", 2, "distribution", value="other"), "plugins[2].wheels[0]"),
    (put("plugins", 0, "name", value="whisper-like"), "plugins[1].distribution: 'whisper-like' is"),
]


@pytest.mark.parametrize(("change", "place"), BOTH, ids=[place for _, place in BOTH])
def test_what_is_wrong_is_named_with_its_place(schema, example, change, place):
    change(example)
    with pytest.raises(IndexInvalidError) as caught:
        parse_index(json.dumps(example).encode(), "my/index.json")
    assert place in str(caught.value)
    assert str(caught.value).startswith("my/index.json: is not a valid plugin index: ")
    assert not schema.is_valid(example)


@pytest.mark.parametrize(("change", "place"), READER)
def test_what_the_schema_cannot_say(example, change, place):
    change(example)
    with pytest.raises(IndexInvalidError) as caught:
        parse_index(json.dumps(example).encode(), "i")
    assert place in str(caught.value)


def test_the_same_version_twice(example):
    example["plugins"].append(copy.deepcopy(example["plugins"][1]))
    with pytest.raises(IndexInvalidError, match=r"plugins\[3\]: whisper-like 2.1.0 is plugins\[1\] already"):
        parse_index(json.dumps(example).encode(), "i")


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (b"", "line 1, column 1"),
        (b'{"format": 1,\n "plugins": [}', "line 2, column 14"),
        (b'{"format": 1, "plugins": [], "x": "\xff"}', "byte 35: not UTF-8"),
        (b'{"format": 1, "format": 1, "plugins": []}', "the name 'format' occurs twice"),
        (b'{"format": NaN, "plugins": []}', "NaN is not JSON"),
        (b"[" * 200_000, "nested too deeply"),
        (b"[]", "the whole: must be an object"),
        (b'{"format": ' + b"9" * 6000 + b', "plugins": []}', "is not a valid plugin index"),
    ],
)
def test_what_is_not_json(content, place):
    with pytest.raises(IndexInvalidError) as caught:
        parse_index(content, "i")
    assert place in str(caught.value)
