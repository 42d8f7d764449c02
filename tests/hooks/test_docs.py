# SPDX-License-Identifier: Apache-2.0
"""The examples in the documents run as they are printed."""

from __future__ import annotations

import re
import sys
import types
from pathlib import Path

import pytest

from subtitle_hooks import SubtitleHost
from subtitle_hooks.testing import FakeBackend

ROOT = Path(__file__).parents[2]


def blocks(document: str, language: str = "python") -> list[str]:
    text = (ROOT / document).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


@pytest.fixture
def film(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("film.mkv").write_bytes(bytes(320_000))


def test_host_example(film, capsys):
    example, tests = blocks("docs/host-authors.md")
    exec(compile(example, "host-authors.md", "exec"), {})
    assert Path("film.en.srt").read_text(encoding="utf-8").count("-->") == 4
    assert capsys.readouterr().out.endswith("recognise: 100 %\nwrote film.en.srt\n")
    with pytest.raises(SystemExit, match=r"error 41: film\.en\.srt: exists already"):
        exec(compile(example, "host-authors.md", "exec"), {})
    exec(compile(tests, "host-authors.md", "exec"), {})


def test_backend_example(film, monkeypatch):
    backend, test = blocks("docs/backend-authors.md")
    metronome = types.ModuleType("metronome")
    exec(compile(backend, "backend-authors.md", "exec"), vars(metronome))
    monkeypatch.setitem(sys.modules, "metronome", metronome)
    exec(compile(test, "backend-authors.md", "exec"), {})


def test_readme_example(film, monkeypatch):
    (example,) = blocks("hooks/README.md")
    monkeypatch.setattr("subtitle_hooks.SubtitleHost", lambda: SubtitleHost(discover=False, plugins=[FakeBackend()]))
    exec(compile(example, "README.md", "exec"), {})
    assert Path("film.en.srt").read_text(encoding="utf-8").count("-->") == 4


def test_package_example_is_toml():
    tomllib = pytest.importorskip("tomllib", reason="in the standard library since Python 3.11")
    (example,) = blocks("docs/backend-authors.md", "toml")
    assert tomllib.loads(example)["project"]["entry-points"]["subtitle_hooks"]
