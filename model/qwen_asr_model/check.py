# SPDX-License-Identifier: Apache-2.0
"""Compares a bundle with the checkpoint it was made from: numbers, not trust.

The checkpoint is computed in numpy float32 (`_reference`), the bundle by onnxruntime and libllama as the engine does.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ._reference import ReferenceDecoder, ReferenceEncoder
from .aligner import AlignerFiles, open_aligner
from .bundle import Bundle, open_any, open_bundle
from .checkpoint import Checkpoint, read_checkpoint
from .errors import ConversionError
from .text_table import TextTable

if TYPE_CHECKING:
    from qwen_asr_native import Library

__all__ = ["PartCheck", "check_conversion"]

Float32 = npt.NDArray[np.float32]
DEFAULT_TEXT = "The quick brown fox jumps over the lazy dog."
_FRAMES = 950
_END = "<|im_end|>"


@dataclass(frozen=True, kw_only=True)
class PartCheck:
    """How far one file, or the two graphs of an encoder, are from the checkpoint.

    Attributes:
        part: ``encoder_frontend``, ``encoder`` (both graphs), ``llm``, and the same of the ``aligner_``.
        variant: Precision or type.
        file: Name of the file; of the backend for both graphs.
        cosine: Cosine between what the file and the checkpoint compute, over everything computed.
        max_error: Largest difference of two numbers.
        same_choice: Share of rows whose largest number is at the same place; None where that says nothing.
        loss: Mean negative log-likelihood of the text's tokens, in nats; None where no text was given.
        reference_loss: The checkpoint's.
    """

    part: str
    variant: str
    file: str
    cosine: float
    max_error: float
    same_choice: float | None = None
    loss: float | None = None
    reference_loss: float | None = None


def check_conversion(
    bundle: str | os.PathLike[str],
    checkpoint: str | os.PathLike[str],
    *,
    aligner: str | os.PathLike[str] | None = None,
    mel: Float32 | None = None,
    text: str | None = None,
    language: str = "English",
    library: str | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> tuple[PartCheck, ...]:
    """Compare every file of a bundle with the checkpoint it was converted from.

    Args:
        bundle: The folder of the bundle.
        checkpoint: The folder of the checkpoint, of the forced aligner where the bundle holds nothing else.
        aligner: The checkpoint of the forced aligner beside a recogniser; that aligner is left out if not given.
        mel: Log-mel of some speech, float32 ``[n_mels, frames]``; noise if not given.
        text: What is said in it; without it there are no losses, and decoders are compared on words of our own.
        language: English name of its language.
        library: libllama to compute with, see `qwen_asr_native.load_library`.
        progress: Called before each file with its name, how many are done, and how many there are.

    Returns:
        One entry for every frontend, every encoder and every decoder, in the order of the bundle.

    Raises:
        BundleError: The bundle or a checkpoint cannot be used.
        ConversionError: They are of different kinds or sizes.
        NativeError: libllama cannot be used.
    """
    from qwen_asr_native import load_library

    opened, source = open_any(bundle), read_checkpoint(Path(checkpoint))
    is_aligner = isinstance(opened, AlignerFiles)
    if is_aligner != (source.config.aligner is not None) or opened.n_mels != source.config.audio.n_mels:
        raise ConversionError("is no conversion of this checkpoint.", path=opened.path, hint="Name the right one.")
    beside = None if aligner is None else _aligner_beside(opened, Path(aligner))
    if mel is None:
        mel = np.random.default_rng(0).normal(0, 0.5, (opened.n_mels, _FRAMES)).astype(np.float32)
    elif mel.ndim != 2 or mel.shape[0] != opened.n_mels or mel.shape[1] < 1:
        raise ConversionError(f"the log-mel must be [{opened.n_mels}, frames], not {mel.shape}.", path=opened.path)
    speech = _Speech(mel=mel, text=text or DEFAULT_TEXT, with_loss=bool(text), language=language)
    native = load_library(library)
    steps: list[tuple[str, Iterator[PartCheck]]] = []
    if isinstance(opened, Bundle):
        steps += _recogniser_steps(opened, source, speech, native)
        if beside is not None:
            steps += _aligner_steps(*beside, speech, native)
    else:
        steps += _aligner_steps(opened, source, speech, native)
    report = progress or (lambda _file, _done, _total: None)
    found: list[PartCheck] = []
    for number, (name, checks) in enumerate(steps):
        report(name, number, len(steps))
        found += checks
    return tuple(found)


def _aligner_beside(opened: Bundle | AlignerFiles, folder: Path) -> tuple[AlignerFiles, Checkpoint]:
    """The aligner in a recogniser's bundle, and the checkpoint it is said to be made of."""
    if isinstance(opened, AlignerFiles) or opened.aligner is None:
        raise ConversionError("holds no recogniser with a forced aligner beside it.", path=opened.path)
    checkpoint = read_checkpoint(folder)
    if checkpoint.config.aligner is None:
        raise ConversionError("is no checkpoint of a forced aligner.", path=folder, hint="Name the right one.")
    return opened.aligner, checkpoint


