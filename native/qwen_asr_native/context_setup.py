# SPDX-License-Identifier: Apache-2.0
"""Makes a libllama context from checked numbers, and checks that the library understood them."""

from __future__ import annotations

from typing import Final, Literal

from qwen_asr_native.errors import ContextError, LayoutError
from qwen_asr_native.library import Library
from qwen_asr_native.logs import LIBRARY_LOG

__all__ = ["KvType", "new_context"]

KvType = Literal["f16", "q8_0"]
_GGML_TYPES: Final = {"f16": 1, "q8_0": 8}  # enum ggml_type


def new_context(
    library: Library,
    weights: int,
    *,
    n_ctx: int,
    n_batch: int,
    n_ubatch: int,
    threads: int,
    threads_batch: int,
    n_seq_max: int,
    separate: bool,
    flash_attention: bool | None,
    kv_type: KvType,
) -> int:
    """Make a context of these settings (see `qwen_asr_native.Context`) on a loaded model; returns its address.

    Raises:
        ContextError: The library cannot make it.
        LayoutError: It has other settings than it was given.
    """
    layout = library.verdict.context_params
    params = library.functions.context_defaults()
    if separate:
        if not layout.has("kv_unified"):
            raise ContextError(f"{library.title} has one cache for all sequences.")
        n_ctx *= n_seq_max
    params.n_ctx = n_ctx
    params.n_batch = n_batch
    params.n_ubatch = n_ubatch
    params.n_seq_max = n_seq_max
    params.n_threads = threads
    params.n_threads_batch = threads_batch
    if n_seq_max > 1 and layout.has("kv_unified"):
        params.kv_unified = not separate  # else each sequence gets an equal part of n_ctx
    if layout.family == "ik" and n_seq_max > 1:
        # Its flash attention aborts on rows that see nothing in a block of the cache: other sequences' positions.
        if flash_attention:
            raise ContextError("ik libraries cannot use flash attention with more than one sequence.")
        flash_attention = False
    if kv_type != "f16":
        if flash_attention is False:
            raise ContextError(f"A KV cache of type {kv_type} needs flash attention.")
        flash_attention = True
        params.type_k = params.type_v = _GGML_TYPES[kv_type]
    if flash_attention is not None:
        setattr(params, "flash_attn_type" if layout.has("flash_attn_type") else "flash_attn", flash_attention)
    mark = LIBRARY_LOG.mark()
    address = library.functions.new_context(weights, params)
    if not address:
        said = LIBRARY_LOG.since(mark) or "nothing"
        raise ContextError(f"{library.title} cannot make a context of {n_ctx} positions. It said: {said}")
    functions = library.functions
    settings = {
        "n_ctx": functions.n_ctx(address) >= n_ctx,  # rounded up by some
        "n_seq_max": functions.n_seq_max(address) >= n_seq_max,  # ik gives the size of the cache
        "n_threads": functions.n_threads(address) == threads,
        "n_threads_batch": functions.n_threads_batch(address) == threads_batch,
    }
    if not all(settings.values()):
        functions.free_context(address)
        wrong = ", ".join(name for name, right in settings.items() if not right)
        raise LayoutError(f"{library.path}: a new context does not have the settings given: {wrong}.")
    return address
