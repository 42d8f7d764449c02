# SPDX-License-Identifier: Apache-2.0
"""Writes a smaller copy of a model with libllama's own quantizer.

The quantizer runs in a child process: it prints, it aborts on what it does not like, and it takes all processors.
"""

from __future__ import annotations

import ctypes
import logging
import os
import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from qwen_asr_native.errors import NativeError, QuantizeError, QuantizerNotFoundError
from qwen_asr_native.gguf_file import check_model, read_gguf
from qwen_asr_native.library import Library, diagnose, load_library
from qwen_asr_native.probe import interpreter_command, run_child

__all__ = ["HEADS", "KINDS", "main", "quantize"]

KINDS = {
    "f16": 1,
    "q4_0": 2,
    "q4_1": 3,
    "q8_0": 7,
    "q5_0": 8,
    "q5_1": 9,
    "q2_k": 10,
    "q3_k_s": 11,
    "q3_k_m": 12,
    "q3_k_l": 13,
    "q4_k_s": 14,
    "q4_k_m": 15,
    "q5_k_s": 16,
    "q5_k_m": 17,
    "q6_k": 18,
    "bf16": 32,
}
"""Kinds of quantization and their number in ``enum llama_ftype``, the same in all supported libraries."""

HEADS = {"q8_0": 8, "q4_k": 12, "q5_k": 13, "q6_k": 14}
"""Types for the output head and their number in ``enum ggml_type``, the same in all supported libraries."""

_COMPLAINT = re.compile(r"error|fail|unknown|unsupported|GGML_ASSERT|qwen_asr_native", re.IGNORECASE)
_UNQUANTIZED = {0, 1, 30}  # F32, F16, BF16
_AS_KIND_SAYS = "-"


def quantize(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    kind: str,
    *,
    head: str | None = None,
    library: Library | None = None,
) -> None:
    """Write a quantized copy of a GGUF model.

    The target appears only when it is complete; one that exists is replaced.

    Args:
        source: A model in f32, f16 or bf16.
        target: The file to write.
        kind: One of `KINDS`, for example ``q4_k_m``.
        head: One of `HEADS` for the output head, and for the token table where that is the head, too; None leaves the
            choice to ``kind``.
        library: The library to use; None takes the first verified one that can quantize.

    Raises:
        QuantizerNotFoundError: The library, or no installed library, can quantize.
        QuantizeError: Unknown kind or head, source already quantized, target not writable, or the library failed.
        ModelLoadError: The source is missing, cut off, or not a model.
    """
    origin, goal = Path(source).absolute(), Path(target).absolute()
    if kind.lower() not in KINDS:
        raise QuantizeError(f"Unknown kind of quantization {kind!r}. Known: {', '.join(sorted(KINDS))}.")
    if head is not None and head not in HEADS:
        raise QuantizeError(f"Unknown type {head!r} for the output head. Known: {', '.join(HEADS)}.")
    contents = read_gguf(origin)
    check_model(origin, contents)
    quantized = sorted(tensor.name for tensor in contents.tensors.values() if tensor.type not in _UNQUANTIZED)
    if quantized:
        raise QuantizeError(f"{origin}: already quantized (tensor {quantized[0]}). Start from an f16 or f32 file.")
    where = _library_path(library)
    try:
        goal.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=goal.parent, prefix=f".{goal.name}.", suffix=".partial")
        os.close(handle)
    except OSError as error:
        raise QuantizeError(f"{goal}: cannot be written: {error.strerror or error}.") from error
    partial = Path(name)
    try:
        _run(where, origin, partial, kind.lower(), head or _AS_KIND_SAYS)
        partial.replace(goal)
    except OSError as error:
        raise QuantizeError(f"{goal}: cannot be written: {error.strerror or error}.") from error
    finally:
        partial.unlink(missing_ok=True)


def main(arguments: Sequence[str]) -> int:
    """Quantize in this process: library, source, target, kind, head. Everything libllama logs goes to stderr."""
    where, source, target, kind, head = arguments
    log = logging.getLogger("qwen_asr_native.libllama")
    log.addHandler(logging.StreamHandler())
    log.setLevel(logging.DEBUG)
    try:
        functions = load_library(Path(where)).functions
    except NativeError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    assert functions.quantize is not None
    assert functions.quantize_defaults is not None
    params = functions.quantize_defaults()
    params.nthread = os.cpu_count() or 1
    params.ftype = KINDS[kind]
    if head != _AS_KIND_SAYS:
        params.output_tensor_type = HEADS[head]
    return 1 if functions.quantize(os.fsencode(source), os.fsencode(target), ctypes.byref(params)) else 0


def _run(library: Path, source: Path, target: Path, kind: str, head: str) -> None:
    command = interpreter_command("qwen_asr_native.quantizing", str(library), str(source), str(target), kind, head)
    child = run_child(command)
    if child.returncode != 0:
        said = child.stderr.decode("utf-8", "replace")
        lines = said.replace(str(source), "the source").replace(str(target), "the target").splitlines()
        complaints = (line for line in lines if _COMPLAINT.search(line) and " - kv " not in line)
        reason = next(complaints, f"the quantizer ended with status {child.returncode}")
        raise QuantizeError(f"{source}: cannot be quantized to {kind}: {reason.strip()}")
    if target.stat().st_size == 0:
        raise QuantizeError(f"{source}: the quantizer wrote nothing.")


def _library_path(library: Library | None) -> Path:
    if library is not None:
        if not library.can_quantize:
            raise QuantizerNotFoundError(
                f"{library.provider} ({library.path}) cannot quantize: {library.verdict.quantize_reason}."
            )
        return library.path
    reports = diagnose()
    for report in reports:
        if report.can_quantize and report.path is not None:
            return report.path
    found = "; ".join(
        f"{report.name}: {'has no quantizer' if report.verified else report.reason}" for report in reports
    )
    raise QuantizerNotFoundError(
        f"No installed libllama can quantize ({found}). Install one that can: ik-llama-cpp-python or llama-cpp-python."
    )
