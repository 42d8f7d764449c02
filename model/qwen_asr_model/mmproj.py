# SPDX-License-Identifier: Apache-2.0
"""Takes over models made for llama.cpp: a text GGUF and an ``mmproj`` GGUF with the audio encoder.

The text model goes into the bundle as it is. The encoder's tensors are read from the other file and written as this
package's own graphs, in any precision. Tensor names and metadata: llama.cpp, ``conversion/qwen3vl.py`` and
``tools/mtmd/clip.cpp`` (projector ``qwen3a``).
"""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qwen_asr_native.errors import ModelLoadError
from qwen_asr_native.gguf_file import GgufFile, read_array, read_gguf

from ._precisions import PRECISIONS
from ._staging import staging
from ._structure import check_decoder, check_tokens, check_width, encoder_of, file_quant
from .bundle import RECOGNISER_TOKENS
from .checkpoint import AUDIO_PREFIX, Checkpoint
from .config import AudioConfig, ModelConfig, TextConfig
from .convert import (
    DEFAULT_CHUNK_SECONDS,
    DEFAULT_PRECISIONS,
    Job,
    Progress,
    check_choice,
    encoder_jobs,
    file_name,
    write_files,
)
from .errors import BundleNotFoundError, CheckpointError, GgufDamagedError, WrongModelError
from .manifest import DEFAULT_CONTEXT_TOKENS, MANIFEST_NAME, Family, Manifest, Role
from .vocabulary import END_OF_TURN, TokenType, Vocabulary

__all__ = ["find_pair", "import_pair"]

PROJECTOR = "qwen3a"
# Constants of llama.cpp's own code: the file does not say.
N_WINDOW, N_WINDOW_INFER = 50, 800
_LAYER_NORM_EPSILON = 1e-5
_BLOCK_VALUES = 1 << 23
# Official name, after the prefix -> name in the file; ``{}`` is the number of a layer.
_NAMES = {
    "conv_out": "a.conv_out",
    "ln_post": "a.post_ln",
    "proj1": "mm.a.mlp.1",
    "proj2": "mm.a.mlp.2",
}
_LAYER_NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.out_proj": "attn_out",
    "self_attn_layer_norm": "ln1",
    "final_layer_norm": "ln2",
    "fc1": "ffn_up",
    "fc2": "ffn_down",
}


def find_pair(folder: str | os.PathLike[str]) -> tuple[Path, Path]:
    """Find the text model and the encoder in a folder.

    Args:
        folder: A folder with one GGUF file that has ``mmproj`` in its name, and one that has not.

    Returns:
        The text model and the ``mmproj`` file.

    Raises:
        BundleNotFoundError: There is no such folder, or not one file of each kind in it.
    """
    folder = Path(folder)
    files = sorted(folder.glob("*.gguf")) if folder.is_dir() else []
    encoders = [file for file in files if "mmproj" in file.name.lower()]
    texts = [file for file in files if file not in encoders]
    if len(encoders) != 1 or len(texts) != 1:
        raise BundleNotFoundError(
            f"not a pair for llama.cpp: {len(texts)} text models and {len(encoders)} mmproj files.",
            path=folder,
            hint="Keep one GGUF file and one with mmproj in its name in a folder, or name both.",
        )
    return texts[0], encoders[0]


