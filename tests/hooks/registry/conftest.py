# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import base64
import compileall
import contextlib
import hashlib
import http.server
import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

PLUGIN = """\
from subtitle_hooks import BackendInfo, MediaInfo, Segment, Transcript, hookimpl

@hookimpl
def subtitle_backends():
    yield BackendInfo(name={name!r}, version={version!r}, summary="An example")

@hookimpl
def probe_media(backend, request):
    return MediaInfo(path=request.media) if backend == {name!r} else None

@hookimpl
def generate_subtitles(backend, request):
    if backend == {name!r}:
        return Transcript(backend=backend, segments=[Segment(start_ms=0, end_ms=900, text="Version {version}.")])
"""


def _record_hash(content: bytes) -> str:
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


class Wheels:
    """A folder of wheels that are written directly, and its index."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)

    def add(
        self,
        name: str,
        version: str = "1.0",
        *,
        files: dict[str, str] | None = None,
        entry_points: str = "",
        requires: tuple[str, ...] = (),
        python: str = ">=3.10",
        tag: str = "py3-none-any",
    ) -> Path:
        stem = f"{name.replace('-', '_')}-{version}"
        info = f"{stem}.dist-info"
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nSummary: The example {name}\n"
        metadata += f"License-Expression: MIT\nRequires-Python: {python}\n"
        metadata += "Project-URL: Homepage, https://example.org/\n"
        metadata += "".join(f"Requires-Dist: {one}\n" for one in requires)
        contents = dict(files or {})
        contents[f"{info}/METADATA"] = metadata
        contents[f"{info}/WHEEL"] = f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n"
        if entry_points:
            contents[f"{info}/entry_points.txt"] = entry_points
        record = "".join(
            f"{path},{_record_hash(text.encode())},{len(text.encode())}\n" for path, text in contents.items()
        )
        contents[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n"
        target = self.folder / f"{stem}-{tag}.whl"
        with zipfile.ZipFile(target, "w") as archive:
            for path, text in contents.items():
                archive.writestr(path, text)
        return target

    def add_plugin(self, name: str = "good", version: str = "1.0", *, code: str | None = None, **options: Any) -> Path:
        """A plugin called `name` in the distribution `NAME-plugin`."""
        module = f"{name.replace('-', '_')}_plugin"
        code = PLUGIN.format(name=name, version=version) if code is None else code
        return self.add(
            f"{name}-plugin",
            version,
            files={f"{module}/__init__.py": code, f"{module}/data_{version}.txt": version},
            entry_points=f"[subtitle_hooks]\n{name} = {module}\n",
            **options,
        )

    def entry(self, name: str = "good", version: str = "1.0", **fields: Any) -> dict[str, Any]:
        """An index entry for a plugin that was added; a field of None is left out."""
        wheels = sorted(self.folder.glob(f"{name.replace('-', '_')}_plugin-{version}-*.whl"))
        entry = {
            "name": name,
            "distribution": f"{name}-plugin",
            "version": version,
            "summary": f"The example {name}",
            "licence": "MIT",
            "homepage": "https://example.org/",
            "api_version": {"min": 1, "max": 1},
            "python": ">=3.10",
            "platforms": ["any"],
            "wheels": [self.described(wheel) for wheel in wheels],
            "dependencies": [],
            **fields,
        }
        return {field: value for field, value in entry.items() if value is not None}

    @staticmethod
    def described(wheel: Path) -> dict[str, Any]:
        content = wheel.read_bytes()
        return {"location": wheel.name, "sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}

    def write(self, *entries: dict[str, Any]) -> Path:
        index = self.folder / "index.json"
        index.write_text(json.dumps({"format": 1, "plugins": list(entries)}), encoding="utf-8")
        return index


@pytest.fixture
def wheels(tmp_path: Path) -> Wheels:
    return Wheels(tmp_path / "wheels")


@pytest.fixture(scope="session")
def new_wheels() -> Callable[[Path], Wheels]:
    return Wheels


class Environment:
    """A virtual environment of its own with subtitle-hooks in it."""

    def __init__(self, folder: Path, home: Path) -> None:
        self.folder = folder
        self.home = home
        self.python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

    def variables(self, **more: str) -> dict[str, str]:
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PIP_", "UV_", "XDG_", "PYTHON", "SUBTITLE_")) and "proxy" not in name.lower()
        }
        home = {"HOME": str(self.home), "USERPROFILE": str(self.home), "APPDATA": str(self.home / "roaming")}
        # The proof must be able to compile what it likes without the comparison seeing it.
        return {**kept, **home, "LOCALAPPDATA": str(self.home / "local"), "PYTHONDONTWRITEBYTECODE": "1", **more}

    def command(self, *arguments: object) -> list[str]:
        return [str(self.python), "-m", "subtitle_hooks.host", "plugins", *map(str, arguments)]

    def plugins(self, *arguments: object, network: bool = True, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run ``subtitle-host plugins ...``; without network where the system lets us take it away."""
        prefix = [] if network else _without_network()
        return subprocess.run(
            [*prefix, *self.command(*arguments)],
            check=False,
            capture_output=True,
            text=True,
            env=self.variables(**variables),
            cwd=self.home,
            timeout=120,
        )

    def files(self) -> dict[str, str]:
        """Hash of every file, and the names of all folders."""
        found = {}
        for path in sorted(self.folder.rglob("*")):
            name = path.relative_to(self.folder).as_posix()
            if path.is_dir():
                found[name] = "folder"
            else:
                found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
        return found

    def versions(self) -> dict[str, str]:
        """Installed plugin distributions of these tests."""
        found = {}
        for path in self.folder.rglob("*.dist-info"):
            name, version = path.stem.split("-", 1)
            found[name] = version
        return {name: found[name] for name in sorted(found) if name.endswith(("_plugin", "_helper"))}


