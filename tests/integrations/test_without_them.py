# SPDX-License-Identifier: Apache-2.0
"""The plugin needs none of the programs it has integrations for."""

import subprocess
import sys

RUN = """
import importlib, pkgutil, sys
from pathlib import Path

TOOLS = ("yt_dlp", "subliminal", "babelfish", "stevedore")
sys.modules.update(dict.fromkeys(TOOLS))  # importing any of them fails now

import qwen_asr_plugin
from subtitle_hooks import SubtitleHost, SubtitleRequest

left_out = {"qwen_asr_plugin.integrations.yt_dlp", "qwen_asr_plugin.integrations.subliminal"}
found = {module.name for module in pkgutil.walk_packages(qwen_asr_plugin.__path__, "qwen_asr_plugin.")}
assert left_out < found
for name in sorted(found - left_out):
    if not name.endswith("__main__"):
        importlib.import_module(name)

host = SubtitleHost()
assert not [plugin for plugin in host.broken if plugin.distribution == "qwen-asr-plugin"]
with host.generate(SubtitleRequest(media=Path(sys.argv[1]), duration_ms=6000), backend="qwen-asr") as transcript:
    print(len(list(transcript)))
"""


def test_the_plugin_runs_without_them(sample_video):
    command = [sys.executable, "-c", RUN, sample_video]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 1
