# SPDX-License-Identifier: Apache-2.0
"""The commands of ``subtitle-host plugins`` that use plugin indexes: search, show, install..."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any

from ._action import Action
from ._console import ByteProgress, age, megabytes
from ._list import table

if TYPE_CHECKING:
    # The registry is imported when one of its commands runs: it would slow down the others.
    from subtitle_hooks.registry import Index, Installation, RegistryError, Release, Removal

__all__ = ["DOCTOR", "INSTALL", "REMOVE", "SEARCH", "SHOW", "UPDATE"]

_INSTALL_EPILOG = """\
examples:
  subtitle-host plugins install qwen-asr                       from the configured indexes
  subtitle-host plugins install --index wheels/ qwen-asr       from a folder of wheels, without network
  subtitle-host plugins install qwen-asr==0.1.0 --dry-run      what would change

Everything is checked before anything changes: contract version, Python, platform, SHA-256, withdrawn versions.
Afterwards a fresh process loads the plugin; if that fails, what was there before is put back.

exit status: 61-66 the index, 67-71 the plugin does not fit, 72-73 the installer, 74 installing failed,
             75 it did not work and was taken back, 130 stopped with Ctrl-C and taken back
"""


def _index_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--index",
        action="append",
        default=[],
        metavar="WHERE",
        help="file, folder or http(s) URL of a plugin index instead of the configured ones; may be repeated",
    )
    add("--offline", action="store_true", help="use the kept copies of indexes")


def _read(arguments: argparse.Namespace) -> list[Index]:
    from subtitle_hooks.registry import configured_indexes, read_index

    indexes = []
    for location in configured_indexes(arguments.index):
        index = read_index(location, offline=arguments.offline, keep=not arguments.dry_run)
        if index.note:
            when = "" if index.age_s is None else f" ({age(index.age_s)} old)"
            print(f"subtitle-host: {index.name}: {index.note}{when}", file=sys.stderr)
        indexes.append(index)
    return indexes


def _add_search(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("words", nargs="*", metavar="WORD", help="must occur in name or summary (default: list all)")
    _index_arguments(parser)


def _search(arguments: argparse.Namespace) -> int:
    from subtitle_hooks.registry import installed_plugins, listed

    indexes = _read(arguments)
    installed = {one.distribution: one.version for one in installed_plugins()}
    words = [word.casefold() for word in arguments.words]
    found = []
    for name in sorted({release.name for index in indexes for release in index.releases}):
        place = listed(name, indexes)
        release, problem = place.best()
        text = f"{release.name} {release.distribution} {release.summary}".casefold()
        if all(word in text for word in words):
            found.append((place.index, release, problem))
    if arguments.json:
        data = [_release_data(*one, installed.get(one[1].distribution)) for one in found]
        print(json.dumps(data, indent=2))
        return 0
    if not found:
        print("No listed plugin fits these words." if words else "The indexes list no plugin.")
        return 0
    rows = [("PLUGIN", "VERSION", "INSTALLED", "SUMMARY")]
    for _, release, problem in found:
        note = f" (does not fit here, code {problem.code})" if problem else ""
        rows.append(
            (release.name, str(release.version), installed.get(release.distribution, "-"), f"{release.summary}{note}")
        )
    print(table(rows))
    return 0


def _add_show(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="plugin or distribution")
    _index_arguments(parser)


def _show(arguments: argparse.Namespace) -> int:
    from subtitle_hooks.registry import installed_plugins, listed, parse_requirement, problem_with

    wanted = parse_requirement(arguments.name)
    place = listed(wanted.name, _read(arguments))
    release, problem = place.best()
    if wanted.version is not None:
        release = next((one for one in place.releases if one.version == wanted.version), release)
        problem = problem_with(release, place.index)
    version = {one.distribution: one.version for one in installed_plugins()}.get(release.distribution)
    data = _release_data(place.index, release, problem, version)
    data["versions"] = [str(one.version) for one in place.releases]
    if arguments.json:
        print(json.dumps(data, indent=2))
        return 0
    rows = [
        ("name", release.name),
        ("distribution", release.distribution),
        ("version", f"{release.version} (listed: {', '.join(data['versions'])})"),
        ("installed", version or "no"),
        ("summary", release.summary),
        ("licence", release.licence or "not given"),
        ("homepage", release.homepage or "not given"),
        ("contract", f"version {release.api_min} to {release.api_max}"),
        ("python", str(release.python)),
        ("platforms", ", ".join(release.platforms)),
        (
            "size",
            f"{megabytes(data['size'])}, with what it needs {megabytes(data['size_with_dependencies'])}"
            if release.dependencies is not None
            else megabytes(data["size"]),
        ),
        ("index", place.index.name),
        ("fits here", "yes" if problem is None else f"no: {problem.what}"),
    ]
    print(table(rows))
    return 0


def _add_install(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="+", metavar="NAME", help="plugin or distribution; NAME==VERSION takes that one")
    _index_arguments(parser)
    parser.add_argument("--quiet", "-q", action="store_true", help="no progress")


def _install(arguments: argparse.Namespace) -> int:
    from subtitle_hooks.registry import install, parse_requirement

    wanted = [parse_requirement(name) for name in arguments.names]
    indexes = _read(arguments)
    done = []
    for one in wanted:
        with ByteProgress(quiet=arguments.quiet) as progress:
            done.append(
                install(one, indexes, dry_run=arguments.dry_run, on_bytes=progress.bytes_done, on_stage=progress.stage)
            )
        if not arguments.json:
            _print_installation(done[-1])
    if arguments.json:
        print(json.dumps([_installation_data(one) for one in done], indent=2))
    return 0


def _add_update(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="*", metavar="NAME", help="installed plugin (default: every one that is listed)")
    _index_arguments(parser)
    parser.add_argument("--quiet", "-q", action="store_true", help="no progress")


def _update(arguments: argparse.Namespace) -> int:
    from subtitle_hooks import SubtitleError
    from subtitle_hooks.registry import PluginNotListedError, installed_plugins, update

    indexes = _read(arguments)
    names = arguments.names or [one.distribution for one in installed_plugins()]
    done: list[dict[str, Any]] = []
    failures: list[SubtitleError] = []
    for name in names:
        try:
            with ByteProgress(quiet=arguments.quiet) as progress:
                found = update(
                    name, indexes, dry_run=arguments.dry_run, on_bytes=progress.bytes_done, on_stage=progress.stage
                )
        except PluginNotListedError as error:
            if arguments.names:
                raise
            done.append({"name": name, "state": "not listed", "what": error.what})
            text = f"{name}: in none of the indexes"
        except SubtitleError as error:
            if arguments.names:
                raise
            # With all plugins, one that cannot be updated does not keep the others.
            failures.append(error)
            done.append({"name": name, "state": "failed", "code": error.code, "what": error.what})
            text = f"{name}: {error}"
        else:
            done.append({"name": name, "state": "up to date"} if found is None else _installation_data(found))
            text = f"{name}: up to date" if found is None else ""
        if not arguments.json:
            if text:
                print(text)
            else:
                assert found is not None
                _print_installation(found)
    if arguments.json:
        print(json.dumps(done, indent=2))
    elif not names:
        print("No plugin is installed.")
    return failures[0].code if failures else 0


def _add_remove(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="+", metavar="NAME", help="installed plugin, its distribution or its backend")
    _index_arguments(parser)


def _remove(arguments: argparse.Namespace) -> int:
    from subtitle_hooks import SubtitleError
    from subtitle_hooks.registry import remove

    try:
        indexes = _read(arguments)
    except SubtitleError:
        indexes = []  # removing works without; only what stays behind is then not known
    done = []
    for name in arguments.names:
        done.append(remove(name, indexes, dry_run=arguments.dry_run))
        if not arguments.json:
            _print_removal(done[-1])
    if arguments.json:
        print(json.dumps([_removal_data(one) for one in done], indent=2))
    return 0


def _doctor(arguments: argparse.Namespace) -> int:
    from subtitle_hooks.registry import examine

    findings = examine(arguments.index, offline=arguments.offline)
    if arguments.json:
        print(json.dumps([vars(one) for one in findings], indent=2))
    else:
        print(table([(one.level, one.subject, one.text) for one in findings]))
    return 1 if any(one.level == "problem" for one in findings) else 0


def _release_data(
    index: Index, release: Release, problem: RegistryError | None, installed: str | None
) -> dict[str, Any]:
    size = sum(wheel.size for wheel in release.wheels)
    return {
        "name": release.name,
        "distribution": release.distribution,
        "version": str(release.version),
        "installed": installed,
        "summary": release.summary,
        "licence": release.licence,
        "homepage": release.homepage,
        "api_version": {"min": release.api_min, "max": release.api_max},
        "python": str(release.python),
        "platforms": list(release.platforms),
        "size": size,
        "size_with_dependencies": size + sum(wheel.size for wheel in release.dependencies or ()),
        "yanked": release.yanked,
        "index": index.name,
        "index_age_s": index.age_s,
        "fits": problem is None,
        "problem": None if problem is None else {"code": problem.code, "what": problem.what, "hint": problem.hint},
    }


def _installation_data(done: Installation) -> dict[str, Any]:
    return {
        "name": done.release.name,
        "distribution": done.release.distribution,
        "version": str(done.release.version),
        "index": done.index.name,
        "index_age_s": done.index.age_s,
        "state": "would be installed" if done.changes and done.dry_run else "installed",
        "dry_run": done.dry_run,
        "changes": [
            {"distribution": one.distribution, "old": one.old, "new": one.new, "sha256": one.sha256}
            for one in done.changes
        ],
        "passed_over": [{"code": one.code, "what": one.what} for one in done.passed_over],
        "backends": [one.name for one in done.backends],
    }


def _print_installation(done: Installation) -> None:
    who = f"{done.release.name} {done.release.version}"
    for problem in done.passed_over:
        print(f"passed over: {problem.what}")
    if not done.changes:
        print(f"{who} is installed already.")
        return
    print(f"{who} would be installed:" if done.dry_run else f"{who} is installed and works:")
    for one in done.changes:
        print(f"  {one.distribution} {f'{one.old} -> ' if one.old else ''}{one.new}")
    if done.backends:
        print(f"backends: {', '.join(one.name for one in done.backends)}")


def _removal_data(done: Removal) -> dict[str, Any]:
    return {
        "distribution": done.plugin.distribution,
        "version": done.plugin.version,
        "dry_run": done.dry_run,
        "data_known": done.data_known,
        "data": [{"what": one.what, "path": str(one.path), "size": one.size} for one in done.data],
        "dependencies": list(done.dependencies),
    }


def _print_removal(done: Removal) -> None:
    print(f"{done.plugin.distribution} {done.plugin.version} {'would be' if done.dry_run else 'is'} removed.")
    for one in done.data:
        print(f"left behind: {one.what}: {one.path} ({megabytes(one.size)})")
    if not done.data_known:
        print("No index says whether it leaves models or caches; see its documentation.")
    elif not done.data:
        print("It left no models or caches.")
    if done.dependencies:
        names = " ".join(done.dependencies)
        print(f"left behind: packages that nothing else needs; to remove them too: pip uninstall {names}")


SEARCH = Action(
    name="search",
    summary="search the plugin indexes",
    description="List the plugins of the configured indexes whose name or summary has all the words.",
    add_arguments=_add_search,
    run=_search,
)
SHOW = Action(name="show", summary="everything an index says about a plugin", add_arguments=_add_show, run=_show)
INSTALL = Action(
    name="install",
    summary="install a plugin and prove that it works",
    description="Install plugins into this Python environment, or leave it exactly as it was.",
    epilog=_INSTALL_EPILOG,
    add_arguments=_add_install,
    run=_install,
)
UPDATE = Action(
    name="update",
    summary="install newer versions of installed plugins",
    description="Install newer versions of installed plugins; one that does not work is taken back.",
    add_arguments=_add_update,
    run=_update,
)
REMOVE = Action(
    name="remove",
    summary="uninstall a plugin and say what stays",
    description="Uninstall plugins. Models, caches and other packages stay; what and where is said.",
    add_arguments=_add_remove,
    run=_remove,
)
DOCTOR = Action(
    name="doctor",
    summary="look for what keeps plugins from working",
    description="Look at Python, installer, indexes and every plugin. Exit status 1 if something is wrong.",
    add_arguments=_index_arguments,
    run=_doctor,
)