_NETWORK: list[list[str]] = []


def _without_network() -> list[str]:
    if not _NETWORK:
        prefix = ["unshare", "--map-root-user", "--net"]
        try:
            works = subprocess.run([*prefix, "true"], check=False, capture_output=True).returncode == 0
        except OSError:
            works = False
        _NETWORK.append(prefix if works else [])
    return _NETWORK[0]


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with pip and subtitle-hooks, to be copied."""
    folder = tmp_path_factory.mktemp("template") / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, capture_output=True)
    (site,) = [path for path in folder.rglob("site-packages") if path.parent.parent.name != "pip"][:1]
    for name in ("pluggy", "srt", "packaging"):
        for item in importlib.metadata.distribution(name).files or []:
            source = Path(str(item.locate()))
            if ".." not in item.parts and source.suffix != ".pyc":
                target = site.joinpath(*item.parts)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, target)
    import subtitle_hooks

    shutil.copytree(
        Path(str(subtitle_hooks.__file__)).parent, site / "subtitle_hooks", ignore=shutil.ignore_patterns("__pycache__")
    )
    version = importlib.metadata.version("subtitle-hooks")
    info = site / f"subtitle_hooks-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: subtitle-hooks\nVersion: {version}\n")
    names = [f"{path.relative_to(site).as_posix()},," for path in (site / "subtitle_hooks").rglob("*.py")]
    (info / "RECORD").write_text("\n".join([*names, f"{info.name}/METADATA,,", f"{info.name}/RECORD,,", ""]))
    for name in ("subtitle_hooks", "pluggy", "packaging"):
        compileall.compile_dir(site / name, quiet=2)
    compileall.compile_file(site / "srt.py", quiet=2)
    return folder


@pytest.fixture(scope="session")
def new_environment(template: Path) -> Callable[[Path], Environment]:
    """Make a virtual environment, and a home for its user, in a folder."""

    def make(folder: Path) -> Environment:
        shutil.copytree(template, folder / "venv", symlinks=True)
        (folder / "home").mkdir(exist_ok=True)
        return Environment(folder / "venv", folder / "home")

    return make


@pytest.fixture
def environment(new_environment: Callable[[Path], Environment], tmp_path: Path) -> Environment:
    return new_environment(tmp_path)


class Server:
    """A loopback HTTP server for a folder; some paths misbehave."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sent = 0
        self.asked: list[str] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append(self.path)
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    outer.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def answer(self, request: http.server.BaseHTTPRequestHandler) -> None:
        kind, _, rest = request.path[1:].partition("/")
        if kind == "redirect":
            request.send_response(302)
            request.send_header("Location", rest.replace("HERE", self.url))
            request.end_headers()
        elif kind == "status":
            request.send_error(int(rest))
        elif kind in ("huge", "endless"):
            request.send_response(200)
            if kind == "huge":
                request.send_header("Content-Length", "200000000")
            request.end_headers()
            for _ in range(200):
                request.wfile.write(b" " * 1_000_000)
                self.sent += 1_000_000
        else:
            path = self.folder / request.path[1:]
            if not path.is_file():
                request.send_error(404)
                return
            content = path.read_bytes()
            request.send_response(200)
            request.send_header("Content-Length", str(len(content)))
            request.end_headers()
            request.wfile.write(content[: len(content) // 2] if request.headers.get("X-Cut") else content)

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def server(wheels: Wheels) -> Iterator[Server]:
    running = Server(wheels.folder)
    yield running
    running.stop()


@pytest.fixture
def user_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folders of this process lie in a folder of the test."""
    home = tmp_path / "home"
    home.mkdir(exist_ok=True)
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(home))
    for name in ("APPDATA", "LOCALAPPDATA", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name in ("SUBTITLE_HOOKS_INDEX", "http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    return home


@pytest.fixture
def plugin_code() -> Callable[..., str]:
    return PLUGIN.format
