# SPDX-License-Identifier: Apache-2.0
"""For tests of hosts and backends: doubles that need nothing, and a kit that holds a backend to the contract.

`FakeBackend` is a plugin like any other and goes through the real hooks::

    host = SubtitleHost(discover=False, plugins=[FakeBackend()])
    transcript = host.generate(SubtitleRequest(media=path), RecordingEvents())

The contract kit needs pytest (``pip install subtitle-hooks[testing]``) and comes in two forms: the class
`subtitle_hooks.testing.contract.BackendContract`, to derive a test class from, and a plugin for installed backends::

    pytest -p subtitle_hooks.testing --subtitle-backend NAME

There is no entry point of pytest on purpose: a run that does not ask for the kit does not even import it.
"""

from ._doubles import FakeBackend, RecordingEvents

__all__ = ["FakeBackend", "RecordingEvents"]

# What `pytest -p subtitle_hooks.testing` loads; importing this package needs no pytest.
pytest_plugins = ["subtitle_hooks.testing.plugin"]
