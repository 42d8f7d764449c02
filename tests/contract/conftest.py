# SPDX-License-Identifier: Apache-2.0
"""Which backends the contract tests run against, and with which media.

Always there: the fake backend, the example backend (straight from docs/examples) and `qwen-asr`, which is skipped with
the reason if it is not installed. Any other installed backend joins by itself. Installed backends get the file named in
SUBTITLE_CONTRACT_MEDIA, or else tests/samples/sample.mp4.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import signal
import tempfile
import time
import wave
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import pytest

from subtitle_hooks import InstalledBackend, Segment, SubtitleHost, SubtitleRequest
from subtitle_hooks.testing import FakeBackend, RecordingEvents

ROOT = Path(__file__).parents[2]
SAMPLE = Path(os.environ.get("SUBTITLE_CONTRACT_MEDIA") or ROOT / "tests" / "samples" / "sample.mp4")
EXAMPLE = ROOT / "docs" / "examples" / "example-backend" / "example_backend.py"


@dataclass(frozen=True)
class Case:
    """One backend under test.

    `make_media(folder, stem)` puts a media file with at least two segments into a folder and returns its path;
    `judges_media` says whether the backend looks into the file at all.
    """

    host: SubtitleHost
    backend: InstalledBackend
    make_media: Callable[[Path, str], Path]
    judges_media: bool = True

    def generate(self, events: Any, **request: Any) -> Any:
        """Call the hook itself: `SubtitleHost.generate` would make up for a backend's mistakes."""
        return self.host.plugin_manager.hook.generate_subtitles(
            backend=self.backend.name, request=SubtitleRequest(**request), events=events
        )

    def probe(self, **request: Any) -> Any:
        return self.host.plugin_manager.hook.probe_media(backend=self.backend.name, request=SubtitleRequest(**request))


@dataclass
class Run:
    """A complete run, and what changed around it."""

    media: Path
    events: RecordingEvents
    segments: list[Segment] = field(default_factory=list)
    seen_when_yielded: list[int] = field(default_factory=list)
    duration_ms: int | None = None
    language: str | None = None
    statistics: dict[str, float | str] = field(default_factory=dict)
    stdout: str = ""
    before: tuple[object, ...] = ()
    after: tuple[object, ...] = ()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "case" in metafunc.fixturenames or "recorded" in metafunc.fixturenames:
        built_in = ["fake", "read-along", "qwen-asr"]
        others = sorted({backend.name for backend in SubtitleHost().backends()} - set(built_in))
        metafunc.parametrize("case", [*built_in, *others], indirect=True, scope="session")


@pytest.fixture(scope="session")
def case(request: pytest.FixtureRequest) -> Case:
    name = request.param
    if name == "fake":
        host = SubtitleHost(discover=False, plugins=[FakeBackend(seconds_per_segment=0.05)])
        return Case(host, host.backend(name), make_empty_media, judges_media=False)
    if name == "read-along":
        spec = importlib.util.spec_from_file_location("example_backend", EXAMPLE)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        host = SubtitleHost(discover=False, plugins=[module])
        return Case(host, host.backend(name), make_talk)
    host = SubtitleHost()
    found = [backend for backend in host.backends() if backend.name == name]
    if not found:
        reasons = [str(broken.error) for broken in host.broken]
        pytest.skip(f"backend {name!r} is not installed{' or broken: ' if reasons else ''}{' / '.join(reasons)}")
    if not SAMPLE.is_file():
        pytest.fail(f"backend {name!r} is installed, but there is no media file to test it with: {SAMPLE}")
    return Case(host, found[0], copy_sample)


def make_empty_media(folder: Path, stem: str) -> Path:
    path = folder / f"{stem}.mkv"
    path.write_bytes(bytes(320_000))
    return path


def make_talk(folder: Path, stem: str) -> Path:
    with wave.open(str(folder / f"{stem}.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(bytes(320_000))
    (folder / f"{stem}.txt").write_text("One two three. Four five six. Seven eight nine.", encoding="utf-8")
    return folder / f"{stem}.wav"


def copy_sample(folder: Path, stem: str) -> Path:
    return Path(shutil.copy(SAMPLE, folder / f"{stem}{SAMPLE.suffix}"))


@contextlib.contextmanager
def stdout_of_the_process() -> Iterator[Callable[[], str]]:
    """Catch what is written to file descriptor 1, also by native libraries and child processes."""
    with tempfile.TemporaryFile() as file:
        kept = os.dup(1)
        os.dup2(file.fileno(), 1)
        try:
            yield lambda: written(file)
        finally:
            os.dup2(kept, 1)
            os.close(kept)


def written(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")


def surroundings(media: Path) -> tuple[object, ...]:
    return (
        Path.cwd(),
        signal.getsignal(signal.SIGINT),
        sorted(path.name for path in media.parent.iterdir()),
        media.stat().st_mtime_ns,
        dict(os.environ),
    )


@pytest.fixture(scope="session")
def recorded(case: Case, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """One complete run, which most tests look at."""
    media = case.make_media(tmp_path_factory.mktemp("contract"), "film")
    run = Run(media=media, events=RecordingEvents(), before=surroundings(media))
    with stdout_of_the_process() as so_far:
        run.events.cancel_checks.append(time.monotonic())
        transcript = case.generate(run.events, media=media)
        for segment in transcript:
            run.segments.append(segment)
            run.seen_when_yielded.append(len(run.events.segments))
        run.duration_ms, run.language = transcript.duration_ms, transcript.language
        run.statistics = dict(transcript.statistics)
        run.stdout = so_far()
    run.after = surroundings(media)
    return run
