# SPDX-License-Identifier: Apache-2.0
"""What is inside a bundle, against what the libraries of the formats say."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import gguf
import numpy as np
import onnx
import pytest

from qwen_asr_model import BundleContents, GgufDamagedError, inspect_bundle, open_bundle
from qwen_asr_model.checkpoint import Checkpoint, read_checkpoint
from qwen_asr_model.contents import PartContents
from qwen_asr_model.vocabulary import TokenType


@pytest.fixture(scope="module")
def whole(whole_bundle: Path) -> BundleContents:
    return inspect_bundle(whole_bundle)


@pytest.fixture(scope="module")
def released(tiny_folder: Path, foreign: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("released") / "model"
    foreign.write_released(read_checkpoint(tiny_folder), folder)
    return folder


def part(contents: BundleContents, role: str, variant: str) -> PartContents:
    (found,) = (one for one in contents.parts if (one.role, one.variant) == (role, variant))
    return found


def test_every_file_is_told_and_every_byte_of_it_accounted_for(whole: BundleContents, whole_bundle: Path) -> None:
    assert {one.file for one in whole.parts} == {file.name for file in whole_bundle.iterdir()} - {"bundle.json"}
    for one in whole.parts:
        assert one.size == (whole_bundle / one.file).stat().st_size
        # What is no tensor is the head: names, graph, vocabulary.
        assert 0.5 * one.size < one.tensor_bytes < one.size
        assert one.tensor_bytes == sum(size for _, size in one.by_type().values())
        assert len(one.tensors) == sum(count for count, _ in one.by_type().values())


@pytest.mark.parametrize("precision", ["int8", "fp32", "fp16", "int4"])
@pytest.mark.parametrize("role", ["encoder_frontend", "encoder_backend"])
def test_graphs_are_as_onnx_reads_them(whole: BundleContents, whole_bundle: Path, role: str, precision: str) -> None:
    found = part(whole, role, precision)
    model = onnx.load(whole_bundle / found.file)
    arrays = {one.name: onnx.numpy_helper.to_array(one) for one in model.graph.initializer}
    assert [one.name for one in found.tensors] == list(arrays)
    for one in found.tensors:
        values = arrays[one.name]
        assert (one.type, one.shape, one.size) == (values.dtype.name, values.shape, values.nbytes)
    assert found.graph is not None
    assert found.graph.opsets == {one.domain or "ai.onnx": one.version for one in model.opset_import}
    assert (found.graph.ir_version, found.graph.producer) == (model.ir_version, model.producer_name)
    assert sum(found.graph.operators.values()) == len(model.graph.node)
    for ours, theirs in ((found.graph.inputs, model.graph.input), (found.graph.outputs, model.graph.output)):
        assert [one.name for one in ours] == [one.name for one in theirs]
        for one, value in zip(ours, theirs, strict=True):
            sizes = [dim.dim_value or None for dim in value.type.tensor_type.shape.dim]
            assert (one.type, list(one.shape), one.size) == ("float32", sizes, None)
    if role == "encoder_backend":
        assert found.stored_as == precision


@pytest.mark.parametrize("quant", ["q8_0", "f16", "q4_0"])
def test_decoders_are_as_gguf_reads_them(
    whole: BundleContents, whole_bundle: Path, tiny: Checkpoint, quant: str
) -> None:
    found = part(whole, "llm", quant)
    reader = gguf.GGUFReader(whole_bundle / found.file)
    theirs = {one.name: one for one in reader.tensors}
    assert {one.name for one in found.tensors} == set(theirs)
    for one in found.tensors:
        tensor = theirs[one.name]
        assert (one.type, one.size) == (tensor.tensor_type.name, tensor.n_bytes)
        assert one.shape == tuple(int(size) for size in reversed(tensor.shape))
    config = tiny.config.text
    assert (found.stored_as, found.architecture) == (quant, "qwen3")
    assert found.context_length == config.context_length
    assert found.metadata["qwen3.block_count"] == config.layers
    assert found.kv_cache_bytes == config.layers * 2 * config.kv_heads * config.head_dim * 2


def test_the_tokenizer_is_that_of_the_checkpoint(whole: BundleContents, tiny: Checkpoint) -> None:
    vocabulary = tiny.vocabulary
    tokenizer = part(whole, "llm", "f16").tokenizer
    assert tokenizer is not None
    assert (tokenizer.kind, tokenizer.pre) == ("gpt2", "qwen2")
    assert (tokenizer.entries, tokenizer.merges) == (len(vocabulary.tokens), len(vocabulary.merges))
    assert tokenizer.unused == sum(kind == TokenType.UNUSED for kind in vocabulary.types)
    special = {one.token: one for one in tokenizer.special}
    spelled = ("<|im_start|>", "<|im_end|>", "<|audio_start|>", "<|audio_end|>", "<|endoftext|>", "<asr_text>")
    for token in spelled:
        assert special[token].id == vocabulary.find(token)
    assert [one.id for one in tokenizer.special] == sorted(one.id for one in tokenizer.special)
    assert special["<|im_end|>"].use == "ends an answer"
    assert special["<|endoftext|>"].use == "pads"
    assert (special["<asr_text>"].kind, special["<|im_start|>"].kind) == ("user-defined", "control")
    assert not [one for one in tokenizer.special if one.token.startswith(("[PAD", "[FILL"))]


def test_the_memory_is_that_of_what_is_used(whole: BundleContents, whole_bundle: Path, pair_bundle: Path) -> None:
    bundle = open_bundle(whole_bundle)
    used = [bundle.encoder_frontend, bundle.encoder_backend, bundle.llm]
    assert whole.weights_bytes == sum(file.stat().st_size for file in used)
    assert whole.kv_cache_bytes == part(whole, "llm", bundle.quant).kv_cache_bytes
    both = open_bundle(pair_bundle)
    assert both.aligner is not None
    used = [both.encoder_frontend, both.encoder_backend, both.llm, both.aligner.llm, both.aligner.text]
    assert inspect_bundle(pair_bundle).weights_bytes == sum(file.stat().st_size for file in used)


def test_an_aligner(pair_bundle: Path) -> None:
    contents = inspect_bundle(pair_bundle)
    assert open_bundle(pair_bundle).aligner is not None
    decoder, text = part(contents, "aligner_llm", "f16"), part(contents, "aligner_text", "f16")
    assert decoder.tokenizer is not None
    assert text.tokenizer is not None
    assert (decoder.tokenizer.kind, decoder.tokenizer.entries, decoder.tokenizer.special) == ("none", 300, ())
    assert "<timestamp>" in {one.token for one in text.tokenizer.special}
    assert (len(text.tensors), text.kv_cache_bytes) == (1, None)


def test_a_released_bundle(released: Path) -> None:
    contents = inspect_bundle(released)
    frontend, backend, llm = contents.parts[1], contents.parts[0], contents.parts[2]
    assert (frontend.role, backend.role, llm.role) == ("encoder_frontend", "encoder_backend", "llm")
    assert frontend.graph is not None
    assert backend.graph is not None
    assert frontend.graph.inputs[0].shape == (1, 128, 100)
    assert [one.name for one in backend.graph.inputs] == ["hidden_states", "attention_mask"]
    assert (backend.stored_as, llm.stored_as, llm.architecture) == ("int4", "q4_k", "qwen3vl")
    assert "Q4_K" in llm.by_type()
    assert "output.weight" in {one.name for one in llm.tensors}


def test_json_has_the_tensors_only_if_asked_for(whole: BundleContents) -> None:
    facts = json.loads(json.dumps(whole.as_dict()))
    assert facts["parts"][0]["tensor_count"] == len(whole.parts[0].tensors)
    assert "tensors" not in facts["parts"][0]
    listed = json.loads(json.dumps(whole.as_dict(tensors=True)))["parts"]
    assert [len(one["tensors"]) for one in listed] == [len(one.tensors) for one in whole.parts]
    assert {one["architecture"] for one in listed if "architecture" in one} == {"qwen3"}


def test_a_file_that_is_not_of_the_default_choice_is_looked_into_as_well(bundle_copy: Path) -> None:
    file = open_bundle(bundle_copy, quant="q4_0").llm
    data = file.read_bytes()
    file.write_bytes(b"JUNK" + data[4:])
    open_bundle(bundle_copy)
    with pytest.raises(GgufDamagedError, match=r"q4_0\.gguf"):
        inspect_bundle(bundle_copy)


_PEAK = """
import resource, sys
from qwen_asr_model import inspect_bundle
contents = inspect_bundle(sys.argv[1])
print(sum(part.tensor_bytes for part in contents.parts), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no holes in files, and no peak of a process")
def test_the_weights_are_never_read(whole_bundle: Path, tiny: Checkpoint, tmp_path: Path) -> None:
    """A decoder of 12 GB, most of it holes: looking into it takes the memory that any small one takes."""
    folder = Path(shutil.copytree(whole_bundle, tmp_path / "big"))
    (folder / "bundle.json").unlink()
    for file in folder.glob("*llm*"):
        file.unlink()
    write_holes(tiny, folder / "qwen3_asr_llm.f16.gguf", intermediate_size=1 << 22)
    peaks = []
    for one in (whole_bundle, folder):
        done = subprocess.run([sys.executable, "-c", _PEAK, one], capture_output=True, text=True, check=True)
        stored, peak = map(int, done.stdout.split())
        peaks.append(peak * (1 if sys.platform == "darwin" else 1024))
    assert stored > 12e9
    assert peaks[1] < peaks[0] + 50_000_000


def write_holes(checkpoint: Checkpoint, file: Path, *, intermediate_size: int) -> None:
    """A GGUF file with all it needs but values."""
    config, vocabulary = checkpoint.config.text, checkpoint.vocabulary
    writer = gguf.GGUFWriter(file, "qwen3")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    writer.add_block_count(config.layers)
    writer.add_context_length(config.context_length)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(intermediate_size)
    writer.add_head_count(config.heads)
    writer.add_head_count_kv(config.kv_heads)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(list(vocabulary.tokens))
    writer.add_token_types([int(kind) for kind in vocabulary.types])
    queries, keys = config.heads * config.head_dim, config.kv_heads * config.head_dim
    shapes = {"token_embd": (config.vocab_size, config.hidden_size), "output_norm": (config.hidden_size,)}
    for layer in range(config.layers):
        shapes |= {
            f"blk.{layer}.{name}": shape
            for name, shape in {
                "attn_norm": (config.hidden_size,),
                "attn_q": (queries, config.hidden_size),
                "attn_k": (keys, config.hidden_size),
                "attn_v": (keys, config.hidden_size),
                "attn_output": (config.hidden_size, queries),
                "attn_q_norm": (config.head_dim,),
                "attn_k_norm": (config.head_dim,),
                "ffn_norm": (config.hidden_size,),
                "ffn_gate": (intermediate_size, config.hidden_size),
                "ffn_up": (intermediate_size, config.hidden_size),
                "ffn_down": (config.hidden_size, intermediate_size),
            }.items()
        }
    total = 0
    for name, shape in shapes.items():
        size = 2 * int(np.prod(shape))
        writer.add_tensor_info(f"{name}.weight", shape, np.dtype(np.float16), size)
        total += -(-size // 32) * 32
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.close()
    with file.open("r+b") as stream:
        stream.truncate(file.stat().st_size + total + 32)
