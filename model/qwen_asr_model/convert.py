# SPDX-License-Identifier: Apache-2.0
"""Turns a checkpoint into a bundle."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from ._encoder import write_backend, write_frontend
from ._languages import iso_codes
from ._llm import QUANTS, text_quant, write_llm, write_text
from ._precisions import PRECISIONS, make_precision
from ._shapes import encoder_shapes
from ._staging import staging
from .checkpoint import Checkpoint, read_checkpoint
from .errors import ConversionError
from .manifest import (
    DEFAULT_CONTEXT_TOKENS,
    MANIFEST_NAME,
    AlignerEntry,
    Family,
    FileEntry,
    Manifest,
    Role,
    hash_file,
)
from .vocabulary import AUDIO_END, AUDIO_START

__all__ = [
    "DEFAULT_ALIGNER_CHUNK_SECONDS",
    "DEFAULT_PRECISIONS",
    "DEFAULT_QUANTS",
    "Job",
    "Part",
    "Progress",
    "check_choice",
    "convert_checkpoint",
    "encoder_jobs",
    "file_name",
    "write_bundle",
    "write_files",
]

DEFAULT_PRECISIONS = ("int8",)
DEFAULT_QUANTS = ("q8_0",)
DEFAULT_CHUNK_SECONDS = 30.0
DEFAULT_ALIGNER_CHUNK_SECONDS = 180.0
"""What the official code cuts to."""

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
    max_chunk_seconds: float | None = None,
    max_context_tokens: int = DEFAULT_CONTEXT_TOKENS,
    aligner: str | os.PathLike[str] | None = None,
    aligner_quants: Sequence[str] | None = None,
    aligner_chunk_seconds: float = DEFAULT_ALIGNER_CHUNK_SECONDS,
    licence: str = "Apache-2.0",
    progress: Progress | None = None,
) -> Path:
    """Convert a Qwen3-ASR or Qwen3-ForcedAligner checkpoint of the official layout into a bundle folder.

    The bundle appears whole or not at all. A bundle that is already at ``out`` is replaced; any other folder with
    something in it is left alone. Needs the ``onnx`` package (extra ``convert``).

    A recogniser can take its aligner into the same bundle. If both have the same encoder, it is stored once. A forced
    aligner alone becomes a bundle for `open_aligner`.

    Args:
        checkpoint: Folder with ``config.json``, tokenizer files and safetensors.
        out: Folder to write.
        name: Name of the bundle; the folder's name if not given.
        precisions: Encoder precisions to write, of ``fp32 fp16 int8 int4``; the first becomes the default.
        quants: Types of the checkpoint's decoder to write, of `QUANTS`; the first becomes the default.
        languages: ISO 639 codes of the checkpoint's languages; taken from the checkpoint if not given.
        max_chunk_seconds: Longest piece of audio the checkpoint's model should get at once, in seconds; 30 for a
            recogniser and 180 for an aligner if not given.
        max_context_tokens: Longest context (names and terms) the recogniser copes with, in tokens.
        aligner: Folder of the forced aligner's checkpoint.
        aligner_quants: Types of the aligner's decoder, as ``quants``; the same if not given.
        aligner_chunk_seconds: Longest piece of audio the aligner should get at once, in seconds.
        licence: SPDX licence expression of the weights.
        progress: Called as the work goes on.

    Returns:
        The folder.

    Raises:
        CheckpointError: A checkpoint is incomplete, damaged or of another architecture.
        ConversionError: The bundle cannot be written, or a precision or type is unknown or cannot be made here.
    """
    out = Path(out)
    source = read_checkpoint(Path(checkpoint))
    is_aligner = source.config.aligner is not None
    default_seconds = DEFAULT_ALIGNER_CHUNK_SECONDS if is_aligner else DEFAULT_CHUNK_SECONDS
    model = Part(
        checkpoint=source,
        quants=tuple(quants),
        languages=iso_codes(source.config.languages) if languages is None else tuple(languages),
        max_chunk_seconds=default_seconds if max_chunk_seconds is None else float(max_chunk_seconds),
    )
    beside = None
    if aligner is not None:
        other = read_checkpoint(Path(aligner))
        beside = Part(
            checkpoint=other,
            quants=tuple(quants if aligner_quants is None else aligner_quants),
            languages=iso_codes(other.config.languages),
            max_chunk_seconds=float(aligner_chunk_seconds),
        )
    return write_bundle(
        model,
        out,
        aligner=beside,
        name=name or out.name,
        precisions=precisions,
        max_context_tokens=max_context_tokens,
        licence=licence,
        progress=progress,
    )


@dataclass(frozen=True, kw_only=True)
class Part:
    """A model that goes into a bundle.

    Attributes:
        checkpoint: Where its weights come from.
        quants: Decoder types to write, the first becomes the default.
        languages: ISO 639 codes; empty: not known.
        max_chunk_seconds: Longest piece of audio it should get at once.
    """

    checkpoint: Checkpoint
    quants: tuple[str, ...]
    languages: tuple[str, ...]
    max_chunk_seconds: float


def write_bundle(
    model: Part,
    out: Path,
    *,
    aligner: Part | None = None,
    name: str,
    precisions: Sequence[str],
    max_context_tokens: int = DEFAULT_CONTEXT_TOKENS,
    licence: str,
    progress: Progress | None = None,
) -> Path:
    """Write a bundle of one or two open checkpoints; see `convert_checkpoint`."""
    check_choice("precision", precisions, PRECISIONS)
    for part in (model, aligner):
        if part is not None:
            check_choice("quantisation", part.quants, QUANTS)
    recogniser, aligner = _sorted_out(model, aligner)
    shared = recogniser is not None and aligner is not None and _shares_encoder(recogniser, aligner)
    report = progress or (lambda _file, _done, _total: None)
    with staging(out) as folder:
        jobs: list[Job] = []
        if recogniser is not None:
            jobs += encoder_jobs(recogniser.checkpoint, precisions, (Role.FRONTEND, Role.BACKEND))
            jobs += _llm_jobs(recogniser, Role.LLM, name=name, licence=licence)
        if aligner is not None:
            if not shared:
                jobs += encoder_jobs(aligner.checkpoint, precisions, (Role.ALIGNER_FRONTEND, Role.ALIGNER_BACKEND))
            jobs += _llm_jobs(aligner, Role.ALIGNER_LLM, name=name, licence=licence)
            jobs += _text_jobs(aligner, name=name, licence=licence)
        entries = write_files(jobs, folder, report)
        audio = model.checkpoint.config.audio
        manifest = Manifest(
            name=name,
            family=Family.ALIGNER if recogniser is None else Family.RECOGNISER,
            languages=model.languages,
            max_chunk_seconds=model.max_chunk_seconds,
            max_context_tokens=max_context_tokens,
            licence=licence,
            default_precision=precisions[0],
            default_quant=model.quants[0],
            n_mels=audio.n_mels,
            chunk_frames=audio.chunk_frames,
            window_chunks=audio.window_chunks,
            files=entries,
            tokenizer_sha256=model.checkpoint.vocabulary.digest(),
            aligner=None if aligner is None else _aligner_entry(aligner, shares_encoder=shared),
        )
        (folder / MANIFEST_NAME).write_text(manifest.to_json(), encoding="utf-8", newline="\n")
    return out


def _sorted_out(model: Part, aligner: Part | None) -> tuple[Part | None, Part | None]:
    """Return the recogniser and the aligner, one of which may be missing."""
    is_aligner = model.checkpoint.config.aligner is not None
    if aligner is None:
        return (None, model) if is_aligner else (model, None)
    if is_aligner or aligner.checkpoint.config.aligner is None:
        raise ConversionError(
            "a bundle takes one recogniser and one forced aligner, not two of a kind.",
            hint="Name the recogniser's checkpoint first and the forced aligner's as its aligner.",
        )
    return model, aligner


def _shares_encoder(recogniser: Part, aligner: Part) -> bool:
    """Whether every value of the two encoders is the same."""
    ours, theirs = recogniser.checkpoint, aligner.checkpoint
    if ours.config.audio == theirs.config.audio:
        shapes = encoder_shapes(ours.config.audio).items()
        return all(np.array_equal(ours.load(name, shape), theirs.load(name, shape)) for name, shape in shapes)
    geometry = [(a.n_mels, a.chunk_frames, a.window_chunks) for a in (ours.config.audio, theirs.config.audio)]
    if geometry[0] != geometry[1]:
        raise ConversionError(
            f"recogniser and aligner cut audio differently (mel bins, frames, chunks: {geometry[0]}, {geometry[1]}).",
            hint="Convert them into a bundle each.",
        )
    return False


def _aligner_entry(aligner: Part, *, shares_encoder: bool) -> AlignerEntry:
    config, vocabulary = aligner.checkpoint.config.aligner, aligner.checkpoint.vocabulary
    assert config is not None
    return AlignerEntry(
        shares_encoder=shares_encoder,
        languages=aligner.languages,
        max_chunk_seconds=aligner.max_chunk_seconds,
        default_quant=aligner.quants[0],
        classes=config.classes,
        class_ms=config.class_ms,
        timestamp_id=config.timestamp_id,
        audio_start_id=vocabulary.find(AUDIO_START),
        audio_end_id=vocabulary.find(AUDIO_END),
        tokenizer_sha256=vocabulary.digest(),
    )


@dataclass(frozen=True, kw_only=True)
class Job:
    """One file to write."""

    name: str
    role: str
    variant: str
    write: Callable[[Path], None]


def write_files(jobs: Sequence[Job], folder: Path, report: Progress) -> tuple[FileEntry, ...]:
    """Write the files of a bundle and return what the manifest says about them; it is written last by the caller."""
    entries = []
    for number, job in enumerate(jobs):
        report(job.name, number, len(jobs))
        file = folder / job.name
        job.write(file)
        size, sha256 = file.stat().st_size, hash_file(file)
        entries.append(FileEntry(name=job.name, role=job.role, variant=job.variant, size=size, sha256=sha256))
    report(MANIFEST_NAME, len(jobs), len(jobs))
    return tuple(entries)


def encoder_jobs(checkpoint: Checkpoint, precisions: Sequence[str], roles: tuple[str, str]) -> Iterator[Job]:
    """The two graphs of an encoder in every precision; ``roles`` are those of the frontend and the backend."""
    for variant in precisions:
        precision = make_precision(variant)
        for role, writer in zip(roles, (write_frontend, write_backend), strict=True):
            yield Job(
                name=file_name(role, variant, "onnx"),
                role=role,
                variant=variant,
                write=partial(writer, checkpoint, precision),
            )


def _llm_jobs(part: Part, role: str, *, name: str, licence: str) -> Iterator[Job]:
    for quant in part.quants:
        yield Job(
            name=file_name(role, quant, "gguf"),
            role=role,
            variant=quant,
            write=partial(write_llm, part.checkpoint, quant, name=name, licence=licence),
        )


def _text_jobs(part: Part, *, name: str, licence: str) -> Iterator[Job]:
    for quant in dict.fromkeys(text_quant(quant) for quant in part.quants):
        yield Job(
            name=file_name(Role.ALIGNER_TEXT, quant, "gguf"),
            role=Role.ALIGNER_TEXT,
            variant=quant,
            write=partial(write_text, part.checkpoint, quant, name=name, licence=licence),
        )


def file_name(role: str, variant: str, ending: str) -> str:
    """Return what a file of a bundle is called."""
    model = "qwen3_asr" if role in Role.RECOGNISER else "qwen3"
    return f"{model}_{role}.{variant}.{ending}"


def check_choice(kind: str, chosen: Sequence[str], known: Sequence[str]) -> None:
    """Refuse no choice, one made twice, and one that is not known."""
    if not chosen or len(set(chosen)) != len(chosen):
        raise ConversionError(f"name at least one {kind}, and each only once.", hint=f"Known: {', '.join(known)}.")
    for one in chosen:
        if one not in known:
            raise ConversionError(f"unknown {kind} {one!r}.", hint=f"Known: {', '.join(known)}.")