@dataclass(frozen=True, kw_only=True)
class _Speech:
    mel: Float32
    text: str
    with_loss: bool
    language: str


class _Expected:
    """What the checkpoint makes of the speech, computed when it is asked for first."""

    def __init__(self, checkpoint: Checkpoint, speech: _Speech) -> None:
        self.checkpoint, self.speech = checkpoint, speech
        self.decoder = ReferenceDecoder(checkpoint)
        self._encoder = ReferenceEncoder(checkpoint)
        self._rows: Float32 | None = None
        self._audio: Float32 | None = None
        self.scores: Float32 | None = None

    @property
    def rows(self) -> Float32:
        if self._rows is None:
            self._rows = self._encoder.rows(self.speech.mel)
        return self._rows

    @property
    def audio(self) -> Float32:
        if self._audio is None:
            self._audio = self._encoder.encode(self.rows)
        return self._audio


def _recogniser_steps(
    bundle: Bundle, source: Checkpoint, speech: _Speech, library: Library
) -> Iterator[tuple[str, Iterator[PartCheck]]]:
    expected = _Expected(source, speech)
    for precision in bundle.precisions:
        chosen = open_bundle(bundle.path, precision=precision)
        yield chosen.encoder_backend.name, _check_encoder(chosen, expected, "")
    for quant in bundle.quants:
        chosen = open_bundle(bundle.path, quant=quant)
        yield chosen.llm.name, _check_llm(chosen, expected, library)


def _aligner_steps(
    files: AlignerFiles, source: Checkpoint, speech: _Speech, library: Library
) -> Iterator[tuple[str, Iterator[PartCheck]]]:
    expected = _Expected(source, speech)
    if not files.shares_encoder:
        for precision in files.precisions:
            chosen = open_aligner(files.path, precision=precision)
            yield chosen.encoder_backend.name, _check_encoder(chosen, expected, "aligner_")
    for quant in files.quants:
        chosen = open_aligner(files.path, quant=quant)
        yield chosen.llm.name, _check_aligner(chosen, expected, library)


