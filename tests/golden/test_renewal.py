# SPDX-License-Identifier: Apache-2.0
"""The command that replaces the bundled model, and the model card it writes."""

import importlib.util
import json
import subprocess
import sys

import pytest

from qwen_asr_model import default_bundle


@pytest.fixture(scope="module")
def root(golden_folder):
    return golden_folder.parents[1]


@pytest.fixture(scope="module")
def card(root):
    spec = importlib.util.spec_from_file_location("model_card", root / "benchmarks" / "accuracy" / "model_card.py")
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up by name.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def test_the_card_describes_the_bundle_that_is_shipped(card, root, reference_checkpoint):
    text = (root / "model" / "README.md").read_text(encoding="utf-8")
    manifest = json.loads((default_bundle() / "bundle.json").read_text(encoding="utf-8"))
    assert card.files(manifest) in text
    assert card.architecture(reference_checkpoint) in text
    name = card.pair_name(manifest["default_precision"], manifest["default_quant"])
    (shipped,) = [line for line in text.splitlines() if line.startswith(f"| **{name}** |")]
    assert shipped.endswith("| none |")


def _row(card, name, megabytes, synth, human):
    clips = [
        {"folder": "synth", "voice": "hibari", "errors": synth, "words": 1000},
        {"folder": "human", "voice": "human", "errors": human, "words": 100},
    ]
    return card.Row(name=name, size=int(megabytes * 1e6), clips=clips)


def test_limits(card):
    base = _row(card, "fp32 + f16", 90, 70, 40)
    assert card.broken_limits(base, base) == ["size"]
    assert card.broken_limits(_row(card, "x", 32, 75, 40), base) == []
    assert card.broken_limits(_row(card, "x", 20, 60, 30), base) == []
    assert card.broken_limits(_row(card, "x", 32.1, 76, 41), base) == ["synthesised", "human", "size"]


def test_the_table_counts_errors_by_voice(card):
    base, small = _row(card, "fp32 + f16", 90, 70, 40), _row(card, "int4 + q4_0", 18.6, 71, 55)
    table = card.accuracy([_row(card, card.REFERENCE_NAME, 60, 66, 43), base, small], base, small.name).splitlines()
    assert table[0] == "| encoder + language model | MB | synthesised | Hibari | human | limits broken |"
    assert table[2] == f"| {card.REFERENCE_NAME} | 60.0 | 6.6 % (66) | 6.6 % (66) | 43.0 % (43) |  |"
    assert table[4] == "| **int4 + q4_0** | 18.6 | 7.1 % (71) | 7.1 % (71) | 55.0 % (55) | human |"


def test_only_what_stands_between_markers_is_replaced(card):
    text = "before\n<!-- renewed: a -->\nold\n\nmore\n<!-- end: a -->\nafter <!-- renewed: b --><!-- end: b -->\n"
    wanted = "before\n<!-- renewed: a -->\nnew \\1\n<!-- end: a -->\nafter <!-- renewed: b -->\n2\n<!-- end: b -->\n"
    assert card.replace_parts(text, {"a": "new \\1", "b": "2"}) == wanted
    assert card.replace_parts(wanted, {"a": "new \\1", "b": "2"}) == wanted
    with pytest.raises(ValueError, match="renewed: c"):
        card.replace_parts(text, {"c": ""})


def test_the_command_says_all_that_is_missing_and_changes_nothing(root, tmp_path):
    program = root / "benchmarks" / "renew_default_model.py"
    command = [sys.executable, program, tmp_path / "model", "--speech", tmp_path, "--work", tmp_path / "work"]
    ended = subprocess.run(
        [*command, "--official-python", tmp_path / "python"], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    assert ended.stdout == ""
    for wanted in ("nothing was changed", "unpack.py", "weights.int8.safetensors", "transcripts.tsv", "does not run"):
        assert wanted in ended.stderr
    for model in ("demo-asr", "demo-aligner"):
        assert str(tmp_path / "model" / model / "config.json") in ended.stderr
    assert list(tmp_path.iterdir()) == []
    ended = subprocess.run(
        [*command, "--only", "golden", "--official-python", sys.executable], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    for model in ("demo-asr", "demo-aligner"):
        assert str(tmp_path / "work" / "unpacked" / model / "model.safetensors") in ended.stderr
    ended = subprocess.run([*command, "--only", "bundle,paint"], capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert "no step 'paint'" in ended.stderr
