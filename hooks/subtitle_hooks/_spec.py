# SPDX-License-Identifier: Apache-2.0
"""The hook specifications: everything a backend can implement.

An implementation may take fewer arguments than its specification. New arguments are only ever added, at the end, and
``versionadded`` says in which release of subtitle-hooks; `docs/contract.md` has the whole promise.
"""

from __future__ import annotations

from collections.abc import Iterable

import pluggy

from ._messages import BackendInfo, Events, MediaInfo, SubtitleRequest, Transcript

PROJECT_NAME = "subtitle_hooks"

hookspec = pluggy.HookspecMarker(PROJECT_NAME)
hookimpl = pluggy.HookimplMarker(PROJECT_NAME)


class SubtitleSpecs:
    """Hooks of the contract."""

    @hookspec
    def subtitle_backends(self) -> Iterable[BackendInfo]:
        """Yield one descriptor per backend this plugin offers. Called often: must not load models.

        .. versionadded:: 0.1
        """
        raise NotImplementedError

    @hookspec(firstresult=True)
    def probe_media(self, backend: str, request: SubtitleRequest) -> MediaInfo | None:
        """Describe the request's media file, or return None when `backend` is not one of yours.

        Raises:
            MediaError: The file cannot be worked on.

        .. versionadded:: 0.1
        """

    @hookspec(firstresult=True)
    def generate_subtitles(self, backend: str, request: SubtitleRequest, events: Events) -> Transcript | None:
        """Start the work on one file, or return None when `backend` is not one of yours.

        Errors may come from this call or from iterating the transcript.

        Raises:
            SubtitleError: A class of the shared tree or of the backend's own branch of it.

        .. versionadded:: 0.1
        """
