# SPDX-License-Identifier: Apache-2.0
"""The processors a libllama can compute on, and the choice of one by name.

`list_devices` asks in a child process, because drivers of graphics cards crash and hang. `find_device` asks here, for a
process that is about to load a model on the device anyway.
"""

from __future__ import annotations

import ctypes
import dataclasses
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from ctypes import c_char_p, c_int, c_size_t, c_void_p
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from qwen_asr_native.errors import DeviceError, NativeError
from qwen_asr_native.ggml import Ggml
from qwen_asr_native.library import Library
from qwen_asr_native.loading import open_library
from qwen_asr_native.probe import describe_exit, interpreter_command, run_child

__all__ = ["CPU", "Device", "DeviceKind", "FoundDevice", "find_device", "list_devices"]

DeviceKind = Literal["cpu", "gpu", "igpu", "accelerator", "other"]

_TIMEOUT_S: Final = 30.0
_KINDS: Final[tuple[DeviceKind, ...]] = ("cpu", "gpu", "igpu", "accelerator")
_KINDS_2025_08: Final[tuple[DeviceKind, ...]] = ("cpu", "gpu", "accelerator")
_AFTER_2025_08: Final = "llama_flash_attn_type_name"
"""A function that came (llama.cpp #15434) days before integrated GPUs took the number of accelerators (#15797)."""

_ALIASES: Final = {"metal": "mtl", "mtl": "metal"}
"""Metal devices are called ``Metal`` by older builds and ``MTL0`` by newer ones."""

_IK_PREFIXES: Final = {"CUDA": "cuda", "ROCm": "cuda", "Vulkan": "vk", "SYCL": "sycl", "CANN": "cann"}
_IK_HIDE: Final = {"CUDA": "CUDA_VISIBLE_DEVICES", "ROCm": "HIP_VISIBLE_DEVICES", "Vulkan": "GGML_VK_VISIBLE_DEVICES"}


@dataclass(frozen=True, kw_only=True)
class Device:
    """One processor a library can compute on.

    Attributes:
        name: What it is chosen by: ``CPU``, ``CUDA0``, ``Vulkan0``, ``MTL0`` ...
        description: What the driver calls it, empty when the library does not say.
        kind: ``accelerator`` works along with the CPU by itself (BLAS), ``igpu`` is a GPU in the processor that uses
            its memory, ``other`` is what this package does not know.
        backend: The part of the library that drives it: ``CPU``, ``CUDA``, ``Vulkan`` ...
        memory_free: Free memory in bytes, None when the library does not say.
        memory_total: All memory in bytes, None when the library does not say.
    """

    name: str
    description: str = ""
    kind: DeviceKind
    backend: str
    memory_free: int | None = None
    memory_total: int | None = None

    def describe(self) -> str:
        """A few words for a person, such as ``CUDA0 (NVIDIA L4, 21.6 of 22.0 GiB free)``."""
        facts = [self.description] if self.description else []
        if self.memory_free is not None and self.memory_total:
            facts.append(f"{self.memory_free / 2**30:.1f} of {self.memory_total / 2**30:.1f} GiB free")
        return f"{self.name} ({', '.join(facts)})" if facts else self.name

    def as_dict(self) -> dict[str, str | int | None]:
        """JSON types only."""
        return dataclasses.asdict(self)


CPU: Final = Device(name="CPU", kind="cpu", backend="CPU")
"""The processor, without asking a library for more about it."""


@dataclass(frozen=True, kw_only=True)
class FoundDevice:
    """A device of a loaded library.

    Attributes:
        device: The device.
        address: Its ``ggml_backend_dev_t`` in mainline libraries, 0 in ``ik`` ones.
        alone: Whether the library has no other GPU that it might use instead or as well.
    """

    device: Device
    address: int = 0
    alone: bool = True


