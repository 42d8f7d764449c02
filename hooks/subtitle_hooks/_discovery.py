# SPDX-License-Identifier: Apache-2.0
"""Finding installed plugins, one at a time, so that a broken one cannot take the others or the host with it."""

from __future__ import annotations

import importlib
import inspect
import os
import re
import traceback
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib.metadata import Distribution, EntryPoint, distribution, distributions

import pluggy

from ._errors import PluginError, PluginLoadError
from ._spec import PROJECT_NAME, SubtitleSpecs

__all__ = ["BrokenPlugin", "LoadedPlugins", "PluginOrigin", "create_plugin_manager", "load_plugins", "register"]

GROUP = "subtitle_hooks"
"""Entry point group of plugins."""

PLUGINS_VARIABLE = "SUBTITLE_HOOKS_PLUGINS"
"""Environment variable that names the plugins to load; empty loads none."""


@dataclass(frozen=True, kw_only=True)
class PluginOrigin:
    """Where a plugin comes from, as messages name it.

    Attributes:
        distribution: Name of the installed distribution; empty for a plugin the host registered itself.
        version: Version of the distribution.
        entry_point: Name of its entry point, or the name it was registered under.
    """

    distribution: str
    version: str
    entry_point: str

    def __str__(self) -> str:
        if not self.distribution:
            return f"plugin {self.entry_point!r} (registered by this program)"
        return f"{self.distribution} {self.version} (entry point {self.entry_point!r})"


@dataclass(frozen=True, kw_only=True)
class BrokenPlugin:
    """A plugin, or a part of one, that is left out; the host goes on without it.

    Attributes:
        origin: Whose it is.
        error: What is wrong; `__cause__` holds the original exception, if there was one.
        traceback: Text of that exception's traceback, for bug reports.
    """

    origin: PluginOrigin
    error: PluginError
    traceback: str

    @property
    def distribution(self) -> str:
        """Name of the distribution to repair or uninstall."""
        return self.origin.distribution

    @property
    def version(self) -> str:
        """Version of the distribution."""
        return self.origin.version

    @property
    def entry_point(self) -> str:
        """Name of the entry point."""
        return self.origin.entry_point


@dataclass(kw_only=True)
class LoadedPlugins:
    """What `load_plugins` found."""

    origins: dict[str, PluginOrigin] = field(default_factory=dict)
    """By the name under which the plugin manager knows the plugin."""
    broken: list[BrokenPlugin] = field(default_factory=list)


def create_plugin_manager() -> pluggy.PluginManager:
    """Make a plugin manager that knows the hooks of the contract and no plugin."""
    manager = pluggy.PluginManager(PROJECT_NAME)
    manager.add_hookspecs(SubtitleSpecs)
    return manager


def broken(origin: PluginOrigin, error: PluginError) -> BrokenPlugin:
    """Record an error together with the text of its traceback."""
    return BrokenPlugin(origin=origin, error=error, traceback="".join(traceback.format_exception(error)))


def load_plugins(manager: pluggy.PluginManager, *, strict: bool = False) -> LoadedPlugins:
    """Load every chosen entry point of the group `subtitle_hooks` into `manager`.

    `SUBTITLE_HOOKS_PLUGINS` chooses: unset loads all, a comma-separated list of entry point or distribution names
    loads those, and an empty value loads none.

    Args:
        manager: Where to register them.
        strict: Raise at the first broken plugin instead of recording it.

    Raises:
        PluginLoadError: With `strict`, when a plugin is broken or a chosen one is not installed.
    """
    loaded = LoadedPlugins()

    def record(origin: PluginOrigin, error: PluginLoadError) -> None:
        if strict:
            raise error
        loaded.broken.append(broken(origin, error))

    setting = os.environ.get(PLUGINS_VARIABLE)
    wanted = None if setting is None else {_normal(name): name for name in _split(setting)}
    if wanted is not None and not wanted:
        return loaded
    unused = dict(wanted or {})
    for dist, origin, entry_point, error in _entry_points():
        names = {_normal(origin.distribution), _normal(origin.entry_point)}
        if wanted is not None and names.isdisjoint(wanted):
            continue
        for name in names:
            unused.pop(name, None)
        if entry_point is None or dist is None:
            record(origin, PluginLoadError(f"{origin} has unreadable metadata: {error}.", hint=_ADVICE))
            continue
        try:
            plugin = _import(entry_point, origin)
            name = f"{origin.distribution}:{origin.entry_point}"
            register(manager, plugin, name, origin)
        except PluginLoadError as problem:
            record(origin, problem)
            continue
        _append_distinfo(manager, plugin, dist)
        loaded.origins[name] = origin
    for name in unused.values():
        origin = PluginOrigin(distribution=name, version="", entry_point=name)
        record(
            origin,
            PluginLoadError(
                f"{PLUGINS_VARIABLE} names {name!r}, but no installed plugin or distribution is called that.",
                hint="Install it, or correct the variable.",
            ),
        )
    return loaded


