# SPDX-License-Identifier: Apache-2.0
"""Opens the forced aligner of a bundle, or a bundle that holds nothing else."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from ._folder import check_mel, check_size, choose, find_file, read_folder, variants
from ._llm import text_quant
from ._released import ALIGNER_TOKENS
from ._structure import check_decoder, check_encoder, check_gguf, check_tokens, check_width
from .errors import BundleNotFoundError, ManifestError
from .manifest import MANIFEST_NAME, FileEntry, Manifest, Role

__all__ = ["AlignerFiles", "aligner_of", "open_aligner"]


@dataclass(frozen=True, kw_only=True)
class AlignerFiles:
    """A checked forced aligner and the files chosen from it.

    Attributes:
        path: The folder.
        name: Name of the bundle.
        licence: SPDX licence expression of the weights; empty: not known.
        languages: ISO 639 codes of the languages it aligns; empty: not known.
        max_chunk_seconds: Longest piece of audio it should get at once.
        encoder_frontend: ONNX file, as a recogniser's.
        encoder_backend: ONNX file, as a recogniser's.
        shares_encoder: Whether these are the files of the bundle's recogniser, so that its rows can be used again.
        llm: GGUF file: everything goes in as embedding rows, and the first `classes` logits of a row are its classes.
            Its vocabulary is the time classes, or, in a released bundle, that of the text.
        text: GGUF file with the embeddings of the text's tokens and their tokenizer, see `TextTable`; in a released
            bundle it is `llm` itself.
        precision: Precision of the encoder files.
        quant: Type of the decoder.
        precisions: Every encoder precision there is.
        quants: Every decoder type there is.
        n_mels: Mel bins of the encoder's input.
        chunk_frames: Mel frames of a whole frontend chunk (10 ms each).
        window_chunks: Chunks of an attention window.
        classes: Number of time classes.
        class_ms: Milliseconds between two classes: class ``i`` means ``i * class_ms`` after the start of the audio.
        timestamp_id: Token at whose positions the classes are read; two after each unit of text, its start and its end.
        audio_start_id: Token before the encoder's rows.
        audio_end_id: Token after the encoder's rows.
        tokenizer_sha256: Digest of its vocabulary. A recogniser with the same `Bundle.tokenizer_sha256` turns any text
            into the same ids, so its tokenizer can be used.
        files: Every file of the bundle.
    """

    path: Path
    name: str
    licence: str
    languages: tuple[str, ...]
    max_chunk_seconds: float
    encoder_frontend: Path
    encoder_backend: Path
    shares_encoder: bool
    llm: Path
    text: Path
    precision: str
    quant: str
    precisions: tuple[str, ...]
    quants: tuple[str, ...]
    n_mels: int
    chunk_frames: int
    window_chunks: int
    classes: int
    class_ms: int
    timestamp_id: int
    audio_start_id: int
    audio_end_id: int
    tokenizer_sha256: str
    files: tuple[FileEntry, ...] = field(repr=False)


def open_aligner(
    path: str | os.PathLike[str], *, precision: str | None = None, quant: str | None = None
) -> AlignerFiles:
    """Open the forced aligner of a bundle and check it, without loading it; what `open_bundle` is for a recogniser.

    Args:
        path: The folder: a bundle with an aligner in it, or one that holds nothing else.
        precision: Encoder precision; the bundle's default if not given.
        quant: Decoder type; the aligner's default if not given.

    Returns:
        The aligner.

    Raises:
        BundleNotFoundError: There is no such folder, or no aligner in it.
        BundleFileMissingError: A file is missing.
        BundleFileDamagedError: A file is cut off, corrupt or of another size than the manifest says.
        ManifestError: The manifest cannot be used.
        PrecisionNotFoundError: The bundle lacks the precision or type.
        WrongModelError: The decoder is of another architecture, or the files belong to different models.
    """
    folder = Path(path)
    manifest = read_folder(folder)
    for entry in manifest.files:
        check_size(folder, entry)
    aligner = aligner_of(manifest, folder, precision=precision, quant=quant)
    if aligner is None:
        raise BundleNotFoundError(
            "holds no forced aligner.", path=folder, hint="Convert the checkpoint again, with its aligner."
        )
    return aligner


def aligner_of(
    manifest: Manifest, folder: Path, *, precision: str | None = None, quant: str | None = None
) -> AlignerFiles | None:
    """Choose and check the files of a bundle's aligner; None if there is none. Arguments and errors: `open_aligner`."""
    entry = manifest.aligner
    if entry is None:
        return None
    frontends, backends = (
        (Role.FRONTEND, Role.BACKEND) if entry.shares_encoder else (Role.ALIGNER_FRONTEND, Role.ALIGNER_BACKEND)
    )
    precisions, quants = variants(manifest, frontends), variants(manifest, Role.ALIGNER_LLM)
    precision = choose("precision", precision, manifest.default_precision, precisions, folder)
    quant = choose("aligner quant", quant, entry.default_quant, quants, folder)
    frontend = find_file(manifest, folder, frontends, precision)
    backend = find_file(manifest, folder, backends, precision)
    llm = find_file(manifest, folder, Role.ALIGNER_LLM, quant)
    # Released bundles have tokens, embeddings and head in one file.
    text = llm
    if any(file.role == Role.ALIGNER_TEXT for file in manifest.files):
        text = find_file(manifest, folder, Role.ALIGNER_TEXT, text_quant(quant))
    encoder = check_encoder(frontend, backend, precision=precision)
    check_mel(manifest, encoder, frontend)
    decoder, table = check_decoder(llm, quant=quant), check_gguf(text)
    check_width(encoder, backend, decoder, llm)
    check_tokens(text, table, ALIGNER_TOKENS)
    rows, texts = (head.tensors["token_embd.weight"].shape for head in (decoder, table))
    ids = (entry.timestamp_id, entry.audio_start_id, entry.audio_end_id)
    if rows[0] != texts[0] or rows[1] < entry.classes or texts[1] <= max(ids):
        raise ManifestError(
            f"does not fit {llm.name} and {text.name}: their rows, classes or tokens are others.",
            path=folder / MANIFEST_NAME,
        )
    return AlignerFiles(
        path=folder,
        name=manifest.name,
        licence=manifest.licence,
        languages=entry.languages,
        max_chunk_seconds=entry.max_chunk_seconds,
        encoder_frontend=frontend,
        encoder_backend=backend,
        shares_encoder=entry.shares_encoder,
        llm=llm,
        text=text,
        precision=precision,
        quant=quant,
        precisions=precisions,
        quants=quants,
        n_mels=manifest.n_mels,
        chunk_frames=manifest.chunk_frames,
        window_chunks=manifest.window_chunks,
        classes=entry.classes,
        class_ms=entry.class_ms,
        timestamp_id=entry.timestamp_id,
        audio_start_id=entry.audio_start_id,
        audio_end_id=entry.audio_end_id,
        tokenizer_sha256=entry.tokenizer_sha256,
        files=manifest.files,
    )