def _check_encoder(files: Bundle | AlignerFiles, expected: _Expected, prefix: str) -> Iterator[PartCheck]:
    mel, size = expected.speech.mel, files.chunk_frames
    run = _Graph(files.encoder_frontend)
    if run.static or mel.shape[1] > size:
        mel = np.pad(mel, ((0, 0), (0, -mel.shape[1] % size)))
    rows = np.concatenate([run(mel[None, :, at : at + size])[0] for at in range(0, mel.shape[1], size)])
    rows = rows[: len(expected.rows)]
    yield _compare(f"{prefix}encoder_frontend", files.precision, files.encoder_frontend, rows, expected.rows)
    run = _Graph(files.encoder_backend)
    step = files.window_chunks * -(-size // 8)
    out = np.concatenate([run(rows[None, at : at + step])[0] for at in range(0, len(rows), step)])
    yield _compare(f"{prefix}encoder", files.precision, files.encoder_backend, out, expected.audio)


class _Graph:
    """One graph of an encoder; ``static``: a frontend takes whole chunks only, as those of released bundles do."""

    def __init__(self, file: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        first, *masks = self._session.get_inputs()
        self._name, self._masks = first.name, [mask.name for mask in masks]
        self._type = np.float16 if "float16" in first.type else np.float32
        self.static = isinstance(first.shape[2], int)

    def __call__(self, values: Float32) -> Float32:
        """``[batch, a, b] -> [batch, c, d]``."""
        feed = {self._name: np.ascontiguousarray(values, self._type)}
        for mask in self._masks:  # released backends want one, of zeros: nothing is padded here
            feed[mask] = np.zeros((len(values), 1, values.shape[1], values.shape[1]), self._type)
        result: npt.NDArray[Any] = self._session.run(None, feed)[0]
        return result.astype(np.float32, copy=False)


def _check_llm(bundle: Bundle, expected: _Expected, library: Library) -> Iterator[PartCheck]:
    from qwen_asr_native import Context, Model

    speech, audio = expected.speech, expected.audio
    with Model(library, bundle.llm) as model:

        def tokens(text: str) -> list[int]:
            return model.tokenize(text, parse_special=True)

        before = tokens("<|im_start|>system\n<|im_end|>\n<|im_start|>user\n<|audio_start|>")
        prompt = f"<|audio_end|><|im_end|>\n<|im_start|>assistant\nlanguage {speech.language}<asr_text>"
        after = tokens(prompt)
        answer = [*model.tokenize(speech.text), *tokens(_END)]
        with Context(
            model, n_ctx=len(before) + len(audio) + len(after) + len(answer) + 8, threads=_threads()
        ) as context:
            context.decode_tokens(before, 0, logits=False)
            context.decode_embeddings(audio, context.length())
            context.decode_tokens(after, context.length(), logits=True)
            scores = [context.logits()]
            for token in answer[:-1]:
                context.decode_tokens([token], context.length(), logits=True)
                scores.append(context.logits())
    found = np.stack(scores)
    if expected.scores is None:
        embedded = expected.decoder.embed([*before, *after, *answer[:-1]])
        rows = np.concatenate([embedded[: len(before)], audio, embedded[len(before) :]])
        expected.scores = expected.decoder.scores(rows, np.arange(len(rows) - len(answer), len(rows)))
    yield _compare(
        "llm",
        bundle.quant,
        bundle.llm,
        found,
        expected.scores,
        same_choice=_same(found, expected.scores),
        loss=_loss(found, answer) if speech.with_loss else None,
        reference_loss=_loss(expected.scores, answer) if speech.with_loss else None,
    )


def _check_aligner(files: AlignerFiles, expected: _Expected, library: Library) -> Iterator[PartCheck]:
    from qwen_asr_native import Context, Model

    vocabulary, audio = expected.checkpoint.vocabulary, expected.audio
    tokens: list[int] = [files.audio_end_id]
    slots: list[int] = []
    for unit in expected.speech.text.split():
        # Byte by byte: the same on both sides, and no tokenizer is needed.
        tokens += [vocabulary.byte_id(byte) for byte in unit.encode()]
        slots += [len(tokens), len(tokens) + 1]
        tokens += [files.timestamp_id] * 2
    wanted = np.asarray(slots, np.int64) + 1 + len(audio)
    prompt = [files.audio_start_id, *tokens]

    def placed(text: Float32) -> Float32:
        return np.concatenate([text[:1], audio, text[1:]])

    rows = placed(TextTable(files.text).rows(prompt))
    with (
        Model(library, files.llm) as model,
        Context(model, n_ctx=len(rows) + 8, threads=_threads(), flash_attention=False) as context,
    ):
        found = context.score_embeddings(rows, 0, wanted, columns=files.classes)
    if expected.scores is None:
        expected.scores = expected.decoder.scores(placed(expected.decoder.embed(prompt)), wanted)
    same = _same(found, expected.scores)
    yield _compare("aligner_llm", files.quant, files.llm, found, expected.scores, same_choice=same)


def _threads() -> int:
    """Half of the cores: threads that fill them all stand still as soon as another program needs one."""
    from qwen_asr_native.cores import usable_cores

    return max(1, usable_cores() // 2)


def _compare(part: str, variant: str, file: Path, found: Float32, wanted: Float32, **more: Any) -> PartCheck:
    if found.shape != wanted.shape:
        raise ConversionError(f"computes {found.shape} numbers, the checkpoint {wanted.shape}.", path=file)
    a, b = found.astype(np.float64).ravel(), wanted.astype(np.float64).ravel()
    cosine = float(a @ b / max(np.linalg.norm(a) * np.linalg.norm(b), np.finfo(np.float64).tiny))
    return PartCheck(
        part=part, variant=variant, file=file.name, cosine=cosine, max_error=float(np.abs(a - b).max()), **more
    )


def _same(found: Float32, wanted: Float32) -> float:
    return float((found.argmax(axis=1) == wanted.argmax(axis=1)).mean())


def _loss(scores: Float32, tokens: list[int]) -> float:
    wide = scores.astype(np.float64)
    top = wide.max(axis=1)
    total = top + np.log(np.exp(wide - top[:, None]).sum(axis=1))
    return float((total - wide[np.arange(len(tokens)), tokens]).mean())
