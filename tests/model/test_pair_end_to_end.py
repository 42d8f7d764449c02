# SPDX-License-Identifier: Apache-2.0
"""A pair made for llama.cpp, from a server to subtitles, with nothing but the command line."""

from __future__ import annotations

import functools
import hashlib
import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from qwen_asr_model import convert_checkpoint, open_bundle
from qwen_asr_model.checkpoint import read_checkpoint


class _Handler(http.server.SimpleHTTPRequestHandler):
    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        super().do_GET()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class calls it so
        """Say nothing."""


@pytest.fixture(scope="module")
def offered(demo_checkpoints: tuple[Path, Path], foreign: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as on a server: a list of models beside a pair that understands speech."""
    folder = tmp_path_factory.mktemp("server")
    checkpoint = read_checkpoint(demo_checkpoints[0])
    foreign.write_text_model(checkpoint, folder / "Demo-f16.gguf")
    foreign.write_mmproj(checkpoint, folder / "mmproj-Demo-f16.gguf")
    files = [
        {
            "name": file.name,
            "size": file.stat().st_size,
            "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        }
        for file in sorted(folder.iterdir())
    ]
    entry = {"name": "demo-pair", "kind": "gguf-pair", "licence": "Apache-2.0", "languages": ["en"], "files": files}
    entry["base_urls"] = ["./"]
    listed = {"format": "qwen-asr-catalogue", "version": 1, "models": [entry]}
    (folder / "models.json").write_text(json.dumps(listed))
    return folder


@pytest.fixture
def server(offered: Path) -> Iterator[http.server.ThreadingHTTPServer]:
    _Handler.asked = []
    handler = functools.partial(_Handler, directory=str(offered))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def test_pulled_installed_and_heard_like_the_plain_bundle(
    server: http.server.ThreadingHTTPServer,
    demo_checkpoints: tuple[Path, Path],
    plugin_cli: Any,
    sample_video: Path,
    tmp_path: Path,
) -> None:
    address = f"http://127.0.0.1:{server.server_port}/models.json"
    env = {"QWEN_ASR_MODELS_DIR": str(tmp_path / "models"), "NO_PROXY": "127.0.0.1", "QWEN_ASR_CATALOGUE": address}
    listed = json.loads(plugin_cli("model", "list", "--json", env=env).stdout)["available"][0]
    assert (listed["name"], listed["kind"], listed["checksums_known"]) == ("demo-pair", "gguf-pair", True)
    done = plugin_cli("model", "pull", "demo-pair", "--precision", "fp32", env=env)
    assert done.returncode == 0, done.stderr
    assert sorted(_Handler.asked)[:2] == ["/Demo-f16.gguf", "/mmproj-Demo-f16.gguf"]
    bundle = open_bundle(tmp_path / "models" / "demo-pair")
    assert (bundle.precision, bundle.quant, bundle.languages) == ("fp32", "f16", ("en",))
    plain = convert_checkpoint(demo_checkpoints[0], tmp_path / "plain", precisions=["fp32"], quants=["f16"])
    texts = []
    for model, name in (("demo-pair", "pair"), (plain, "other")):
        (tmp_path / name).mkdir()
        # No list of models, and no server: what is installed is enough.
        done = plugin_cli(
            "transcribe",
            sample_video,
            "--model-dir",
            model,
            "--output-dir",
            tmp_path / name,
            env={**env, "QWEN_ASR_CATALOGUE": "", "QWEN_ASR_OFFLINE": "1"},
        )
        assert done.returncode == 0, done.stderr
        (file,) = (tmp_path / name).glob("*.srt")
        texts.append(file.read_text(encoding="utf-8"))
    assert texts[0] == texts[1]
    assert texts[0].count("-->") > 3
    assert sum(map(str.isalpha, texts[0])) > 100


def test_a_pair_that_is_another_one_on_the_way_is_not_installed(
    server: http.server.ThreadingHTTPServer, offered: Path, plugin_cli: Any, tmp_path: Path
) -> None:
    listed = json.loads((offered / "models.json").read_text())
    listed["models"][0]["files"][1]["sha256"] = "0" * 64
    listed["models"][0]["base_urls"] = [f"http://127.0.0.1:{server.server_port}/"]
    (tmp_path / "models.json").write_text(json.dumps(listed))
    env = {"QWEN_ASR_MODELS_DIR": str(tmp_path / "models"), "NO_PROXY": "127.0.0.1"}
    done = plugin_cli("model", "pull", "demo-pair", "--catalogue", tmp_path / "models.json", env=env)
    assert done.returncode == 103
    assert "mmproj-Demo-f16.gguf" in done.stderr
    assert plugin_cli("model", "path", "demo-pair", env=env).returncode == 111
