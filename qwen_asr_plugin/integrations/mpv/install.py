# SPDX-License-Identifier: Apache-2.0
"""Putting the script where mpv finds it, and taking it away, without ever touching what somebody has changed."""

from __future__ import annotations

import hashlib
import sys
import sysconfig
from dataclasses import dataclass
from importlib import metadata, resources
from pathlib import Path
from typing import Final

from subtitle_hooks import OutputError, OutputExistsError, OutputNotWritableError, new_file

from .places import config_folder

__all__ = ["Installed", "install_script", "script_path", "script_text", "uninstall_script"]

_NAME: Final = "qwen-asr.lua"
_PROGRAM: Final = "qwen-asr-plugin"
_PROGRAM_LINE: Final = f'    command = "{_PROGRAM}",\n'
_STAMP: Final = "-- Installed by qwen-asr-plugin {version}. SHA-256 of all lines below: {checksum}\n"


@dataclass(frozen=True, kw_only=True)
class Installed:
    """What `install_script` did.

    Attributes:
        path: The script.
        command: The program that the script starts.
        changed: False if the script was there like this already.
    """

    path: Path
    command: Path
    changed: bool


def script_path(folder: Path | None = None) -> Path:
    """Return where the script belongs below mpv's configuration folder; None searches that."""
    return (config_folder() if folder is None else folder) / "scripts" / _NAME


def script_text(command: Path) -> str:
    """Return the script that starts `command`, with a first line by which it is known to be unchanged."""
    template = resources.files(__package__).joinpath(_NAME).read_text(encoding="utf-8")
    before, line, after = template.partition(_PROGRAM_LINE)
    if not line:
        raise OutputError("The script of this installation is damaged.", hint="Install qwen-asr-plugin again.")
    body = f"{before}    command = {_lua_text(str(command))},\n{after}"
    stamp = _STAMP.format(version=metadata.version(_PROGRAM), checksum=_checksum(body.encode("utf-8")))
    return stamp + body


def install_script(folder: Path | None = None, *, force: bool = False) -> Installed:
    """Put the script into mpv's configuration folder.

    Args:
        folder: mpv's configuration folder; None is where mpv looks first. Missing folders are made.
        force: Replace a file that is not as this program wrote it.

    Raises:
        OutputExistsError: There is such a file, and `force` is off.
        OutputNotWritableError: The file system refuses.
    """
    path = script_path(folder)
    command = _program()
    content = script_text(command).encode("utf-8")
    present = _read(path)
    if present == content:
        return Installed(path=path, command=command, changed=False)
    if present is not None and not force and not _is_ours(present):
        raise OutputExistsError(
            "is not as this program writes it; left as it is.",
            path=path,
            hint="Your options belong into script-opts/qwen-asr.conf and your keys into input.conf; --force replaces "
            "the file.",
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputNotWritableError(
            f"This folder cannot be made ({error.strerror or error}).",
            path=path.parent,
            hint="Name mpv's folder with --config-dir.",
        ) from error
    with new_file(path.resolve(), overwrite=present is not None) as temporary:  # a link stays a link
        temporary.write_bytes(content)
    return Installed(path=path, command=command, changed=True)


def uninstall_script(folder: Path | None = None, *, force: bool = False) -> Path | None:
    """Remove the script.

    Returns:
        Where it was; None if it was not there.

    Raises:
        OutputExistsError: It is not as this program wrote it, and `force` is off.
        OutputNotWritableError: The file system refuses.
    """
    path = script_path(folder)
    present = _read(path)
    if present is None:
        return None
    if not force and not _is_ours(present):
        raise OutputExistsError(
            "is not as this program writes it; left as it is.", path=path, hint="--force removes it all the same."
        )
    try:
        path.unlink()
    except OSError as error:
        raise OutputNotWritableError(f"cannot be removed ({error.strerror or error}).", path=path) from error
    return path


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise OutputNotWritableError(f"cannot be read ({error.strerror or error}).", path=path) from error


def _is_ours(content: bytes) -> bool:
    """Say whether the first line's checksum is that of the others: whichever release wrote it."""
    stamp, _, body = content.partition(b"\n")
    return stamp.startswith(b"-- Installed by ") and stamp.endswith(f": {_checksum(body)}".encode())


def _checksum(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def _program() -> Path:
    """Find this program's own file, which does not depend on the PATH that mpv has."""
    suffix = ".exe" if sys.platform == "win32" else ""
    candidates = (Path(sysconfig.get_path("scripts")) / f"{_PROGRAM}{suffix}", Path(sys.argv[0]))
    for candidate in candidates:
        if candidate.stem == _PROGRAM and candidate.is_file():
            return candidate.absolute()
    raise OutputError(
        f"The program {_PROGRAM} is not in {candidates[0].parent}, and mpv would not find it.",
        hint="Install qwen-asr-plugin with pip, pipx or uv.",
    )


def _lua_text(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
