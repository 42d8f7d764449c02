# SPDX-License-Identifier: Apache-2.0
"""Write the index of a folder of wheels: ``python -m subtitle_hooks.registry.entry FOLDER``.

Every wheel with an entry point in the group ``subtitle_hooks`` becomes an entry, with the other wheels that it needs
as its dependencies. What an index holds already stays, unless it is the same version of the same plugin.
"""

from __future__ import annotations

import argparse
import configparser
import hashlib
import json
import os
import secrets
import sys
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from email.message import Message
from email.parser import BytesParser
from pathlib import Path
from typing import Any
from urllib.parse import quote

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import Version

from subtitle_hooks import API_VERSION, CancelledError, SubtitleError
from subtitle_hooks._discovery import GROUP

from ._index import FORMAT, PLATFORMS, parse_index
from ._resolve import MACHINES
from .errors import WheelFolderError

__all__ = ["main", "write_index"]

_FILE = "index.json"


@dataclass(frozen=True, kw_only=True)
class _WheelFile:
    path: Path
    distribution: str
    version: Version
    platforms: frozenset[str]
    metadata: Message
    plugins: tuple[str, ...]


def write_index(
    folder: Path,
    *,
    api: tuple[int, int] = (API_VERSION, API_VERSION),
    data: Sequence[tuple[str, str]] = (),
    yank: Sequence[tuple[str, str]] = (),
    open_ended: bool = False,
) -> tuple[Path, list[str]]:
    """Write ``index.json`` into a folder of wheels, or bring the one there up to date.

    Args:
        folder: Where the wheels lie; they are named relative to it.
        api: The oldest and the newest version of the contract that the plugins work with.
        data: What the plugins leave behind, as pairs of a word and a place such as ``{user_data}/my-plugin``.
        yank: Versions to withdraw, as pairs of ``NAME==VERSION`` and the reason.
        open_ended: Leave the dependencies to the installer's own sources instead of listing wheels.

    Returns:
        The file, and what was written into it, as ``NAME VERSION``.

    Raises:
        WheelFolderError: There is no plugin, a wheel cannot be read, or a dependency is missing.
        IndexInvalidError: The index that is there is not valid, or the result would not be.
    """
    wheels = [_read(path) for path in sorted(folder.glob("*.whl"))]
    plugins = [wheel for wheel in wheels if wheel.plugins]
    if not plugins:
        raise WheelFolderError(
            f"holds no wheel with an entry point in the group {GROUP}.", path=folder, hint="Build the plugin's wheel."
        )
    target = folder / _FILE
    entries: dict[tuple[str, str], dict[str, Any]] = {}
    if target.exists():
        content = target.read_bytes()
        parse_index(content, str(target))
        entries = {(one["name"], one["version"]): one for one in json.loads(content)["plugins"]}
    written = []
    by_version: dict[tuple[str, Version], list[_WheelFile]] = {}
    for wheel in plugins:
        by_version.setdefault((wheel.distribution, wheel.version), []).append(wheel)
    for own in by_version.values():
        needed = [] if open_ended else _needed(own, wheels)
        for name in own[0].plugins:
            entry = _entry(name, own, None if open_ended else needed, api, data)
            entries[name, entry["version"]] = entry
            written.append(f"{name} {entry['version']}")
    for which, reason in yank:
        name, _, version = which.partition("==")
        if (name, version) not in entries:
            raise WheelFolderError(f"{which} cannot be withdrawn: it is not in the index.", path=target)
        entries[name, version]["yanked"] = reason
    ordered = [entries[key] for key in sorted(entries, key=lambda key: (key[0], Version(key[1])))]
    text = json.dumps({"format": FORMAT, "plugins": ordered}, indent=2, ensure_ascii=False) + "\n"
    parse_index(text.encode(), str(target))
    draft = target.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        draft.write_text(text, encoding="utf-8", newline="\n")
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)
    return target, written


