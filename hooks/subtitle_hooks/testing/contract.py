# SPDX-License-Identifier: Apache-2.0
"""The contract kit for pytest: derive a test class, and every rule of the contract becomes a test of it.

::

    # tests/test_contract.py
    import my_backend
    from subtitle_hooks.testing.contract import BackendContract

    class TestMyBackend(BackendContract):
        plugin = my_backend

Docstrings of the tests are the rules; ``docs/contract.md`` and ``docs/backend-authors.md`` explain them. A rule that
cannot be judged here is skipped with the reason: no ffmpeg, a capability that is missing, a run that failed already.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import pytest

from ._rules_descriptor import DescriptorRules
from ._rules_manners import MannersRules
from ._rules_media import BROKEN_MEDIA, MediaRules
from ._rules_progress import ProgressRules
from ._rules_segments import SegmentRules
from ._settings import Settings
from ._subject import Subject

__all__ = ["BROKEN_MEDIA", "BackendContract", "Settings", "Subject"]

_SUBJECTS = pytest.StashKey[dict[tuple[type, str], Subject]]()


class BackendContract(DescriptorRules, SegmentRules, ProgressRules, MediaRules, MannersRules):
    """Holds one backend to every rule of the contract.

    Attributes:
        backend: Name of the backend; may be left out where `plugin` offers one only.
        plugin: Plugin object (module or instance) to test; None takes the installed one that offers `backend`.
        media: Media file with at least two segments, copied for the tests together with the files that differ from it
            in the suffix only; None takes a WAV file of four tones. Override `make_media` for anything else.
        model: `SubtitleRequest.model` of all requests.
        options: `SubtitleRequest.options` of all requests.
        undetected_media: Names out of `BROKEN_MEDIA`, or ``missing track``, that this backend cannot notice.
    """

    backend: ClassVar[str] = ""
    plugin: ClassVar[object] = None
    media: ClassVar[Path | None] = None
    model: ClassVar[str | None] = None
    options: ClassVar[Mapping[str, object]] = {}
    undetected_media: ClassVar[frozenset[str]] = frozenset()

    def make_media(self, folder: Path, stem: str) -> Path:
        """Put a sound media file called `stem` into a folder and return its path; may be overridden."""
        raise NotImplementedError

    @pytest.fixture
    def contract_settings(self) -> Settings:
        """Collect the attributes of the class."""
        unknown = self.undetected_media - BROKEN_MEDIA - {"missing track"}
        if unknown:
            raise pytest.UsageError(f"undetected_media has {', '.join(sorted(unknown))}; there is {BROKEN_MEDIA}")
        overridden = type(self).make_media is not BackendContract.make_media
        return Settings(
            backend=self.backend,
            plugin=type(self).plugin,
            media=self.media,
            make_media=self.make_media if overridden else None,
            model=self.model,
            options=self.options,
            undetected_media=self.undetected_media,
        )

    @pytest.fixture
    def subject(
        self, request: pytest.FixtureRequest, contract_settings: Settings, tmp_path_factory: pytest.TempPathFactory
    ) -> Subject:
        """The backend under test; one for all tests of a class, as most of them look at the same run."""
        subjects = request.session.stash.setdefault(_SUBJECTS, {})
        key = (type(self), contract_settings.backend)
        if key not in subjects:
            subjects[key] = Subject(contract_settings, tmp_path_factory.mktemp("contract"))
        return subjects[key]
