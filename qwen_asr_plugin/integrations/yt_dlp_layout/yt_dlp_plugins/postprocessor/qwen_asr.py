# SPDX-License-Identifier: Apache-2.0
"""The post-processor as yt-dlp finds it: by the name of this folder, at every start, so nothing heavy is imported."""

from __future__ import annotations

from typing import Any

from yt_dlp.postprocessor.common import PostProcessor

__all__ = ["QwenASRPP"]


class QwenASRPP(PostProcessor):
    """Make subtitles for what was downloaded: ``--use-postprocessor "QwenASR:lang=en;when=after_move"``.

    Args:
        downloader: The `YoutubeDL` it belongs to.
        **settings: See `qwen_asr_plugin.integrations.yt_dlp.Settings`; from the command line they are all texts.
    """

    def __init__(self, downloader: Any = None, **settings: object) -> None:
        super().__init__(downloader)
        from qwen_asr_plugin.integrations.yt_dlp import Subtitler

        self._subtitler = Subtitler(self, settings)

    @PostProcessor._restrict_to(images=False, simulated=False)  # noqa: SLF001 - what yt-dlp gives plugins to use
    def run(self, info: dict[str, Any]) -> tuple[list[str], dict[str, Any]]:
        """Write the subtitle file and enter it into `info`; nothing is deleted.

        Raises:
            PostProcessingError: No subtitles could be made; it begins with this project's error code.
        """
        self._subtitler.add_to(info)
        return [], info
