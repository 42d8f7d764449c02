# SPDX-License-Identifier: Apache-2.0
"""What a bundle's folder says about itself, and whether its files are there."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from ._onnx_head import read_onnx
from ._released import describe_aligner
from ._structure import EncoderSizes
from .errors import (
    BundleFileDamagedError,
    BundleFileMissingError,
    BundleNotFoundError,
    GgufDamagedError,
    ManifestError,
    OnnxDamagedError,
    PrecisionNotFoundError,
    WrongModelError,
)
from .manifest import DEFAULT_CONTEXT_TOKENS, MANIFEST_NAME, Family, FileEntry, Manifest, Role, read_manifest

__all__ = [
    "check_mel",
    "check_size",
    "choose",
    "damage_of",
    "find_file",
    "looks_like_bundle",
    "named_roles",
    "read_folder",
    "variants",
]

_FILE_NAME = re.compile(r"qwen3_(asr|aligner)_(?:(encoder_frontend|encoder_backend)\.(\w+)\.onnx|(llm)\.(\w+)\.gguf)")
# What to prefer in a folder that does not say: the fastest encoder, the most faithful quantised language model.
_PRECISION_ORDER = ("int8", "fp32", "fp16", "int4")
_QUANT_ORDER = ("q8_0", "q6_k", "q5_k", "q5_1", "q5_0", "q4_k", "q4_1", "q4_0", "f16", "bf16", "f32")
_GGUF_ROLES = (Role.LLM, Role.ALIGNER_LLM, Role.ALIGNER_TEXT)


def looks_like_bundle(folder: Path) -> bool:
    """Return whether a folder has a manifest, or a file named as one of a bundle."""
    return (folder / MANIFEST_NAME).is_file() or bool(named_roles(folder))


def named_roles(folder: Path) -> frozenset[str]:
    """Return what the files of a folder are for, going by their names."""
    return frozenset(entry.role for entry in _named_files(folder))


def _named_files(folder: Path) -> list[FileEntry]:
    entries = []
    for file in sorted(folder.iterdir()):
        match = _FILE_NAME.fullmatch(file.name)
        if match and file.is_file():
            role, variant = match[2] or match[4], match[3] or match[5]
            if match[1] == "aligner":
                role = f"aligner_{role}"
            entries.append(FileEntry(name=file.name, role=role, variant=variant, size=file.stat().st_size, sha256=""))
    return entries


def read_folder(folder: Path, *, aligner: bool = True) -> Manifest:
    """Return what a bundle's manifest says, or what its file names tell where there is none.

    Args:
        folder: The bundle's folder.
        aligner: Whether the aligner beside a recogniser counts; if not, it is as if there were none.

    Raises:
        BundleNotFoundError: There is no such folder, or no model in it.
        BundleFileMissingError: There is no manifest, and a file of a model is missing.
        ManifestError: The manifest cannot be used.
    """
    if not folder.is_dir():
        what = "a model bundle is a folder, this is a file." if folder.exists() else "no such folder."
        raise BundleNotFoundError(what, path=folder, hint="Name the folder that holds the model's files.")
    if not (folder / MANIFEST_NAME).is_file():
        return _manifest_by_names(folder, aligner=aligner)
    manifest = read_manifest(folder / MANIFEST_NAME)
    if aligner or manifest.family == Family.ALIGNER:
        return manifest
    return replace(manifest, aligner=None, files=_recognisers(manifest.files))


def _recognisers(entries: Iterable[FileEntry]) -> tuple[FileEntry, ...]:
    return tuple(entry for entry in entries if entry.role in Role.RECOGNISER)


def _manifest_by_names(folder: Path, *, aligner: bool) -> Manifest:
    """Describe a folder without ``bundle.json``, as the predecessor of this program released them."""
    entries = _named_files(folder)
    if not aligner:
        entries = list(_recognisers(entries)) or entries
    if not entries:
        hint = f"Wanted: {MANIFEST_NAME}, or files named qwen3_asr_llm.q4_k.gguf etc."
        if any(folder.glob("*mmproj*.gguf")):
            hint = "It looks like a pair for llama.cpp: import it first (qwen-asr-plugin model add)."
        raise BundleNotFoundError("holds no model.", path=folder, hint=hint)
    roles = {entry.role for entry in entries}
    recogniser, beside = bool(roles & set(Role.RECOGNISER)), bool(roles & set(Role.ALIGNER))
    for wanted, kinds in ((recogniser, Role.RECOGNISER), (beside, Role.ALIGNER)):
        if wanted:
            _check_complete(folder, entries, kinds)
    main = Role.RECOGNISER if recogniser else Role.ALIGNER
    precision = _first(_PRECISION_ORDER, _variants(entries, main[0]))
    quant = _first(_QUANT_ORDER, _variants(entries, main[2]))
    frontend = read_onnx(folder / _name(entries, main[0], precision))
    # Where the graph leaves the sizes open, those of the official models.
    shape = frontend.inputs[0].shape if len(frontend.inputs[0].shape) == 3 else (None, None, None)
    entry = None
    if beside:
        aligner_quant = _first(_QUANT_ORDER, _variants(entries, Role.ALIGNER_LLM))
        entry = describe_aligner(folder / _name(entries, Role.ALIGNER_LLM, aligner_quant), quant=aligner_quant)
    return Manifest(
        name=folder.resolve().name,
        family=Family.RECOGNISER if recogniser else Family.ALIGNER,
        languages=(),
        max_chunk_seconds=30.0 if recogniser or entry is None else entry.max_chunk_seconds,
        max_context_tokens=DEFAULT_CONTEXT_TOKENS,
        licence="",
        default_precision=precision,
        default_quant=quant,
        n_mels=shape[1] or 128,
        chunk_frames=shape[2] or 100,
        window_chunks=8,
        files=tuple(entries),
        aligner=entry,
    )


def _check_complete(folder: Path, entries: list[FileEntry], roles: tuple[str, str, str]) -> None:
    frontend, backend, llm = roles
    names = {role: f"qwen3_{role if role in Role.ALIGNER else f'asr_{role}'}" for role in roles}
    for role, other in ((frontend, backend), (backend, frontend)):
        for variant in sorted(_variants(entries, other) - _variants(entries, role)):
            raise BundleFileMissingError(f"{names[role]}.{variant}.onnx", folder)
    if not _variants(entries, frontend):
        raise BundleFileMissingError(f"{names[frontend]}.<precision>.onnx", folder)
    if not _variants(entries, llm):
        raise BundleFileMissingError(f"{names[llm]}.<quant>.gguf", folder)


def _variants(entries: list[FileEntry], role: str) -> set[str]:
    return {entry.variant for entry in entries if entry.role == role}


def _name(entries: list[FileEntry], role: str, variant: str) -> str:
    return next(entry.name for entry in entries if (entry.role, entry.variant) == (role, variant))


def _first(order: Iterable[str], present: set[str]) -> str:
    return next((variant for variant in order if variant in present), min(present))


def variants(manifest: Manifest, role: str) -> tuple[str, ...]:
    """Return the variants of one kind of file."""
    return tuple(entry.variant for entry in manifest.files if entry.role == role)


def choose(kind: str, wanted: str | None, default: str, available: tuple[str, ...], folder: Path) -> str:
    """Return the variant to use; ``PrecisionNotFoundError`` if the bundle lacks it."""
    chosen = default if wanted is None else wanted
    if chosen not in available:
        raise PrecisionNotFoundError(kind, chosen, available, folder)
    return chosen


def find_file(manifest: Manifest, folder: Path, role: str, variant: str) -> Path:
    """Return the file of a role and variant; ``ManifestError`` if the manifest names none."""
    for entry in manifest.files:
        if (entry.role, entry.variant) == (role, variant):
            return folder / entry.name
    raise ManifestError(f"names no {role} of variant {variant}.", path=folder / MANIFEST_NAME)


def check_size(folder: Path, entry: FileEntry) -> None:
    """Check that a file is there and as long as the manifest says.

    Raises:
        BundleFileMissingError: It is not there.
        BundleFileDamagedError: It is of another size, or cannot be read.
    """
    file = folder / entry.name
    try:
        size = file.stat().st_size
    except FileNotFoundError:
        raise BundleFileMissingError(entry.name, folder) from None
    except OSError as error:
        raise damage_of(entry)(f"cannot be read ({error.strerror}).", path=file) from error
    if size != entry.size:
        what = "cut off" if size < entry.size else "not the right file"
        raise damage_of(entry)(
            f"{what}: {size} bytes long, the manifest says {entry.size}.", path=file, hint="Copy the bundle again."
        )


def check_mel(manifest: Manifest, encoder: EncoderSizes, frontend: Path) -> None:
    """Check that a frontend takes what the manifest says; ``WrongModelError`` if it does not."""
    wanted = (manifest.n_mels, encoder.chunk_frames and manifest.chunk_frames)
    if (encoder.n_mels, encoder.chunk_frames) != wanted:
        raise WrongModelError(
            f"takes {encoder.n_mels} mel bins and chunks of {encoder.chunk_frames or 'any'} frames, the bundle says "
            f"{manifest.n_mels} and {manifest.chunk_frames}.",
            path=frontend,
            hint="Copy the bundle again, or convert the checkpoint again.",
        )


def damage_of(entry: FileEntry) -> type[BundleFileDamagedError]:
    """Return the error that says a file of this kind is damaged."""
    return GgufDamagedError if entry.role in _GGUF_ROLES else OnnxDamagedError
