# SPDX-License-Identifier: Apache-2.0
"""Opens model bundles: a folder with two encoder files and a language model, checked before anything native sees it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ._folder import (
    check_mel,
    check_size,
    choose,
    damage_of,
    find_file,
    named_roles,
    read_folder,
    variants,
)
from ._structure import check_decoder, check_encoder, check_tokens, check_width
from .aligner import AlignerFiles, aligner_of, open_aligner
from .errors import BundleNotFoundError, ManifestError, WrongModelError
from .manifest import MANIFEST_NAME, Family, FileEntry, Manifest, Role, hash_file, read_manifest
from .vocabulary import AUDIO_END, AUDIO_START, END_OF_TURN

__all__ = [
    "Bundle",
    "default_bundle",
    "describe_bundle",
    "find_aligner",
    "find_bundle",
    "open_any",
    "open_bundle",
    "verify_bundle",
]

DEFAULT_BUNDLE = Path(__file__).parent / "bundles" / "demo-en"

_SEARCH_DEPTH = 3
RECOGNISER_TOKENS = ("<|im_start|>", END_OF_TURN, "<|endoftext|>", AUDIO_START, AUDIO_END, "<asr_text>")
"""What the prompt is made of, and what ends an answer."""


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
        tokenizer_sha256: Digest of the language model's vocabulary; empty: not known.
        aligner: The forced aligner, if the bundle holds one.
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
    tokenizer_sha256: str
    aligner: AlignerFiles | None
    files: tuple[FileEntry, ...] = field(repr=False)


def find_bundle(path: str | os.PathLike[str] | None = None) -> Path:
    """Return the folder of the bundle somebody means.

    Args:
        path: The bundle itself, or a folder with one bundle below it: the first of `_SEARCH_DEPTH` levels with a bundle
            must hold just one, not counting those that hold only a forced aligner. None is the bundle that ships with
            the package.

    Raises:
        BundleNotFoundError: There is no such folder, or it holds several bundles.
    """
    if path is None:
        return default_bundle()
    return _find(Path(path), _holds_recogniser)


def find_aligner(path: str | os.PathLike[str]) -> Path:
    """Return the folder of the bundle with the forced aligner somebody means; see `find_bundle`.

    Args:
        path: A bundle with a forced aligner in it, or a folder with one such bundle below it.

    Raises:
        BundleNotFoundError: There is no such folder, or it holds several of them.
    """
    return _find(Path(path), _holds_aligner)


def _find(folder: Path, wanted: Callable[[Path], bool]) -> Path:
    if not folder.exists():
        from .store import installed_bundle  # which is made of bundles itself

        folder = installed_bundle(str(folder)) or folder
    if not folder.is_dir() or wanted(folder):
        return folder
    below = [folder]
    for _ in range(_SEARCH_DEPTH):
        below = [child for parent in below for child in _subfolders(parent)]
        found = [child for child in below if wanted(child)]
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


def _holds_recogniser(folder: Path) -> bool:
    # A manifest that cannot be read counts: opening the bundle says what is wrong with it.
    if not (folder / MANIFEST_NAME).is_file():
        return bool(named_roles(folder) & set(Role.RECOGNISER))
    manifest = _manifest(folder)
    return manifest is None or manifest.family != Family.ALIGNER


def _holds_aligner(folder: Path) -> bool:
    if not (folder / MANIFEST_NAME).is_file():
        return bool(named_roles(folder) & set(Role.ALIGNER))
    manifest = _manifest(folder)
    return manifest is not None and manifest.aligner is not None


def _manifest(folder: Path) -> Manifest | None:
    try:
        return read_manifest(folder / MANIFEST_NAME)
    except ManifestError:
        return None


def open_bundle(
    path: str | os.PathLike[str],
    *,
    precision: str | None = None,
    quant: str | None = None,
    aligner_quant: str | None = None,
    aligner: bool = True,
) -> Bundle:
    """Open a bundle and check it, without loading it.

    Checked are: the manifest, presence and exact size of every file in it, that the chosen files are whole (their own
    headers against their size), that both graphs take and give what they should, that encoder and decoder are of the
    same width, that the decoder has all tensors and the tokens of the prompt, and that each is stored as the bundle
    says. A folder without ``bundle.json`` is read by its file names, with 30 s chunks and the windows of the official
    models. Takes some milliseconds, a tenth of a second with an official vocabulary; `verify_bundle` reads every byte.

    Args:
        path: The folder.
        precision: Encoder precision (``fp32 fp16 int8 int4``); the bundle's default if not given.
        quant: Language model type (``q8_0``, ``q4_k``, ...); the bundle's default if not given.
        aligner_quant: Type of the forced aligner's decoder; the bundle's default if not given.
        aligner: Whether the bundle's forced aligner is wanted. If not, its files are not looked at and may be missing
            or damaged, and `Bundle.aligner` is None.

    Returns:
        The bundle.

    Raises:
        BundleNotFoundError: There is no such folder, or no model in it.
        BundleFileMissingError: A file is missing.
        BundleFileDamagedError: A file is cut off, corrupt or of another size than the manifest says.
        ManifestError: The manifest cannot be used.
        PrecisionNotFoundError: The bundle lacks the precision or type.
        WrongModelError: The language model is of another architecture, files belong to different models or are stored
            otherwise than the bundle says, or it holds only a forced aligner.
    """
    folder = Path(path)
    manifest = read_folder(folder, aligner=aligner)
    if manifest.family == Family.ALIGNER:
        raise WrongModelError(
            "holds only a forced aligner.", path=folder, hint="Name a speech recogniser; the aligner goes beside it."
        )
    precisions, quants = variants(manifest, Role.FRONTEND), variants(manifest, Role.LLM)
    precision = choose("precision", precision, manifest.default_precision, precisions, folder)
    quant = choose("quant", quant, manifest.default_quant, quants, folder)
    for entry in manifest.files:
        check_size(folder, entry)
    frontend = find_file(manifest, folder, Role.FRONTEND, precision)
    backend = find_file(manifest, folder, Role.BACKEND, precision)
    llm = find_file(manifest, folder, Role.LLM, quant)
    encoder = check_encoder(frontend, backend, precision=precision)
    check_mel(manifest, encoder, frontend)
    decoder = check_decoder(llm, quant=quant)
    check_width(encoder, backend, decoder, llm)
    check_tokens(llm, decoder, RECOGNISER_TOKENS)
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
        tokenizer_sha256=manifest.tokenizer_sha256,
        aligner=aligner_of(manifest, folder, precision=precision, quant=aligner_quant),
        files=manifest.files,
    )


def open_any(path: str | os.PathLike[str]) -> Bundle | AlignerFiles:
    """Open a bundle of either family with its default choice.

    Raises:
        BundleError: As `open_bundle` and `open_aligner`.
    """
    manifest = read_folder(Path(path))
    return open_aligner(path) if manifest.family == Family.ALIGNER else open_bundle(path)


def verify_bundle(bundle: Bundle | AlignerFiles, *, progress: Callable[[str, int, int], None] | None = None) -> None:
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
        check_size(bundle.path, entry)
        try:
            found = hash_file(file)
        except OSError as error:
            raise damage_of(entry)(f"cannot be read ({error.strerror}).", path=file) from error
        if found != entry.sha256:
            raise damage_of(entry)(
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
        The attributes of `Bundle` (or of `AlignerFiles`, for a bundle that holds nothing else) with the default choice,
        paths as strings, ``total_bytes``, and one table per file; the aligner inside a recogniser's bundle is a table.

    Raises:
        BundleError: As `open_bundle`.
    """
    bundle = open_any(path)
    facts: dict[str, Any] = {"path": str(bundle.path), "name": bundle.name}
    if isinstance(bundle, AlignerFiles):
        facts |= {"family": Family.ALIGNER, "licence": bundle.licence, **_describe_aligner(bundle)}
    else:
        facts |= {
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
            "aligner": None if bundle.aligner is None else _describe_aligner(bundle.aligner),
        }
    facts["total_bytes"] = sum(entry.size for entry in bundle.files)
    facts["files"] = [asdict(entry) for entry in bundle.files]
    return facts


def _describe_aligner(aligner: AlignerFiles) -> dict[str, Any]:
    return {
        "languages": list(aligner.languages),
        "max_chunk_seconds": aligner.max_chunk_seconds,
        "shares_encoder": aligner.shares_encoder,
        "default_precision": aligner.precision,
        "default_quant": aligner.quant,
        "precisions": list(aligner.precisions),
        "quants": list(aligner.quants),
        "classes": aligner.classes,
        "class_ms": aligner.class_ms,
    }
