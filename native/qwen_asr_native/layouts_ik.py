# SPDX-License-Identifier: Apache-2.0
"""Layouts of the fork ik_llama.cpp."""

from __future__ import annotations

from dataclasses import replace

from qwen_asr_native.layouts import Layout, flag, float32, int32, pointer, type_count, uint32
from qwen_asr_native.layouts_mainline import BATCH, BATCH_TEST_ARGUMENTS, MODEL_CALLBACKS

__all__ = ["LAYOUTS_IK"]

_F16 = 1
_ALL_LAYERS = 999  # what builds with Metal put instead of 0
_BUILDS = ("ik-llama-cpp-python 0.1.5",)

_MODEL_IK = Layout(
    name="ik-0.1.5",
    kind="model_params",
    family="ik",
    builds=_BUILDS,
    fields=(
        pointer("devices"),
        int32("n_gpu_layers", 0, _ALL_LAYERS),
        int32("mla", 0),
        int32("split_mode", 1),
        int32("main_gpu", 0),
        int32("max_gpu", 0),
        int32("ncmoe", 0),
        int32("type_k", _F16),
        int32("type_v", _F16),
        uint32("max_ctx_size", 0),
        int32("n_seq_max", 1),
        int32("n_ubatch", 512),
        int32("amb", 0),
        int32("fit_margin", 0),
        flag("fit", 0),
        int32("worst_graph_tokens", 0),
        int32("type_k_first", _F16),
        int32("type_k_last", _F16),
        int32("type_v_first", _F16),
        int32("type_v_last", _F16),
        int32("n_k_first", -1),
        int32("n_k_last", -1),
        int32("n_v_first", -1),
        int32("n_v_last", -1),
        pointer("tensor_split"),
        pointer("rpc_servers"),
        *MODEL_CALLBACKS,
        pointer("tensor_buft_overrides"),
        flag("vocab_only", 0),
        flag("use_mmap", 1),
        flag("use_mlock", 0),
        flag("check_tensors", 0),
        flag("repack_tensors", 0),
        flag("use_thp", 0),
        flag("validate_quants", 0),
        flag("merge_qkv", 0),
        flag("merge_up_gate_exps", 0),
        flag("mtp", 0),
        flag("dry_run", 0),
        flag("flash_attn", 1),
    ),
)

_CONTEXT_IK = Layout(
    name="ik-0.1.5",
    kind="context_params",
    family="ik",
    builds=_BUILDS,
    fields=(
        uint32("seed", 0xFFFFFFFF),
        uint32("n_ctx", 512),
        uint32("n_batch", 2048),
        uint32("n_ubatch", 512),
        uint32("n_seq_max", 1),
        uint32("n_threads", 4),
        uint32("n_threads_batch", 4),
        int32("max_extra_alloc", 256),
        int32("worst_case_tokens", 0),
        int32("rope_scaling_type", -1),
        int32("pooling_type", -1),
        int32("attention_type", -1),
        float32("rope_freq_base", 0.0),
        float32("rope_freq_scale", 0.0),
        float32("yarn_ext_factor", -1.0),
        float32("yarn_attn_factor", -1.0),
        float32("yarn_beta_fast", -1.0),
        float32("yarn_beta_slow", -1.0),
        uint32("yarn_orig_ctx", 0),
        float32("defrag_thold", -1.0),
        pointer("cb_eval"),
        pointer("cb_eval_user_data"),
        int32("type_k", _F16),
        int32("type_v", _F16),
        int32("type_reduce", _F16),
        int32("type_k_first", _F16),
        int32("type_k_last", _F16),
        int32("type_v_first", _F16),
        int32("type_v_last", _F16),
        int32("n_k_first", -1),
        int32("n_k_last", -1),
        int32("n_v_first", -1),
        int32("n_v_last", -1),
        flag("logits_all", 0),
        flag("embeddings", 0),
        flag("offload_kqv", 1),
        flag("flash_attn", 1),
        int32("mla_attn", 3),
        int32("attn_max_batch", 0),
        flag("fused_moe_up_gate", 1),
        flag("grouped_expert_routing", 0),
        flag("fused_up_gate", 1),
        flag("fused_mmad", 1),
        flag("rope_cache", 0),
        flag("graph_reuse", 1),
        int32("min_experts", -1),
        float32("thresh_experts", 0.0),
        flag("only_active_experts", 0),
        flag("k_cache_hadamard", 0),
        flag("v_cache_hadamard", 0),
        flag("split_mode_graph_scheduling", 0),
        flag("scheduler_async", 0),
        flag("mtp", 0),
        int32("mtp_op_type", 0),
        pointer("abort_callback"),
        pointer("abort_callback_data"),
        pointer("offload_policy"),
        pointer("cuda_params"),
    ),
)

_QUANTIZE_IK = Layout(
    name="ik-0.1.5",
    kind="quantize_params",
    family="ik",
    builds=_BUILDS,
    fields=(
        int32("nthread", 0),
        int32("ftype", 9),
        *(
            type_count(name, range(300, 600))
            for name in (
                "output_tensor_type",
                "token_embedding_type",
                "attn_q_type",
                "attn_k_type",
                "attn_v_type",
                "attn_qkv_type",
                "attn_output_type",
                "ffn_gate_type",
                "ffn_down_type",
                "ffn_up_type",
                "ffn_gate_inp_type",
            )
        ),
        flag("allow_requantize", 0),
        flag("quantize_output_tensor", 1),
        flag("only_copy", 0),
        flag("pure", 0),
        flag("keep_split", 0),
        flag("ignore_imatrix_rules", 0),
        flag("only_repack", 0),
        flag("dry_run", 0),
        flag("partial_requant", 0),
        pointer("imatrix"),
        pointer("kv_overrides"),
        pointer("custom_quants"),
        pointer("repack_pattern"),
    ),
)

_BATCH_IK = replace(
    BATCH,
    name="ik-0.1.5",
    family="ik",
    builds=_BUILDS,
    fields=(
        *BATCH.fields,
        int32("all_pos_0", BATCH_TEST_ARGUMENTS[2]),
        int32("all_pos_1", 1),
        int32("all_seq_id", BATCH_TEST_ARGUMENTS[3]),
    ),
)

LAYOUTS_IK = (_MODEL_IK, _CONTEXT_IK, _QUANTIZE_IK, _BATCH_IK)
