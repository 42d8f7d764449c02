# SPDX-License-Identifier: Apache-2.0
"""Videos, a web server for them, and the other programs' command lines."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sysconfig
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import psutil
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
    monkeypatch.delenv("MPV_HOME", raising=False)
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


class Mpv:
    """A real mpv without a window, spoken to through its JSON IPC socket."""

    def __init__(self, home: Path, socket_path: Path, *arguments: str | Path) -> None:
        self.log = socket_path.with_suffix(".log")
        options = ("--vo=null", "--ao=null", "--idle=yes", "--msg-level=all=warn,qwen_asr=debug")
        command = ["mpv", *options, f"--input-ipc-server={socket_path}", *map(str, arguments)]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command, env={**os.environ, "MPV_HOME": str(home)}, stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        self._socket = socket.socket(socket.AF_UNIX)
        self.wait(lambda: self._connects(socket_path), "opens its socket")
        self._stream = self._socket.makefile("rwb")

    def _connects(self, path: Path) -> bool:
        with contextlib.suppress(OSError):
            self._socket.connect(str(path))
            return True
        return False

    def wait(self, true, what: str, seconds: float = 90.0):
        """Wait for something; say what it was that did not come."""
        end = time.monotonic() + seconds
        while not (value := true()):
            if time.monotonic() > end or self.process.poll() is not None:
                raise AssertionError(f"mpv never {what}:\n{self.said}")
            time.sleep(0.03)
        return value

    def command(self, *words):
        """Give a command; return what mpv answers, None where it has none."""
        self._stream.write(json.dumps({"command": words, "request_id": 1}).encode() + b"\n")
        self._stream.flush()
        while True:
            answer = json.loads(self._stream.readline())
            if "error" in answer and answer.get("request_id") == 1:
                return answer.get("data")

    def get(self, name: str):
        return self.command("get_property", name)

    def set(self, name: str, value) -> None:
        self.command("set_property", name, value)

    def press(self, key: str) -> None:
        self.wait(lambda: self.get("time-pos") is not None, "plays")
        self.command("keypress", key)

    def subtitles(self) -> list[dict]:
        return [track for track in self.get("track-list") if track["type"] == "sub"]

    def shown(self) -> dict | None:
        """The subtitle track that is selected as the first one."""
        return next((track for track in self.subtitles() if track["id"] == self.get("sid")), None)

    def our_track(self, name: str) -> dict | None:
        """The track that is selected as the first one, where it is ours and its file has such a name."""
        track = self.shown()
        ours = track and track.get("title") == "Qwen3-ASR" and track["external-filename"].endswith(name)
        return track if ours else None

    @property
    def said(self) -> str:
        return self.log.read_text(encoding="utf-8")

    def wait_for_words(self, words: str) -> None:
        self.wait(lambda: words in self.said, f"says {words!r}")

    def work(self) -> list[psutil.Process]:
        """The processes that are at work for mpv."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def close(self) -> None:
        with contextlib.suppress(OSError, ValueError, subprocess.TimeoutExpired):
            self._stream.write(b'{"command": ["quit"]}\n')  # which clears up
            self._stream.flush()
            self.process.wait(timeout=5)
        self._socket.close()
        self.process.kill()
        self.process.wait()


@pytest.fixture
def mpv_home(tmp_path) -> Path:
    """A configuration folder of mpv with the script in it."""
    from qwen_asr_plugin.integrations.mpv import install_script

    install_script(tmp_path / "mpv")
    return tmp_path / "mpv"


@pytest.fixture
def start_mpv(mpv_home, tmp_path):
    """Start mpv with files and options; options of the script by their names."""
    if shutil.which("mpv") is None:
        pytest.skip("mpv is not installed")
    started: list[Mpv] = []

    def start(*arguments: str | Path, **options: str) -> Mpv:
        given = [f"--script-opts-append=qwen-asr-{name}={value}" for name, value in options.items()]
        started.append(Mpv(mpv_home, tmp_path / f"mpv{len(started)}", *given, *arguments))
        return started[-1]

    yield start
    for mpv in started:
        mpv.close()


@pytest.fixture(scope="session")
def two_rounds(sample_video, make_media, tmp_path_factory) -> Path:
    """The sample video twice, 110 seconds."""
    target = tmp_path_factory.mktemp("long") / "long.mp4"
    return make_media("-stream_loop", "1", "-i", sample_video, "-c", "copy", target)


@pytest.fixture
def film(two_rounds, tmp_path) -> Path:
    """A longer video in a folder of its own."""
    return _alone(two_rounds, tmp_path / "films" / "film.mp4")


@pytest.fixture
def clip(talk, tmp_path) -> Path:
    """A short video in a folder of its own."""
    return _alone(talk, tmp_path / "clips" / "clip.mp4")


def _alone(video: Path, link: Path) -> Path:
    link.parent.mkdir()
    link.symlink_to(video)
    return link
