# SPDX-License-Identifier: Apache-2.0
"""Installing, updating and removing plugins: everything is refused before it begins, proved after, or taken back."""

from __future__ import annotations

import contextlib
import importlib
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.utils import canonicalize_name
from packaging.version import Version

from subtitle_hooks import BackendInfo
from subtitle_hooks._isolation import Verdict, check_plugins, sort_out

from ._fetch import OnBytes, fetch_wheel, join
from ._folders import expand
from ._index import Release, Wheel
from ._installed import InstalledPlugin, find_installed, installed_plugins, only_needed_by
from ._installer import Change, Supply, find_installer
from ._resolve import Requirement, fitting_wheels, listed
from ._snapshot import Snapshot
from ._sources import Index
from .errors import InstallFailedError, PluginNotListedError, ProofFailedError, RegistryError

__all__ = ["Installation", "LeftBehind", "Removal", "install", "remove", "update"]

OnStage = Callable[[str], None]
"""Called with what is being done now, a few words."""


@dataclass(frozen=True, kw_only=True)
class Installation:
    """What `install` did, or would do.

    Attributes:
        release: What was chosen.
        index: Where it is listed.
        changes: Distributions that were installed or replaced; empty if everything was there already.
        passed_over: Why newer releases were not chosen.
        backends: What the fresh process listed; empty for a dry run and where nothing changed.
        dry_run: Nothing was changed.
    """

    release: Release
    index: Index
    changes: tuple[Change, ...]
    passed_over: tuple[RegistryError, ...]
    backends: tuple[BackendInfo, ...]
    dry_run: bool


@dataclass(frozen=True, kw_only=True)
class LeftBehind:
    """A folder that a removed plugin leaves; `size` in bytes."""

    what: str
    path: Path
    size: int


@dataclass(frozen=True, kw_only=True)
class Removal:
    """What `remove` did, or would do.

    Attributes:
        plugin: What was removed.
        data: Folders that stay.
        data_known: Whether an index says what it leaves; without that `data` is empty and means nothing.
        dependencies: Distributions that nothing else needs now; they stay.
        dry_run: Nothing was changed.
    """

    plugin: InstalledPlugin
    data: tuple[LeftBehind, ...]
    data_known: bool
    dependencies: tuple[str, ...]
    dry_run: bool


def install(
    wanted: Requirement,
    indexes: Sequence[Index],
    *,
    dry_run: bool = False,
    on_bytes: OnBytes = lambda _name, _done, _total: None,
    on_stage: OnStage = lambda _what: None,
) -> Installation:
    """Install a plugin into the running interpreter's environment, and prove in fresh processes that it works.

    Args:
        wanted: Name, and version if it must be that one.
        indexes: In order; the first that lists the name counts.
        dry_run: Find out everything and change nothing.
        on_bytes: Told about downloads.
        on_stage: Told what is being done.

    Raises:
        RegistryError: With the class that says why. The environment is as it was, unless it is a `RestoreError`.
    """
    place = listed(wanted.name, indexes)
    release, passed_over = place.choose(wanted)
    installer = find_installer(release.name)
    with tempfile.TemporaryDirectory(prefix="subtitle-hooks-") as folder:
        supply = _fetch(release, place.index, Path(folder), on_bytes)
        on_stage(f"planning with {installer.name}")
        changes = installer.plan(f"{release.distribution}=={release.version}", supply)
        backends: tuple[BackendInfo, ...] = ()
        if changes and not dry_run:
            on_stage("looking at the plugins that are there")
            before = check_plugins(fresh=True)
            with _taken_back_on_failure([one.distribution for one in changes], on_stage):
                on_stage(f"installing {len(changes)} distributions")
                installer.install(changes, supply)
                on_stage("proving that it works, in fresh processes")
                backends = _proof(release, before)
    return Installation(
        release=release,
        index=place.index,
        changes=tuple(changes),
        passed_over=tuple(passed_over),
        backends=backends,
        dry_run=dry_run,
    )


def update(
    name: str,
    indexes: Sequence[Index],
    *,
    dry_run: bool = False,
    on_bytes: OnBytes = lambda _name, _done, _total: None,
    on_stage: OnStage = lambda _what: None,
) -> Installation | None:
    """Install a newer release of an installed plugin, as `install` does; None if there is none.

    Raises:
        PluginNotInstalledError: No installed plugin has that name.
        RegistryError: See `install`.
    """
    plugin = find_installed(name)
    release, _ = listed(plugin.distribution, indexes).choose(Requirement(name=plugin.distribution))
    if release.version <= Version(plugin.version):
        return None
    wanted = Requirement(name=plugin.distribution, version=release.version)
    return install(wanted, indexes, dry_run=dry_run, on_bytes=on_bytes, on_stage=on_stage)


