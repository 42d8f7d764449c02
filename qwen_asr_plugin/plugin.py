# SPDX-License-Identifier: Apache-2.0
"""The hook implementations: thin, and quick to import."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import version

from qwen_asr_plugin.languages import ISO_CODES
from subtitle_hooks import API_VERSION, BackendInfo, Events, MediaInfo, SubtitleRequest, Transcript, hookimpl

_NAME = "qwen-asr"


@hookimpl
def subtitle_backends() -> Iterable[BackendInfo]:
    """Describe the backend; loads nothing."""
    yield BackendInfo(
        name=_NAME,
        version=version("qwen-asr-plugin"),
        api_version=API_VERSION,
        summary="Qwen3-ASR on this computer: ONNX audio encoder, GGUF language model through libllama",
        languages=ISO_CODES,
        capabilities=frozenset({"range", "track", "context", "language-detection", "partial-segments", "start-at"}),
    )


@hookimpl
def probe_media(backend: str, request: SubtitleRequest) -> MediaInfo | None:
    """Describe the media file."""
    if backend != _NAME:
        return None
    from qwen_asr_plugin.backend import media_info

    return media_info(request)


@hookimpl
def generate_subtitles(backend: str, request: SubtitleRequest, events: Events) -> Transcript | None:
    """Start the work on one media file."""
    if backend != _NAME:
        return None
    from qwen_asr_plugin.backend import generate

    return generate(request, events)
