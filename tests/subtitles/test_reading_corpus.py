# SPDX-License-Identifier: Apache-2.0
"""Odd files of other projects, see data/corpus/README.md."""

import json
from pathlib import Path

import pytest

from qwen_asr_plugin.subtitles.reading import read_subtitles

DATA = Path(__file__).parent / "data"
EXPECTED = json.loads((DATA / "corpus.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_corpus(name):
    wanted = EXPECTED[name]
    document = read_subtitles(DATA / "corpus" / name)
    assert (document.format, document.encoding) == (wanted["format"], wanted["encoding"])
    cues = [[cue.line, cue.start_ms, cue.end_ms, cue.text, cue.identifier, dict(cue.settings)] for cue in document.cues]
    assert cues == wanted["cues"]
    assert {name: dict(region) for name, region in document.regions.items()} == wanted["regions"]
    assert [[oddity.line, oddity.kind] for oddity in document.oddities] == wanted["oddities"]


def test_every_file_has_an_expectation():
    files = {path.name for path in (DATA / "corpus").iterdir()} - {"README.md"}
    assert files == set(EXPECTED)
