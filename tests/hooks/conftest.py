# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

GOOD_PLUGIN = """
from subtitle_hooks import BackendInfo, MediaInfo, Segment, Transcript, hookimpl

@hookimpl
def subtitle_backends():
    yield BackendInfo(name="good", version="1.0", summary="Always works", languages=("en",))

@hookimpl
def probe_media(backend, request):
    return MediaInfo(path=request.media) if backend == "good" else None

@hookimpl
def generate_subtitles(backend, request):
    if backend == "good":
        segments = [Segment(start_ms=0, end_ms=900, text="Hello."), Segment(start_ms=1000, end_ms=2000, text="Bye.")]
        return Transcript(backend="good", segments=segments, language=lambda: "en")
"""


class Site:
    """A folder on `sys.path` into which distributions are put the way pip does, and no other plugin."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def install(
        self,
        name: str,
        code: str = "",
        *,
        version: str = "1.0",
        entry_points: str | None = None,
        module: str | None = None,
        folder: Path | None = None,
    ) -> None:
        """Install distribution `name` with one module; its entry point is called like the distribution."""
        folder = folder or self.folder
        folder.mkdir(exist_ok=True)
        module = module or name.replace("-", "_") + "_module"
        (folder / f"{module}.py").write_text(textwrap.dedent(code), encoding="utf-8")
        info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8")
        text = f"[subtitle_hooks]\n{name} = {module}\n" if entry_points is None else textwrap.dedent(entry_points)
        (info / "entry_points.txt").write_text(text, encoding="utf-8")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.delenv("SUBTITLE_HOOKS_PLUGINS", raising=False)
    # What is installed in the test environment must not show.
    monkeypatch.setattr(sys, "path", [str(folder), *(path for path in sys.path if "site-packages" not in path)])
    before = set(sys.modules)
    yield Site(folder)
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", None) and str(tmp_path) in str(sys.modules[name].__file__):
            del sys.modules[name]


@pytest.fixture
def good_site(site: Site) -> Site:
    site.install("good-plugin", GOOD_PLUGIN)
    return site


@pytest.fixture
def media(tmp_path: Path) -> Path:
    """A file that lasts ten seconds for the fake backend: four cues."""
    path = tmp_path / "film.mkv"
    path.write_bytes(bytes(320_000))
    return path


@pytest.fixture
def good_plugin_code() -> str:
    return GOOD_PLUGIN


@pytest.fixture
def listing() -> Callable[[Path], set[str]]:
    """Names in a folder, hidden ones too."""
    return lambda folder: {path.name for path in folder.iterdir()}


@pytest.fixture
def films(tmp_path):
    """Make media files of ten seconds by name."""

    def make(*names):
        paths = [tmp_path / name for name in names]
        for path in paths:
            path.write_bytes(bytes(320_000))
        return [str(path) for path in paths]

    return make
