# SPDX-License-Identifier: Apache-2.0
"""Layouts of ggml-org/llama.cpp, oldest first."""

from __future__ import annotations

from dataclasses import replace

from qwen_asr_native.layouts import Field, Layout, flag, float32, int32, pointer, size, type_count, uint32

__all__ = ["BATCH", "BATCH_TEST_ARGUMENTS", "LAYOUTS_MAINLINE", "MODEL_CALLBACKS"]

_F16 = 1
_ALL_LAYERS = 999  # what builds with Metal put instead of 0
_MAINLINE_2025_08 = ("llama-cpp-python 0.3.16",)
_MAINLINE_2026_05 = ("xllamacpp 2026.5.9093",)
_MAINLINE_2026_09 = ("llama-cpp-python 0.3.36",)
_MAINLINE_2026_10 = ("xllamacpp 2026.10.11549",)

BATCH_TEST_ARGUMENTS = (0x5EED0, 3, 5, 7)
"""Arguments ``llama_batch_get_one`` is called with to see the batch struct: token address (stored, not read), number of
tokens, first position, sequence. Mainline ignores the last two."""


MODEL_CALLBACKS = (
    pointer("progress_callback"),
    pointer("progress_callback_user_data"),
    pointer("kv_overrides"),
)

_MODEL_2025_08 = Layout(
    name="mainline-2025-08",
    kind="model_params",
    family="mainline",
    builds=_MAINLINE_2025_08,
    fields=(
        pointer("devices"),
        pointer("tensor_buft_overrides"),
        int32("n_gpu_layers", 0, _ALL_LAYERS),
        int32("split_mode", 1),
        int32("main_gpu", 0),
        pointer("tensor_split"),
        *MODEL_CALLBACKS,
        flag("vocab_only", 0),
        flag("use_mmap", 1),
        flag("use_mlock", 0),
        flag("check_tensors", 0),
        flag("use_extra_bufts", 1),
    ),
)

_MODEL_2026_05 = Layout(
    name="mainline-2026-05",
    kind="model_params",
    family="mainline",
    builds=_MAINLINE_2026_05,
    fields=(
        pointer("devices"),
        pointer("tensor_buft_overrides"),
        int32("n_gpu_layers", -1, 0, _ALL_LAYERS),
        int32("split_mode", 1),
        int32("main_gpu", 0),
        pointer("tensor_split"),
        *MODEL_CALLBACKS,
        flag("vocab_only", 0),
        flag("use_mmap", 1),
        flag("use_direct_io", 0, 1),
        flag("use_mlock", 0),
        flag("check_tensors", 0),
        flag("use_extra_bufts", 1),
        flag("no_host", 0),
        flag("no_alloc", 0),
    ),
)

_MODEL_2026_09 = Layout(
    name="mainline-2026-09",
    kind="model_params",
    family="mainline",
    builds=_MAINLINE_2026_09 + _MAINLINE_2026_10,
    fields=(
        pointer("devices"),
        pointer("tensor_buft_overrides"),
        int32("n_gpu_layers", -1),
        int32("split_mode", 1),
        int32("load_mode", -1),
        int32("lazy_mode", 1),
        int32("main_gpu", 0),
        pointer("tensor_split"),
        *MODEL_CALLBACKS,
        flag("vocab_only", 0),
        flag("check_tensors", 0),
        flag("use_extra_bufts", 1),
        flag("no_host", 0),
        flag("no_alloc", 0),
        flag("load_mtp", 0),
    ),
)

_CONTEXT_THREADS = (int32("n_threads", 4), int32("n_threads_batch", 4))
_CONTEXT_SIZES = (uint32("n_ctx", 512), uint32("n_batch", 2048), uint32("n_ubatch", 512), uint32("n_seq_max", 1))
_CONTEXT_ENUMS = (int32("rope_scaling_type", -1), int32("pooling_type", -1), int32("attention_type", -1))
_CONTEXT_FLASH = (int32("flash_attn_type", -1),)


def _rope(attention_factor: float, beta_fast: float, beta_slow: float) -> tuple[Field, ...]:
    return (
        float32("rope_freq_base", 0.0),
        float32("rope_freq_scale", 0.0),
        float32("yarn_ext_factor", -1.0),
        float32("yarn_attn_factor", attention_factor),
        float32("yarn_beta_fast", beta_fast),
        float32("yarn_beta_slow", beta_slow),
        uint32("yarn_orig_ctx", 0),
        float32("defrag_thold", -1.0),
        pointer("cb_eval"),
        pointer("cb_eval_user_data"),
        int32("type_k", _F16),
        int32("type_v", _F16),
    )


_CONTEXT_ABORT = (pointer("abort_callback"), pointer("abort_callback_data"))
_CONTEXT_FLAGS = (flag("no_perf", 1), flag("op_offload", 1), flag("swa_full", 1), flag("kv_unified", 0))
_CONTEXT_OUTPUT = (flag("embeddings", 0), flag("offload_kqv", 1))
_CONTEXT_SAMPLERS = (pointer("samplers"), size("n_samplers", 0))

