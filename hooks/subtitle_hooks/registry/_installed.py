# SPDX-License-Identifier: Apache-2.0
"""What is installed: plugins by name, and the distributions that only one plugin needs."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import distributions

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from subtitle_hooks._discovery import find_plugins
from subtitle_hooks._isolation import check_plugins

from .errors import PluginNotInstalledError

__all__ = ["InstalledPlugin", "find_installed", "installed_plugins", "missing_requirements", "only_needed_by"]

_HOST = "subtitle-hooks"


@dataclass(frozen=True, kw_only=True)
class InstalledPlugin:
    """A distribution with at least one entry point in the group, whether it works or not."""

    distribution: str
    version: str
    entry_points: tuple[str, ...]


def installed_plugins() -> list[InstalledPlugin]:
    """List the distributions that bring plugins, by name."""
    importlib.invalidate_caches()
    points: dict[tuple[str, str], list[str]] = {}
    for found in find_plugins(all_of_them=True):
        if found.distribution is not None:
            key = (canonicalize_name(found.origin.distribution), found.origin.version)
            points.setdefault(key, []).append(found.origin.entry_point)
    return [
        InstalledPlugin(distribution=name, version=version, entry_points=tuple(names))
        for (name, version), names in sorted(points.items())
    ]


def find_installed(name: str) -> InstalledPlugin:
    """Find an installed plugin by the name of its distribution, its entry point or one of its backends.

    Raises:
        PluginNotInstalledError: There is none, or several distributions have it.
    """
    wanted = canonicalize_name(name)
    plugins = installed_plugins()
    matches = [one for one in plugins if one.distribution == wanted]
    matches = matches or [one for one in plugins if wanted in map(canonicalize_name, one.entry_points)]
    if not matches:
        owners = {
            canonicalize_name(verdict.origin.distribution)
            for verdict in check_plugins(fresh=True)
            if any(info.name == wanted for info in verdict.backends)
        }
        matches = [one for one in plugins if one.distribution in owners]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise PluginNotInstalledError(
            f"{name!r} is in several distributions: {', '.join(one.distribution for one in matches)}.",
            hint="Name one of these.",
        )
    some = ", ".join(one.distribution for one in plugins)
    raise PluginNotInstalledError(
        f"no installed plugin is called {name!r}.", hint=f"Installed: {some}." if some else "None is installed."
    )


def only_needed_by(distribution: str) -> list[str]:
    """List what would be left without a purpose if `distribution` were removed: its dependencies that nothing else has.

    What the user installed for its own sake cannot be told from that, so this is for information.
    """
    needs: dict[str, set[str]] = {
        canonicalize_name(one.metadata["Name"] or ""): _needs(one.requires or []) for one in distributions()
    }
    closure = _closure({distribution}, needs)
    others = _closure({name for name in needs if name not in closure} | {_HOST}, needs)
    return sorted(name for name in closure - others - {distribution} if name in needs)


def missing_requirements(distribution: str) -> list[str]:
    """List the requirements of an installed distribution that are not fulfilled."""
    installed = {canonicalize_name(one.metadata["Name"] or ""): one for one in distributions()}
    found = installed.get(canonicalize_name(distribution))
    missing = []
    for text in (found.requires or []) if found else []:
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            missing.append(f"{text} (not a valid requirement)")
            continue
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        other = installed.get(canonicalize_name(requirement.name))
        if other is None:
            missing.append(f"{requirement.name}{requirement.specifier} (not installed)")
        elif not requirement.specifier.contains(other.version, prereleases=True):
            missing.append(f"{requirement.name}{requirement.specifier} (installed: {other.version})")
    return missing


def _needs(requirements: Iterable[str]) -> set[str]:
    names: set[str] = set()
    for text in requirements:
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            continue
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            names.add(canonicalize_name(requirement.name))
    return names


def _closure(start: Iterable[str], needs: dict[str, set[str]]) -> set[str]:
    found: set[str] = set()
    waiting = list(start)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting.extend(needs.get(name, ()))
    return found