def list_devices(path: str | os.PathLike[str], *, timeout: float = _TIMEOUT_S) -> list[Device]:
    """Ask a library in a child process which devices it can use on this computer, with their memory.

    Args:
        path: The library file (`ProviderReport.path`, `Library.path`).
        timeout: Seconds after which the driver counts as hung.

    Raises:
        DeviceError: The library cannot be loaded, or it or a driver crashed or hung; says in which call.
        LibraryError: No interpreter is known that could run the child process.
    """
    path = Path(path).resolve()
    command = interpreter_command("qwen_asr_native.devices", str(path))
    try:
        child = run_child(command, timeout=timeout)
    except subprocess.TimeoutExpired as expired:
        stage = _last_stage(expired.stdout or b"")
        raise DeviceError(
            f"{path}: listing the devices did not end within {timeout:g} s; it hangs in {stage}. "
            "Restart the computer or renew the driver, or compute on the CPU."
        ) from expired
    except OSError as error:
        raise DeviceError(f"{path}: cannot start {command[0]} to list the devices: {error}.") from error
    records = _records(child.stdout)
    for record in records:
        if "error" in record:
            raise DeviceError(f"{path}: no devices could be listed: {record['error']}")
    if not records or "devices" not in records[-1]:
        last = child.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
        said = f" It said: {last[0]}" if last else ""
        raise DeviceError(
            f"{path}: listing the devices ended with {describe_exit(child.returncode)} in "
            f"{_last_stage(child.stdout)}.{said} "
            "The driver of the device is probably broken or too old: renew it, or compute on the CPU."
        )
    return [Device(**values) for values in records[-1]["devices"]]


def find_device(library: Library, wanted: str) -> FoundDevice:
    """The device of a loaded library that a user means.

    Args:
        library: The library that is going to use it.
        wanted: A device's name, its kind (``gpu`` is the first graphics card, else the first integrated GPU), or its
            backend (``cuda``, ``vulkan``, ``metal``: the first of them), in any case.

    Raises:
        DeviceError: There is none, or this library cannot put a model on it; lists what there is.
    """
    devices = list(_devices(Ggml(library.functions.handle, library.path), memory=False))
    found = _match([one.device for one in devices], wanted.strip().lower())
    if found is None:
        listing = ", ".join(one.device.describe() for one in devices)
        other = (
            ""
            if any(one.device.kind in ("gpu", "igpu") for one in devices)
            else (" It sees no GPU: choose a library that was built for yours, and check that its driver is installed.")
        )
        raise DeviceError(f"There is no device {wanted!r} for {library.describe()}. It can use: {listing}.{other}")
    chosen = devices[found]
    if chosen.device.kind == "accelerator":
        raise DeviceError(f"{chosen.device.name} works along with the CPU by itself and holds no layers: choose cpu.")
    gpus = [one.device for one in devices if one.device.kind != "cpu"]
    if library.verdict.family == "ik" and chosen.device in gpus[1:]:
        # It numbers the devices of a chosen list anew and then uses those numbers for the unlisted ones.
        hide = _IK_HIDE.get(chosen.device.backend)
        advice = f"start the program with {hide}=NUMBER, which makes one GPU the first" if hide else "use that one"
        raise DeviceError(
            f"{library.describe()} can put a model only on its first GPU, {gpus[0].name}, "
            f"not on {chosen.device.name}: {advice}, or choose a mainline library."
        )
    return dataclasses.replace(chosen, alone=len(gpus) == 1)


def main(arguments: Sequence[str]) -> int:
    """List the devices of the library ``arguments[0]``: one JSON object for each step, the list as the last."""
    if sys.platform == "win32":  # a crash must end the process, not open a dialog box and wait
        ctypes.windll.kernel32.SetErrorMode(0x0001 | 0x0002)
    path = Path(arguments[0])
    _say(stage="loading the library")
    try:
        ggml = Ggml(open_library(path), path)
        _say(stage="ggml_backend_load_all_from_path")
        ggml.load_backends()
        devices = [one.device for one in _devices(ggml, memory=True, step=lambda stage: _say(stage=stage))]
    except NativeError as error:
        _say(error=str(error))
        return 1
    _say(devices=[device.as_dict() for device in devices])
    return 0


def _match(devices: Sequence[Device], wanted: str) -> int | None:
    """Index of the device meant by a lower-case text."""
    if wanted == "gpu":
        local = [device.kind if device.backend != "RPC" else "other" for device in devices]
        return next((local.index(kind) for kind in ("gpu", "igpu") if kind in local), None)
    names = (wanted, _ALIASES.get(wanted))
    for attribute in ("name", "kind", "backend"):
        for index, device in enumerate(devices):
            if getattr(device, attribute).lower() in names:
                return index
    return None