_CONTEXT_2025_08 = Layout(
    name="mainline-2025-08",
    kind="context_params",
    family="mainline",
    builds=_MAINLINE_2025_08,
    fields=(
        *_CONTEXT_SIZES,
        *_CONTEXT_THREADS,
        *_CONTEXT_ENUMS,
        *_rope(1.0, 32.0, 1.0),
        *_CONTEXT_ABORT,
        *_CONTEXT_OUTPUT,
        flag("flash_attn", 0),
        *_CONTEXT_FLAGS,
    ),
)

_CONTEXT_2026_05 = Layout(
    name="mainline-2026-05",
    kind="context_params",
    family="mainline",
    builds=_MAINLINE_2026_05,
    fields=(
        *_CONTEXT_SIZES,
        *_CONTEXT_THREADS,
        *_CONTEXT_ENUMS,
        *_CONTEXT_FLASH,
        *_rope(-1.0, -1.0, -1.0),
        *_CONTEXT_ABORT,
        *_CONTEXT_OUTPUT,
        *_CONTEXT_FLAGS,
        *_CONTEXT_SAMPLERS,
    ),
)

_CONTEXT_2026_HEAD = (
    *_CONTEXT_SIZES,
    uint32("n_rs_seq", 0),
    uint32("n_outputs_max", 0),
    uint32("n_outputs_max_per_seq", 1),
    *_CONTEXT_THREADS,
    int32("ctx_type", 0),
    *_CONTEXT_ENUMS,
    *_CONTEXT_FLASH,
    *_rope(-1.0, -1.0, -1.0),
)
_CONTEXT_2026_TAIL = (*_CONTEXT_ABORT, *_CONTEXT_OUTPUT, *_CONTEXT_FLAGS, *_CONTEXT_SAMPLERS, pointer("ctx_other"))

_CONTEXT_2026_09 = Layout(
    name="mainline-2026-09",
    kind="context_params",
    family="mainline",
    builds=_MAINLINE_2026_09,
    fields=_CONTEXT_2026_HEAD + _CONTEXT_2026_TAIL,
)

_CONTEXT_2026_10 = Layout(
    name="mainline-2026-10",
    kind="context_params",
    family="mainline",
    builds=_MAINLINE_2026_10,
    fields=(*_CONTEXT_2026_HEAD, size("moe_cache_size", 0), *_CONTEXT_2026_TAIL),
)

_QUANTIZE_2025_08 = Layout(
    name="mainline-2025-08",
    kind="quantize_params",
    family="mainline",
    builds=_MAINLINE_2025_08,
    fields=(
        int32("nthread", 0),
        int32("ftype", 9),
        type_count("output_tensor_type", range(39, 100)),
        type_count("token_embedding_type", range(39, 100)),
        flag("allow_requantize", 0),
        flag("quantize_output_tensor", 1),
        flag("only_copy", 0),
        flag("pure", 0),
        flag("keep_split", 0),
        pointer("imatrix"),
        pointer("kv_overrides"),
        pointer("tensor_types"),
        pointer("prune_layers"),
    ),
)

_QUANTIZE_2026_05 = replace(
    _QUANTIZE_2025_08,
    name="mainline-2026-05",
    builds=_MAINLINE_2026_05,
    fields=(
        int32("nthread", 0),
        int32("ftype", 7),
        *_QUANTIZE_2025_08.fields[2:9],
        flag("dry_run", 0),
        *_QUANTIZE_2025_08.fields[9:],
    ),
)

_QUANTIZE_2026_09 = replace(
    _QUANTIZE_2026_05,
    name="mainline-2026-09",
    builds=_MAINLINE_2026_09 + _MAINLINE_2026_10,
    fields=(*_QUANTIZE_2026_05.fields, size("max_buf_size", 8 << 30)),
)

BATCH = Layout(
    name="mainline",
    kind="batch",
    family="mainline",
    builds=_MAINLINE_2025_08 + _MAINLINE_2026_05 + _MAINLINE_2026_09 + _MAINLINE_2026_10,
    fields=(
        int32("n_tokens", BATCH_TEST_ARGUMENTS[1]),
        pointer("token", BATCH_TEST_ARGUMENTS[0]),
        pointer("embd"),
        pointer("pos"),
        pointer("n_seq_id"),
        pointer("seq_id"),
        pointer("logits"),
    ),
)

LAYOUTS_MAINLINE = (
    _MODEL_2025_08,
    _MODEL_2026_05,
    _MODEL_2026_09,
    _CONTEXT_2025_08,
    _CONTEXT_2026_05,
    _CONTEXT_2026_09,
    _CONTEXT_2026_10,
    _QUANTIZE_2025_08,
    _QUANTIZE_2026_05,
    _QUANTIZE_2026_09,
    BATCH,
)
