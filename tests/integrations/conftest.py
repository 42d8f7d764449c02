# SPDX-License-Identifier: Apache-2.0
"""Videos, a web server for them, and the other programs' command lines."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sysconfig
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

ROOT = Path(__file__).parents[2]
TYPES = {".mp4": "video/mp4", ".mkv": "video/x-matroska", ".m4a": "audio/mp4", ".xml": "application/rss+xml"}


class Site:
    """A web server on this computer that is also the proxy to itself, so that any host name leads here."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self):
                self.reply(with_body=False)

            def do_GET(self):
                self.reply(with_body=True)

            def reply(self, *, with_body):
                name = urlsplit(self.path).path.lstrip("/")
                content = site.files.get(name)
                self.send_response(404 if content is None else 200)
                self.send_header("Content-Type", TYPES.get(Path(name).suffix, "text/html"))
                self.send_header("Content-Length", str(len(content or b"")))
                self.end_headers()
                if with_body and content:
                    self.wfile.write(content)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05})
        self.thread.start()

    def add(self, name: str, path: Path) -> str:
        self.files[name] = path.read_bytes()
        return f"{self.url}/{name}"

    def playlist(self, name: str, items: list[str], base: str | None = None) -> str:
        """Publish a feed; every item's title is its file's name."""
        entries = "".join(
            f'<item><title>{item.partition(".")[0]}</title><enclosure url="{base or self.url}/{item}"/></item>'
            for item in items
        )
        self.files[name] = f'<rss version="2.0"><channel><title>List</title>{entries}</channel></rss>'.encode()
        return f"{self.url}/{name}"

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def site():
    site = Site()
    yield site
    site.close()


@pytest.fixture(scope="session")
def talk(sample_video, make_media, tmp_path_factory) -> Path:
    """The first twelve seconds of the sample video."""
    target = tmp_path_factory.mktemp("talk") / "talk.mp4"
    return make_media("-i", sample_video, "-t", "12", "-c", "copy", "-movflags", "+faststart", target)


@pytest.fixture(scope="session")
def silent(make_media, tmp_path_factory) -> Path:
    """Three seconds of a picture, and of silence."""
    target = tmp_path_factory.mktemp("silent") / "silent.mp4"
    picture, sound = ("-f", "lavfi", "-i", "color=s=64x64:r=5"), ("-f", "lavfi", "-i", "anullsrc=r=16000:cl=mono")
    return make_media(*picture, *sound, "-t", "3", target)


@pytest.fixture(scope="session")
def mute(silent, make_media, tmp_path_factory) -> Path:
    """A picture without an audio stream."""
    return make_media("-i", silent, "-an", "-c", "copy", tmp_path_factory.mktemp("mute") / "mute.mp4")


@pytest.fixture(scope="session")
def broken(talk, tmp_path_factory) -> Path:
    """A video that opens and breaks off half-way."""
    target = tmp_path_factory.mktemp("broken") / "broken.mp4"
    content = talk.read_bytes()
    target.write_bytes(content[: len(content) // 2])
    return target


@pytest.fixture(scope="session")
def two_languages(talk, make_media, tmp_path_factory) -> Path:
    """German silence, marked as default, and English speech."""
    target = tmp_path_factory.mktemp("tracks") / "two.mkv"
    silence = ("-f", "lavfi", "-t", "12", "-i", "anullsrc=r=16000:cl=mono")
    marks = ("-metadata:s:a:0", "language=ger", "-metadata:s:a:1", "language=eng")
    default = ("-disposition:a:0", "default", "-disposition:a:1", "0")
    maps = ("-map", "0:v", "-map", "1:a", "-map", "0:a", "-c:v", "copy", "-shortest")
    return make_media("-i", talk, *silence, *maps, *marks, *default, target)


@pytest.fixture(scope="session")
def streams(ffmpeg_exe):
    """Lines of ``ffmpeg -i`` about the streams of one kind."""

    def find(path: Path, kind: str = "Subtitle") -> list[str]:
        done = subprocess.run([ffmpeg_exe, "-hide_banner", "-i", path], capture_output=True, text=True, check=False)
        return re.findall(rf"Stream #0:.*: {kind}: .*", done.stderr)

    return find


@pytest.fixture
def elsewhere(tmp_path, monkeypatch) -> Path:
    """An empty folder to work in; nobody's configuration counts."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "APPDATA", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    return folder


@pytest.fixture
def shell(elsewhere, site, ffmpeg_exe, tmp_path):
    """Run a documented command; every web address leads to `site`, and there is an ``ffmpeg`` if asked for."""
    if shutil.which("sh") is None:
        pytest.skip("the documented commands are for a POSIX shell")
    scripts = sysconfig.get_path("scripts")
    environment = {**os.environ, "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}", "COLUMNS": "200"}
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        environment[name] = site.url
    for name in ("no_proxy", "NO_PROXY", "all_proxy", "ALL_PROXY"):
        environment.pop(name, None)

    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "ffmpeg").symlink_to(ffmpeg_exe)

    def run(command: str, *, ffmpeg: bool = False) -> subprocess.CompletedProcess[str]:
        path = f"{programs}{os.pathsep}{environment['PATH']}" if ffmpeg else environment["PATH"]
        env = {**environment, "PATH": path}
        return subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False, timeout=120, env=env)

    return run


@pytest.fixture(scope="session")
def documented():
    """The commands a document shows, in order."""

    def find(document: str) -> list[str]:
        text = (ROOT / "docs" / "how-to" / document).read_text(encoding="utf-8")
        return [block.strip() for block in re.findall(r"^```sh\n(.*?)^```", text, re.DOTALL | re.MULTILINE)]

    return find
