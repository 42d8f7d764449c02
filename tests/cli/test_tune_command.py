# SPDX-License-Identifier: Apache-2.0
"""``qwen-asr-plugin tune``: measures, keeps, forgets; ``doctor`` and the statistics say what is in use."""

import json
import signal
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from qwen_asr_model import default_bundle, open_bundle
from qwen_asr_plugin.cli import doctor_checks
from qwen_asr_plugin.cli.app import run
from qwen_asr_plugin.cli.console import stderr
from qwen_asr_plugin.engine.choices import Configuration
from qwen_asr_plugin.engine.machine import Machine
from qwen_asr_plugin.engine.recognition import WorkTimes
from qwen_asr_plugin.engine.tuning import Row, Tuning, Visit
from subtitle_hooks import CancelledError, OutputNotWritableError

PROGRAM = Path(sysconfig.get_path("scripts")) / (
    "qwen-asr-plugin.exe" if sys.platform == "win32" else "qwen-asr-plugin"
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("QWEN_ASR_DATA_DIR", str(tmp_path / "data"))
    return tmp_path / "data"


def _configuration(libllama=None):
    """What doctor finds of the configuration."""
    (finding,) = doctor_checks._configuration(None, libllama, None)
    return finding


def test_help_teaches(plugin_cli):
    text = plugin_cli("tune", "--help").stdout
    for words in ("Examples", "--model-dir", "--seconds", "--dry-run", "--reset", "--json", "native build", "doctor"):
        assert words in text
    assert "tune" in plugin_cli("--help").stdout


def test_measure_keep_use_forget(plugin_cli, folder):
    assert "not been measured" in _configuration().found
    assert "qwen-asr-plugin tune" in _configuration().advice

    done = plugin_cli("tune", "--seconds", "10", "--json")
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts["file"] == str(folder / "tuning.json")
    default, *others = facts["configurations"]
    assert default["default"]
    assert default["rtf"] > 0
    assert default["rounds"] >= 1
    assert sum(row["chosen"] for row in (default, *others)) == 1
    assert facts["native_build"]["text"]
    chosen = facts["chosen"]

    report = json.loads(plugin_cli("doctor", "--json").stdout)
    found = {finding["subject"]: finding for finding in report["findings"]}
    assert found["configuration"]["found"].startswith("tuned on 20")
    assert chosen["provider"] in found["configuration"]["found"]
    assert found["configuration"]["details"]["kept"]["configuration"] == chosen
    assert found["engine"]["details"]["configuration"].startswith("tuned 20")
    assert _configuration(chosen["provider"]).found.startswith("decided by libllama; tuned on")

    assert json.loads(plugin_cli("tune", "--reset", "--json").stdout)["forgotten"] is True
    assert "Nothing had been chosen" in plugin_cli("tune", "--reset").stderr
    assert not (folder / "tuning.json").exists()


@pytest.fixture
def in_process(monkeypatch, capsys):
    """Run the command on figures made up: its status, standard output and standard error."""
    monkeypatch.delenv("QWEN_ASR_LIBLLAMA", raising=False)
    monkeypatch.setattr(stderr, "width", 150)

    def tuned(options, **_):
        bundle = open_bundle(default_bundle(), aligner=False)
        machine = Machine(processor="Z80", features=("avx2", "avx512f"), cores=2)
        rows = [_row("ik-llama-cpp-python", 2, 0.02), _row("ik-llama-cpp-python", 1, 0.01), _row("xllamacpp", 2, None)]
        return Tuning(
            bundle=bundle, machine=machine, rows=rows, chosen=rows[1], rounds=1, seconds=9.0, out_of_time=True
        )

    def run_command(*arguments):
        monkeypatch.setattr("sys.argv", ["qwen-asr-plugin", "tune", *arguments])
        monkeypatch.setattr("qwen_asr_plugin.engine.tuning.tune", tuned)
        status = run()
        return status, *capsys.readouterr()

    return run_command


def _row(provider, lanes, rtf):
    configuration = Configuration(provider=provider, lanes=lanes, threads_per_lane=1)
    if rtf is None:
        return Row(configuration=configuration, outcome="crashed", reason="It ended with SIGSEGV.")
    times = WorkTimes(prefill_seconds=1.0, generation_seconds=2.0, prefill_tokens=300, generation_tokens=100)
    visit = Visit(rtf=rtf, times=times, peak_memory_bytes=123_000_000)
    return Row(configuration=configuration, outcome="measured", visits={0: visit})


def test_a_dry_run_shows_a_table_and_keeps_nothing(in_process, folder):
    status, out, err = in_process("--dry-run")
    assert (status, out) == (0, "")
    for words in ("Z80, 2 cores", "2 lanes of 1 thread (default)", "0.0100", "0.50", "600", "123 MB", "crashed"):
        assert words in err
    assert "crashed: It ended with SIGSEGV." in err
    assert "After 9 s, the time limit, chosen: ik-llama-cpp-python, 1 lane of 1 thread; 2.00 times as fast" in err
    assert "Nothing was kept (--dry-run)." in err
    assert "A library built here: About" in err
    assert not folder.exists()


def test_where_nothing_can_be_kept_the_table_is_shown_all_the_same(in_process, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("QWEN_ASR_DATA_DIR", str(tmp_path / "file" / "data"))
    status, _, err = in_process()
    assert status == OutputNotWritableError.code
    assert "(default)" in err
    assert "tuning.json" in err
    assert "QWEN_ASR_DATA_DIR" in err


def test_a_variable_that_decides_all_the_same_is_named(in_process, folder, monkeypatch):
    monkeypatch.setenv("QWEN_ASR_LIBLLAMA", "xllamacpp")
    status, _, err = in_process()
    assert status == 0
    assert "QWEN_ASR_LIBLLAMA is set and decides all the same" in err
    assert (folder / "tuning.json").is_file()


def test_a_file_that_does_not_hold_any_more_is_said(in_process, folder):
    in_process()
    assert "made on another processor (Z80)" in _configuration().found
    (folder / "tuning.json").write_text("{")
    assert "tuning.json" in _configuration().found
    assert "qwen-asr-plugin tune" in _configuration().advice


@pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX signals")
def test_ctrl_c_changes_nothing(folder):
    process = subprocess.Popen([PROGRAM, "tune"], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    assert process.stderr.readline().startswith("Measuring")
    process.send_signal(signal.SIGINT)
    rest = process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=30) == CancelledError.code
    assert "nothing has been changed" in rest
    assert not list(folder.glob("*tuning*"))
