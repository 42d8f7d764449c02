# SPDX-License-Identifier: Apache-2.0
"""What ``qwen-asr-plugin tune`` has chosen: kept between runs, and used only where it still holds.

A choice is kept in ``tuning.json`` in the user's data folder, one for each model and machine. It holds as long as both
are the same and the same libraries are installed: with another library, or one more, it is unknown which is fastest.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import math
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from qwen_asr_model import Bundle
from qwen_asr_model.manifest import hash_file
from qwen_asr_native import LibraryNotFoundError
from qwen_asr_native.providers import ENVIRONMENT_VARIABLE, PROVIDERS, find
from qwen_asr_native.user_folders import data_folder
from qwen_asr_plugin.options import EngineOptions
from subtitle_hooks import OutputNotWritableError

from .machine import Machine, this_machine

__all__ = [
    "Applied",
    "Choice",
    "Configuration",
    "Found",
    "LibraryFile",
    "apply_choice",
    "choices_file",
    "deciding_option",
    "find_choice",
    "forget_choice",
    "installed_libraries",
    "model_digest",
    "store_choice",
]

_FORMAT: Final = "qwen-asr-tuning"
_VERSION: Final = 1
_MAX_BYTES: Final = 1 << 20
_UNREADABLE: Final = (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError)
"""What reading a file raises that is not one of ours."""


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """One way to run a model on the CPU.

    Attributes:
        provider: Where libllama comes from, one of `qwen_asr_native.providers.PROVIDERS`.
        lanes: Chunks recognised at the same time.
        threads_per_lane: Threads of each lane.
    """

    provider: str
    lanes: int
    threads_per_lane: int

    def describe(self) -> str:
        """Return it in words."""
        lanes = "1 lane" if self.lanes == 1 else f"{self.lanes} lanes"
        threads = "1 thread" if self.threads_per_lane == 1 else f"{self.threads_per_lane} threads"
        return f"{self.provider}, {lanes} of {threads}"

    def applied_to(self, options: EngineOptions) -> EngineOptions:
        """Return the options with this configuration in them."""
        threads = self.lanes * self.threads_per_lane
        return dataclasses.replace(options, libllama=self.provider, lanes=self.lanes, threads=threads)


@dataclass(frozen=True, kw_only=True)
class LibraryFile:
    """A library file as it was when it was measured."""

    path: str
    size: int
    mtime_ns: int
    sha256: str

    @classmethod
    def of(cls, path: Path) -> LibraryFile:
        """Look at a file.

        Raises:
            OSError: It cannot be read.
        """
        status = path.stat()
        return cls(path=str(path), size=status.st_size, mtime_ns=status.st_mtime_ns, sha256=hash_file(path))

    def is_still(self, path: Path) -> bool:
        """Whether a file has the same content; it is read only where its path, size or time of change differ."""
        try:
            status = path.stat()
            if (str(path), status.st_size, status.st_mtime_ns) == (self.path, self.size, self.mtime_ns):
                return True
            return status.st_size == self.size and hash_file(path) == self.sha256
        except OSError:
            return False


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The fastest configuration of a model on a machine, and what it was chosen from.

    Attributes:
        model: Name of the bundle.
        digest: See `model_digest`.
        machine: Where it was measured.
        libraries: Every library that was installed, by provider, usable or not.
        configuration: The one chosen; the default where nothing was faster.
        rtf: Seconds per second of audio, median.
        default_rtf: The same of the default configuration.
        date: When, ISO 8601 in UTC.
    """

    model: str
    digest: str
    machine: Machine
    libraries: Mapping[str, LibraryFile]
    configuration: Configuration
    rtf: float
    default_rtf: float
    date: str

    @property
    def gain(self) -> float:
        """How many times as fast as the default it was."""
        return self.default_rtf / self.rtf

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Choice:
        """Read what `dataclasses.asdict` made of one.

        Raises:
            KeyError, TypeError, ValueError: It is no such record.
        """
        made = cls(
            model=str(record["model"]),
            digest=str(record["digest"]),
            machine=Machine(**{**record["machine"], "features": tuple(record["machine"]["features"])}),
            libraries={str(name): LibraryFile(**facts) for name, facts in record["libraries"].items()},
            configuration=Configuration(**record["configuration"]),
            rtf=float(record["rtf"]),
            default_rtf=float(record["default_rtf"]),
            date=str(record["date"]),
        )
        chosen = made.configuration
        known = chosen.provider in made.libraries and chosen.provider in {provider.name for provider in PROVIDERS}
        if not known or not (_is_count(chosen.lanes) and _is_count(chosen.threads_per_lane)):
            raise ValueError(f"{chosen} cannot be")
        if not all(0 < value < math.inf for value in (made.rtf, made.default_rtf)):
            raise ValueError(f"{made.rtf} and {made.default_rtf} cannot be")
        return made


@dataclass(frozen=True, kw_only=True)
class Found:
    """What is known for a model on this machine.

    Attributes:
        choice: The one that holds; None where there is none.
        outdated: One that does not hold any more.
        note: Why there is none, or it does not hold: a clause for a person. Empty where nothing was ever chosen.
        damaged: The file cannot be used at all.
    """

    choice: Choice | None = None
    outdated: Choice | None = None
    note: str = ""
    damaged: bool = False


@dataclass(frozen=True, kw_only=True)
class Applied:
    """Options with what was chosen in them.

    Attributes:
        options: What to load the model with.
        configuration: Where the configuration comes from: ``default``, ``options`` or ``tuned DATE``.
        warnings: What the user should know.
    """

    options: EngineOptions
    configuration: str
    warnings: tuple[str, ...] = ()


def choices_file() -> Path:
    """Where the choices are kept."""
    return data_folder() / "tuning.json"


