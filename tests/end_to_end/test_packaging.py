# SPDX-License-Identifier: Apache-2.0
"""What is in the wheels, and that the tests run against what is installed."""

import subprocess
import sys
import zipfile
from importlib.metadata import entry_points, requires
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheels(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheels")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", folder]
    subprocess.run([*command, ROOT / "hooks", ROOT], check=True, timeout=300)
    return {path.name.split("-")[0]: path for path in folder.glob("*.whl")}


def _names(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def test_the_contract_holds_the_contract_only(wheels):
    names = _names(wheels["subtitle_hooks"])
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {"subtitle_hooks"}
    assert "subtitle_hooks/py.typed" in names
    needs = [need for need in requires("subtitle-hooks") if "extra ==" not in need]
    assert {need.split(">")[0] for need in needs} == {"packaging", "pluggy", "srt"}


def test_the_plugin_holds_its_rooms_and_the_model(wheels):
    names = _names(wheels["qwen_asr_plugin"])
    tops = {name.split("/")[0] for name in names if ".dist-info" not in name}
    ours = {"qwen_asr_plugin", "qwen_asr_native", "qwen_asr_model"}
    assert tops == ours | {"yt_dlp_plugins"}
    assert {f"{top}/py.typed" for top in ours} <= set(names)
    assert "yt_dlp_plugins/postprocessor/qwen_asr.py" in names
    assert "qwen_asr_plugin/alignment/data/korean_words.txt" in names
    assert "qwen_asr_model/catalogue/catalogue.json" in names
    assert not [name for name in names if "yt_dlp_layout" in name]
    bundle = [name for name in names if name.startswith("qwen_asr_model/bundles/demo-en/")]
    assert {Path(name).suffix for name in bundle} >= {".onnx", ".gguf", ".json"}
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_the_bundled_model_is_small(wheels):
    with zipfile.ZipFile(wheels["qwen_asr_plugin"]) as archive:
        size = sum(i.file_size for i in archive.infolist() if "/bundles/demo-en/" in i.filename)
    assert size <= 48_000_000


def test_the_plugin_is_registered():
    (entry,) = entry_points(group="subtitle_hooks", name="qwen-asr")
    assert entry.value == "qwen_asr_plugin.plugin"


def test_importing_the_plugin_loads_nothing_heavy():
    code = (
        "import sys, qwen_asr_plugin.plugin as p; list(p.subtitle_backends()); "
        "print([m for m in ('numpy', 'onnxruntime', 'ffmpeg', 'gguf', 'rich') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
