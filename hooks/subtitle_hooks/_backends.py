# SPDX-License-Identifier: Apache-2.0
"""What registered plugins offer: asking each for its descriptors, and sorting out names that are taken twice."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

import pluggy

from ._discovery import PLUGINS_VARIABLE, PluginOrigin, describe
from ._errors import BackendFailedError, ContractViolationError, PluginError, SubtitleError
from ._messages import BackendInfo
from ._validation import attributed, check_backend_info, violation

__all__ = ["InstalledBackend", "conflicts", "descriptors", "hook_of"]

MOST_BACKENDS = 100
"""How many backends one plugin may offer; a generator that never ends must not keep the host."""


@dataclass(frozen=True, kw_only=True)
class InstalledBackend:
    """A usable backend: what it says about itself, and whose it is."""

    info: BackendInfo
    origin: PluginOrigin

    @property
    def name(self) -> str:
        """The name users choose it by."""
        return self.info.name


def hook_of(manager: pluggy.PluginManager, hook: str, owner: object) -> pluggy.HookCaller:
    """Return a caller of `hook` that only `owner` may answer, so that blame falls on the right plugin.

    Wrappers of other plugins still wrap.
    """
    others = [
        impl.plugin
        for impl in getattr(manager.hook, hook).get_hookimpls()
        if impl.plugin is not owner and not (impl.wrapper or impl.hookwrapper)
    ]
    return manager.subset_hook_caller(hook, remove_plugins=others)


def descriptors(manager: pluggy.PluginManager, plugin: object, origin: PluginOrigin) -> list[BackendInfo]:
    """Ask one registered plugin what it offers.

    Raises:
        BackendFailedError: It raised something outside the shared tree.
        ContractViolationError: A descriptor is not what the contract says, or a hook is missing.
    """
    implemented = {caller.name for caller in manager.get_hookcallers(plugin) or ()}
    if "subtitle_backends" not in implemented:
        return []
    try:
        with attributed(origin, "describing its backends"):
            answers = hook_of(manager, "subtitle_backends", plugin)()
            described = [info for answer in answers for info in islice(answer, MOST_BACKENDS + 1)]
    except PluginError:
        raise
    except SubtitleError as error:
        # Errors about media and requests are for work; here they would say nothing about whose fault it is.
        raise BackendFailedError(
            f"{origin} failed while describing its backends: {describe(error)}.", hint="Report it to its authors."
        ) from error
    if len(described) > MOST_BACKENDS:
        raise violation(origin, f"it offers more than {MOST_BACKENDS} backends")
    infos = [check_backend_info(info, origin) for info in described]
    for hook in ("probe_media", "generate_subtitles"):
        if infos and hook not in implemented:
            raise violation(origin, f"it offers backend {infos[0].name!r} but does not implement {hook}")
    return infos


def conflicts(backends: Iterable[InstalledBackend]) -> dict[str, tuple[list[PluginOrigin], ContractViolationError]]:
    """Find backend names that are offered more than once: whose they are, and the error to report."""
    owners: dict[str, list[PluginOrigin]] = defaultdict(list)
    for backend in backends:
        owners[backend.name].append(backend.origin)
    return {
        name: (
            origins,
            ContractViolationError(
                f"backend {name!r} is offered by {' and by '.join(map(str, origins))};"
                " which one is meant cannot be told, so neither is used.",
                hint=f"Uninstall one of them, or choose with {PLUGINS_VARIABLE}.",
            ),
        )
        for name, origins in owners.items()
        if len(origins) > 1
    }