def register(manager: pluggy.PluginManager, plugin: object, name: str, origin: PluginOrigin) -> None:
    """Register one plugin, or leave the manager as it was.

    Raises:
        PluginLoadError: It is a class, implements no hook or an unknown one, or takes arguments a hook does not have.
    """
    if inspect.isclass(plugin):
        raise PluginLoadError(
            f"{origin} is the class {plugin.__qualname__}, not a plugin.",
            hint="Its entry point must name a module or an instance.",
        )
    try:
        hash(plugin)
        manager.register(plugin, name=name)
        manager.check_pending()
        implemented = manager.get_hookcallers(plugin)
    # SystemExit: hooks are looked up by reading attributes, which runs the plugin's code.
    except (Exception, SystemExit) as error:
        if manager.get_plugin(name) is plugin:
            manager.unregister(plugin)
        raise PluginLoadError(f"{origin} cannot be registered: {_describe(error)}.", hint=_ADVICE) from error
    if not implemented:
        manager.unregister(plugin)
        raise PluginLoadError(
            f"{origin} implements no hook.", hint="Did its author forget the @hookimpl decorator from subtitle_hooks?"
        )


_ADVICE = "Update or uninstall it, or report this to its authors."

_Found = tuple[Distribution | None, PluginOrigin, EntryPoint | None, str]


def _entry_points() -> Iterable[_Found]:
    """Yield the group's entry points in a fixed order; unreadable metadata yields no entry point but a reason."""
    names: set[str] = set()
    for dist in distributions():
        # importlib.metadata.entry_points() would fail as a whole over one damaged file.
        try:
            if GROUP not in (dist.read_text("entry_points.txt") or ""):
                continue
            names.add(dist.metadata["Name"] or "")
        except Exception as error:  # noqa: BLE001
            yield None, _unreadable(dist), None, _describe(error)
    for name in sorted(names, key=_normal):
        try:
            dist = distribution(name)  # of several versions on the path, the one that Python imports
            version = dist.version
            points = sorted((point for point in dist.entry_points if point.group == GROUP), key=lambda p: p.name)
        except Exception as error:  # noqa: BLE001
            yield (
                None,
                PluginOrigin(distribution=name or "(no name)", version="?", entry_point="?"),
                None,
                _describe(error),
            )
            continue
        for point in points:
            yield dist, PluginOrigin(distribution=name, version=version, entry_point=point.name), point, ""


def _unreadable(dist: Distribution) -> PluginOrigin:
    return PluginOrigin(distribution=f"a distribution in {dist.locate_file('')}", version="?", entry_point="?")


def _import(entry_point: EntryPoint, origin: PluginOrigin) -> object:
    try:
        plugin: object = entry_point.load()
    # A module that calls sys.exit() at import must not end the host.
    except (Exception, SystemExit) as error:
        raise PluginLoadError(f"{origin} cannot be imported: {_describe(error)}.", hint=_ADVICE) from error
    return plugin


def _append_distinfo(manager: pluggy.PluginManager, plugin: object, dist: Distribution) -> None:
    # Without it list_plugin_distinfo() stays empty; pluggy offers no public way for loaders other than its own.
    # Since 1.7 it keeps plain distributions, before that wrapped ones.
    entry: object = dist
    if not hasattr(manager, "list_plugin_distributions"):
        entry = importlib.import_module("pluggy._manager").DistFacade(dist)
    distinfo: list[object] = manager._plugin_distinfo  # type: ignore[assignment]  # noqa: SLF001
    distinfo.append((plugin, entry))


def _describe(error: BaseException) -> str:
    text = " ".join(str(error).split()).rstrip(".")
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name.strip()).lower()


def _split(setting: str) -> list[str]:
    return [name.strip() for name in setting.split(",") if name.strip()]
