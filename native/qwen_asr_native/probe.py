# SPDX-License-Identifier: Apache-2.0
"""Verifies the struct layouts of a library before anything of it is called in this process.

``python -m qwen_asr_native.probe PATH`` prints the verdict as JSON.
"""

from __future__ import annotations

import json
import multiprocessing.spawn
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qwen_asr_native.answers import Records, read_answers, write_answers
from qwen_asr_native.errors import (
    DependencyError,
    LayoutError,
    LibraryCrashedError,
    LibraryError,
    LibraryLoadError,
    MissingSymbolError,
)
from qwen_asr_native.interrogate import STRUCT_FUNCTIONS
from qwen_asr_native.layout_tables import LAYOUTS, layouts_of
from qwen_asr_native.layouts import Family, Layout, Sample, StructKind

__all__ = ["Verdict", "describe_exit", "interpreter_command", "main", "match", "run_child", "verify"]

_TIMEOUT_S = 60.0
_REQUIRED: tuple[StructKind, ...] = ("model_params", "context_params", "batch")


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The verified layouts of one library.

    Attributes:
        model_params: Layout of ``llama_model_params``.
        context_params: Layout of ``llama_context_params``.
        batch: Layout of ``llama_batch``.
        quantize_params: Layout of ``llama_model_quantize_params``, None when the library has no quantizer.
        quantize_reason: Why ``quantize_params`` is None.
        version: What ``llama_version()`` says, empty when not exported.
        system: What ``llama_print_system_info()`` says: the instruction sets the build uses.
    """

    model_params: Layout
    context_params: Layout
    batch: Layout
    quantize_params: Layout | None
    quantize_reason: str
    version: str
    system: str

    @property
    def family(self) -> Family:
        """Which API the library has."""
        return self.context_params.family

    @property
    def name(self) -> str:
        """The names of the layouts, once where they agree."""
        return " + ".join(dict.fromkeys((self.context_params.name, self.model_params.name)))


def verify(path: Path, *, cache_dir: Path | None = None) -> Verdict:
    """Examine a library in a child process and recognise its layouts.

    Args:
        path: The library file.
        cache_dir: Folder in which to keep what the library answered, keyed by the hash of the file. Nothing is written
            without it.

    Raises:
        DependencyError: A library that it needs is missing.
        LibraryLoadError: The system cannot load it.
        LibraryCrashedError: It killed the child process.
        MissingSymbolError: It is no libllama.
        LayoutError: A struct matches none, or more than one, of the known layouts.
    """
    path = path.resolve()
    records = None if cache_dir is None else read_answers(cache_dir, path, _REQUIRED)
    if records is None:
        records = _ask(path)
        if cache_dir is not None:
            write_answers(cache_dir, path, records)
    return _judge(path, records)


def interpreter_command(module: str, *arguments: str) -> list[str]:
    """The command line that runs ``module.main(arguments)`` of this package in a fresh, isolated interpreter.

    ``multiprocessing.set_executable`` is honoured, because in a host that embeds Python ``sys.executable`` is the host.
    """
    executable = os.fsdecode(multiprocessing.spawn.get_executable() or "")
    if not executable or getattr(sys, "frozen", False):
        raise LibraryError(
            "No Python interpreter is known that could run the check of the library in a process of its own. "
            "Name one with multiprocessing.set_executable()."
        )
    package = str(Path(__file__).resolve().parent.parent)
    code = f"import sys; sys.path.append({package!r}); from {module} import main; sys.exit(main(sys.argv[1:]))"
    return [executable, "-I", "-c", code, *arguments]


def run_child(command: list[str], *, timeout: float | None = None) -> subprocess.CompletedProcess[bytes]:
    """Run a command of `interpreter_command` to its end, without a console window on Windows."""
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=timeout,
        check=False,
        creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
    )


def describe_exit(code: int) -> str:
    """How a child process ended, from its return code: ``SIGSEGV``, ``exit status 3``, ``exit status 0xc0000005``."""
    if code >= 0:
        return f"exit status {code if code < 1 << 16 else hex(code)}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


def match(kind: StructKind, sample: Sample, family: Family | None = None) -> Layout:
    """The one known layout that a library's defaults agree with.

    Args:
        kind: Which struct.
        sample: What the library wrote.
        family: Consider only layouts of this family.

    Raises:
        LayoutError: None agrees, or several do.
    """
    candidates = [layout for layout in layouts_of(kind) if family in (None, layout.family)]
    differences = {layout: layout.mismatches(sample) for layout in candidates}
    matching = [layout for layout in candidates if not differences[layout]]
    if len(matching) == 1:
        return matching[0]
    longest = max(matching, key=lambda layout: layout.size, default=None)
    if longest and sample.written is None and all(longest.fields[: len(one.fields)] == one.fields for one in matching):
        return longest  # where it is hidden what was written, the others match as parts of it
    if matching:
        names = ", ".join(layout.name for layout in matching)
        raise LayoutError(f"llama_{kind}: more than one known layout fits ({names}).")
    nearest = sorted(candidates, key=lambda layout: len(differences[layout]))[:2]
    found = "" if sample.extent is None else f" The library wrote {sample.extent} bytes."
    details = " ".join(
        f"Against {layout.name} ({layout.size} bytes): {'; '.join(differences[layout][:4])}"
        f"{' ...' if len(differences[layout]) > 4 else ''}."
        for layout in nearest
    )
    raise LayoutError(f"llama_{kind} has a layout that is not known.{found} {details}")


def main(arguments: Sequence[str]) -> int:
    """Print the verdict on the library ``arguments[0]`` as JSON; 0 when it is verified."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m qwen_asr_native.probe PATH\n")
        return 2
    path = Path(arguments[0])
    answer: dict[str, Any] = {"path": str(path)}
    try:
        verdict = verify(path)
    except LibraryError as error:
        answer |= {"verified": False, "code": error.code, "reason": str(error)}
    else:
        answer |= {"verified": True, "layout": verdict.name, "version": verdict.version, "system": verdict.system}
        for kind in STRUCT_FUNCTIONS:
            layout: Layout | None = getattr(verdict, kind)
            answer[kind] = None if layout is None else {"layout": layout.name, "size": layout.size}
    sys.stdout.write(json.dumps(answer, indent=2) + "\n")
    return 0 if answer["verified"] else 1