def import_pair(
    llm: str | os.PathLike[str],
    mmproj: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    name: str | None = None,
    precisions: Sequence[str] = DEFAULT_PRECISIONS,
    languages: Sequence[str] = (),
    max_chunk_seconds: float = DEFAULT_CHUNK_SECONDS,
    licence: str | None = None,
    progress: Progress | None = None,
) -> Path:
    """Make a bundle of a text model and an encoder for llama.cpp; see `convert_checkpoint`.

    Needs the ``onnx`` package (extra ``convert``).

    Args:
        llm: GGUF file of the text model, of any type; it is copied.
        mmproj: GGUF file of the encoder, of any type that the ``gguf`` package can read.
        out: Folder to write.
        name: Name of the bundle; the folder's name if not given.
        precisions: Encoder precisions to write; the first becomes the default.
        languages: ISO 639 codes of the languages it understands; empty: not known.
        max_chunk_seconds: Longest piece of audio the model should get at once, in seconds.
        licence: SPDX licence expression of the weights; what the text model says if not given.
        progress: Called as the work goes on.

    Returns:
        The folder.

    Raises:
        GgufDamagedError: A file is not GGUF, cut off or corrupt.
        WrongModelError: A file is of another kind of model, or they belong to different models.
        CheckpointError: A tensor of the encoder is missing or of another shape.
        ConversionError: The bundle cannot be written.
    """
    llm, mmproj, out = Path(llm), Path(mmproj), Path(out)
    check_choice("precision", precisions, PRECISIONS)
    head = check_decoder(llm, quant="")
    check_tokens(llm, head, RECOGNISER_TOKENS)
    encoder = _read_encoder(mmproj)
    audio = _audio_config(mmproj, encoder)
    check_width(encoder_of(audio), mmproj, head, llm)
    vocabulary = _vocabulary(llm, head)
    checkpoint = Checkpoint(
        config=ModelConfig(audio=audio, text=_text_config(head)),
        vocabulary=vocabulary,
        tensors=_EncoderTensors(mmproj, encoder),
    )
    quant = file_quant(head) or "gguf"
    said = head.metadata.get("general.license")
    with staging(out) as folder:
        jobs = [
            *encoder_jobs(checkpoint, precisions, (Role.FRONTEND, Role.BACKEND)),
            Job(
                name=file_name(Role.LLM, quant, "gguf"),
                role=Role.LLM,
                variant=quant,
                write=partial(shutil.copyfile, llm),
            ),
        ]
        entries = write_files(jobs, folder, progress or (lambda _file, _done, _total: None))
        manifest = Manifest(
            name=name or out.name,
            family=Family.RECOGNISER,
            languages=tuple(languages),
            max_chunk_seconds=float(max_chunk_seconds),
            max_context_tokens=DEFAULT_CONTEXT_TOKENS,
            licence=licence if licence is not None else said if isinstance(said, str) else "",
            default_precision=precisions[0],
            default_quant=quant,
            n_mels=audio.n_mels,
            chunk_frames=audio.chunk_frames,
            window_chunks=audio.window_chunks,
            files=entries,
            tokenizer_sha256=vocabulary.digest(),
        )
        (folder / MANIFEST_NAME).write_text(manifest.to_json(), encoding="utf-8", newline="\n")
    return out


def _read_encoder(file: Path) -> GgufFile:
    try:
        head = read_gguf(file)
    except ModelLoadError as error:
        raise GgufDamagedError(str(error).removeprefix(f"{file}: "), path=file) from error
    values = head.metadata
    projector = values.get("clip.audio.projector_type", values.get("clip.projector_type"))
    if values.get("general.architecture") != "clip" or projector != PROJECTOR:
        raise WrongModelError(
            f"not the encoder of a Qwen3-ASR model (projector {str(projector)[:64]!r}).",
            path=file,
            hint=f"Needed: a file that llama.cpp made as mmproj, with projector {PROJECTOR!r}.",
        )
    return head


def _audio_config(file: Path, head: GgufFile) -> AudioConfig:
    def size(key: str) -> int:
        value = head.metadata.get(f"clip.audio.{key}")
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= _MAX_SIZE:
            raise GgufDamagedError(f"clip.audio.{key} cannot be {value!r}.", path=file)
        return value

    kernel = head.tensors.get("a.conv2d.1.weight")
    if kernel is None or len(kernel.shape) != 4:
        raise GgufDamagedError("tensor a.conv2d.1.weight is missing or of another shape.", path=file)
    epsilon = head.metadata.get("clip.audio.attention.layer_norm_epsilon", _LAYER_NORM_EPSILON)
    if not isinstance(epsilon, float) or not math.isclose(epsilon, _LAYER_NORM_EPSILON, rel_tol=1e-3):
        raise WrongModelError(f"its layer norms have epsilon {epsilon!r}, not {_LAYER_NORM_EPSILON}.", path=file)
    config = AudioConfig(
        n_mels=size("num_mel_bins"),
        d_model=size("embedding_length"),
        layers=size("block_count"),
        heads=size("attention.head_count"),
        ffn_dim=size("feed_forward_length"),
        output_dim=size("projection_dim"),
        conv_channels=kernel.shape[3],
        n_window=N_WINDOW,
        n_window_infer=N_WINDOW_INFER,
    )
    if config.d_model % config.heads or config.d_model % 2:
        raise GgufDamagedError(f"width {config.d_model} cannot be split into {config.heads} heads.", path=file)
    return config


