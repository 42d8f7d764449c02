# SPDX-License-Identifier: Apache-2.0
"""What can be set, with its defaults: one frozen object, made from a request's option mapping.

Every option has one name, used by the command line, by hosts (``--option NAME=VALUE``) and by `EngineOptions` alike.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, get_args

from qwen_asr_native.cores import usable_cores
from subtitle_hooks import RequestError

__all__ = [
    "ALIGNER_AUTO",
    "ALIGNER_OFF",
    "GPU_LANES",
    "ONNX_PROVIDERS",
    "EngineOptions",
    "default_lanes",
    "parse_options",
]

Isolation = Literal["process", "inline"]
ChineseScript = Literal["simplified", "traditional"]

ONNX_PROVIDERS: Final = ("cpu", "cuda", "dml", "coreml", "tensorrt")
_NUMBERED: Final = ("cuda", "dml", "tensorrt")

MAX_LANES: Final = 16
GPU_LANES: Final = (8, 4, 2, 1)
"""Chunks whose tokens a GPU computes together, as far as it has room: one costs it about as much as all."""
ALIGNER_AUTO: Final = "auto"
ALIGNER_OFF: Final = "off"

_TRUE: Final = {"1", "true", "yes", "on"}
_FALSE: Final = {"0", "false", "no", "off"}


@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """Settings of one engine; two equal objects share one warm worker.

    Attributes:
        model: Folder of a model bundle; None is the bundled default model.
        precision: Encoder precision (fp32, fp16, int8, int4); None is the bundle's default.
        quant: Decoder quantisation (f16, q8_0, q4_k...); None is the bundle's default.
        aligner: Where word times come from: "auto" is the bundle's forced aligner where it has one, "off" estimates
            them from voice activity, anything else is the folder of a bundle with a forced aligner.
        check_alignment: Estimate the word times of a chunk where the aligner leaves much of the speech without words.
        aligner_quant: The aligner's quantisation; None is the bundle's default.
        libllama: Provider name, library file or folder; None tries the providers in their documented order.
        onnx_provider: Execution provider of onnxruntime for the encoder, one of `ONNX_PROVIDERS`; ``cuda:1`` is the
            second device of its kind.
        device: Where libllama runs the decoder: ``cpu``, ``gpu`` (the first), or a device's name as ``doctor`` lists it
            (``CUDA0``, ``Vulkan1``). None is ``cpu``, or ``gpu`` when `gpu_layers` asks for one.
        gpu_layers: Decoder layers on that GPU, -1 for all; None is all. The others stay on the CPU.
        allow_fallback: Use the CPU when the encoder's or the decoder's device cannot be used, and say so, instead of
            failing.
        threads: Threads for all lanes together; 0 is one per physical core the process may use.
        lanes: Chunks recognised at the same time; 0 chooses: `default_lanes`, the first of `GPU_LANES` with
            room for it where the decoder is on a GPU.
        isolation: "process" keeps native code in a worker process, "inline" runs it here (debugging).
        timeout_factor: A chunk may take this many seconds per second of audio before the worker counts as hung.
        nice: Let other programs go first: the worker process runs at a low priority.
        idle_seconds: An engine that nobody has used for so long is ended and its memory given back; the next file
            loads the model again. 0 keeps it as long as the host runs.
        ffmpeg: Path of the ffmpeg binary; None searches.
        itn: Write Chinese numerals as digits in Chinese and Cantonese text.
        chinese_script: Write Chinese and Cantonese in "simplified" or "traditional" characters; None is as recognised.
        remove_fillers: Leave out hesitations such as "um".
        allow_damaged: Make subtitles for what can be decoded of a damaged file instead of refusing it.
    """

    model: Path | None = None
    precision: str | None = None
    quant: str | None = None
    aligner: str = ALIGNER_AUTO
    aligner_quant: str | None = None
    check_alignment: bool = True
    libllama: str | None = None
    onnx_provider: str = "cpu"
    device: str | None = None
    gpu_layers: int | None = None
    allow_fallback: bool = False
    threads: int = 0
    lanes: int = 0
    isolation: Isolation = "process"
    timeout_factor: float = 60.0
    nice: bool = False
    idle_seconds: float = 300.0
    ffmpeg: Path | None = None
    itn: bool = True
    chinese_script: ChineseScript | None = None
    remove_fillers: bool = False
    allow_damaged: bool = False

    def engine_part(self) -> EngineOptions:
        """Return these options without those that are about one media file: what decides whether a worker fits."""
        model = self.model
        if model is not None and model.exists():  # else it may be the name of an installed bundle
            model = model.absolute()  # the host may change its folder meanwhile
        return dataclasses.replace(
            self,
            model=model,
            ffmpeg=None,
            itn=True,
            chinese_script=None,
            remove_fillers=False,
            allow_damaged=False,
            check_alignment=True,
        )


def default_lanes(threads: int) -> int:
    """Return how many chunks to recognise at once on `threads` threads.

    Lanes of one thread share the mapped weights, need no barrier between threads and therefore also keep their speed
    beside a busy neighbour. More than eight were little or no faster on 16 cores, and each has a KV cache of its own
    (docs/performance.md has the measurements).
    """
    return max(1, min(8, threads))


def parse_options(values: Mapping[str, object]) -> EngineOptions:
    """Turn a request's option mapping (texts from a command line, or typed values) into `EngineOptions`.

    Raises:
        RequestError: An unknown name, a value of the wrong kind (the message lists what there is), or values that
            contradict each other.
    """
    known = {field.name: field for field in dataclasses.fields(EngineOptions)}
    parsed: dict[str, Any] = {}
    for name, value in values.items():
        field = known.get(name.replace("-", "_"))
        if field is None:
            raise RequestError(f"There is no option {name!r}.", hint=f"Options are: {', '.join(sorted(known))}.")
        parsed[field.name] = _convert(field.name, str(field.type), value)
    options = EngineOptions(**parsed)
    on_cpu = options.device is not None and options.device.lower() == "cpu"
    if (on_cpu and options.gpu_layers) or (options.device and not on_cpu and options.gpu_layers == 0):
        raise RequestError(
            f"Options device={options.device} and gpu_layers={options.gpu_layers} contradict each other.",
            hint="Name the device alone: a GPU takes all layers unless gpu_layers says how many, the cpu takes none.",
        )
    return options


def _convert(name: str, kind: str, value: object) -> object:
    if value is None:
        return None
    text = str(value).strip()
    if kind.startswith("bool"):
        if text.lower() in _TRUE | _FALSE:
            return text.lower() in _TRUE
        raise RequestError(f"Option {name} is {text!r}, but must be yes or no.")
    if kind.startswith(("int", "float")):
        convert = int if kind.startswith("int") else float
        try:
            number = convert(text)
        except ValueError:
            raise RequestError(f"Option {name} is {text!r}, but must be a number.") from None
        most = max(8, 4 * usable_cores()) if name == "threads" else MAX_LANES if name == "lanes" else 1_000_000
        if not (-1 if name == "gpu_layers" else 0) <= number <= most:  # a float that is no number fails, too
            raise RequestError(f"Option {name} is {text}, but must be from 0 to {most}.")
        return number
    if kind.startswith("Path"):
        return Path(text).expanduser()
    if name == "onnx_provider":
        return _onnx_provider(text.lower())
    if kind.startswith("ChineseScript") and text not in get_args(ChineseScript):
        raise RequestError(f"Option {name} is {text!r}, but must be one of: {', '.join(get_args(ChineseScript))}.")
    if kind == "Isolation" and text not in get_args(Isolation):
        raise RequestError(f"Option {name} is {text!r}, but must be one of: {', '.join(get_args(Isolation))}.")
    return text


def _onnx_provider(text: str) -> str:
    provider, colon, number = text.partition(":")
    numbered = provider in _NUMBERED and re.fullmatch(r"[0-9]{1,3}", number)
    if provider not in ONNX_PROVIDERS or (colon and not numbered):
        raise RequestError(
            f"Option onnx_provider is {text!r}, but must be one of: {', '.join(ONNX_PROVIDERS)}.",
            hint=f"{', '.join(_NUMBERED)} take the number of a device: {_NUMBERED[0]}:1 is the second one.",
        )
    return text
