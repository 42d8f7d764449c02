# SPDX-License-Identifier: Apache-2.0
"""Subtitles for any media file, made on your own computer: Qwen3-ASR behind the `subtitle_hooks` contract.

Hosts reach it through the contract (`subtitle_hooks.SubtitleHost`), people through the command line
``qwen-asr-plugin``. This package has no other public interface.
"""

import os

# Nothing leaves the machine: from 1.32 on, onnxruntime writes a device id to the home folder and reports its use to its
# maker as soon as it is imported, unless this says otherwise. The worker process inherits it.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