def model_digest(bundle: Bundle) -> str:
    """Return what tells the chosen encoder and decoder files of a bundle from others.

    It is made of their checksums in the manifest; where there is none, of their names and sizes.
    """
    chosen = {bundle.encoder_frontend, bundle.encoder_backend, bundle.llm}
    files = [entry for entry in bundle.files if bundle.path / entry.name in chosen]
    facts = sorted([entry.sha256 or f"{entry.name} {entry.size}" for entry in files])
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()


def installed_libraries() -> dict[str, Path]:
    """Return the library file of every provider that is installed, usable or not, in the order of preference."""
    found = {}
    for provider in PROVIDERS:
        with contextlib.suppress(LibraryNotFoundError):
            found[provider.name] = find(provider).path
    return found


def deciding_option(options: EngineOptions) -> str:
    """Return what the user has set so that nothing is chosen for him; empty where there is no such thing."""
    on_cpu = options.device is None or options.device.lower() == "cpu"
    decided = {
        "libllama": options.libllama is not None,
        ENVIRONMENT_VARIABLE: bool(os.environ.get(ENVIRONMENT_VARIABLE)),
        "lanes": options.lanes > 0,
        "threads": options.threads > 0,
        "device": not on_cpu,
        "gpu_layers": bool(options.gpu_layers),
        "onnx_provider": options.onnx_provider != "cpu",
    }
    return ", ".join(name for name, is_set in decided.items() if is_set)


def apply_choice(options: EngineOptions, bundle: Bundle) -> Applied:
    """Put what was chosen for a model into the options, unless an option says otherwise."""
    if deciding_option(options):
        return Applied(options=options, configuration="options")
    found = find_choice(bundle)
    if found.choice is None:
        warning = (f"The default configuration is used, because {found.note}.",) if found.damaged else ()
        return Applied(options=options, configuration="default", warnings=warning)
    choice = found.choice
    return Applied(options=choice.configuration.applied_to(options), configuration=f"tuned {choice.date[:10]}")


def find_choice(bundle: Bundle) -> Found:
    """Look up what was chosen for a bundle on this machine, with the libraries that are installed now."""
    try:
        choices = _read()
    except _UNREADABLE as error:
        reason = error.strerror if isinstance(error, OSError) else "it is damaged, or not of this program"
        return Found(note=f"{choices_file()} cannot be read ({reason}); `tune` writes it anew", damaged=True)
    digest = model_digest(bundle)
    fitting = [choice for choice in choices if choice.digest == digest]
    if not fitting:
        return Found()
    machine = this_machine()
    here = next((choice for choice in fitting if choice.machine == machine), None)
    if here is None:
        latest = max(fitting, key=lambda choice: choice.date)
        return Found(outdated=latest, note=_difference(latest.machine, machine))
    changed = _changed_libraries(here.libraries)
    return Found(outdated=here, note=changed) if changed else Found(choice=here)


def store_choice(choice: Choice) -> Path:
    """Keep a choice, in the place of an earlier one for the same model and machine. Returns the file.

    Raises:
        OutputNotWritableError: It cannot be written.
    """
    others = [kept for kept in _readable() if (kept.digest, kept.machine) != (choice.digest, choice.machine)]
    return _write([*others, choice])


def forget_choice(bundle: Bundle) -> bool:
    """Forget what was chosen for a bundle, on any machine; a damaged file is removed. Returns whether anything was.

    Raises:
        OutputNotWritableError: The file cannot be changed.
    """
    digest = model_digest(bundle)
    choices = _readable()
    left = [choice for choice in choices if choice.digest != digest]
    file = choices_file()
    if left and len(left) == len(choices):
        return False
    if left:
        _write(left)
        return True
    try:
        file.unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise _not_writable(file, error) from error
    return True


def _is_count(value: object) -> bool:
    return type(value) is int and 1 <= value <= 1024


def _difference(before: Machine, now: Machine) -> str:
    if before.processor != now.processor or before.features != now.features:
        return f"it was made on another processor ({before.processor})"
    return f"it was made with {before.cores} cores, and {now.cores} can be used now"


def _changed_libraries(before: Mapping[str, LibraryFile]) -> str:
    now = installed_libraries()
    for name in [*now, *before]:
        if name not in before:
            return f"{name} has been installed since"
        if name not in now:
            return f"{name} is not installed any more"
        if not before[name].is_still(now[name]):
            return f"the library of {name} has changed since"
    return ""


def _read() -> list[Choice]:
    file = choices_file()
    try:
        with file.open("rb") as opened:
            text = opened.read(_MAX_BYTES)
    except FileNotFoundError:
        return []
    content = json.loads(text)
    if (content["format"], content["version"]) != (_FORMAT, _VERSION):
        raise ValueError("another format")
    return [Choice.from_record(record) for record in content["choices"]]


def _readable() -> list[Choice]:
    try:
        return _read()
    except _UNREADABLE:
        return []


def _write(choices: list[Choice]) -> Path:
    file = choices_file()
    records = [dataclasses.asdict(choice) for choice in choices]
    text = json.dumps({"format": _FORMAT, "version": _VERSION, "choices": records}, indent=1)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=file.parent, prefix=".tuning-")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as opened:
                opened.write(text + "\n")
            Path(name).replace(file)  # in one step: whoever reads sees the old one or the new one
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise _not_writable(file, error) from error
    return file


def _not_writable(file: Path, error: OSError) -> OutputNotWritableError:
    return OutputNotWritableError(
        f"The choice cannot be kept: {error.strerror or error}.",
        path=file,
        hint="QWEN_ASR_DATA_DIR names another folder. `qwen-asr-plugin tune --dry-run` only measures.",
    )
