# SPDX-License-Identifier: Apache-2.0
"""What a bundle's folder says about itself, and whether its files are there."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from .errors import (
    BundleFileDamagedError,
    BundleFileMissingError,
    BundleNotFoundError,
    GgufDamagedError,
    ManifestError,
    OnnxDamagedError,
    PrecisionNotFoundError,
)
from .manifest import DEFAULT_CONTEXT_TOKENS, MANIFEST_NAME, Family, FileEntry, Manifest, Role, read_manifest

__all__ = ["check_size", "choose", "damage_of", "find_file", "looks_like_bundle", "read_folder", "variants"]

_FILE_NAME = re.compile(r"qwen3_asr_(?:(encoder_frontend|encoder_backend)\.(\w+)\.onnx|(llm)\.(\w+)\.gguf)")
# What to prefer in a folder that does not say: the fastest encoder, the most faithful quantised language model.
_PRECISION_ORDER = ("int8", "fp32", "fp16", "int4")
_QUANT_ORDER = ("q8_0", "q6_k", "q5_k", "q5_1", "q5_0", "q4_k", "q4_1", "q4_0", "f16", "bf16", "f32")
_GGUF_ROLES = (Role.LLM, Role.ALIGNER_LLM, Role.ALIGNER_TEXT)


def looks_like_bundle(folder: Path) -> bool:
    """Return whether a folder has a manifest, or a file named as one of a bundle."""
    if (folder / MANIFEST_NAME).is_file():
        return True
    return any(_FILE_NAME.fullmatch(file.name) for file in folder.iterdir())


def read_folder(folder: Path) -> Manifest:
    """Return what a bundle's manifest says, or what its file names tell where there is none.

    Raises:
        BundleNotFoundError: There is no such folder, or no model in it.
        BundleFileMissingError: There is no manifest, and a file of a model is missing.
        ManifestError: The manifest cannot be used.
    """
    if not folder.is_dir():
        what = "a model bundle is a folder, this is a file." if folder.exists() else "no such folder."
        raise BundleNotFoundError(what, path=folder, hint="Name the folder that holds the model's files.")
    if (folder / MANIFEST_NAME).is_file():
        return read_manifest(folder / MANIFEST_NAME)
    return _manifest_by_names(folder)


def _manifest_by_names(folder: Path) -> Manifest:
    """Describe a folder without ``bundle.json``, as the predecessor of this program released them."""
    entries = []
    for file in sorted(folder.iterdir()):
        match = _FILE_NAME.fullmatch(file.name)
        if match and file.is_file():
            role, variant = match[1] or match[3], match[2] or match[4]
            entries.append(FileEntry(name=file.name, role=role, variant=variant, size=file.stat().st_size, sha256=""))
    if not entries:
        raise BundleNotFoundError(
            "holds no model.", path=folder, hint=f"Wanted: {MANIFEST_NAME}, or files named qwen3_asr_llm.q4_k.gguf etc."
        )
    present = {role: {entry.variant for entry in entries if entry.role == role} for role in Role.RECOGNISER}
    for role, other in ((Role.FRONTEND, Role.BACKEND), (Role.BACKEND, Role.FRONTEND)):
        for variant in sorted(present[other] - present[role]):
            raise BundleFileMissingError(f"qwen3_asr_{role}.{variant}.onnx", folder)
    if not present[Role.FRONTEND]:
        raise BundleFileMissingError("qwen3_asr_encoder_frontend.<precision>.onnx", folder)
    if not present[Role.LLM]:
        raise BundleFileMissingError("qwen3_asr_llm.<quant>.gguf", folder)
    return Manifest(
        name=folder.resolve().name,
        family=Family.RECOGNISER,
        languages=(),
        max_chunk_seconds=30.0,
        max_context_tokens=DEFAULT_CONTEXT_TOKENS,
        licence="",
        default_precision=_first(_PRECISION_ORDER, present[Role.FRONTEND]),
        default_quant=_first(_QUANT_ORDER, present[Role.LLM]),
        n_mels=128,
        chunk_frames=100,
        window_chunks=8,
        files=tuple(entries),
    )


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


def damage_of(entry: FileEntry) -> type[BundleFileDamagedError]:
    """Return the error that says a file of this kind is damaged."""
    return GgufDamagedError if entry.role in _GGUF_ROLES else OnnxDamagedError
