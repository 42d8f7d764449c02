# SPDX-License-Identifier: Apache-2.0
"""The three examples of docs/embedding.md run as they are printed, and do what the text around them says."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from pathlib import Path

import pytest

from subtitle_hooks import MediaDamagedError, SubtitleHost, SubtitleRequest
from subtitle_hooks.testing import FakeBackend

DOCUMENT = Path(__file__).parents[2] / "docs" / "embedding.md"
EXAMPLES = re.findall(r"^```python\n(.*?)^```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


@pytest.fixture(autouse=True)
def film(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("film.mkv").write_bytes(bytes(320_000))
    return Path("film.mkv")


def run(example):
    namespace = {"__name__": "example"}
    exec(compile(example, str(DOCUMENT), "exec"), namespace)
    return namespace


@pytest.fixture
def segments():
    return run(EXAMPLES[2].replace("asyncio.run(main())", ""))["segments"]


def host_with(**fake):
    return SubtitleHost(discover=False, plugins=[FakeBackend(**fake)])


def test_blocking(capsys):
    run(EXAMPLES[0])
    assert capsys.readouterr().out == "wrote film.en.srt\n"
    assert Path("film.en.srt").read_text(encoding="utf-8").count("-->") == 4
    with pytest.raises(SystemExit, match=r"error 41: film\.en\.srt"):
        run(EXAMPLES[0])


def test_iterator_ends_after_the_preview(capsys):
    run(EXAMPLES[1])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("s  ")[-1] for line in lines[:-1]] == [f"Sentence {number} of film." for number in (1, 2, 3)]
    assert lines[-1] == "language so far: en"


def test_event_loop_gets_segments_and_progress_while_the_work_goes_on(capsys):
    threads = set(threading.enumerate())
    run(EXAMPLES[2])
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "stopped after 0.15 s"
    assert [line for line in lines if line.startswith("Sentence")] == [f"Sentence {n} of film." for n in (1, 2, 3, 4)]
    assert lines.index("Sentence 1 of film.") < lines.index("recognise: 72 %")
    assert set(threading.enumerate()) == threads


def test_event_loop_cancelling_ends_the_work(segments, film):
    host = host_with(seconds_per_segment=60)

    async def main():
        async def read():
            async for _ in segments(host, SubtitleRequest(media=film), lambda progress: None):
                pass

        task = asyncio.create_task(read())
        await asyncio.sleep(0.1)
        began = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return time.monotonic() - began

    assert asyncio.run(main()) < 5
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("asyncio")]


def test_event_loop_raises_what_the_backend_raises(segments, film):
    host = host_with(error=MediaDamagedError("is cut off."), fail_after=2)
    seen = []

    async def main():
        async for segment in segments(host, SubtitleRequest(media=film), lambda progress: None):
            seen.append(segment)  # noqa: PERF401 - what came before the error counts

    with pytest.raises(MediaDamagedError):
        asyncio.run(main())
    assert len(seen) == 2


def test_event_loop_leaving_early_stops_the_work(segments, film):
    host = host_with(seconds_per_segment=0.05)

    async def main():
        found = segments(host, SubtitleRequest(media=film), lambda progress: None)
        first = await anext(found)
        await found.aclose()
        return first

    assert asyncio.run(main()).text == "Sentence 1 of film."
