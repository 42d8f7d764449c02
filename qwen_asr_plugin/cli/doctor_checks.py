# SPDX-License-Identifier: Apache-2.0
"""What the doctor looks at. Each check is on its own: one that fails does not hide the others."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from qwen_asr_plugin.errors import translate_errors
from qwen_asr_plugin.options import parse_options
from subtitle_hooks import SubtitleError, SubtitleHost

__all__ = ["Finding", "examine", "system_facts"]

_PACKAGES = (
    "subtitle-hooks",
    "onnxruntime",
    "numpy",
    "ffmpeg-python",
    "srt",
    "pluggy",
    "gguf",
    "ik-llama-cpp-python",
    "xllamacpp",
    "llama-cpp-python",
)
_VARIABLES = (
    "QWEN_ASR_",
    "SUBTITLE_HOOKS_",
    "OMP_",
    "GGML_",
    "LLAMA_",
    "CUDA_VISIBLE_DEVICES",
    "GOMP_",
    "KMP_",
    "LD_LIBRARY_PATH",
    "LD_PRELOAD",
    "DYLD_",
    "VK_",
)


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One checked thing.

    Attributes:
        subject: What was looked at.
        well: True (good), False (nothing works without it) or None (worth knowing).
        found: What there is, for a person.
        advice: What to do.
        details: The same for programs, JSON types only.
    """

    subject: str
    well: bool | None
    found: str
    advice: str = ""
    details: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """JSON types only."""
        return asdict(self)


def system_facts() -> dict[str, str]:
    """What a bug report needs to know of this computer and this installation."""
    import psutil

    from qwen_asr_native.cores import describe_cores
    from qwen_asr_plugin.engine.machine import processor_name

    libc = " ".join(filter(None, platform.libc_ver()))
    memory = psutil.virtual_memory()
    versions = [f"{name} {version}" for name in _PACKAGES if (version := _version(name))]
    variables = [f"{name}={os.environ[name]}" for name in sorted(os.environ) if name.startswith(_VARIABLES)]
    return {
        "qwen-asr-plugin": _version("qwen-asr-plugin") or "not installed as a package",
        "system": ", ".join(filter(None, (platform.platform(), libc))),
        "processor": f"{processor_name()}; {describe_cores()}",
        "memory": f"{memory.total / 2**30:.1f} GiB, {memory.available / 2**30:.1f} GiB available",
        "Python": f"{platform.python_implementation()} {platform.python_version()}, {sys.executable}",
        "packages": ", ".join(versions),
        "environment": ", ".join(variables) or "no variable set that matters",
    }


def examine(
    *, model_dir: Path | None, libllama: str | None, device: str | None, ffmpeg: Path | None
) -> Iterator[Finding]:
    """Every finding, in the way of the data."""
    yield from _checked("ffmpeg", lambda: _ffmpeg(ffmpeg))
    yield from _checked("libllama", lambda: _libllama(libllama))
    yield from _checked("onnxruntime", _onnxruntime)
    yield from _checked("model bundle", lambda: _bundle(model_dir))
    yield from _checked("engine", lambda: _engine(model_dir, libllama, device))
    yield from _checked("configuration", lambda: _configuration(model_dir, libllama, device))
    yield from _checked("plugin", _plugin)