_MAX_SIZE = 1 << 16


def _text_config(head: GgufFile) -> TextConfig:
    architecture = head.metadata["general.architecture"]

    def value(key: str, default: Any) -> Any:
        return head.metadata.get(f"{architecture}.{key}", default)

    width, heads = value("embedding_length", 0), value("attention.head_count", 0)
    head_dim = value("attention.key_length", width // heads)
    return TextConfig(
        vocab_size=head.metadata["tokenizer.ggml.tokens"],
        hidden_size=width,
        intermediate_size=value("feed_forward_length", 0),
        layers=value("block_count", 0),
        heads=heads,
        kv_heads=value("attention.head_count_kv", heads),
        head_dim=head_dim,
        context_length=value("context_length", 0),
        rms_norm_eps=value("attention.layer_norm_rms_epsilon", 1e-6),
        rope_theta=value("rope.freq_base", 1e6),
        mrope_section=(head_dim // 2,),
        tied="output.weight" not in head.tensors,
    )


def _vocabulary(file: Path, head: GgufFile) -> Vocabulary:
    try:
        tokens = read_array(file, head, "tokenizer.ggml.tokens")
        types = read_array(file, head, "tokenizer.ggml.token_type") or [TokenType.NORMAL] * len(tokens)
        merges = read_array(file, head, "tokenizer.ggml.merges")
        kinds = tuple(TokenType(kind) for kind in types)
    except (ModelLoadError, ValueError) as error:
        raise GgufDamagedError(f"its vocabulary cannot be read ({error}).", path=file) from error
    return Vocabulary(tokens=tuple(tokens), types=kinds, merges=tuple(merges), eos_id=tokens.index(END_OF_TURN))


class _EncoderTensors:
    """The tensors of an ``mmproj`` file under their official names."""

    def __init__(self, file: Path, head: GgufFile) -> None:
        self._file, self._head = file, head

    def __contains__(self, name: str) -> bool:
        return self._name(name) in self._head.tensors

    def shape(self, name: str) -> tuple[int, ...]:
        found = self._head.tensors.get(self._name(name))
        if found is None:
            raise CheckpointError(f"the encoder has no tensor {self._name(name)}.", path=self._file)
        if name.endswith(".bias"):  # of convolutions they are [channels, 1, 1]
            return (found.count,)
        return tuple(reversed(found.shape))

    def load(self, name: str) -> npt.NDArray[np.float32]:
        return np.concatenate(list(self.blocks(name)))

    def blocks(self, name: str) -> Iterator[npt.NDArray[np.float32]]:
        import gguf

        shape = self.shape(name)
        info = self._head.tensors[self._name(name)]
        try:
            kind = gguf.GGMLQuantizationType(info.type)
            block, size = gguf.GGML_QUANT_SIZES[kind]
            per_row = math.prod(shape[1:])
            step = max(1, _BLOCK_VALUES // per_row)
            with self._file.open("rb") as stream:
                stream.seek(self._head.data_start + info.offset)
                for begin in range(0, shape[0], step):
                    rows = min(step, shape[0] - begin)
                    stored = np.fromfile(stream, np.uint8, rows * per_row // block * size)
                    values = gguf.quants.dequantize(stored.reshape(-1, size), kind).reshape(rows, *shape[1:])
                    if not np.isfinite(values).all():
                        raise CheckpointError(f"tensor {info.name} holds values that are not finite.", path=self._file)
                    yield np.asarray(values, np.float32)
        except (OSError, ValueError, KeyError, NotImplementedError) as error:
            raise CheckpointError(f"tensor {info.name} cannot be read ({error}).", path=self._file) from error

    def _name(self, name: str) -> str:
        part, _, what = name.removeprefix(AUDIO_PREFIX).rpartition(".")
        if part.startswith("layers."):
            _, layer, inner = part.split(".", 2)
            return f"a.blk.{layer}.{_LAYER_NAMES[inner]}.{what}"
        if part.startswith("conv2d"):
            return f"a.conv2d.{part.removeprefix('conv2d')}.{what}"
        return f"{_NAMES[part]}.{what}"
