# SPDX-License-Identifier: Apache-2.0
"""``bundle.json``: what a bundle holds and how it wants to be used."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .errors import ManifestError

__all__ = [
    "FORMAT",
    "MANIFEST_NAME",
    "VERSION",
    "AlignerEntry",
    "Family",
    "FileEntry",
    "Manifest",
    "Role",
    "hash_file",
    "read_manifest",
]

MANIFEST_NAME = "bundle.json"
FORMAT = "qwen-asr-bundle"
VERSION = 1
_MAX_BYTES = 1 << 20


DEFAULT_CONTEXT_TOKENS = 512
"""What the released models take without harm to the audio's share of the prompt."""


class Role:
    """What a file of a bundle is for."""

    FRONTEND = "encoder_frontend"
    BACKEND = "encoder_backend"
    LLM = "llm"
    ALIGNER_FRONTEND = "aligner_encoder_frontend"
    ALIGNER_BACKEND = "aligner_encoder_backend"
    ALIGNER_LLM = "aligner_llm"
    ALIGNER_TEXT = "aligner_text"
    RECOGNISER = (FRONTEND, BACKEND, LLM)
    ALIGNER = (ALIGNER_FRONTEND, ALIGNER_BACKEND, ALIGNER_LLM)
    ALL = (*RECOGNISER, *ALIGNER, ALIGNER_TEXT)


class Family:
    """Kind of model a bundle is; a recogniser's bundle may hold a forced aligner too."""

    RECOGNISER = "qwen3-asr"
    ALIGNER = "qwen3-forced-aligner"