def _checked(subject: str, check: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    try:
        yield from check()
    except SubtitleError as error:
        code = {"code": error.code, "error": type(error).__name__}
        yield Finding(
            subject=subject, well=False, found=f"[{error.code}] {error.what}", advice=error.hint, details=code
        )
    except Exception as error:  # noqa: BLE001 - a doctor reports what it meets
        yield Finding(subject=subject, well=False, found=f"{type(error).__name__}: {error}")


def _ffmpeg(path: Path | None) -> Iterator[Finding]:
    from qwen_asr_plugin.media import find_ffmpeg

    tools = find_ffmpeg(path)
    yield Finding(subject="ffmpeg", well=True, found=f"{tools.source}: {tools.ffmpeg}")
    yield Finding(
        subject="ffprobe",
        well=True if tools.ffprobe else None,
        found=str(tools.ffprobe) if tools.ffprobe else "none; stream facts are read from ffmpeg itself",
    )


def _libllama(choice: str | None) -> Iterator[Finding]:
    from qwen_asr_native import diagnose
    from qwen_asr_native.devices import list_devices

    reports = diagnose(choice)
    used = next((report for report in reports if report.chosen), None)
    for report in reports:
        yield Finding(
            subject=f"libllama: {report.name}",
            well=True if report.chosen else None,
            found=report.describe(),
            details=report.as_dict(),
        )
    if used is None:
        yield Finding(
            subject="libllama",
            well=False,
            found="no library that can be used",
            advice="Install one: pip install ik-llama-cpp-python (or xllamacpp); or build one: "
            "qwen-asr-plugin native build.",
        )
        return
    assert used.path is not None
    for device in translate_errors(list_devices)(used.path):
        yield Finding(subject=f"device: {device.name}", well=None, found=device.describe(), details=device.as_dict())


def _onnxruntime() -> Iterator[Finding]:
    import onnxruntime

    providers = onnxruntime.get_available_providers()
    yield Finding(
        subject="onnxruntime",
        well=True,
        found=f"{onnxruntime.__version__} with {', '.join(providers)}",
        details={"version": onnxruntime.__version__, "providers": providers},
    )


def _bundle(path: Path | None) -> Iterator[Finding]:
    from qwen_asr_model import describe_bundle, find_bundle

    facts = translate_errors(lambda: describe_bundle(find_bundle(path)))()
    text = ", ".join(f"{name} {value}" for name, value in facts.items() if isinstance(value, str | int | float))
    yield Finding(
        subject="model bundle",
        well=True,
        found=text,
        advice="Others, installed and to be had: qwen-asr-plugin model list",
        details=dict(facts),
    )


def _engine(model_dir: Path | None, libllama: str | None, device: str | None) -> Iterator[Finding]:
    from qwen_asr_plugin.engine import shared_engine

    values = {"model": model_dir, "libllama": libllama, "device": device}
    with shared_engine(parse_options({name: value for name, value in values.items() if value is not None})) as engine:
        info = engine.info
        yield Finding(
            subject="engine",
            well=True,
            found=f"{info.model} loaded in a worker process in {info.load_seconds:.2f} s: encoder {info.precision} on "
            f"{info.onnx_provider}, decoder {info.quant} on {info.device} with {info.library}, {info.lanes} lanes of "
            f"{info.threads_per_lane} threads",
            advice="\n".join(info.warnings),
            details=asdict(info),
        )


def _configuration(model_dir: Path | None, libllama: str | None, device: str | None) -> Iterator[Finding]:
    """Why this library, lanes and threads: the default, an option, or what ``tune`` has measured."""
    from qwen_asr_model import find_bundle, open_bundle
    from qwen_asr_plugin.engine.choices import Configuration, deciding_option, find_choice

    values = {"libllama": libllama, "device": device}
    decided_by = deciding_option(parse_options({name: value for name, value in values.items() if value is not None}))
    bundle = translate_errors(lambda: open_bundle(find_bundle(model_dir), aligner=False))()
    found = find_choice(bundle)

    def finding(text: str, advice: str = "") -> Finding:
        kept = found.choice or found.outdated
        details = {"decided_by": decided_by, "note": found.note, "kept": None if kept is None else asdict(kept)}
        return Finding(subject="configuration", well=None, found=text, advice=advice, details=details)

    def as_tuned(configuration: Configuration, gain: float) -> str:
        compared = (
            "the default, than which nothing was faster" if gain == 1 else f"{gain:.2f} times as fast as the default"
        )
        return f"{configuration.describe()}; {compared}"

    if decided_by:
        unused = f"; tuned on {found.choice.date[:10]}, which is not used" if found.choice else ""
        yield finding(f"decided by {decided_by}{unused}")
    elif found.choice is not None:
        choice = found.choice
        yield finding(f"tuned on {choice.date[:10]}: {as_tuned(choice.configuration, choice.gain)}")
    elif found.outdated is not None:
        old = found.outdated
        yield finding(
            f"default; what was chosen on {old.date[:10]} ({as_tuned(old.configuration, old.gain)}) is not used: "
            f"{found.note}",
            "Measure again: qwen-asr-plugin tune",
        )
    elif found.note:
        yield finding(f"default; {found.note}", "Measure again: qwen-asr-plugin tune")
    else:
        yield finding(
            "default; it has not been measured yet what is the fastest for this model here",
            "That takes under two minutes: qwen-asr-plugin tune",
        )


def _plugin() -> Iterator[Finding]:
    host = SubtitleHost()
    names = [backend.name for backend in host.backends()]
    yield Finding(
        subject="plugin",
        well="qwen-asr" in names,
        found=f"hosts see the backends: {', '.join(names) or 'none'}",
        advice="" if "qwen-asr" in names else "Install the package (pip install qwen-asr-plugin) in this environment.",
        details={"backends": names},
    )
    for broken in host.broken:
        yield Finding(subject="other plugin", well=None, found=str(broken))


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""
