# SPDX-License-Identifier: Apache-2.0
"""Loading each installed plugin in a process of its own, which may crash, hang or exit without harm to anybody."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from ._backends import InstalledBackend, conflicts
from ._discovery import BrokenPlugin, FoundPlugin, PluginOrigin, broken, find_plugins
from ._errors import (
    BackendFailedError,
    ContractViolationError,
    PluginError,
    PluginLoadError,
    RequestError,
)
from ._messages import BackendInfo
from ._validation import violation

__all__ = ["LIMIT_VARIABLE", "Verdict", "check_plugins", "sort_out"]

LIMIT_VARIABLE = "SUBTITLE_HOOKS_CHECK_SECONDS"
"""Environment variable: how long a plugin may take to load in a check, in seconds."""

_LIMIT_S = 7.0
_AT_ONCE = max(4, min(8, os.cpu_count() or 1))
_LOOK_EVERY_S = 0.01
_MOST_OUTPUT = 50_000
_ADVICE = "Update or uninstall it, or report this to its authors."
_ERRORS = {error.code: error for error in (PluginError, PluginLoadError, ContractViolationError, BackendFailedError)}

# The check must look where this program looks, whatever that was made of; what it needs itself was found already.
_START = """\
import json, sys
from pathlib import Path
request = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
if request["path"] is not None:
    sys.path[:] = request["path"] + request["needed"]
from subtitle_hooks._examine import main
if request["path"] is not None:
    sys.path[:] = request["path"]
main(request)
"""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What loading one plugin in a process of its own showed.

    Attributes:
        origin: Whose it is.
        backends: Its checked descriptors; empty if it is broken.
        broken: Why it must be left out, None if it may be used.
    """

    origin: PluginOrigin
    backends: tuple[BackendInfo, ...] = ()
    broken: BrokenPlugin | None = None


def check_plugins(*, fresh: bool = False) -> list[Verdict]:
    """Load every chosen plugin in a process of its own, side by side, and say how each of them did.

    A plugin may take seven seconds, or as many as ``SUBTITLE_HOOKS_CHECK_SECONDS`` says.

    Args:
        fresh: Look at the whole environment as a program started now would find it: with Python's own search path
            instead of this process's, and all plugins whatever ``SUBTITLE_HOOKS_PLUGINS`` says.

    Raises:
        PluginError: This program cannot start a Python process.
        RequestError: ``SUBTITLE_HOOKS_CHECK_SECONDS`` is not a positive number.
    """
    limit_s = _limit_s()
    found = list(find_plugins(all_of_them=fresh))
    path = None if fresh else [os.path.abspath(part) for part in sys.path]  # noqa: PTH100 ('' is the working folder)
    verdicts: dict[int, Verdict] = {
        number: Verdict(origin=one.origin, broken=broken(one.origin, one.error))
        for number, one in enumerate(found)
        if one.error is not None
    }
    with tempfile.TemporaryDirectory(prefix="subtitle-hooks-", ignore_cleanup_errors=True) as folder:
        waiting = deque((number, one) for number, one in enumerate(found) if number not in verdicts)
        with _killed_at_the_end() as running:
            while waiting or running:
                while waiting and len(running) < _AT_ONCE:
                    number, one = waiting.popleft()
                    running[number] = _Child(one, Path(folder, str(number)), path, limit_s)
                for number, child in list(running.items()):
                    if child.ended():
                        verdicts[number] = child.verdict()
                        del running[number]
                time.sleep(_LOOK_EVERY_S if running else 0)
    return [verdicts[number] for number in sorted(verdicts)]


def sort_out(verdicts: Iterable[Verdict]) -> tuple[list[InstalledBackend], list[BrokenPlugin]]:
    """Divide into usable backends by name, and what is broken: also those whose names are offered twice."""
    verdicts = list(verdicts)
    offered = [InstalledBackend(info=info, origin=one.origin) for one in verdicts for info in one.backends]
    contested = conflicts(offered)
    usable = sorted((one for one in offered if one.name not in contested), key=lambda one: one.name)
    culprits = [one.broken for one in verdicts if one.broken is not None]
    culprits += [broken(origin, error) for origins, error in contested.values() for origin in origins]
    return usable, culprits


