# SPDX-License-Identifier: Apache-2.0
"""The pytest plugin: options that add the contract of an installed backend to a run, and nothing without them."""

from __future__ import annotations

from pathlib import Path

import pytest

__all__ = ["pytest_addoption", "pytest_configure"]

_SUITE = Path(__file__).with_name("suite.py")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the kit."""
    group = parser.getgroup("subtitle-hooks", "contract of subtitle backends")
    group.addoption(
        "--subtitle-backend",
        action="append",
        default=[],
        metavar="NAME",
        help="hold this installed backend to the contract; may be repeated",
    )
    group.addoption(
        "--subtitle-media",
        metavar="FILE",
        help="audio or video file with at least two segments of speech (default: a WAV file of tones). Files beside it "
        "that differ in the suffix only are used with it.",
    )
    group.addoption(
        "--subtitle-option",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="option of the backend; may be repeated",
    )
    group.addoption(
        "--subtitle-model", metavar="NAME", help="model for the requests (default: the backend's own choice)"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Collect the contract: alone, or beside the tests that were named.

    Raises:
        pytest.UsageError: An option makes no sense.
    """
    if not config.getoption("subtitle_backend"):
        return
    media = config.getoption("subtitle_media")
    if media is not None and not Path(media).is_file():
        raise pytest.UsageError(f"--subtitle-media {media}: no such file")
    for pair in config.getoption("subtitle_option"):
        if not pair.partition("=")[0] or "=" not in pair:
            raise pytest.UsageError(f"--subtitle-option {pair!r} is not KEY=VALUE")
    named = config.args if config.args_source is pytest.Config.ArgsSource.ARGS else []
    config.args = [*named, str(_SUITE)]
