# SPDX-License-Identifier: Apache-2.0
"""The whole contract from the host's side, in one class."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace

import pluggy

from ._backends import InstalledBackend, conflicts, descriptors, hook_of
from ._discovery import (
    PLUGINS_VARIABLE,
    BrokenPlugin,
    PluginOrigin,
    broken,
    create_plugin_manager,
    load_plugins,
    register,
)
from ._errors import BackendNotFoundError, NoBackendError, PluginError
from ._isolation import check_plugins
from ._messages import Events, MediaInfo, SilentEvents, SubtitleRequest, Transcript
from ._validation import attributed, check_media_info, check_request, checked_transcript

__all__ = ["InstalledBackend", "SubtitleHost"]


class SubtitleHost:
    """Finds the installed backends and calls them, checking every answer.

    A broken plugin is left out and listed in `broken`; the others work on.

    Args:
        strict: Raise at the first broken plugin instead.
        discover: Load installed plugins; without it there are only those in `plugins`. The environment variable
            ``SUBTITLE_HOOKS_PLUGINS`` (comma-separated entry point or distribution names) narrows the choice, and
            empties it when empty.
        check: Load each installed plugin in a process of its own first, and leave out those that crash, hang or end it
            there. Costs the start of one Python process for each plugin, side by side.
        plugins: Plugin objects of the program itself, for example a fake one in a test.

    Attributes:
        plugin_manager: The pluggy manager behind it, for tracing and for registering further plugins.

    Raises:
        PluginLoadError: One of `plugins` is not a plugin, or with `strict`, an installed one is broken.
        PluginError: With `check`, when this program cannot start a Python process.
    """

    def __init__(
        self,
        *,
        strict: bool = False,
        discover: bool = True,
        plugins: Iterable[object] = (),
        check: bool = False,
    ) -> None:
        self.plugin_manager: pluggy.PluginManager = create_plugin_manager()
        self._strict = strict
        self._origins: dict[str, PluginOrigin] = {}
        self._load_failures: list[BrokenPlugin] = []
        self._collected_from: list[tuple[str, object]] | None = None
        self._backends: dict[str, tuple[InstalledBackend, object]] = {}
        self._descriptor_failures: list[BrokenPlugin] = []
        for plugin in plugins:
            name = self.plugin_manager.get_canonical_name(plugin)
            register(self.plugin_manager, plugin, name, _own(name))
        if discover:
            quarantine = [verdict.broken for verdict in check_plugins() if verdict.broken] if check else []
            loaded = load_plugins(self.plugin_manager, strict=strict, quarantine=quarantine)
            self._origins = loaded.origins
            self._load_failures = loaded.broken

    def backends(self) -> list[InstalledBackend]:
        """List the usable backends by name.

        Raises:
            ContractViolationError: With `strict`, when a plugin offers a bad descriptor or a name that is taken.
        """
        self._collect()
        return [self._backends[name][0] for name in sorted(self._backends)]

    @property
    def broken(self) -> list[BrokenPlugin]:
        """Plugins that were left out, and why."""
        self._collect()
        return [*self._load_failures, *self._descriptor_failures]

    def backend(self, name: str | None = None) -> InstalledBackend:
        """Choose a backend: the one called `name`, or without a name the first in alphabetical order.

        Raises:
            NoBackendError: None is usable.
            BackendNotFoundError: None has that name.
        """
        return self._choose(name)[0]

    def probe(self, request: SubtitleRequest, backend: str | None = None) -> MediaInfo:
        """Describe the request's media file without working on it.

        Raises:
            SubtitleError: See `generate`.
        """
        chosen, plugin = self._choose(backend)
        check_request(request, chosen.info)
        hook = hook_of(self.plugin_manager, "probe_media", plugin)
        with attributed(chosen.origin, "looking at the file", request.media):
            answer = hook(backend=chosen.name, request=request)
        return check_media_info(answer, chosen.origin, request.media)

    def generate(
        self, request: SubtitleRequest, events: Events | None = None, backend: str | None = None
    ) -> Transcript:
        """Start to make subtitles; iterate the result, and close it (or use ``with``) when done or fed up.

        Args:
            request: What to do.
            events: Whom to tell about progress, and whom to ask whether to stop.
            backend: Name of a backend, see `backend`.

        Returns:
            A transcript whose segments are checked while they arrive.

        Raises:
            RequestError: The request makes no sense, or asks for what the backend cannot do.
            NoBackendError: No backend is usable.
            BackendNotFoundError: None has that name.
            BackendFailedError: The backend raised something outside the shared error tree.
            ContractViolationError: The backend answered with something the contract forbids.
            CancelledError: `events.cancelled()` said so.
            SubtitleError: What the backend has to say, for example `MediaFormatError`.

        All but the first three may also come while iterating.
        """
        chosen, plugin = self._choose(backend)
        check_request(request, chosen.info)
        events = SilentEvents() if events is None else events
        if request.context and "context" not in chosen.info.capabilities:
            events.log("warning", f"backend {chosen.name!r} has no use for context; it is ignored")
        if request.start_at_ms and "start-at" not in chosen.info.capabilities:
            events.log(
                "warning", f"backend {chosen.name!r} works in the order of time; the place to start at is ignored"
            )
            request = replace(request, start_at_ms=0)
        hook = hook_of(self.plugin_manager, "generate_subtitles", plugin)
        with attributed(chosen.origin, "starting the work", request.media):
            answer = hook(backend=chosen.name, request=request, events=events)
        return checked_transcript(
            answer,
            backend=chosen.name,
            origin=chosen.origin,
            events=events,
            path=request.media,
            two_runs=request.start_at_ms > 0,
        )

    def _choose(self, name: str | None) -> tuple[InstalledBackend, object]:
        self._collect()
        if not self._backends:
            raise NoBackendError(
                "no subtitle backend is installed." + self._broken_note(),
                hint="Install one, for example: pip install qwen-asr-plugin." + self._choice_note(),
            )
        if name is None:
            name = min(self._backends)
        if name not in self._backends:
            raise BackendNotFoundError(
                f"no backend is called {name!r}." + self._broken_note(),
                hint=f"Installed: {', '.join(sorted(self._backends))}.",
            )
        return self._backends[name]

    def _choice_note(self) -> str:
        setting = os.environ.get(PLUGINS_VARIABLE)
        return "" if setting is None else f" {PLUGINS_VARIABLE} is set to {setting!r} and may hide some."

    def _broken_note(self) -> str:
        reasons = [str(problem.error) for problem in self.broken]
        return f" Left out as broken: {' / '.join(reasons)}" if reasons else ""

    def _collect(self) -> None:
        """Ask every plugin for its descriptors, once per set of registered plugins."""
        registered = [(name, plugin) for name, plugin in self.plugin_manager.list_name_plugin() if plugin is not None]
        if registered == self._collected_from:
            return
        failures: list[BrokenPlugin] = []
        offered: list[tuple[InstalledBackend, object]] = []
        for name, plugin in registered:
            origin = self._origins.get(name, _own(name))
            try:
                infos = descriptors(self.plugin_manager, plugin, origin)
                offered.extend((InstalledBackend(info=info, origin=origin), plugin) for info in infos)
            except PluginError as error:
                if self._strict:
                    raise
                failures.append(broken(origin, error))
        contested = conflicts(backend for backend, _ in offered)
        for origins, conflict in contested.values():
            if self._strict:
                raise conflict
            failures.extend(broken(origin, conflict) for origin in origins)
        self._backends = {one[0].name: one for one in offered if one[0].name not in contested}
        self._descriptor_failures, self._collected_from = failures, registered


def _own(name: str) -> PluginOrigin:
    return PluginOrigin(distribution="", version="", entry_point=name)
