# SPDX-License-Identifier: Apache-2.0
"""What an index of plugins says: reading it strictly, with the place of whatever is wrong in the message.

The published schema is ``docs/registry-index.schema.json``. Names that are not known are ignored, so that indexes may
say more to later readers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.tags import Tag
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from .errors import IndexInvalidError

__all__ = ["FORMAT", "DataPlace", "Release", "Wheel", "parse_index"]

FORMAT: Final = 1
"""Version of the index format. It is raised when older readers would misunderstand an index."""

PLATFORMS: Final = ("any", "linux", "macos", "windows")
"""First parts of platform words; a processor may follow: ``linux-x86_64``."""

_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_DISTRIBUTION = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_PLATFORM = re.compile(r"any|(linux|macos|windows)(-[a-z0-9_]+)?")
_WEB = re.compile(r"https?://\S+")
_WHEREABOUTS = re.compile(r"\{(user_data|user_cache|user_config|home)\}(/[^/{}]+)+")


@dataclass(frozen=True, kw_only=True)
class Wheel:
    """One wheel file, as an index describes it.

    Attributes:
        location: URL, or path relative to the index's own folder, as written in the index.
        filename: Its last part, unquoted.
        sha256: Lower-case hexadecimal digits.
        size: Bytes.
        distribution: From the file name, in its normal form.
        version: From the file name.
        tags: Interpreters and platforms it is made for, from the file name.
    """

    location: str
    filename: str
    sha256: str
    size: int
    distribution: str
    version: Version
    tags: frozenset[Tag]


@dataclass(frozen=True, kw_only=True)
class DataPlace:
    """A folder that a plugin fills and that stays when it is removed; `where` may begin with ``{user_data}``..."""

    what: str
    where: str


@dataclass(frozen=True, kw_only=True)
class Release:
    """One version of one plugin: an entry of an index.

    Attributes:
        name: What users type.
        distribution: The distribution to install, in its normal form.
        version: Its version.
        api_min: The oldest version of the subtitle contract that it works with.
        api_max: The newest one.
        python: Versions of Python it works with.
        platforms: Words such as ``any``, ``linux``, ``linux-x86_64``, ``macos-arm64``.
        wheels: Wheel files of the distribution itself.
        dependencies: Wheel files of everything it needs; None leaves that to the installer's own sources.
        summary: One line.
        licence: SPDX expression or text; empty where the index does not say.
        homepage: Web address; empty where the index does not say.
        yanked: Why the publisher withdrew it; None if that is not so.
        data: What it leaves behind when it is removed.
    """

    name: str
    distribution: str
    version: Version
    api_min: int
    api_max: int
    python: SpecifierSet
    platforms: tuple[str, ...]
    wheels: tuple[Wheel, ...]
    dependencies: tuple[Wheel, ...] | None
    summary: str
    licence: str
    homepage: str
    yanked: str | None
    data: tuple[DataPlace, ...]


def parse_index(content: bytes, source: str) -> tuple[Release, ...]:
    """Read the text of an index.

    Args:
        content: UTF-8 encoded JSON.
        source: Name of the index for messages.

    Raises:
        IndexInvalidError: It is not JSON, or not what the schema says.
    """
    try:
        data = json.loads(content.decode("utf-8-sig"), object_pairs_hook=_no_name_twice, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise _invalid(source, f"line {error.lineno}, column {error.colno}", f"{error.msg}; it is not JSON") from error
    except UnicodeDecodeError as error:
        raise _invalid(source, f"byte {error.start}", "not UTF-8") from error
    except RecursionError as error:
        raise _invalid(source, "the whole", "nested too deeply") from error
    except ValueError as error:
        raise _invalid(source, "the whole", str(error)) from error
    return _Reader(source).index(data)


def _invalid(source: str, place: str, problem: str) -> IndexInvalidError:
    return IndexInvalidError(
        f"is not a valid plugin index: {place}: {problem}.",
        path=source,
        hint="Report it to whoever publishes it, or leave this index out.",
    )


def _no_name_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the name {twice[:80]!r} occurs twice in one object")
    return found


def _no_constant(text: str) -> float:
    raise ValueError(f"{text} is not JSON")


class _Reader:
    def __init__(self, source: str) -> None:
        self._source = source

    def index(self, data: object) -> tuple[Release, ...]:
        index = self._object(data, "the whole")
        version = self._integer(index, "format", "format", 1)
        if version > FORMAT:
            raise IndexInvalidError(
                f"is a plugin index of format {version}; this program reads formats up to {FORMAT}.",
                path=self._source,
                hint="Upgrade subtitle-hooks: pip install --upgrade subtitle-hooks",
            )
        releases = tuple(
            self._release(self._object(entry, f"plugins[{number}]"), f"plugins[{number}]")
            for number, entry in enumerate(self._array(index, "plugins", "plugins"))
        )
        seen: dict[tuple[str, Version], int] = {}
        owners: dict[str, str] = {}
        for number, release in enumerate(releases):
            first = seen.setdefault((release.name, release.version), number)
            if first != number:
                self._fail(f"plugins[{number}]", f"{release.name} {release.version} is plugins[{first}] already")
            if owners.setdefault(release.name, release.distribution) != release.distribution:
                self._fail(
                    f"plugins[{number}].distribution",
                    f"{release.name!r} is {owners[release.name]!r} further up",
                )
        return releases

    def _release(self, entry: Mapping[str, Any], place: str) -> Release:
        distribution = canonicalize_name(
            self._text(entry, "distribution", place, lambda text: bool(_DISTRIBUTION.fullmatch(text)), "a name")
        )
        version = self._version(entry, place)
        api = self._object(self._value(entry, "api_version", place), f"{place}.api_version")
        api_min = self._integer(api, "min", f"{place}.api_version.min", 1)
        api_max = self._integer(api, "max", f"{place}.api_version.max", 1)
        if api_max < api_min:
            self._fail(f"{place}.api_version", "max is less than min")
        platforms = self._array(entry, "platforms", f"{place}.platforms")
        for number, word in enumerate(platforms):
            if not isinstance(word, str) or not _PLATFORM.fullmatch(word):
                self._fail(
                    f"{place}.platforms[{number}]", "must be any, linux, macos or windows, and may name a processor"
                )
        if not platforms:
            self._fail(f"{place}.platforms", "must not be empty")
        wheels = self._wheels(entry, "wheels", place)
        if not wheels:
            self._fail(f"{place}.wheels", "must not be empty")
        for number, wheel in enumerate(wheels):
            if (wheel.distribution, wheel.version) != (distribution, version):
                self._fail(f"{place}.wheels[{number}].location", f"is not a wheel of {distribution} {version}")
        return Release(
            name=self._text(entry, "name", place, lambda text: bool(_NAME.fullmatch(text)), "lower-case-with-hyphens"),
            distribution=distribution,
            version=version,
            api_min=api_min,
            api_max=api_max,
            python=self._python(entry, place),
            platforms=tuple(platforms),
            wheels=wheels,
            dependencies=self._wheels(entry, "dependencies", place) if "dependencies" in entry else None,
            summary=self._text(entry, "summary", place, _one_line, "one line of at most 500 characters"),
            licence=self._text(entry, "licence", place, _one_line, "one line of at most 500 characters", optional=True),
            homepage=self._text(
                entry, "homepage", place, lambda text: bool(_WEB.fullmatch(text)), "a web address", optional=True
            ),
            yanked=self._text(entry, "yanked", place, _one_line, "the reason, in one line", optional=True)
            if "yanked" in entry
            else None,
            data=self._data(entry, place),
        )

    def _version(self, entry: Mapping[str, Any], place: str) -> Version:
        text = self._text(entry, "version", place, _one_line, "a version")
        try:
            return Version(text)
        except InvalidVersion:
            self._fail(f"{place}.version", "is not a version as PEP 440 has them")

    def _python(self, entry: Mapping[str, Any], place: str) -> SpecifierSet:
        text = self._text(entry, "python", place, lambda _: True, "a version range")
        try:
            return SpecifierSet(text)
        except InvalidSpecifier:
            self._fail(f"{place}.python", "is not a version range such as >=3.10,<4")

    def _data(self, entry: Mapping[str, Any], place: str) -> tuple[DataPlace, ...]:
        places = []
        for number, item in enumerate(self._array(entry, "data", f"{place}.data") if "data" in entry else []):
            here = f"{place}.data[{number}]"
            item = self._object(item, here)
            what = self._text(item, "what", here, _one_line, "one line of at most 500 characters")
            where = self._text(
                item, "where", here, _is_whereabouts, "a path below {user_data}, {user_cache}, {user_config} or {home}"
            )
            places.append(DataPlace(what=what, where=where))
        return tuple(places)

    def _wheels(self, entry: Mapping[str, Any], field: str, place: str) -> tuple[Wheel, ...]:
        return tuple(
            self._wheel(self._object(item, f"{place}.{field}[{number}]"), f"{place}.{field}[{number}]")
            for number, item in enumerate(self._array(entry, field, f"{place}.{field}"))
        )

    def _wheel(self, item: Mapping[str, Any], place: str) -> Wheel:
        from urllib.parse import unquote, urlsplit

        location = self._text(item, "location", place, _one_line_any_length, "a path or URL")
        sha256 = self._text(
            item, "sha256", place, lambda text: bool(_SHA256.fullmatch(text)), "64 lower-case hexadecimal digits"
        )
        size = self._integer(item, "size", f"{place}.size", 1)
        try:
            filename = unquote(urlsplit(location).path).replace("\\", "/").rsplit("/", 1)[-1]
            distribution, version, _, tags = parse_wheel_filename(filename)
        except (InvalidWheelFilename, InvalidVersion, ValueError):
            self._fail(f"{place}.location", "does not end with the name of a wheel file")
        return Wheel(
            location=location,
            filename=filename,
            sha256=sha256,
            size=size,
            distribution=distribution,
            version=version,
            tags=tags,
        )

    def _fail(self, place: str, problem: str) -> NoReturn:
        raise _invalid(self._source, place, problem)

    def _value(self, data: Mapping[str, Any], field: str, place: str) -> Any:
        if field not in data:
            self._fail(place, f"{field!r} is missing")
        return data[field]

    def _object(self, value: object, place: str) -> Mapping[str, Any]:
        if not isinstance(value, dict):
            self._fail(place, "must be an object")
        return value

    def _array(self, data: Mapping[str, Any], field: str, place: str) -> list[Any]:
        value = self._value(data, field, place.rpartition(".")[0] or "the whole")
        if not isinstance(value, list):
            self._fail(place, "must be an array")
        return value

    def _integer(self, data: Mapping[str, Any], field: str, place: str, least: int) -> int:
        value = self._value(data, field, place.rpartition(".")[0] or "the whole")
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            self._fail(place, f"must be a whole number from {least}")
        return value

    def _text(
        self,
        data: Mapping[str, Any],
        field: str,
        place: str,
        fits: Callable[[str], bool],
        expected: str,
        *,
        optional: bool = False,
    ) -> str:
        if optional and field not in data:
            return ""
        value = self._value(data, field, place)
        if not isinstance(value, str) or not fits(value):
            self._fail(f"{place}.{field}", f"must be {expected}")
        return value


def _one_line(text: str) -> bool:
    return len(text) <= 500 and _one_line_any_length(text)


def _one_line_any_length(text: str) -> bool:
    # Control characters would let an index write on the terminal what it likes.
    return bool(text.strip()) and text.isprintable()


def _is_whereabouts(text: str) -> bool:
    return bool(_WHEREABOUTS.fullmatch(text)) and text.isprintable() and ".." not in text.split("/")
