# SPDX-License-Identifier: Apache-2.0
"""The engine against the official PyTorch package on the same weights; README.md says how the numbers were made."""

import json

import numpy as np
import pytest

from qwen_asr_model import TextTable
from qwen_asr_native import Context, Model, load_library
from qwen_asr_plugin.audio import log_mel
from qwen_asr_plugin.engine.decoder import Decoder
from qwen_asr_plugin.engine.encoder import Encoder
from qwen_asr_plugin.engine.loop_guard import token_budget
from qwen_asr_plugin.engine.output_text import parse_output
from qwen_asr_plugin.engine.prompt import SpecialTokens, build_prompt
from qwen_asr_plugin.engine.slots import OwnSlot


@pytest.fixture(scope="module")
def golden(golden_folder):
    return json.loads((golden_folder / "golden.json").read_text(encoding="utf-8"))["clips"]


def _clips(kind, folder):
    with np.load(folder / f"{kind}.npz") as data:
        return {name: data[name] for name in data.files}


@pytest.fixture(scope="module")
def encoder(reference_bundle):
    return Encoder(reference_bundle.encoder_frontend, reference_bundle.encoder_backend, threads=1)


@pytest.fixture(scope="module", params=["ik-llama-cpp-python", "xllamacpp"])
def model(request, reference_bundle):
    with Model(load_library(request.param), reference_bundle.llm) as model:
        yield model


def test_log_mel(golden_folder, samples):
    arrays = _clips("mel", golden_folder)
    stems = [name for name in arrays if not name.endswith(".frames")]
    assert len(stems) == 3
    for stem in stems:
        ours = log_mel(samples(stem))
        kept = arrays.get(f"{stem}.frames", np.arange(ours.shape[1]))
        assert np.abs(ours[:, kept] - arrays[stem]).max() <= 1e-4, stem


def test_encoder_output(golden_folder, encoder, samples):
    arrays = _clips("encoder", golden_folder)
    assert len(arrays) == 3
    for stem, official in arrays.items():
        ours = encoder.encode(samples(stem))
        assert ours.shape == official.shape
        assert np.linalg.norm(ours - official) / np.linalg.norm(official) <= 1e-3, stem


def test_prompt_tokens(golden, model):
    prompt = build_prompt(model, SpecialTokens.of(model))
    for clip in golden:
        assert list(prompt.before_audio) == clip["prompt"]["head"]
        assert list(prompt.after_audio) == clip["prompt"]["tail"]


def test_next_token_logits_along_a_forced_path(golden_folder, encoder, model, samples):
    arrays = _clips("logits", golden_folder)
    stems = [name for name in arrays if not name.endswith(".path")]
    assert len(stems) == 2
    prompt = build_prompt(model, SpecialTokens.of(model))
    for stem in stems:
        rows = encoder.encode(samples(stem))
        path = [int(token) for token in arrays[f"{stem}.path"]]
        official = arrays[stem].astype(np.float32)
        assert len(path) == 40
        with Context(model, n_ctx=1024, threads=1) as context:
            context.decode_tokens(prompt.before_audio, 0, logits=False)
            context.decode_embeddings(rows, len(prompt.before_audio))
            position = len(prompt.before_audio) + len(rows)
            context.decode_tokens(prompt.after_audio, position, logits=True)
            position += len(prompt.after_audio)
            for step, token in enumerate(path):
                ours = context.logits()
                assert ours.argmax() == official[step].argmax(), (stem, step)
                assert np.abs(ours - official[step]).mean() < 0.05, (stem, step)
                context.decode_tokens([token], position + step, logits=True)


def test_greedy_text(golden, encoder, model, samples):
    prompt = build_prompt(model, SpecialTokens.of(model))
    slot = OwnSlot(model, TextTable(model.path).rows, positions=1024, threads=1)
    decoder = Decoder(model, slot)
    try:
        for clip in golden:
            stem = clip["file"].removesuffix(".flac")
            decoded = decoder.decode(prompt, encoder.encode(samples(stem)), max_tokens=token_budget(clip["seconds"]))
            text = decoder.text(decoded.tokens)
            assert text == clip["raw"].removesuffix("<|im_end|>"), stem
            assert parse_output(text)[1] == clip["text"], stem
    finally:
        slot.close()
    assert len(golden) >= 12
