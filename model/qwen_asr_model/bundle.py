# SPDX-License-Identifier: Apache-2.0
"""Opens model bundles: a folder with two encoder files and a language model, checked before anything native sees it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ._structure import check_gguf, check_onnx
from .errors import (
    BundleFileDamagedError,
    BundleFileMissingError,
    BundleNotFoundError,
    GgufDamagedError,
    ManifestError,
    OnnxDamagedError,
    PrecisionNotFoundError,
)
from .manifest import DEFAULT_CONTEXT_TOKENS, MANIFEST_NAME, FileEntry, Manifest, Role, hash_file, read_manifest

__all__ = ["Bundle", "default_bundle", "describe_bundle", "find_bundle", "open_bundle", "verify_bundle"]

DEFAULT_BUNDLE = Path(__file__).parent / "bundles" / "demo-en"

_SEARCH_DEPTH = 3

_FILE_NAME = re.compile(r"qwen3_asr_(?:(encoder_frontend|encoder_backend)\.(\w+)\.onnx|(llm)\.(\w+)\.gguf)")
# What to prefer in a folder that does not say: the fastest encoder, the most faithful quantised language model.
_PRECISION_ORDER = ("int8", "fp32", "fp16", "int4")
_QUANT_ORDER = ("q8_0", "q6_k", "q5_k", "q5_1", "q5_0", "q4_k", "q4_1", "q4_0", "f16", "bf16", "f32")


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """A checked bundle and the files chosen from it.

    Attributes:
        path: The folder.
        name: Name of the bundle.
        family: Kind of model, ``"qwen3-asr"``.
        languages: ISO 639 codes of the languages it understands; empty: not known.
        max_chunk_seconds: Longest piece of audio the model should get at once.
        max_context_tokens: Longest context (names and terms) the model copes with, in tokens.
        licence: SPDX licence expression of the weights; empty: not known.
        encoder_frontend: ONNX file: log-mel chunks to rows.
        encoder_backend: ONNX file: rows of attention windows to language model embeddings.
        llm: GGUF file.
        precision: Precision of the two encoder files.
        quant: Type of the GGUF file.
        precisions: Every precision the bundle holds.
        quants: Every type the bundle holds.
        n_mels: Mel bins of the encoder's input.
        chunk_frames: Mel frames of a whole frontend chunk (10 ms each).
        window_chunks: Chunks of an attention window.
        files: Every file of the bundle; hashes are empty where there is no ``bundle.json``.
    """

    path: Path
    name: str
    family: str
    languages: tuple[str, ...]
    max_chunk_seconds: float
    max_context_tokens: int
    licence: str
    encoder_frontend: Path
    encoder_backend: Path
    llm: Path
    precision: str
    quant: str
    precisions: tuple[str, ...]
    quants: tuple[str, ...]
    n_mels: int
    chunk_frames: int
    window_chunks: int
    files: tuple[FileEntry, ...] = field(repr=False)


def find_bundle(path: str | os.PathLike[str] | None = None) -> Path:
    """Return the folder of the bundle somebody means.

    Args:
        path: The bundle itself, or a folder with one bundle below it: the first of `_SEARCH_DEPTH` levels with a bundle
            must hold just one. None is the bundle that ships with the package.

    Raises:
        BundleNotFoundError: There is no such folder, or it holds several bundles.
    """
    if path is None:
        return default_bundle()
    folder = Path(path)
    if not folder.is_dir() or _is_bundle(folder):
        return folder
    below = [folder]
    for _ in range(_SEARCH_DEPTH):
        below = [child for parent in below for child in _subfolders(parent)]
        found = [child for child in below if _is_bundle(child)]
        if len(found) > 1:
            names = ", ".join(str(child.relative_to(folder)) for child in found)
            raise BundleNotFoundError("the folder holds several models.", path=folder, hint=f"Name one of: {names}.")
        if found:
            return found[0]
    return folder


def _subfolders(folder: Path) -> list[Path]:
    try:
        return sorted(child for child in folder.iterdir() if child.is_dir() and os.access(child, os.R_OK))
    except PermissionError:
        return []


def _is_bundle(folder: Path) -> bool:
    if (folder / MANIFEST_NAME).is_file():
        return True
    return any(_FILE_NAME.fullmatch(file.name) for file in folder.iterdir())


def open_bundle(path: str | os.PathLike[str], *, precision: str | None = None, quant: str | None = None) -> Bundle:
    """Open a bundle and check it, without loading it.

    Checked are: the manifest, presence and exact size of every file in it, and that the chosen files are whole (their
    own headers against their size). A folder without ``bundle.json`` is read by its file names, with 30 s chunks and
    the windows of the official models. Takes milliseconds; `verify_bundle` reads every byte.

    Args:
        path: The folder.
        precision: Encoder precision (``fp32 fp16 int8 int4``); the bundle's default if not given.
        quant: Language model type (``q8_0``, ``q4_k``, ...); the bundle's default if not given.

    Returns:
        The bundle.

    Raises:
        BundleNotFoundError: There is no such folder, or no model in it.
        BundleFileMissingError: A file is missing.
        BundleFileDamagedError: A file is cut off, corrupt or of another size than the manifest says.
        ManifestError: The manifest cannot be used.
        PrecisionNotFoundError: The bundle lacks the precision or type.
        WrongModelError: The language model is of another architecture.
    """
    folder = Path(path)
    manifest = _read_folder(folder)
    precisions, quants = _variants(manifest, Role.FRONTEND), _variants(manifest, Role.LLM)
    precision = _choose("precision", precision, manifest.default_precision, precisions, folder)
    quant = _choose("quant", quant, manifest.default_quant, quants, folder)
    for entry in manifest.files:
        _check_size(folder, entry)
    frontend = _find(manifest, folder, Role.FRONTEND, precision)
    backend = _find(manifest, folder, Role.BACKEND, precision)
    llm = _find(manifest, folder, Role.LLM, quant)
    check_onnx(frontend)
    check_onnx(backend)
    check_gguf(llm)
    return Bundle(
        path=folder,
        name=manifest.name,
        family=manifest.family,
        languages=manifest.languages,
        max_chunk_seconds=manifest.max_chunk_seconds,
        max_context_tokens=manifest.max_context_tokens,
        licence=manifest.licence,
        encoder_frontend=frontend,
        encoder_backend=backend,
        llm=llm,
        precision=precision,
        quant=quant,
        precisions=precisions,
        quants=quants,
        n_mels=manifest.n_mels,
        chunk_frames=manifest.chunk_frames,
        window_chunks=manifest.window_chunks,
        files=manifest.files,
    )


def verify_bundle(bundle: Bundle, *, progress: Callable[[str, int, int], None] | None = None) -> None:
    """Read every file of a bundle and compare its hash with the manifest.

    Args:
        bundle: The bundle.
        progress: Called before each file with its name, how many are done, and how many there are.

    Raises:
        ManifestError: The bundle has no manifest, so there is nothing to compare with.
        BundleFileDamagedError: A file is not the one the manifest describes.
    """
    for number, entry in enumerate(bundle.files):
        if progress is not None:
            progress(entry.name, number, len(bundle.files))
        if not entry.sha256:
            raise ManifestError(f"no {MANIFEST_NAME}, so there are no hashes to compare with.", path=bundle.path)
        file = bundle.path / entry.name
        _check_size(bundle.path, entry)
        try:
            found = hash_file(file)
        except OSError as error:
            raise _damaged(entry)(f"cannot be read ({error.strerror}).", path=file) from error
        if found != entry.sha256:
            raise _damaged(entry)(
                f"corrupt: its SHA-256 is {found}, the manifest says {entry.sha256}.",
                path=file,
                hint="Copy the bundle again.",
            )


def default_bundle() -> Path:
    """Return the folder of the bundle that comes with this package.

    Raises:
        BundleNotFoundError: The package was installed without it.
    """
    if not (DEFAULT_BUNDLE / MANIFEST_NAME).is_file():
        raise BundleNotFoundError(
            "the model that comes with the program is not there.",
            path=DEFAULT_BUNDLE,
            hint="Install the program again, or name another model.",
        )
    return DEFAULT_BUNDLE


def describe_bundle(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return what is known about a bundle, as plain values for JSON or a table.

    Args:
        path: The folder.

    Returns:
        The attributes of `Bundle` with the default choice, paths as strings, ``total_bytes``, and one table per file.

    Raises:
        BundleError: As `open_bundle`.
    """
    bundle = open_bundle(path)
    return {
        "path": str(bundle.path),
        "name": bundle.name,
        "family": bundle.family,
        "languages": list(bundle.languages),
        "licence": bundle.licence,
        "max_chunk_seconds": bundle.max_chunk_seconds,
        "max_context_tokens": bundle.max_context_tokens,
        "default_precision": bundle.precision,
        "default_quant": bundle.quant,
        "precisions": list(bundle.precisions),
        "quants": list(bundle.quants),
        "n_mels": bundle.n_mels,
        "chunk_frames": bundle.chunk_frames,
        "window_chunks": bundle.window_chunks,
        "total_bytes": sum(entry.size for entry in bundle.files),
        "files": [
            {
                "name": entry.name,
                "role": entry.role,
                "variant": entry.variant,
                "size": entry.size,
                "sha256": entry.sha256,
            }
            for entry in bundle.files
        ],
    }


