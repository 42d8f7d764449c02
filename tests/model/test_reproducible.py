# SPDX-License-Identifier: Apache-2.0
"""The same checkpoint gives the same bytes, in every precision and type."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

_CONVERT = """
import sys
from qwen_asr_model import convert_checkpoint
convert_checkpoint(
    sys.argv[1], sys.argv[3], name="same", aligner=sys.argv[2],
    precisions=["fp32", "fp16", "int8", "int4"], quants=["f16", "q8_0", "q6_k", "q5_k", "q4_k"],
)
"""


def test_another_process_another_folder_another_order_of_hashes(
    tiny_folder: Path, aligner_folder: Path, tmp_path: Path
) -> None:
    moved = shutil.copytree(tiny_folder, tmp_path / "moved" / "elsewhere")
    digests = []
    for name, source, seed in (("a", tiny_folder, "1"), ("b", moved, "2")):
        subprocess.run(
            [sys.executable, "-c", _CONVERT, source, aligner_folder, tmp_path / name],
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        )
        files = sorted((tmp_path / name).iterdir())
        digests.append({file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files})
    # Two graphs in four precisions; five decoders, five of the aligner, its text in two types; the manifest.
    assert len(digests[0]) == 8 + 5 + 5 + 2 + 1
    assert digests[0] == digests[1]