def remove(name: str, indexes: Sequence[Index], *, dry_run: bool = False) -> Removal:
    """Uninstall a plugin, and only that; say what it leaves behind.

    Raises:
        PluginNotInstalledError: No installed plugin has that name.
        RegistryError: The installer is missing or failed; the environment is as it was.
    """
    plugin = find_installed(name)
    installer = find_installer(plugin.distribution)
    left = tuple(only_needed_by(plugin.distribution))
    data: tuple[LeftBehind, ...] = ()
    known = False
    with contextlib.suppress(PluginNotListedError):
        releases = listed(plugin.distribution, indexes).releases
        same = [one for one in releases if str(one.version) == plugin.version]
        data, known = tuple(_left_behind((same or list(releases))[0])), True
    if not dry_run:
        with _taken_back_on_failure([plugin.distribution], lambda _what: None):
            installer.uninstall(plugin.distribution)
            if plugin.distribution in [one.distribution for one in installed_plugins()]:
                raise InstallFailedError(
                    f"{plugin.distribution} is still there after {installer.name} removed it.",
                    path=sys.prefix,
                    hint="Is it installed twice, or from outside of this environment?",
                )
    return Removal(plugin=plugin, data=data, data_known=known, dependencies=left, dry_run=dry_run)


def _fetch(release: Release, index: Index, folder: Path, on_bytes: OnBytes) -> Supply:
    """Put the wheels that may be needed into `folder`, each one checked."""
    wheels = list(fitting_wheels(release.wheels))
    # What is installed in just this version would not be taken anyway.
    wheels += [wheel for wheel in fitting_wheels(release.dependencies or ()) if not _is_installed(wheel)]
    for wheel in wheels:
        fetch_wheel(wheel, join(index.location, wheel.location), folder, on_bytes)
    return Supply(
        folder=folder,
        closed=release.dependencies is not None,
        hashes={(wheel.distribution, wheel.version): wheel.sha256 for wheel in wheels},
    )


def _is_installed(wheel: Wheel) -> bool:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return Version(version(wheel.distribution)) == wheel.version
    except (PackageNotFoundError, ValueError):
        return False


@contextlib.contextmanager
def _taken_back_on_failure(distributions: Sequence[str], on_stage: OnStage) -> Iterator[None]:
    try:
        snapshot = Snapshot(distributions)
    except OSError as error:
        raise InstallFailedError(
            f"there is no room for a copy of what is installed now ({error.strerror}).", hint="Nothing was changed."
        ) from error
    try:
        yield
    except BaseException:
        with _ctrl_c_ignored():
            on_stage("putting back what was there before")
            snapshot.restore()
        raise
    snapshot.discard()


@contextlib.contextmanager
def _ctrl_c_ignored() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)


def _proof(release: Release, before: Sequence[Verdict]) -> tuple[BackendInfo, ...]:
    """Load every plugin in fresh processes and return what the new one offers.

    Raises:
        ProofFailedError: The new plugin does not work, or another one does no longer.
    """
    importlib.invalidate_caches()
    after = check_plugins(fresh=True)
    usable, broken = sort_out(after)
    who = f"{release.name} {release.version}"

    def refuse(reason: str) -> ProofFailedError:
        return ProofFailedError(
            f"{who} was installed, but {reason}. It was taken back; the environment is as it was.",
            hint="Report this to its authors, or install another version.",
        )

    mine = [one for one in after if canonicalize_name(one.origin.distribution) == release.distribution]
    if not mine:
        raise refuse(f"{release.distribution} has no entry point in the group subtitle_hooks")
    for culprit in broken:
        if canonicalize_name(culprit.distribution) == release.distribution:
            raise refuse(f"it does not work: {culprit.error.what.rstrip('.')}")
    worked = {(one.origin.distribution, one.origin.entry_point) for one in before if one.broken is None}
    for culprit in broken:
        if (culprit.distribution, culprit.entry_point) in worked:
            raise refuse(f"another plugin does not work any more: {culprit.error.what.rstrip('.')}")
    backends = tuple(one.info for one in usable if canonicalize_name(one.origin.distribution) == release.distribution)
    if not backends:
        raise refuse("it offers no backend")
    return backends


def _left_behind(release: Release) -> Iterator[LeftBehind]:
    for place in release.data:
        path = expand(place.where)
        if path.exists():
            files = [path] if path.is_file() else [one for one in path.rglob("*") if one.is_file()]
            yield LeftBehind(what=place.what, path=path, size=sum(one.stat().st_size for one in files))
