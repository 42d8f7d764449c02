# SPDX-License-Identifier: Apache-2.0
"""What tests of several rooms share: data, the ffmpeg of the wheel, the two command lines, a converted checkpoint."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
# In the background of a script Ctrl-C is ignored, which programs started from here would inherit.
signal.signal(signal.SIGINT, signal.default_int_handler)
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session", autouse=True)
def data_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A data folder of the tests' own: what a developer has built or cached must not decide a test."""
    folder = tmp_path_factory.mktemp("data")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("MODELS_DIR", "OFFLINE", "MIRROR", "CATALOGUE", "LIBLLAMA"):
            patch.delenv(f"QWEN_ASR_{name}", raising=False)
        patch.setenv("QWEN_ASR_DATA_DIR", str(folder))
        yield folder


@pytest.fixture(scope="session")
def sample_video() -> Path:
    return TESTS / "samples" / "sample.mp4"


@pytest.fixture(scope="session")
def sample_reference() -> list[dict]:
    """The sentences of the sample video with their true times."""
    return json.loads((TESTS / "samples" / "sample.reference.json").read_text())["sentences"]


@pytest.fixture(scope="session")
def speech_folder() -> Path:
    return TESTS / "speech"


@pytest.fixture(scope="session")
def ffmpeg_exe() -> str:
    import imageio_ffmpeg

    return imageio_ffmpeg.get_ffmpeg_exe()


@pytest.fixture(scope="session")
def make_media(ffmpeg_exe: str) -> Callable[..., Path]:
    """Run ffmpeg with the given arguments and return the path that is the last of them."""

    def make(*arguments: str | Path) -> Path:
        command = [ffmpeg_exe, "-hide_banner", "-loglevel", "error", "-nostdin", "-y", *map(str, arguments)]
        subprocess.run(command, check=True)
        return Path(arguments[-1])

    return make


def _program(name: str) -> str:
    suffix = ".exe" if sys.platform == "win32" else ""
    return str(Path(sysconfig.get_path("scripts")) / f"{name}{suffix}")


def _runner(name: str) -> Run:
    def run(*arguments: str | Path, cwd: Path | None = None, env: dict[str, str] | None = None, timeout: float = 300):
        return subprocess.run(
            [_program(name), *map(str, arguments)],
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=timeout,
            cwd=cwd,
            env={**os.environ, "COLUMNS": "200", **(env or {})},
            check=False,
        )

    return run


@pytest.fixture(scope="session")
def plugin_cli() -> Run:
    """The installed ``qwen-asr-plugin``."""
    return _runner("qwen-asr-plugin")


@pytest.fixture(scope="session")
def host_cli() -> Run:
    """The installed ``subtitle-host``."""
    return _runner("subtitle-host")