def _read_folder(folder: Path) -> Manifest:
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
    present = {role: {entry.variant for entry in entries if entry.role == role} for role in Role.ALL}
    for role, other in ((Role.FRONTEND, Role.BACKEND), (Role.BACKEND, Role.FRONTEND)):
        for variant in sorted(present[other] - present[role]):
            raise BundleFileMissingError(f"qwen3_asr_{role}.{variant}.onnx", folder)
    if not present[Role.FRONTEND]:
        raise BundleFileMissingError("qwen3_asr_encoder_frontend.<precision>.onnx", folder)
    if not present[Role.LLM]:
        raise BundleFileMissingError("qwen3_asr_llm.<quant>.gguf", folder)
    return Manifest(
        name=folder.resolve().name,
        family="qwen3-asr",
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


def _variants(manifest: Manifest, role: str) -> tuple[str, ...]:
    return tuple(entry.variant for entry in manifest.files if entry.role == role)


def _choose(kind: str, wanted: str | None, default: str, available: tuple[str, ...], folder: Path) -> str:
    chosen = default if wanted is None else wanted
    if chosen not in available:
        raise PrecisionNotFoundError(kind, chosen, available, folder)
    return chosen


def _find(manifest: Manifest, folder: Path, role: str, variant: str) -> Path:
    for entry in manifest.files:
        if (entry.role, entry.variant) == (role, variant):
            return folder / entry.name
    raise ManifestError(f"names no {role} of variant {variant}.", path=folder / MANIFEST_NAME)


def _check_size(folder: Path, entry: FileEntry) -> None:
    file = folder / entry.name
    try:
        size = file.stat().st_size
    except FileNotFoundError:
        raise BundleFileMissingError(entry.name, folder) from None
    except OSError as error:
        raise _damaged(entry)(f"cannot be read ({error.strerror}).", path=file) from error
    if size != entry.size:
        what = "cut off" if size < entry.size else "not the right file"
        raise _damaged(entry)(
            f"{what}: {size} bytes long, the manifest says {entry.size}.", path=file, hint="Copy the bundle again."
        )


def _damaged(entry: FileEntry) -> type[BundleFileDamagedError]:
    return GgufDamagedError if entry.role == Role.LLM else OnnxDamagedError
