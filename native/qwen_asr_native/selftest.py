# SPDX-License-Identifier: Apache-2.0
"""Runs a tiny model on a library and compares what comes out with the same model in numpy.

Verified struct layouts prove that a library may be called, not that it computes. A build can be wrong: instructions the
processor has but the operating system forbids, a compiler's mistake, a broken backend. So a model of architecture
``qwen3`` (that of our converter's files) with random weights in several quantizations is written, and in a child
process

- tokens are decoded, and the logits must be those of the same computation in numpy, up to rounding,
- the embedding rows of the same tokens are fed in, and must give the same logits,
- tokens are generated greedily both ways, and must be the same.

``python -m qwen_asr_native.selftest LIBRARY`` prints the outcome as JSON; exit status 0 means that it passed.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qwen_asr_native.errors import LibraryCrashedError, LibraryError, NativeError
from qwen_asr_native.probe import interpreter_command, run_child

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Weights = dict[str, NDArray[np.float32]]

__all__ = ["SelfTest", "main", "run_selftest", "write_tiny_model"]

EMBD, HEADS, KV_HEADS, HEAD, FFN, LAYERS, CONTEXT = 64, 2, 1, 32, 128, 2, 64
FREQUENCY_BASE = 1e6
EPSILON = 1e-6
PROMPT = (7, 1, 30, 12, 201, 99, 5, 64, 140)
GENERATED = 6
TOLERANCE = 0.1
"""Bound on the difference from numpy, in units of the logits' spread: 8-bit activations cost 0.03, a wrong kernel 1."""
ROWS_TOLERANCE = 0.01
_TIMEOUT_S = 180.0


@dataclass(frozen=True, kw_only=True)
class SelfTest:
    """What a library that passed has shown.

    Attributes:
        library: The library file.
        layout: Its struct layouts.
        difference: Root of the mean squared difference of its logits from numpy's, in units of their spread.
        rows_difference: The same between tokens and their embedding rows.
        tokens: What was generated greedily.
        seconds: How long it took, the start of the process included.
    """

    library: str
    layout: str
    difference: float
    rows_difference: float
    tokens: tuple[int, ...]
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """JSON types only."""
        return {**asdict(self), "passed": True, "tokens": list(self.tokens)}


def run_selftest(library: Path) -> SelfTest:
    """Run the test in a child process.

    Args:
        library: A library file that `qwen_asr_native.probe.verify` accepts.

    Raises:
        LibraryCrashedError: It killed the process, or gave no answer in a generous time.
        LibraryError: It computes something wrong, or cannot load the model; a subclass where the reason has one.
    """
    started = time.monotonic()
    command = interpreter_command("qwen_asr_native.selftest", str(library), json.dumps(sys.path))
    try:
        child = run_child(command, timeout=_TIMEOUT_S)
    except subprocess.TimeoutExpired as error:
        raise LibraryCrashedError(f"{library}: the tiny model gave no answer within {_TIMEOUT_S:.0f} s.") from error
    lines = child.stdout.decode("utf-8", "replace").splitlines()
    answers = [json.loads(line) for line in lines if line.startswith('{"passed"')]
    if not answers:
        said = " / ".join(child.stderr.decode("utf-8", "replace").strip().splitlines()[-3:])
        status = f"signal {-child.returncode}" if child.returncode < 0 else f"exit status {child.returncode}"
        raise LibraryCrashedError(
            f"{library}: the library died with {status} while it ran a tiny model.{f' It said: {said}' if said else ''}"
        )
    answer = answers[-1]
    if not answer.pop("passed"):
        raise LibraryError(f"{library}: the tiny model does not run as it should: {answer['reason']}")
    answer |= {"tokens": tuple(answer["tokens"]), "seconds": round(time.monotonic() - started, 2)}
    return SelfTest(**answer)


def main(arguments: Sequence[str]) -> int:
    """Test the library ``arguments[0]`` in this process and print the outcome."""
    if len(arguments) > 1:  # an isolated interpreter lacks the folders of the one that started it
        sys.path += [folder for folder in json.loads(arguments[1]) if folder and folder not in sys.path]
    try:
        answer: dict[str, Any] = {"passed": True, **_test(Path(arguments[0]).resolve())}
    except NativeError as error:
        answer = {"passed": False, "reason": f"[{error.code}] {error}"}
    print(json.dumps(answer), flush=True)
    return 0 if answer["passed"] else 1


