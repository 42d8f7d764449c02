# SPDX-License-Identifier: Apache-2.0
"""Turns a checkpoint into a bundle."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ._encoder import write_backend, write_frontend
from ._languages import iso_codes
from ._llm import QUANTS, write_llm
from ._precisions import PRECISIONS, make_precision
from .checkpoint import Checkpoint, read_checkpoint
from .errors import BundleError, ConversionError
from .manifest import DEFAULT_CONTEXT_TOKENS, MANIFEST_NAME, FileEntry, Manifest, Role, hash_file, read_manifest

__all__ = ["DEFAULT_PRECISIONS", "DEFAULT_QUANTS", "Progress", "convert_checkpoint", "write_bundle"]

FAMILY = "qwen3-asr"
DEFAULT_PRECISIONS = ("int8",)
DEFAULT_QUANTS = ("q8_0",)
DEFAULT_CHUNK_SECONDS = 30.0

Progress = Callable[[str, int, int], None]
"""Called before each file with its name, how many are done, and how many there are; once more at the end."""


def convert_checkpoint(
    checkpoint: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    name: str | None = None,
    precisions: Sequence[str] = DEFAULT_PRECISIONS,
    quants: Sequence[str] = DEFAULT_QUANTS,
    languages: Sequence[str] | None = None,
    max_chunk_seconds: float = DEFAULT_CHUNK_SECONDS,
    max_context_tokens: int = DEFAULT_CONTEXT_TOKENS,
    licence: str = "Apache-2.0",
    progress: Progress | None = None,
) -> Path:
    """Convert a Qwen3-ASR checkpoint of the official layout into a bundle folder.

    The bundle appears whole or not at all. A bundle that is already at ``out`` is replaced; any other folder with
    something in it is left alone. Needs the ``onnx`` package (extra ``convert``).

    Args:
        checkpoint: Folder with ``config.json``, tokenizer files and safetensors.
        out: Folder to write.
        name: Name of the bundle; the folder's name if not given.
        precisions: Encoder precisions to write, of ``fp32 fp16 int8 int4``; the first becomes the default.
        quants: Language model types to write, of `QUANTS`; the first becomes the default.
        languages: ISO 639 codes; taken from the checkpoint if not given.
        max_chunk_seconds: Longest piece of audio the model should get at once, in seconds.
        max_context_tokens: Longest context (names and terms) the model copes with, in tokens.
        licence: SPDX licence expression of the weights.
        progress: Called as the work goes on.

    Returns:
        The folder.

    Raises:
        CheckpointError: The checkpoint is incomplete, damaged or of another architecture.
        ConversionError: The bundle cannot be written, or a precision or type is unknown or cannot be made here.
    """
    out = Path(out)
    source = read_checkpoint(Path(checkpoint))
    return write_bundle(
        source,
        out,
        name=name or out.name,
        precisions=precisions,
        quants=quants,
        languages=iso_codes(source.config.languages) if languages is None else tuple(languages),
        max_chunk_seconds=max_chunk_seconds,
        max_context_tokens=max_context_tokens,
        licence=licence,
        progress=progress,
    )


def write_bundle(
    checkpoint: Checkpoint,
    out: Path,
    *,
    name: str,
    precisions: Sequence[str],
    quants: Sequence[str],
    languages: Sequence[str],
    max_chunk_seconds: float,
    max_context_tokens: int = DEFAULT_CONTEXT_TOKENS,
    licence: str,
    progress: Progress | None = None,
) -> Path:
    """Write a bundle from an open checkpoint; see `convert_checkpoint`."""
    _check_choice("precision", precisions, PRECISIONS)
    _check_choice("quantisation", quants, QUANTS)
    report = progress or (lambda _file, _done, _total: None)
    with _staging(out) as folder:
        encoder = _encoder_jobs(checkpoint, precisions)
        jobs = [*encoder, *_llm_jobs(checkpoint, quants, name=name, licence=licence)]
        entries = []
        for number, job in enumerate(jobs):
            report(job.name, number, len(jobs))
            file = folder / job.name
            job.write(file)
            size, sha256 = file.stat().st_size, hash_file(file)
            entries.append(FileEntry(name=job.name, role=job.role, variant=job.variant, size=size, sha256=sha256))
        audio = checkpoint.config.audio
        manifest = Manifest(
            name=name,
            family=FAMILY,
            languages=tuple(languages),
            max_chunk_seconds=float(max_chunk_seconds),
            max_context_tokens=max_context_tokens,
            licence=licence,
            default_precision=precisions[0],
            default_quant=quants[0],
            n_mels=audio.n_mels,
            chunk_frames=audio.chunk_frames,
            window_chunks=audio.window_chunks,
            files=tuple(entries),
        )
        (folder / MANIFEST_NAME).write_text(manifest.to_json(), encoding="utf-8", newline="\n")
        report(MANIFEST_NAME, len(jobs), len(jobs))
    return out


@dataclass(frozen=True, kw_only=True)
class _Job:
    """One file to write."""

    name: str
    role: str
    variant: str
    write: Callable[[Path], None]


def _encoder_jobs(checkpoint: Checkpoint, precisions: Sequence[str]) -> Iterator[_Job]:
    for variant in precisions:
        precision = make_precision(variant)
        for role, writer in ((Role.FRONTEND, write_frontend), (Role.BACKEND, write_backend)):
            yield _Job(
                name=f"qwen3_asr_{role}.{variant}.onnx",
                role=role,
                variant=variant,
                write=partial(writer, checkpoint, precision),
            )


def _llm_jobs(checkpoint: Checkpoint, quants: Sequence[str], *, name: str, licence: str) -> Iterator[_Job]:
    for quant in quants:
        yield _Job(
            name=f"qwen3_asr_{Role.LLM}.{quant}.gguf",
            role=Role.LLM,
            variant=quant,
            write=partial(write_llm, checkpoint, quant, name=name, licence=licence),
        )


def _check_choice(kind: str, chosen: Sequence[str], known: Sequence[str]) -> None:
    if not chosen or len(set(chosen)) != len(chosen):
        raise ConversionError(f"name at least one {kind}, and each only once.", hint=f"Known: {', '.join(known)}.")
    for one in chosen:
        if one not in known:
            raise ConversionError(f"unknown {kind} {one!r}.", hint=f"Known: {', '.join(known)}.")


@contextmanager
def _staging(out: Path) -> Iterator[Path]:
    """A folder beside ``out`` that takes its place when the block ends well, and vanishes when it does not."""
    old: tuple[str, ...] = ()
    if out.exists() and any(out.iterdir()) if out.is_dir() else out.exists():
        if not (out / MANIFEST_NAME).is_file():
            raise ConversionError(
                "something else is already there.", path=out, hint="Name a new folder, or an old bundle to replace."
            )
        try:
            old = tuple(entry.name for entry in read_manifest(out / MANIFEST_NAME).files)
        except BundleError:
            old = ()
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        folder = out.parent / f".{out.name}.{uuid.uuid4().hex[:8]}.partial"
        folder.mkdir()
    except OSError as error:
        raise ConversionError(f"cannot be written ({error.strerror}).", path=out) from error
    try:
        yield folder
        _take_place(folder, out, old)
    except OSError as error:
        raise ConversionError(f"cannot be written ({error.strerror}).", path=out) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _take_place(folder: Path, out: Path, old: Sequence[str]) -> None:
    if not out.exists():
        folder.replace(out)
        return
    # The manifest goes last: until then the old one names sizes or hashes that no longer fit, so a half-replaced
    # bundle is refused when it is opened.
    new = sorted(folder.iterdir(), key=lambda file: file.name == MANIFEST_NAME)
    for file in new:
        file.replace(out / file.name)
    for name in set(old) - {file.name for file in new}:
        (out / name).unlink(missing_ok=True)
