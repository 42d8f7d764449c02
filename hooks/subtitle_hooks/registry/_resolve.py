# SPDX-License-Identifier: Apache-2.0
"""From the name a user typed to the release to install, or the reason why there is none."""

from __future__ import annotations

import platform
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from packaging.tags import sys_tags
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from subtitle_hooks import API_VERSION, RequestError

from ._index import Release, Wheel
from ._sources import Index
from .errors import (
    ContractVersionError,
    PlatformError,
    PluginNotListedError,
    PythonVersionError,
    RegistryError,
    YankedError,
)

__all__ = ["Listed", "Requirement", "fitting_wheels", "listed", "parse_requirement", "platform_word", "problem_with"]

MACHINES = {"amd64": "x86_64", "aarch64": "arm64"}
"""Processors that go by several names."""

_REQUIREMENT = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:==\s*([^\s=]+))?\s*")


@dataclass(frozen=True, kw_only=True)
class Requirement:
    """What the user asked for: a plugin or distribution by name, and a version if it must be that one."""

    name: str
    version: Version | None = None

    def __str__(self) -> str:
        return self.name if self.version is None else f"{self.name}=={self.version}"


@dataclass(frozen=True, kw_only=True)
class Listed:
    """A plugin in the first index that has it: the release to take, and why newer ones are not taken."""

    index: Index
    releases: tuple[Release, ...]
    """All versions, newest first."""

    def choose(self, wanted: Requirement) -> tuple[Release, list[RegistryError]]:
        """Return the newest release that fits, and what is wrong with newer ones.

        Raises:
            PluginNotListedError: There is no such version.
            RegistryError: No release fits; the error is that of the newest one.
        """
        candidates = [one for one in self.releases if wanted.version in (None, one.version)]
        if not candidates:
            versions = ", ".join(str(one.version) for one in self.releases[:10])
            raise PluginNotListedError(
                f"{wanted.name} {wanted.version} is not listed.", path=self.index.name, hint=f"There is {versions}."
            )
        problems: list[RegistryError] = []
        # A pre-release is taken when it is asked for, or when there is nothing else.
        for release in sorted(candidates, key=lambda one: one.version.is_prerelease):
            problem = problem_with(release, self.index)
            if problem is None:
                return release, [one for one in problems if not isinstance(one, YankedError)]
            problems.append(problem)
        raise problems[0]

    def best(self) -> tuple[Release, RegistryError | None]:
        """Return the release that `choose` would take, or else the newest one and why it does not fit."""
        try:
            return self.choose(Requirement(name=self.releases[0].name))[0], None
        except RegistryError as error:
            return self.releases[0], error


def parse_requirement(text: str) -> Requirement:
    """Read ``NAME`` or ``NAME==VERSION``.

    Raises:
        RequestError: It is neither.
    """
    found = _REQUIREMENT.fullmatch(text)
    try:
        if found:
            return Requirement(
                name=canonicalize_name(found[1]), version=Version(found[2]) if found[2] is not None else None
            )
    except InvalidVersion:
        pass
    raise RequestError(f"{text!r} is not the name of a plugin.", hint="Write NAME or NAME==VERSION.")


def listed(name: str, indexes: Sequence[Index]) -> Listed:
    """Find a plugin by its name or that of its distribution; the first index that has it counts.

    Raises:
        PluginNotListedError: No index has it.
    """
    for index in indexes:
        releases = [one for one in index.releases if canonicalize_name(name) in (one.name, one.distribution)]
        if releases:
            releases.sort(key=lambda one: one.version, reverse=True)
            return Listed(index=index, releases=tuple(releases))
    known = sorted({one.name for index in indexes for one in index.releases})
    some = f"Listed: {', '.join(known[:20])}{'...' if len(known) > 20 else ''}." if known else "They list nothing."
    raise PluginNotListedError(
        f"no plugin is called {name!r} in {', '.join(index.name for index in indexes)}.", hint=some
    )


def problem_with(release: Release, index: Index) -> RegistryError | None:
    """Say why a release must not be installed here; None if it may be."""
    who = f"{release.name} {release.version}"
    if release.yanked is not None:
        return YankedError(
            f"{who} was withdrawn by its publisher: {release.yanked.rstrip('.')}.",
            path=index.name,
            hint="Install another version.",
        )
    if not release.api_min <= API_VERSION <= release.api_max:
        older = release.api_min > API_VERSION
        return ContractVersionError(
            f"{who} is made for version {_range(release.api_min, release.api_max)} of the subtitle contract; "
            f"the installed subtitle-hooks speaks version {API_VERSION}.",
            path=index.name,
            hint="Upgrade subtitle-hooks: pip install --upgrade subtitle-hooks"
            if older
            else "Install a newer version of the plugin, or an older subtitle-hooks.",
        )
    here = platform.python_version()
    if not release.python.contains(here, prereleases=True):
        return PythonVersionError(
            f"{who} needs Python {release.python}; this is Python {here}.",
            path=index.name,
            hint="Install it into an environment with a fitting Python, or install another version.",
        )
    if not _platform_fits(release.platforms) or not list(fitting_wheels(release.wheels)):
        return PlatformError(
            f"{who} is made for {', '.join(release.platforms)}; this is {platform_word()}, "
            f"{platform.python_implementation()} {here}.",
            path=index.name,
            hint="Install another version, or ask its authors for wheels for this platform.",
        )
    return None


def fitting_wheels(wheels: Iterable[Wheel]) -> Iterator[Wheel]:
    """Choose for every distribution and version the wheel that fits this interpreter best."""
    rank = {tag: number for number, tag in enumerate(sys_tags())}
    best: dict[tuple[str, Version], tuple[int, Wheel]] = {}
    for wheel in wheels:
        ranks = [rank[tag] for tag in wheel.tags if tag in rank]
        key = (wheel.distribution, wheel.version)
        if ranks and (key not in best or min(ranks) < best[key][0]):
            best[key] = (min(ranks), wheel)
    return (wheel for _, wheel in best.values())


def platform_word() -> str:
    """Name this platform as indexes do, for example ``linux-x86_64``."""
    system = {"darwin": "macos", "win32": "windows"}.get(sys.platform, "linux")
    machine = platform.machine().lower()
    return f"{system}-{MACHINES.get(machine, machine)}"


def _platform_fits(words: Sequence[str]) -> bool:
    here = platform_word()
    system = here.partition("-")[0]
    return any(word in ("any", here, system) for word in words)


def _range(least: int, most: int) -> str:
    return str(least) if least == most else f"{least} to {most}"