def write_tiny_model(path: Path) -> Weights:
    """Write the model, about 200 kB, and return its weights as a library sees them, dequantized."""
    import gguf
    import numpy as np

    kinds = {
        "attn_q": "Q8_0",
        "attn_k": "Q8_0",
        "attn_v": "Q5_0",
        "attn_output": "Q4_0",
        "ffn_gate": "Q4_0",
        "ffn_up": "Q5_0",
        "ffn_down": "Q8_0",
    }
    tokens = [*(_letter(byte) for byte in range(256)), "<|endoftext|>"]
    types = [gguf.TokenType.NORMAL] * 256 + [gguf.TokenType.CONTROL]
    writer = gguf.GGUFWriter(path, "qwen3")
    writer.add_name("tiny random model for testing a library")
    writer.add_block_count(LAYERS)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(EMBD)
    writer.add_feed_forward_length(FFN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_key_length(HEAD)
    writer.add_value_length(HEAD)
    writer.add_layer_norm_rms_eps(EPSILON)
    writer.add_rope_freq_base(FREQUENCY_BASE)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges(["h e"])
    writer.add_eos_token_id(256)
    writer.add_bool("tokenizer.ggml.add_bos_token", val=False)
    weights = _random_weights(len(tokens))
    for name, values in weights.items():
        kind = kinds.get(name.split(".")[-2])
        if kind is None:
            writer.add_tensor(name, values)
            continue
        type_ = gguf.GGMLQuantizationType[kind]
        packed = gguf.quants.quantize(values, type_)
        writer.add_tensor(name, packed, raw_dtype=type_)
        weights[name] = gguf.quants.dequantize(packed, type_).astype(np.float32)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return weights


def _test(library: Path) -> dict[str, Any]:
    from qwen_asr_native.context import Context
    from qwen_asr_native.library import load_library
    from qwen_asr_native.model import Model

    loaded = load_library(library)
    with tempfile.TemporaryDirectory(prefix="qwen-asr-selftest-", ignore_cleanup_errors=True) as folder:
        path = Path(folder, "tiny.gguf")
        weights = write_tiny_model(path)
        embeddings = weights["token_embd.weight"]
        with Model(loaded, path, use_mmap=False) as model:
            by_token, by_row = [], []
            with Context(model, n_ctx=CONTEXT, threads=1, threads_batch=2) as context:
                context.decode_tokens(PROMPT, 0, logits=True)
                for position in range(len(PROMPT), len(PROMPT) + GENERATED):
                    by_token.append(context.logits())
                    context.decode_tokens([int(by_token[-1].argmax())], position, logits=True)
            tokens = tuple(int(logits.argmax()) for logits in by_token)
            ids = list(PROMPT)
            with Context(model, n_ctx=CONTEXT, threads=1, threads_batch=2) as context:
                for _ in range(GENERATED):  # always all rows: builds of ik crash on a single one
                    context.clear()
                    context.decode_embeddings(embeddings[ids], 0, logits=True)
                    by_row.append(context.logits())
                    ids.append(int(by_row[-1].argmax()))
    expected = [_reference(weights, [*PROMPT, *tokens[:count]]) for count in range(GENERATED)]
    difference, rows_difference = _distance(by_token, expected), _distance(by_row, by_token)
    if not difference < TOLERANCE:
        raise LibraryError(
            f"its logits differ from the same computation in numpy by {difference:.3g} of their spread; "
            f"up to {TOLERANCE} is rounding"
        )
    if not rows_difference < ROWS_TOLERANCE:
        raise LibraryError(
            f"embedding rows give other logits than their tokens, by {rows_difference:.3g} of the spread"
        )
    if tokens != tuple(int(logits.argmax()) for logits in by_row):
        raise LibraryError("embedding rows generate other tokens than tokens do")
    return {
        "library": str(library),
        "layout": loaded.layout,
        "difference": round(float(difference), 6),
        "rows_difference": round(float(rows_difference), 6),
        "tokens": tokens,
    }


def _distance(found: list[Any], expected: list[Any]) -> float:
    """Root of the mean squared difference, in units of the standard deviation; infinite for what is no number."""
    import numpy as np

    there, wanted = np.stack(found).astype(np.float64), np.stack(expected).astype(np.float64)
    if not np.isfinite(there).all():
        return float("inf")
    return float(np.sqrt(((there - wanted) ** 2).mean()) / max(float(wanted.std()), 1e-12))


def _letter(byte: int) -> str:
    """The letter GPT-2 vocabularies write a byte with: printable Latin-1 as itself, the rest from code point 256 on."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    if byte in printable:
        return chr(byte)
    return chr(256 + sum(other not in printable for other in range(byte)))


def _random_weights(tokens: int) -> Weights:
    import numpy as np

    generator = np.random.default_rng(31)

    def random(*shape: int) -> NDArray[np.float32]:
        values: NDArray[np.float32] = (generator.standard_normal(shape) / np.sqrt(shape[-1])).astype(np.float32)
        return values

    def norm(width: int) -> NDArray[np.float32]:
        return (1 + 0.1 * generator.standard_normal(width)).astype(np.float32)

    weights = {"token_embd.weight": random(tokens, EMBD), "output_norm.weight": norm(EMBD)}
    weights["output.weight"] = random(tokens, EMBD)
    for layer in range(LAYERS):
        weights |= {
            f"blk.{layer}.attn_norm.weight": norm(EMBD),
            f"blk.{layer}.attn_q.weight": random(HEADS * HEAD, EMBD),
            f"blk.{layer}.attn_k.weight": random(KV_HEADS * HEAD, EMBD),
            f"blk.{layer}.attn_v.weight": random(KV_HEADS * HEAD, EMBD),
            f"blk.{layer}.attn_output.weight": random(EMBD, HEADS * HEAD),
            f"blk.{layer}.attn_q_norm.weight": norm(HEAD),
            f"blk.{layer}.attn_k_norm.weight": norm(HEAD),
            f"blk.{layer}.ffn_norm.weight": norm(EMBD),
            f"blk.{layer}.ffn_gate.weight": random(FFN, EMBD),
            f"blk.{layer}.ffn_up.weight": random(FFN, EMBD),
            f"blk.{layer}.ffn_down.weight": random(EMBD, FFN),
        }
    return weights


def _reference(weights: Weights, ids: list[int]) -> NDArray[np.float64]:
    """Logits after the last of the tokens, shape (tokens of the vocabulary,): Qwen3's transformer in float64."""
    import numpy as np

    w = {name: value.astype(np.float64) for name, value in weights.items()}
    x = w["token_embd.weight"][ids]
    angles = np.arange(len(ids))[:, None] * FREQUENCY_BASE ** -(np.arange(HEAD // 2) / (HEAD // 2))
    cos, sin = np.cos(angles), np.sin(angles)
    mask = np.triu(np.full((len(ids), len(ids)), -np.inf), 1)

    def rms(values: NDArray[np.float64], weight: NDArray[np.float64]) -> NDArray[np.float64]:
        normed: NDArray[np.float64] = values / np.sqrt((values**2).mean(-1, keepdims=True) + EPSILON) * weight
        return normed

    def heads(values: NDArray[np.float64], count: int, norm: NDArray[np.float64]) -> NDArray[np.float64]:
        values = rms(values.reshape(len(ids), count, HEAD), norm).transpose(1, 0, 2)
        first, second = np.split(values, 2, axis=-1)
        return np.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)

    for layer in range(LAYERS):
        block = {name.split(".")[2]: value for name, value in w.items() if name.startswith(f"blk.{layer}.")}
        h = rms(x, block["attn_norm"])
        q = heads(h @ block["attn_q"].T, HEADS, block["attn_q_norm"])
        k = heads(h @ block["attn_k"].T, KV_HEADS, block["attn_k_norm"])
        v = (h @ block["attn_v"].T).reshape(len(ids), KV_HEADS, HEAD).transpose(1, 0, 2)
        k, v = (np.repeat(value, HEADS // KV_HEADS, axis=0) for value in (k, v))
        scores = np.exp(q @ k.transpose(0, 2, 1) / np.sqrt(HEAD) + mask)
        attended = scores / scores.sum(-1, keepdims=True) @ v
        x = x + attended.transpose(1, 0, 2).reshape(len(ids), -1) @ block["attn_output"].T
        h = rms(x, block["ffn_norm"])
        gate = h @ block["ffn_gate"].T
        x = x + (gate / (1 + np.exp(-gate)) * (h @ block["ffn_up"].T)) @ block["ffn_down"].T
    logits: NDArray[np.float64] = rms(x[-1], w["output_norm.weight"]) @ w["output.weight"].T
    return logits


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