def _devices(ggml: Ggml, *, memory: bool, step: Callable[[str], None] = lambda _: None) -> Iterator[FoundDevice]:
    """All devices. Asking for the memory makes some drivers allocate some of it.

    Args:
        ggml: The functions.
        memory: Whether to ask for the memory.
        step: Told which call comes next.
    """
    count = ggml.function("ggml_backend_dev_count", c_size_t)
    if count is None:
        yield from _devices_of_ik(ggml, memory=memory, step=step)
        return
    get = _needed(ggml, "ggml_backend_dev_get", c_void_p, c_size_t)
    name = _needed(ggml, "ggml_backend_dev_name", c_char_p, c_void_p)
    description = _needed(ggml, "ggml_backend_dev_description", c_char_p, c_void_p)
    kind = _needed(ggml, "ggml_backend_dev_type", c_int, c_void_p)
    backend = _needed(ggml, "ggml_backend_dev_backend_reg", c_void_p, c_void_p)
    backend_name = _needed(ggml, "ggml_backend_reg_name", c_char_p, c_void_p)
    size = _needed(ggml, "ggml_backend_dev_memory", None, c_void_p, c_void_p, c_void_p)
    kinds = _KINDS if ggml.function(_AFTER_2025_08, c_char_p, c_int) else _KINDS_2025_08
    step("ggml_backend_dev_count")
    for index in range(count()):
        step(f"ggml_backend_dev_get({index})")
        address = get(index)
        device = _text(name(address))
        step(f"ggml_backend_dev_type({device})")
        number = kind(address)
        registry = backend(address)
        free, total = (None, None)
        about = _text(description(address))
        if memory:
            step(f"ggml_backend_dev_memory({device})")
            free, total = _memory(size, address)
        yield FoundDevice(
            device=Device(
                name=device,
                description=about,
                kind=kinds[number] if 0 <= number < len(kinds) else "other",
                backend=_text(backend_name(registry)) if registry else "",
                memory_free=free,
                memory_total=total,
            ),
            address=address,
        )


def _devices_of_ik(ggml: Ggml, *, memory: bool, step: Callable[[str], None]) -> Iterator[FoundDevice]:
    """The backends of ``ik``, which has one for each device and knows no kinds."""
    count = _needed(ggml, "ggml_backend_reg_get_count", c_size_t)
    name = _needed(ggml, "ggml_backend_reg_get_name", c_char_p, c_size_t)
    step("ggml_backend_reg_get_count")
    for index in range(count()):
        step(f"ggml_backend_reg_get_name({index})")
        device = _text(name(index))
        backend = device.rstrip("0123456789")
        number = int(device[len(backend) :] or 0)
        prefix = f"ggml_backend_{_IK_PREFIXES.get(backend)}_get_device"
        describe = ggml.function(f"{prefix}_description", None, c_int, c_void_p, c_size_t)
        about = ctypes.create_string_buffer(256)
        if describe is not None:
            step(f"{prefix}_description({device})")
            describe(number, about, len(about))
        size = ggml.function(f"{prefix}_memory", None, c_int, c_void_p, c_void_p) if memory else None
        free, total = (None, None)
        if size is not None:
            step(f"{prefix}_memory({device})")
            free, total = _memory(size, number)
        yield FoundDevice(
            device=Device(
                name=device,
                description=_text(about.value),
                kind="cpu" if device == "CPU" else "gpu",
                backend=backend,
                memory_free=free,
                memory_total=total,
            )
        )


def _memory(function: Callable[..., Any], device: int) -> tuple[int | None, int | None]:
    free, total = c_size_t(), c_size_t()
    function(device, ctypes.byref(free), ctypes.byref(total))
    return (free.value, total.value) if total.value else (None, None)


def _needed(ggml: Ggml, name: str, result: Any, *arguments: Any) -> Callable[..., Any]:
    function = ggml.function(name, result, *arguments)
    if function is None:
        raise DeviceError(f"The devices of this library cannot be listed: it does not export {name}.")
    return function


def _text(value: bytes | None) -> str:
    return (value or b"").decode("utf-8", "replace").strip()


def _say(**record: Any) -> None:
    sys.stdout.write(json.dumps(record) + "\n")
    sys.stdout.flush()


def _records(output: bytes) -> list[dict[str, Any]]:
    """What the child said; the library itself may print, too."""
    lines = (line for line in output.decode("utf-8", "replace").splitlines() if re.match(r'\{"\w+": .*\}$', line))
    return [json.loads(line) for line in lines]


def _last_stage(output: bytes) -> str:
    stages = [record["stage"] for record in _records(output) if "stage" in record]
    return stages[-1] if stages else "the start of the interpreter"
