# SPDX-License-Identifier: Apache-2.0
"""Loading GGUF files, the vocabulary, and quantizing."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from qwen_asr_native import (
    ArchitectureError,
    Context,
    Library,
    Model,
    ModelLoadError,
    QuantizeError,
    QuantizerNotFoundError,
    TokenError,
    load_library,
    quantize,
)
from qwen_asr_native.gguf_file import read_gguf


def test_facts_of_the_file(model: Model, tiny: Any) -> None:
    assert (model.n_embd, model.n_vocab, model.n_ctx_train) == (256, len(tiny.tokens), 512)
    assert model.architecture == tiny.architecture
    assert model.positions_per_embedding == {"qwen3vl": 4, "qwen3": 1}[tiny.architecture]
    assert model.meta("general.name") == "tiny random model for tests"
    assert model.meta(f"{tiny.architecture}.block_count") == "2"
    assert model.meta("no.such.key") is None


@pytest.mark.parametrize("text", ["hello world", "Grüße, 世界! \0 <|im_end|>", "", "\ud800 lone", "x" * 5000])
def test_text_survives_tokens(model: Model, text: str) -> None:
    tokens = model.tokenize(text)
    assert b"".join(map(model.piece, tokens)) == text.encode("utf-8", "replace")


def test_merges_are_used(model: Model, tiny: Any) -> None:
    assert model.tokenize("hello wor") == [tiny.tokens.index(token) for token in ("hello", "Ġw", "or")]


def test_special_tokens_only_when_asked(model: Model, tiny: Any) -> None:
    index = tiny.tokens.index
    assert model.tokenize("<|im_start|>h", parse_special=True) == [index("<|im_start|>"), index("h")]
    assert index("<|im_start|>") not in model.tokenize("<|im_start|>h")
    assert model.token_id("<|im_end|>") == index("<|im_end|>")
    assert model.token_id("<asr_text>") == index("<asr_text>")
    for text in ("hello world", ""):
        with pytest.raises(TokenError, match="tokens in"):
            model.token_id(text)


def test_pieces(model: Model, tiny: Any) -> None:
    long = next(token for token in tiny.tokens if "xxx" in token)
    assert model.piece(tiny.tokens.index(long)) == b""
    assert model.piece(tiny.tokens.index(long), special=True) == long.encode()
    assert model.piece(tiny.tokens.index("<asr_text>")) == b"<asr_text>"
    for token in (-1, len(tiny.tokens)):
        with pytest.raises(TokenError, match="is not a token id"):
            model.piece(token)


def test_long_metadata_is_whole(library: Library, tiny: Any, tmp_path: Path) -> None:
    reader = gguf.GGUFReader(tiny.path)
    assert "general.name" in reader.fields
    name = "tiny random model for tests"
    data = tiny.path.read_bytes()
    longer = "ä" * 700 + name
    encoded = longer.encode()
    # The head grows by a multiple of the alignment, so that the tensor data stays aligned.
    growth = len(encoded) - len(name)
    encoded += b"." * (-growth % 32)
    path = tmp_path / "long.gguf"
    old, new = (len(text).to_bytes(8, "little") + text for text in (name.encode(), encoded))
    path.write_bytes(data.replace(old, new))
    with Model(library, path) as model:
        assert model.meta("general.name") == encoded.decode()


@pytest.mark.parametrize("keep", [0, 3, 20, 500, 9000, -4096, -1])
def test_cut_off_files_are_refused(library: Library, tiny: Any, tmp_path: Path, keep: int) -> None:
    data = tiny.path.read_bytes()
    path = tmp_path / "cut.gguf"
    path.write_bytes(data[:keep] if keep else b"")
    with pytest.raises(ModelLoadError, match=r"cut\.gguf: .*(cut off|empty|not a GGUF)") as error:
        Model(library, path)
    assert error.value.code == "model-not-loadable"


def test_other_things_are_refused(library: Library, tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match=r"absent\.gguf: no such file"):
        Model(library, tmp_path / "absent.gguf")
    with pytest.raises(ModelLoadError, match="cannot be read"):
        Model(library, tmp_path)
    other = tmp_path / "other.gguf"
    other.write_bytes(b"ID3 this is music" * 100)
    with pytest.raises(ModelLoadError, match="not a GGUF file"):
        Model(library, other)
    other.write_bytes(b"GGUF\x00\x00\x00\x03" + bytes(100))
    with pytest.raises(ModelLoadError, match="version 0x3000000 is not supported"):
        Model(library, other)
    other.write_bytes(b"GGUF\x03\x00\x00\x00" + bytes(8) + b"\xff" * 100)
    with pytest.raises(ModelLoadError, match="damaged in its head"):
        Model(library, other)
    with pytest.raises(ModelLoadError, match="gpu_layers"):
        Model(library, other, gpu_layers=-2)


def test_missing_metadata_is_named(library: Library, tmp_path: Path, model_writer: Callable[..., Any]) -> None:
    path = tmp_path / "no-sections.gguf"
    model_writer(path, "qwen3vl", without=("sections",))
    with pytest.raises(ModelLoadError, match=r"missing qwen3vl\.rope\.dimension_sections"):
        Model(library, path)
    model_writer(path, "qwen3", without=("token_embd.weight",))
    with pytest.raises(ModelLoadError, match=r"missing tensor token_embd\.weight"):
        Model(library, path)


def test_the_reason_of_the_library_is_in_the_message(
    library: Library, tmp_path: Path, model_writer: Callable[..., Any]
) -> None:
    path = tmp_path / "no-norm.gguf"
    model_writer(path, "qwen3", without=("blk.1.attn_norm.weight",))
    with pytest.raises(ModelLoadError, match=r"It said: .*blk\.1\.attn_norm\.weight"):
        Model(library, path)


def test_a_library_older_than_the_architecture_says_so(
    library: Library, tmp_path: Path, model_writer: Callable[..., Any]
) -> None:
    path = tmp_path / "qwen9.gguf"
    model_writer(path, "qwen9")
    with pytest.raises(ArchitectureError, match=rf"{library.provider} .* does not know the architecture 'qwen9'"):
        Model(library, path)


def test_the_size_of_the_cache(model: Model) -> None:
    assert model.kv_bytes_per_position == 2 * (2 * 64 + 2 * 64) * 2  # layers x (keys + values) x 16 bits


def test_the_log_goes_to_logging(library: Library, tiny: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "qwen_asr_native.libllama"):
        Model(library, tiny.path).close()
    assert tiny.architecture in caplog.text


def test_paths_with_other_letters(library: Library, tiny: Any, tmp_path: Path) -> None:
    path = tmp_path / "模型 ü.gguf"
    path.write_bytes(tiny.path.read_bytes())
    with Model(library, str(path)) as model:
        assert model.n_embd == 256


@pytest.mark.parametrize(
    ("kind", "head", "kept"),
    [
        ("q4_k_m", None, {12, 14}),
        ("q4_k_m", "q8_0", {8, 12, 14}),
        ("q6_k", None, {14}),
        ("Q8_0", None, {8}),
        ("f16", None, {1}),
    ],
)
def test_quantized_copies_work(tiny: Any, tmp_path: Path, kind: str, head: str | None, kept: set[int]) -> None:
    library = load_library("ik-llama-cpp-python")
    target = tmp_path / "new" / f"{kind}.gguf"
    quantize(tiny.path, target, kind, head=head, library=library)
    assert list(target.parent.iterdir()) == [target]
    assert {tensor.type for tensor in read_gguf(target).tensors.values() if len(tensor.shape) == 2} == kept
    found = []
    for path in (tiny.path, target):
        with Model(library, path) as model, Context(model, n_ctx=64) as context:
            context.decode_tokens([5, 6, 7, 8], 0, logits=True)
            found.append(context.logits())
    assert np.corrcoef(*found)[0, 1] > 0.95


def test_quantizing_says_what_is_wrong(tiny: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "small.gguf"
    with pytest.raises(QuantizeError, match=r"Unknown kind of quantization 'q4_k_x'.*q4_k_m"):
        quantize(tiny.path, target, "q4_k_x")
    with pytest.raises(QuantizeError, match=r"Unknown type 'q4' for the output head.*q4_k"):
        quantize(tiny.path, target, "q4_k_m", head="q4")
    with pytest.raises(ModelLoadError, match="no such file"):
        quantize(tmp_path / "absent.gguf", target, "q6_k")
    with pytest.raises(QuantizerNotFoundError, match=r"xllamacpp .* cannot quantize"):
        quantize(tiny.path, target, "q6_k", library=load_library("xllamacpp"))
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(QuantizeError, match="cannot be written"):
        quantize(tiny.path, tmp_path / "file" / "small.gguf", "q6_k")
    quantize(tiny.path, target, "q6_k")
    with pytest.raises(QuantizeError, match="already quantized"):
        quantize(target, target, "q4_k_m")
    assert capfd.readouterr() == ("", "")


def test_a_failing_quantizer_leaves_nothing(tmp_path: Path, model_writer: Callable[..., Any]) -> None:
    source = model_writer(tmp_path / "unknown.gguf", "qwen9")
    target = tmp_path / "out" / "small.gguf"
    with pytest.raises(QuantizeError, match=r"unknown model architecture: .qwen9"):
        quantize(source.path, target, "q6_k")
    assert list(target.parent.iterdir()) == []


def test_no_quantizer_names_the_packages(tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QWEN_ASR_LIBLLAMA", raising=False)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(QuantizerNotFoundError, match=r"not installed.*ik-llama-cpp-python or llama-cpp-python"):
        quantize(tiny.path, tmp_path / "small.gguf", "q6_k")
