# SPDX-License-Identifier: Apache-2.0
"""Subtitles for what mpv plays: a script for mpv, where it belongs, and the work that the script starts."""

from .install import Installed, install_script, script_path, script_text, uninstall_script
from .places import config_folder
from .work import CueWork, make_cues

__all__ = [
    "CueWork",
    "Installed",
    "config_folder",
    "install_script",
    "make_cues",
    "script_path",
    "script_text",
    "uninstall_script",
]
