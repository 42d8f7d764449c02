# SPDX-License-Identifier: Apache-2.0
"""The functions of libllama this package calls, typed once, with one name for what the two APIs call differently.

==================  =========================================  ==========================================
here                mainline                                   ik
==================  =========================================  ==========================================
``free_model``      ``llama_model_free``                       ``llama_free_model``
``n_vocab``         ``llama_vocab_n_tokens(vocab)``            ``llama_n_vocab(model)``
``n_ctx_train``     ``llama_model_n_ctx_train``                ``llama_n_ctx_train``
``rope_type``       ``llama_model_rope_type``                  ``llama_rope_type``
``tokenize``        ``llama_tokenize(vocab)``                  ``llama_vocab_tokenize(vocab)``
``token_to_piece``  ``llama_token_to_piece(vocab)``            ``llama_token_to_piece_vocab(vocab)``
``clear_memory``    ``llama_memory_clear(llama_get_memory)``   ``llama_kv_cache_clear``
``remove_from``     ``llama_memory_seq_rm(llama_get_memory)``  ``llama_kv_cache_seq_rm``
==================  =========================================  ==========================================
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from ctypes import c_bool, c_char_p, c_int32, c_size_t, c_uint32, c_void_p
from pathlib import Path
from typing import Any

from qwen_asr_native.errors import MissingSymbolError
from qwen_asr_native.probe import Verdict

__all__ = ["FunctionTable"]


class FunctionTable:
    """Typed access to one loaded library. Handles are addresses (`int`), 0 is never valid.

    Args:
        library: The loaded library.
        path: Its file, for messages.
        verdict: Its verified layouts.

    Attributes:
        handle: The loaded library.

    Raises:
        MissingSymbolError: The library does not export a function that is needed.
    """

    def __init__(self, library: ctypes.CDLL, path: Path, verdict: Verdict) -> None:
        self.handle = library
        self._path = path
        ik = verdict.family == "ik"
        model_params = verdict.model_params.structure
        context_params = verdict.context_params.structure

        self.backend_init: Callable[[], None] = self._bind("llama_backend_init", None)
        self.supports_gpu: Callable[[], bool] = self._bind("llama_supports_gpu_offload", c_bool)
        self.model_defaults: Callable[[], Any] = self._bind("llama_model_default_params", model_params)
        self.context_defaults: Callable[[], Any] = self._bind("llama_context_default_params", context_params)

        self.load_model: Callable[[bytes, Any], int | None] = self._bind(
            "llama_model_load_from_file", c_void_p, c_char_p, model_params
        )
        self.free_model: Callable[[int], None] = self._bind(
            "llama_free_model" if ik else "llama_model_free", None, c_void_p
        )
        self.get_vocab: Callable[[int], int] = self._bind("llama_model_get_vocab", c_void_p, c_void_p)
        self.n_embd: Callable[[int], int] = self._bind("llama_model_n_embd", c_int32, c_void_p)
        self.n_ctx_train: Callable[[int], int] = self._bind(
            "llama_n_ctx_train" if ik else "llama_model_n_ctx_train", c_int32, c_void_p
        )
        self.rope_type: Callable[[int], int] = self._bind(
            "llama_rope_type" if ik else "llama_model_rope_type", c_int32, c_void_p
        )
        self.meta: Callable[[int, bytes, Any, int], int] = self._bind(
            "llama_model_meta_val_str", c_int32, c_void_p, c_char_p, c_void_p, c_size_t
        )
        self._n_vocab: Callable[[int], int] = self._bind(
            "llama_n_vocab" if ik else "llama_vocab_n_tokens", c_int32, c_void_p
        )
        self._n_vocab_of_model = ik
        self.tokenize: Callable[[int, bytes, int, Any, int, bool, bool], int] = self._bind(
            "llama_vocab_tokenize" if ik else "llama_tokenize",
            c_int32,
            c_void_p,
            c_char_p,
            c_int32,
            c_void_p,
            c_int32,
            c_bool,
            c_bool,
        )
        self.token_to_piece: Callable[[int, int, Any, int, int, bool], int] = self._bind(
            "llama_token_to_piece_vocab" if ik else "llama_token_to_piece",
            c_int32,
            c_void_p,
            c_int32,
            c_void_p,
            c_int32,
            c_int32,
            c_bool,
        )

        self.new_context: Callable[[int, Any], int | None] = self._bind(
            "llama_init_from_model", c_void_p, c_void_p, context_params
        )
        self.free_context: Callable[[int], None] = self._bind("llama_free", None, c_void_p)
        self.n_ctx: Callable[[int], int] = self._bind("llama_n_ctx", c_uint32, c_void_p)
        self.n_batch: Callable[[int], int] = self._bind("llama_n_batch", c_uint32, c_void_p)
        self.n_ubatch: Callable[[int], int] = self._bind("llama_n_ubatch", c_uint32, c_void_p)
        self.n_seq_max: Callable[[int], int] = self._bind("llama_n_seq_max", c_uint32, c_void_p)
        self.n_threads: Callable[[int], int] = self._bind("llama_n_threads", c_int32, c_void_p)
        self.n_threads_batch: Callable[[int], int] = self._bind("llama_n_threads_batch", c_int32, c_void_p)
        self.set_n_threads: Callable[[int, int, int], None] = self._bind(
            "llama_set_n_threads", None, c_void_p, c_int32, c_int32
        )
        self.decode: Callable[[int, Any], int] = self._bind("llama_decode", c_int32, c_void_p, verdict.batch.structure)
        self.synchronize: Callable[[int], None] = self._bind("llama_synchronize", None, c_void_p)
        self.logits: Callable[[int, int], int | None] = self._bind("llama_get_logits_ith", c_void_p, c_void_p, c_int32)
        self._get_memory: Callable[[int], int] | None = None
        if ik:
            self._clear = self._bind("llama_kv_cache_clear", None, c_void_p)
            self._remove = self._bind("llama_kv_cache_seq_rm", c_bool, c_void_p, c_int32, c_int32, c_int32)
        else:
            self._get_memory = self._bind("llama_get_memory", c_void_p, c_void_p)
            self._clear = self._bind("llama_memory_clear", None, c_void_p, c_bool)
            self._remove = self._bind("llama_memory_seq_rm", c_bool, c_void_p, c_int32, c_int32, c_int32)

        self.quantize_defaults: Callable[[], Any] | None = None
        self.quantize: Callable[[bytes, bytes, Any], int] | None = None
        if verdict.quantize_params is not None:
            structure = verdict.quantize_params.structure
            self.quantize_defaults = self._bind("llama_model_quantize_default_params", structure)
            self.quantize = self._bind("llama_model_quantize", c_uint32, c_char_p, c_char_p, ctypes.POINTER(structure))

    def n_vocab(self, model: int, vocab: int) -> int:
        """Rows of the output layer."""
        return self._n_vocab(model if self._n_vocab_of_model else vocab)

    def clear_memory(self, context: int) -> None:
        """Forget every position of every sequence."""
        if self._get_memory is None:
            self._clear(context)
        else:
            self._clear(self._get_memory(context), 1)  # and zero the buffers

    def remove_from(self, context: int, sequence: int, position: int) -> bool:
        """Forget the positions of one sequence from ``position`` on."""
        handle = context if self._get_memory is None else self._get_memory(context)
        return bool(self._remove(handle, sequence, position, -1))

    def _bind(self, name: str, result: Any, *arguments: Any) -> Any:
        try:
            function = self.handle[name]  # a function object of its own, unlike attribute access
        except AttributeError as error:
            raise MissingSymbolError(
                f"{self._path}: this libllama does not export {name}. Use another build."
            ) from error
        function.argtypes = arguments
        function.restype = result
        return function