def _read(path: Path) -> _WheelFile:
    try:
        distribution, version, _, tags = parse_wheel_filename(path.name)
        with zipfile.ZipFile(path) as archive:
            info = next(
                name.split("/")[0]
                for name in archive.namelist()
                if name.count("/") == 1 and name.endswith(".dist-info/METADATA")
            )
            metadata = BytesParser().parsebytes(archive.read(f"{info}/METADATA"))
            points = configparser.ConfigParser(delimiters=("=",), interpolation=None)
            points.optionxform = str  # type: ignore[method-assign, assignment]
            if f"{info}/entry_points.txt" in archive.namelist():
                points.read_string(archive.read(f"{info}/entry_points.txt").decode("utf-8"))
    except (OSError, zipfile.BadZipFile, InvalidWheelFilename, StopIteration, configparser.Error, ValueError) as error:
        raise WheelFolderError(
            f"is not a wheel that can be read ({error or type(error).__name__}).", path=path, hint="Build it again."
        ) from error
    return _WheelFile(
        path=path,
        distribution=distribution,
        version=version,
        platforms=frozenset(_platform_word(tag.platform) for tag in tags),
        metadata=metadata,
        plugins=tuple(sorted(points[GROUP])) if points.has_section(GROUP) else (),
    )


def _needed(own: Sequence[_WheelFile], wheels: Sequence[_WheelFile]) -> list[_WheelFile]:
    """Collect the wheels of everything that `own` needs, on whatever platform, and miss nothing that this one needs."""
    by_name: dict[str, list[_WheelFile]] = {}
    for wheel in wheels:
        by_name.setdefault(wheel.distribution, []).append(wheel)
    seen = {own[0].distribution}
    missing: list[str] = []
    found: list[_WheelFile] = []
    waiting: list[_WheelFile] = list(own)
    while waiting:
        wheel = waiting.pop()
        for text in wheel.metadata.get_all("Requires-Dist", []):
            try:
                requirement = Requirement(text)
            except InvalidRequirement as error:
                raise WheelFolderError(f"has the requirement {text!r}, which is not valid.", path=wheel.path) from error
            name = canonicalize_name(requirement.name)
            if name in seen or "extra" in str(requirement.marker or ""):
                continue
            fitting = [one for one in by_name.get(name, []) if requirement.specifier.contains(one.version)]
            if not fitting:
                # A wheel of `os_name == "nt"` is not missed on Linux.
                if requirement.marker is None or requirement.marker.evaluate():
                    missing.append(text)
                continue
            seen.add(name)
            found += by_name[name]
            waiting += by_name[name]
    if missing:
        raise WheelFolderError(
            f"lacks wheels that {own[0].distribution} {own[0].version} needs: {', '.join(sorted(missing))}.",
            path=own[0].path.parent,
            hint="Add them: pip wheel --wheel-dir FOLDER FOLDER/*.whl (or leave them to the installer: --open-ended).",
        )
    return sorted(found, key=lambda one: one.path.name)


def _entry(
    name: str,
    own: Sequence[_WheelFile],
    needed: Sequence[_WheelFile] | None,
    api: tuple[int, int],
    data: Sequence[tuple[str, str]],
) -> dict[str, Any]:
    metadata = own[0].metadata
    licence = metadata.get("License-Expression") or metadata.get("License") or ""
    entry: dict[str, Any] = {
        "name": name,
        "distribution": own[0].distribution,
        "version": str(own[0].version),
        "summary": metadata.get("Summary") or own[0].distribution,
        "licence": licence.strip().splitlines()[0] if licence.strip() else "",
        "homepage": _homepage(metadata),
        "api_version": {"min": api[0], "max": api[1]},
        "python": metadata.get("Requires-Python") or ">=3",
        "platforms": _platforms([own, *_by_distribution(needed or ())]),
        "wheels": [_described(wheel) for wheel in own],
    }
    if needed is not None:
        entry["dependencies"] = [_described(wheel) for wheel in needed]
    if data:
        entry["data"] = [{"what": what, "where": where} for what, where in data]
    return {field: value for field, value in entry.items() if value != ""}