def _ask(path: Path) -> Records:
    """Run the interrogation; returns its records by kind."""
    command = interpreter_command("qwen_asr_native.interrogate", str(path))
    try:
        child = run_child(command, timeout=_TIMEOUT_S)
    except subprocess.TimeoutExpired as error:
        raise LibraryCrashedError(f"{path}: the library did not answer within {_TIMEOUT_S:.0f} s.") from error
    except OSError as error:
        raise LibraryError(f"Cannot start {command[0]} to check {path}: {error}.") from error
    records: Records = {}
    stage = ""
    for line in child.stdout.decode("utf-8", "replace").splitlines():
        if not line.startswith("{"):
            continue  # the library itself may print
        record = json.loads(line)
        if "error" in record:
            missing = record.get("code") == DependencyError.code
            raise (DependencyError if missing else LibraryLoadError)(record["error"])
        stage = record.get("stage", stage)
        if "kind" in record:
            records[record["kind"]] = record
    if stage != "done":
        raise LibraryCrashedError(_crash_message(path, stage, child.returncode, child.stderr))
    return records


def _crash_message(path: Path, stage: str, code: int, stderr: bytes) -> str:
    cause = describe_exit(code)
    hint = "Use another build of libllama."
    if cause == "SIGILL" or code == 0xC000001D:
        hint = (
            "The build uses instructions this processor lacks: install a build for older processors, or build one here."
        )
    last = stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
    said = f" It said: {last[0]}" if last else ""
    return f"{path}: the library died with {cause} in {stage or 'the start of the interpreter'}.{said} {hint}"


def _judge(path: Path, records: Records) -> Verdict:
    absent = [STRUCT_FUNCTIONS[kind] for kind in _REQUIRED if kind not in records]
    if absent:
        raise MissingSymbolError(f"{path}: not a libllama, it does not export {', '.join(absent)}.")
    try:
        context_params = match("context_params", _sample(records["context_params"]))
        family = context_params.family
        model_params = match("model_params", _sample(records["model_params"]), family)
        batch = match("batch", _sample(records["batch"]), family)
    except LayoutError as error:
        known = ", ".join(dict.fromkeys(build for layout in LAYOUTS for build in layout.builds))
        raise LayoutError(
            f"{path}: {error} It was not used, because a wrong layout corrupts memory. Known builds: {known}. "
            "Install one of them, or add the layout (docs/native.md)."
        ) from error
    quantize, reason = None, "it does not export llama_model_quantize"
    if "quantize_params" in records:
        try:
            quantize, reason = match("quantize_params", _sample(records["quantize_params"]), family), ""
        except LayoutError as error:
            reason = str(error)
    return Verdict(
        model_params=model_params,
        context_params=context_params,
        batch=batch,
        quantize_params=quantize,
        quantize_reason=reason,
        version=records.get("version", {}).get("text", ""),
        system=records.get("system", {}).get("text", ""),
    )


def _sample(record: dict[str, Any]) -> Sample:
    written = record["written"]
    return Sample(
        data=bytes.fromhex(record["data"]),
        written=None if written is None else [bool(byte) for byte in bytes.fromhex(written)],
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
