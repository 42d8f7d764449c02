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

__all__ = [
    "BrokenPlugin",
    "FoundPlugin",
    "LoadedPlugins",
    "PluginOrigin",
    "create_plugin_manager",
    "describe",
    "find_plugins",
    "load_plugin",
    "load_plugins",
    "register",
]

GROUP = "subtitle_hooks"
"""Entry point group of plugins."""

_MOST_TEXT = 500
_MOST_TRACEBACK = 50_000

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
    try:
        text = "".join(traceback.format_exception(error))
    except Exception:  # noqa: BLE001
        text = traceback.format_exc()  # an exception that cannot even be printed
    return BrokenPlugin(origin=origin, error=error, traceback=text[-_MOST_TRACEBACK:])


@dataclass(frozen=True, kw_only=True)
class FoundPlugin:
    """An entry point that was found but not imported.

    Attributes:
        origin: Whose it is.
        distribution: The installed distribution, None where its metadata cannot be read.
        entry_point: What to import, None where the metadata cannot be read.
        error: Why it cannot be imported although it was found or asked for.
    """

    origin: PluginOrigin
    distribution: Distribution | None = None
    entry_point: EntryPoint | None = None
    error: PluginLoadError | None = None


def find_plugins(*, all_of_them: bool = False) -> Iterable[FoundPlugin]:
    """Find the chosen entry points of the group `subtitle_hooks` without importing any.

    `SUBTITLE_HOOKS_PLUGINS` chooses: unset takes all, a comma-separated list of entry point or distribution names
    takes those, and an empty value takes none.

    Args:
        all_of_them: Do not look at that variable.
    """
    setting = None if all_of_them else os.environ.get(PLUGINS_VARIABLE)
    wanted = None if setting is None else {_normal(name): name for name in _split(setting)}
    if wanted is not None and not wanted:
        return
    unused = dict(wanted or {})
    for found in _entry_points():
        names = {_normal(found.origin.distribution), _normal(found.origin.entry_point)}
        if wanted is not None and names.isdisjoint(wanted):
            continue
        for name in names:
            unused.pop(name, None)
        yield found
    for name in unused.values():
        yield FoundPlugin(
            origin=PluginOrigin(distribution=name, version="", entry_point=name),
            error=PluginLoadError(
                f"{PLUGINS_VARIABLE} names {name!r}, but no installed plugin or distribution is called that.",
                hint="Install it, or correct the variable.",
            ),
        )


def load_plugins(
    manager: pluggy.PluginManager, *, strict: bool = False, quarantine: Iterable[BrokenPlugin] = ()
) -> LoadedPlugins:
    """Load what `find_plugins` finds into `manager`.

    Args:
        manager: Where to register them.
        strict: Raise at the first broken plugin instead of recording it.
        quarantine: Plugins that are known to be broken: recorded as they are, not imported.

    Raises:
        PluginError: With `strict`, when a plugin is broken or a chosen one is not installed.
    """
    loaded = LoadedPlugins()
    known = {(plugin.distribution, plugin.entry_point): plugin for plugin in quarantine}
    for found in find_plugins():
        culprit = known.get((found.origin.distribution, found.origin.entry_point))
        try:
            if culprit is not None:
                raise culprit.error
            load_plugin(manager, found)
        except PluginError as problem:
            if strict:
                raise
            loaded.broken.append(culprit or broken(found.origin, problem))
            continue
        loaded.origins[manager_name(found.origin)] = found.origin
    return loaded


def load_plugin(manager: pluggy.PluginManager, found: FoundPlugin) -> object:
    """Import and register one plugin.

    Raises:
        PluginLoadError: It is broken.
    """
    if found.error is not None or found.entry_point is None or found.distribution is None:
        raise found.error or PluginLoadError(f"{found.origin} was not found.")
    plugin = _import(found.entry_point, found.origin)
    register(manager, plugin, manager_name(found.origin), found.origin)
    _append_distinfo(manager, plugin, found.distribution)
    return plugin


def manager_name(origin: PluginOrigin) -> str:
    """The name under which a plugin manager knows a plugin."""
    return f"{origin.distribution}:{origin.entry_point}"


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
        raise PluginLoadError(f"{origin} cannot be registered: {describe(error)}.", hint=_ADVICE) from error
    if not implemented:
        manager.unregister(plugin)
        raise PluginLoadError(
            f"{origin} implements no hook.", hint="Did its author forget the @hookimpl decorator from subtitle_hooks?"
        )


_ADVICE = "Update or uninstall it, or report this to its authors."


def _entry_points() -> Iterable[FoundPlugin]:
    """Yield the group's entry points in a fixed order; unreadable metadata yields no entry point but a reason."""
    names: set[str] = set()
    for dist in distributions():
        # importlib.metadata.entry_points() would fail as a whole over one damaged file.
        try:
            if GROUP not in (dist.read_text("entry_points.txt") or ""):
                continue
            names.add(dist.metadata["Name"] or "")
        except Exception as error:  # noqa: BLE001
            yield _unreadable(f"a distribution in {dist.locate_file('')}", error)
    for name in sorted(names, key=_normal):
        try:
            dist = distribution(name)  # of several versions on the path, the one that Python imports
            version = dist.version
            points = sorted((point for point in dist.entry_points if point.group == GROUP), key=lambda p: p.name)
        except Exception as error:  # noqa: BLE001
            yield _unreadable(name or "(no name)", error)
            continue
        for point in points:
            origin = PluginOrigin(distribution=name, version=version, entry_point=point.name)
            yield FoundPlugin(origin=origin, distribution=dist, entry_point=point)


def _unreadable(distribution_name: str, error: Exception) -> FoundPlugin:
    origin = PluginOrigin(distribution=distribution_name, version="?", entry_point="?")
    return FoundPlugin(
        origin=origin,
        error=PluginLoadError(f"{origin} has unreadable metadata: {describe(error)}.", hint=_ADVICE),
    )


def _import(entry_point: EntryPoint, origin: PluginOrigin) -> object:
    try:
        plugin: object = entry_point.load()
    except KeyboardInterrupt:
        raise
    # A module that calls sys.exit() or worse at import must not end the host.
    except BaseException as error:
        raise PluginLoadError(f"{origin} cannot be imported: {describe(error)}.", hint=_ADVICE) from error
    return plugin


def _append_distinfo(manager: pluggy.PluginManager, plugin: object, dist: Distribution) -> None:
    # Without it list_plugin_distinfo() stays empty; pluggy offers no public way for loaders other than its own.
    # Since 1.7 it keeps plain distributions, before that wrapped ones.
    entry: object = dist
    if not hasattr(manager, "list_plugin_distributions"):
        entry = importlib.import_module("pluggy._manager").DistFacade(dist)
    distinfo: list[object] = manager._plugin_distinfo  # type: ignore[assignment]  # noqa: SLF001
    distinfo.append((plugin, entry))


def describe(error: BaseException) -> str:
    """Put an exception into one short line; its own text may be of any length, or fail itself."""
    try:
        text = str(error)[: 2 * _MOST_TEXT]
    except Exception:  # noqa: BLE001
        text = ""
    text = " ".join(text.split()).rstrip(".")
    if len(text) > _MOST_TEXT:
        text = f"{text[:_MOST_TEXT]}..."
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name.strip()).lower()


def _split(setting: str) -> list[str]:
    return [name.strip() for name in setting.split(",") if name.strip()]