def _described(wheel: _WheelFile) -> dict[str, Any]:
    digest = hashlib.sha256()
    with wheel.path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return {
        "location": quote(wheel.path.name),
        "sha256": digest.hexdigest(),
        "size": wheel.path.stat().st_size,
    }


def _homepage(metadata: Message) -> str:
    urls = {
        label.strip().lower(): url.strip()
        for label, _, url in (str(line).partition(",") for line in metadata.get_all("Project-URL", []))
    }
    return str(metadata.get("Home-page") or urls.get("homepage") or next(iter(urls.values()), ""))


def _by_distribution(wheels: Iterable[_WheelFile]) -> list[list[_WheelFile]]:
    groups: dict[str, list[_WheelFile]] = {}
    for wheel in wheels:
        groups.setdefault(wheel.distribution, []).append(wheel)
    return list(groups.values())


def _platforms(groups: Sequence[Sequence[_WheelFile]]) -> list[str]:
    """Name the platforms for which every distribution has a wheel.

    A dependency that only some platforms need counts for all, so the list errs on the side of too few.
    """
    words = {word for group in groups for wheel in group for word in wheel.platforms} - {"any"}
    if not words:
        return ["any"]
    fitting = [
        word
        for word in sorted(words)
        if all(any({"any", word, word.partition("-")[0]} & wheel.platforms for wheel in group) for group in groups)
    ]
    if not fitting:
        raise WheelFolderError(
            "there is no platform for which every dependency has a wheel.", path=groups[0][0].path.parent
        )
    return fitting


def _platform_word(tag: str) -> str:
    """Turn a platform tag such as ``manylinux_2_17_x86_64`` into the word of indexes, ``linux-x86_64``."""
    if tag == "any":
        return "any"
    system = next((word for word in PLATFORMS if tag.startswith((word, f"many{word}", f"musl{word}"))), "")
    if tag.startswith("macosx"):
        system = "macos"
    if tag.startswith("win"):
        system = "windows"
    for machine in ("x86_64", "aarch64", "arm64", "amd64", "i686", "armv7l", "ppc64le", "s390x", "riscv64"):
        if tag.endswith(machine):
            return f"{system or 'linux'}-{MACHINES.get(machine, machine)}"
    return "windows-x86" if tag == "win32" else system or "linux"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m subtitle_hooks.registry.entry",
        description="Write index.json into a folder of wheels, so that plugins can be installed from it.",
    )
    add = parser.add_argument
    add("folder", type=Path, help="folder with the wheels of the plugin and of everything it needs")
    add("--api-version", default=str(API_VERSION), metavar="N[-M]", help="contract versions the plugins work with")
    add("--data", action="append", default=[], metavar="WHAT=WHERE", help="what a plugin leaves behind when removed")
    add("--yank", action="append", default=[], metavar="NAME==VERSION=REASON", help="withdraw a version")
    add("--open-ended", action="store_true", help="leave dependencies to the installer's own sources")
    try:
        arguments = parser.parse_args(argv)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 2
    least, _, most = arguments.api_version.partition("-")
    try:
        api = (int(least), int(most or least))
        data = [_pair(text, text.find("=")) for text in arguments.data]
        yank = [_pair(text, text.find("=", text.find("==") + 2)) for text in arguments.yank]
    except ValueError as error:
        print(f"entry: {error}", file=sys.stderr)
        return 2
    try:
        target, written = write_index(arguments.folder, api=api, data=data, yank=yank, open_ended=arguments.open_ended)
    except SubtitleError as error:
        print(f"entry: {error}", file=sys.stderr)
        return error.code
    except KeyboardInterrupt:
        return CancelledError.code
    print(f"{os.fspath(target)}: {', '.join(written)}")
    return 0


def _pair(text: str, equals: int) -> tuple[str, str]:
    if equals < 1 or equals == len(text) - 1:
        raise ValueError(f"{text!r} lacks its value: write NAME=VALUE")
    return text[:equals], text[equals + 1 :]


if __name__ == "__main__":
    sys.exit(main())
