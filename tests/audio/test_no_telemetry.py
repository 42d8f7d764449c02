# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import subprocess
import sys

_PROGRAM = """
import numpy as np
from qwen_asr_plugin.audio import find_speech
list(find_speech([np.zeros(16000, np.float32)]))
"""


def test_onnxruntime_leaves_no_device_id_and_no_report_in_the_home_folder(tmp_path):
    hidden = ("XDG_CACHE_HOME", "ORT_DISABLE_TELEMETRY")
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    environment |= {"HOME": str(tmp_path), "LOCALAPPDATA": str(tmp_path), "USERPROFILE": str(tmp_path)}
    subprocess.run([sys.executable, "-c", _PROGRAM], env=environment, check=True)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
