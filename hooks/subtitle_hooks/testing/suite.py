# SPDX-License-Identifier: Apache-2.0
"""The test module behind ``pytest -p subtitle_hooks.testing --subtitle-backend NAME``."""

from __future__ import annotations

from pathlib import Path

import pytest

from .contract import BackendContract, Settings


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Hold every backend named on the command line to every rule."""
    names = metafunc.config.getoption("subtitle_backend", [])
    if "named_backend" in metafunc.fixturenames:
        metafunc.parametrize("named_backend", names, scope="session")


class TestContract(BackendContract):
    """The rules, with the settings of the command line."""

    @pytest.fixture
    def contract_settings(self, named_backend: str, pytestconfig: pytest.Config) -> Settings:
        """Read the options."""
        media = pytestconfig.getoption("subtitle_media")
        pairs = (pair.partition("=") for pair in pytestconfig.getoption("subtitle_option"))
        return Settings(
            backend=named_backend,
            media=None if media is None else Path(media).absolute(),
            model=pytestconfig.getoption("subtitle_model"),
            options={key: value for key, _, value in pairs},
        )
