# SPDX-License-Identifier: Apache-2.0
"""What it costs a host to know of the plugin: counted in modules, because clocks lie on a busy machine."""

import json
import subprocess
import sys

REGISTER = """
import json, sys
import pluggy

before = set(sys.modules)
import qwen_asr_plugin
from qwen_asr_plugin import plugin
import subtitle_hooks

manager = pluggy.PluginManager("subtitle_hooks")
manager.register(plugin)
print(json.dumps(sorted(set(sys.modules) - before)))
"""

MODULES = 115
"""Modules of the standard library are by far the most: about 30 ms for all on an idle computer of today."""

OURS = {"qwen_asr_plugin", "qwen_asr_plugin.languages", "qwen_asr_plugin.plugin"}


def _imported():
    done = subprocess.run([sys.executable, "-W", "error", "-c", REGISTER], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_registering_the_plugin_loads_little_and_nothing_native():
    imported = _imported()
    packages = {name.partition(".")[0] for name in imported}
    foreign = packages - set(sys.stdlib_module_names) - {"qwen_asr_plugin", "subtitle_hooks"}
    assert foreign <= {"srt"}, "no numpy, no onnxruntime, no libllama"
    assert {name for name in imported if name.partition(".")[0] == "qwen_asr_plugin"} == OURS
    assert len(imported) <= MODULES