class _Child:
    """The process that loads one plugin."""

    def __init__(self, found: FoundPlugin, folder: Path, path: Sequence[str] | None, limit_s: float) -> None:
        self._origin = found.origin
        self._answer = folder / "answer.json"
        self._limit_s = limit_s
        self._late = False
        folder.mkdir()
        request = folder / "request.json"
        request.write_text(
            json.dumps(
                {
                    "path": path,
                    "needed": _needed(),
                    "distribution": found.origin.distribution,
                    "entry_point": found.origin.entry_point,
                    "answer": str(self._answer),
                    "limit_s": limit_s,
                }
            ),
            encoding="utf-8",
        )
        self._process = subprocess.Popen(
            [_interpreter(), "-B", "-c", _START, str(request)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for this program, and what a plugin starts can be ended with it
        )
        self._deadline = time.monotonic() + limit_s
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._printed = _Drain(self._process.stdout)
        self._said = _Drain(self._process.stderr)

    def ended(self) -> bool:
        if self._process.poll() is None:
            if time.monotonic() < self._deadline:
                return False
            self._late = True
        self.kill()
        return True

    def kill(self) -> None:
        """End the process and, where the system can tell, what it started."""
        with contextlib.suppress(OSError):
            if os.name == "nt":
                self._process.kill()
            else:
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def verdict(self) -> Verdict:
        printed, said = self._printed.text(), self._said.text()
        origin = self._origin
        if self._late:
            return self._broken(f"{origin} was still loading after {self._limit_s:g} s.", said)
        try:
            answer = json.loads(self._answer.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return self._broken(f"{origin} {_end(self._process.returncode)} while it was loaded.", said)
        if answer["broken"] is not None:
            problem = answer["broken"]
            error = _ERRORS.get(problem["code"], PluginError)(problem["what"], hint=problem["hint"])
            return Verdict(
                origin=origin, broken=BrokenPlugin(origin=origin, error=error, traceback=problem["traceback"])
            )
        if printed.strip():
            first = printed.strip().splitlines()[0][:80]
            error = violation(origin, f"it prints to standard output while it is loaded ({first!r})")
            return Verdict(origin=origin, broken=broken(origin, error))
        return Verdict(origin=origin, backends=tuple(_info(one) for one in answer["backends"]))

    def _broken(self, what: str, said: str) -> Verdict:
        error = PluginLoadError(what, hint=_ADVICE)
        return Verdict(
            origin=self._origin, broken=BrokenPlugin(origin=self._origin, error=error, traceback=said or str(error))
        )


class _Drain:
    """Reads a pipe to its end and keeps the last part, however much comes."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe = pipe
        self._kept = b""
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            while block := os.read(self._pipe.fileno(), 65536):
                self._kept = (self._kept + block)[-_MOST_OUTPUT:]

    def text(self) -> str:
        # A process that outlived the plugin's (where it cannot be ended) may still hold the other end.
        self._thread.join(timeout=1)
        if not self._thread.is_alive():
            self._pipe.close()
        return self._kept.decode("utf-8", "replace")


@contextlib.contextmanager
def _killed_at_the_end() -> Iterator[dict[int, _Child]]:
    running: dict[int, _Child] = {}
    try:
        yield running
    finally:
        for child in running.values():
            child.kill()


def _needed() -> list[str]:
    """The folders that this package and what it imports were found in."""
    names = (__name__.partition(".")[0], "pluggy", "srt")
    files = [Path(file) for file in (sys.modules[name].__file__ for name in names) if file]
    return list(dict.fromkeys(str(file.parents[1 if file.name == "__init__.py" else 0]) for file in files))


def _info(data: dict[str, Any]) -> BackendInfo:
    fields: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in data.items()}
    capabilities = frozenset(fields.pop("capabilities"))
    return BackendInfo(capabilities=capabilities, **fields)


def _end(status: int) -> str:
    if status < 0:
        try:
            return f"crashed with {signal.Signals(-status).name}"
        except ValueError:
            return f"was ended by signal {-status}"
    if status >= 0x80000000:
        return f"crashed with Windows status {status:#x}"
    return f"ended the process with status {status}"


def _limit_s() -> float:
    setting = os.environ.get(LIMIT_VARIABLE, "")
    if not setting:
        return _LIMIT_S
    try:
        limit_s = float(setting)
    except ValueError:
        limit_s = 0.0
    if not 0 < limit_s < float("inf"):
        raise RequestError(f"{LIMIT_VARIABLE} is {setting!r}, which is not a number of seconds.", hint="Use 30.")
    return limit_s


def _interpreter() -> str:
    # In a frozen program sys.executable is the program itself.
    if getattr(sys, "frozen", False) or not sys.executable:
        raise PluginError(
            "plugins cannot be checked: this program has no Python interpreter of its own to start.",
            hint="Use the host without the check.",
        )
    return sys.executable