@dataclass(frozen=True, kw_only=True)
class FileEntry:
    """One file of a bundle.

    Attributes:
        name: File name, in the bundle's folder.
        role: One of `Role.ALL`.
        variant: Precision of an encoder file, quantisation of a language model.
        size: Bytes.
        sha256: Hash of the whole file, lower-case hexadecimal.
    """

    name: str
    role: str
    variant: str
    size: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class AlignerEntry:
    """The forced aligner of a bundle; its files are among the bundle's files.

    Attributes:
        shares_encoder: Whether it hears through the recogniser's encoder files instead of its own.
        languages: ISO 639 codes of the languages it aligns; empty: not known.
        max_chunk_seconds: Longest piece of audio it should get at once.
        default_quant: Decoder type to use when none is asked for.
        classes: Number of time classes; a row of its decoder's logits begins with them.
        class_ms: Milliseconds between two classes.
        timestamp_id: Token at whose positions the classes are read.
        audio_start_id: Token before the encoder's rows.
        audio_end_id: Token after the encoder's rows.
        tokenizer_sha256: Digest of its vocabulary, comparable with `Manifest.tokenizer_sha256`.
    """

    shares_encoder: bool
    languages: tuple[str, ...]
    max_chunk_seconds: float
    default_quant: str
    classes: int
    class_ms: int
    timestamp_id: int
    audio_start_id: int
    audio_end_id: int
    tokenizer_sha256: str


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The contents of ``bundle.json``.

    Attributes:
        name: Name of the bundle.
        family: Kind of model, of `Family`.
        languages: ISO 639 codes of the languages it understands; empty: not known.
        max_chunk_seconds: Longest piece of audio the model should get at once.
        max_context_tokens: Longest context (names and terms) the model copes with, in tokens.
        licence: SPDX licence expression of the weights; empty: not known.
        default_precision: Encoder precision to use when none is asked for.
        default_quant: Language model type to use when none is asked for.
        n_mels: Mel bins of the encoder's input.
        chunk_frames: Mel frames of a whole frontend chunk.
        window_chunks: Chunks of an attention window.
        files: Every file.
        tokenizer_sha256: Digest of the recogniser's vocabulary; empty: not known.
        aligner: The forced aligner, if there is one.
    """

    name: str
    family: str
    languages: tuple[str, ...]
    max_chunk_seconds: float
    max_context_tokens: int
    licence: str
    default_precision: str
    default_quant: str
    n_mels: int
    chunk_frames: int
    window_chunks: int
    files: tuple[FileEntry, ...]
    tokenizer_sha256: str = ""
    aligner: AlignerEntry | None = None

    def to_json(self) -> str:
        """Return the text of ``bundle.json``."""
        fields = {name: value for name, value in asdict(self).items() if value is not None}
        return json.dumps({"format": FORMAT, "version": VERSION, **fields}, indent=1, ensure_ascii=False) + "\n"


def read_manifest(file: Path) -> Manifest:
    """Read and check ``bundle.json``; looks at no other file.

    Args:
        file: The manifest.

    Returns:
        Its contents.

    Raises:
        ManifestError: It cannot be read, is not JSON, lacks a field, or has an unknown version.
    """
    try:
        if file.stat().st_size > _MAX_BYTES:
            raise ManifestError(f"longer than {_MAX_BYTES} bytes.", path=file, hint="Copy the bundle again.")
        raw = json.loads(file.read_bytes())
    except OSError as error:
        raise ManifestError(f"cannot be read ({error.strerror}).", path=file) from error
    except (ValueError, RecursionError) as error:
        raise ManifestError("not JSON.", path=file, hint="Copy the bundle again.") from error
    if not isinstance(raw, dict) or raw.get("format") != FORMAT:
        raise ManifestError(f"not a manifest (its format is not {FORMAT!r}).", path=file)
    if raw.get("version") != VERSION:
        raise ManifestError(
            f"version {raw.get('version')!r} of the bundle format, this program knows {VERSION}.",
            path=file,
            hint="Update the program, or convert the checkpoint again.",
        )
    try:
        manifest = Manifest(
            name=_text(raw, "name"),
            family=_text(raw, "family"),
            languages=tuple(str(code) for code in _list(raw, "languages")),
            max_chunk_seconds=_number(raw, "max_chunk_seconds"),
            max_context_tokens=_count({"max_context_tokens": DEFAULT_CONTEXT_TOKENS, **raw}, "max_context_tokens"),
            licence=_text(raw, "licence"),
            default_precision=_text(raw, "default_precision"),
            default_quant=_text(raw, "default_quant"),
            n_mels=_count(raw, "n_mels"),
            chunk_frames=_count(raw, "chunk_frames"),
            window_chunks=_count(raw, "window_chunks"),
            files=tuple(_file(entry) for entry in _list(raw, "files")),
            tokenizer_sha256=_text({"tokenizer_sha256": "", **raw}, "tokenizer_sha256"),
            aligner=_aligner(raw["aligner"]) if "aligner" in raw else None,
        )
    except _FieldError as error:
        raise ManifestError(f"field {error} is missing or wrong.", path=file, hint="Copy the bundle again.") from error
    return manifest


def hash_file(file: Path) -> str:
    """Return the SHA-256 of a file, lower-case hexadecimal; reads it in pieces."""
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


class _FieldError(ValueError):
    """Names the field that is wrong."""


def _file(raw: Any) -> FileEntry:
    if not isinstance(raw, dict):
        raise _FieldError("files")
    entry = FileEntry(
        name=_text(raw, "name"),
        role=_text(raw, "role"),
        variant=_text(raw, "variant"),
        size=_count(raw, "size"),
        sha256=_text(raw, "sha256"),
    )
    # A manifest may come from anywhere: it must not reach outside its folder.
    if not entry.name or Path(entry.name).name != entry.name or "\\" in entry.name:
        raise _FieldError("files.name")
    if entry.role not in Role.ALL:
        raise _FieldError("files.role")
    return entry


def _aligner(raw: Any) -> AlignerEntry:
    if not isinstance(raw, dict):
        raise _FieldError("aligner")
    try:
        if not isinstance(raw.get("shares_encoder"), bool):
            raise _FieldError("shares_encoder")
        return AlignerEntry(
            shares_encoder=raw["shares_encoder"],
            languages=tuple(str(code) for code in _list(raw, "languages")),
            max_chunk_seconds=_number(raw, "max_chunk_seconds"),
            default_quant=_text(raw, "default_quant"),
            classes=_count(raw, "classes"),
            class_ms=_count(raw, "class_ms"),
            timestamp_id=_count(raw, "timestamp_id"),
            audio_start_id=_count(raw, "audio_start_id"),
            audio_end_id=_count(raw, "audio_end_id"),
            tokenizer_sha256=_text(raw, "tokenizer_sha256"),
        )
    except _FieldError as error:
        raise _FieldError(f"aligner.{error}") from error


def _text(raw: Mapping[str, Any], name: str) -> str:
    value = raw.get(name)
    if not isinstance(value, str):
        raise _FieldError(name)
    return value


def _count(raw: Mapping[str, Any], name: str) -> int:
    value = raw.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise _FieldError(name)
    return value


def _number(raw: Mapping[str, Any], name: str) -> float:
    value = raw.get(name)
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not value > 0:
        raise _FieldError(name)
    return float(value)


def _list(raw: Mapping[str, Any], name: str) -> list[Any]:
    value = raw.get(name)
    if not isinstance(value, list):
        raise _FieldError(name)
    return value
