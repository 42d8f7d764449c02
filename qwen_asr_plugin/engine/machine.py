# SPDX-License-Identifier: Apache-2.0
"""Which processor this is and what it can do: what decides whether a measurement made once still holds."""

from __future__ import annotations

import platform
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from qwen_asr_native.cores import usable_cores

__all__ = ["Machine", "processor_name", "this_machine"]

_TELLING: Final = {
    "altivec",
    "amx_bf16",
    "amx_int8",
    "asimd",
    "asimddp",
    "asimdhp",
    "avx",
    "avx2",
    "avx512_bf16",
    "avx512_vbmi",
    "avx512_vnni",
    "avx512bw",
    "avx512f",
    "avx512vl",
    "avx_vnni",
    "bf16",
    "f16c",
    "fma",
    "i8mm",
    "sme",
    "sse4_1",
    "ssse3",
    "sve",
    "sve2",
    "vsx",
}
"""Instruction sets that matrix products are written for, as Linux names them."""

_MACOS: Final = {
    "hw.optional.avx2_0": "avx2",
    "hw.optional.avx512f": "avx512f",
    "hw.optional.avx512vnni": "avx512_vnni",
    "hw.optional.fma": "fma",
    "hw.optional.f16c": "f16c",
    "hw.optional.arm.FEAT_DotProd": "asimddp",
    "hw.optional.arm.FEAT_I8MM": "i8mm",
    "hw.optional.arm.FEAT_BF16": "bf16",
    "hw.optional.arm.FEAT_SME": "sme",
}
_WINDOWS: Final = {36: "ssse3", 39: "avx", 40: "avx2", 41: "avx512f", 43: "asimddp"}
"""Arguments of IsProcessorFeaturePresent (winnt.h)."""


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What the speed of the computation depends on.

    Attributes:
        processor: Name of the processor's model.
        features: Instruction sets that matter here, sorted, by Linux's names.
        cores: Physical cores that this process may use.
    """

    processor: str
    features: tuple[str, ...]
    cores: int


def this_machine() -> Machine:
    """Return what is known of the computer this runs on."""
    return Machine(processor=processor_name(), features=tuple(sorted(_features() & _TELLING)), cores=usable_cores())


def processor_name() -> str:
    """Return the name of the processor's model; where the system does not say, its architecture."""
    if sys.platform == "darwin":
        return _sysctl().get("machdep.cpu.brand_string", "") or platform.machine()
    return _cpuinfo().get("model name", "") or platform.processor() or platform.machine()


def _features() -> set[str]:
    if sys.platform == "darwin":
        values = _sysctl()
        return {name for key, name in _MACOS.items() if values.get(key) == "1"}
    if sys.platform == "win32":
        import ctypes

        present = ctypes.windll.kernel32.IsProcessorFeaturePresent
        return {name for number, name in _WINDOWS.items() if present(number)}
    info = _cpuinfo()
    return set((info.get("flags") or info.get("Features") or "").split())


def _cpuinfo() -> dict[str, str]:
    """What Linux says of the first processor."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    lines = (line.partition(":") for line in text.partition("\n\n")[0].splitlines())
    return {name.strip(): value.strip() for name, _, value in lines}


def _sysctl() -> dict[str, str]:
    command = ["/usr/sbin/sysctl", "hw.optional", "machdep.cpu.brand_string"]
    try:
        text = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return {}
    lines = (line.partition(":") for line in text.splitlines())
    return {name.strip(): value.strip() for name, _, value in lines}
