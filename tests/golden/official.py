# SPDX-License-Identifier: Apache-2.0
"""The official PyTorch models, run greedily in float32 on the CPU; nothing of this project is imported.

Used by ``make_golden.py``, ``make_aligner_golden.py`` and ``benchmarks/accuracy/reference_wer.py``. Needs
``qwen-asr==0.0.6``, ``torch`` and ``soundfile``.

Attention windows: the official encoder computes window borders (``cu_seqlens``, 8 s for the published settings), but
only its flash-attention path obeys them; the path a CPU takes passes no mask, so every row sees the whole clip. Up to
one window the two are the same. With ``windowed=True`` the official method that builds the block mask
(``_prepare_attention_mask``, which the package defines and never calls) is called, and its result is handed to the
official layers.
"""

import contextlib
import dataclasses
import json
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile
import torch
from qwen_asr import Qwen3ASRModel, Qwen3ForcedAligner
from qwen_asr.inference.utils import normalize_audio_input, parse_asr_output, split_audio_into_chunks

SAMPLE_RATE = 16000
FRAME_SAMPLES = 160


@dataclasses.dataclass(frozen=True, kw_only=True)
class Decoded:
    """A greedy transcription.

    Attributes:
        prompt_ids: Token ids of the prompt, one ``<|audio_pad|>`` for each encoder row.
        token_ids: Generated token ids, with the stop token if one came.
        raw: The generated tokens as text, special tokens skipped.
        language: The language the official parser finds in ``raw``.
        text: The transcript the official parser finds in ``raw``.
        margin: The smallest distance between the best and the second-best logit of any step.
    """

    prompt_ids: list[int]
    token_ids: list[int]
    raw: str
    language: str
    text: str
    margin: float


class OfficialModel:
    """The official model and processor of one checkpoint folder."""

    def __init__(self, checkpoint: pathlib.Path) -> None:
        wrapper = Qwen3ASRModel.from_pretrained(str(checkpoint), dtype=torch.float32, device_map="cpu")
        self.wrapper = wrapper
        self.processor = wrapper.processor
        self.thinker = wrapper.model.thinker.eval()
        self.tower = self.thinker.audio_tower
        config = json.loads((checkpoint / "generation_config.json").read_text("utf-8"))
        stop = config["eos_token_id"]
        self.stop_ids: list[int] = stop if isinstance(stop, list) else [stop]
        self.window_seconds = self.tower.n_window_infer / 100
        self.window_frames = window_frames(self.tower)

    def inputs(self, samples: npt.NDArray[np.float32]) -> dict[str, torch.Tensor]:
        """Return the official processor's tensors for one clip, with the official prompt and an empty context."""
        # The prompt builder is private in the package; transcribe() makes its prompt with it.
        prompt = self.wrapper._build_text_prompt(context="", force_language=None)
        return dict(self.processor(text=[prompt], audio=[samples], return_tensors="pt", padding=True))

    def windows(self, *, windowed: bool) -> contextlib.AbstractContextManager[None]:
        """Within the block, give every encoder layer the official block mask if ``windowed``."""
        return masked(self.tower, windowed=windowed)

    @torch.no_grad()
    def encode(self, inputs: dict[str, torch.Tensor]) -> npt.NDArray[np.float32]:
        """Return the encoder rows, float32 ``[rows, output_dim]``."""
        features = self.thinker.get_audio_features(
            inputs["input_features"], feature_attention_mask=inputs["feature_attention_mask"]
        )
        return np.asarray(features.numpy())

    @torch.no_grad()
    def forced_logits(self, inputs: dict[str, torch.Tensor], path: list[int]) -> npt.NDArray[np.float32]:
        """Return float32 ``[len(path), vocabulary]``; row i is the prediction of ``path[i]`` after ``path[:i]``."""
        ids = torch.cat([inputs["input_ids"], torch.tensor([path[:-1]], dtype=torch.long)], dim=1)
        output = self.thinker(**{**inputs, "input_ids": ids, "attention_mask": torch.ones_like(ids)})
        return np.asarray(output.logits[0, -len(path) :].numpy())

    @torch.no_grad()
    def decode(self, inputs: dict[str, torch.Tensor], *, max_new_tokens: int = 512) -> Decoded:
        """Transcribe greedily up to a stop token of the checkpoint's ``generation_config.json``."""
        prompt = inputs["input_ids"]
        output = self.thinker.generate(
            **inputs,
            max_new_tokens=max_new_tokens,
            eos_token_id=self.stop_ids,
            do_sample=False,
            return_dict_in_generate=True,
            output_logits=True,
        )
        generated = output.sequences[:, prompt.shape[1] :]
        raw = self.processor.batch_decode(generated, skip_special_tokens=True, clean_up_tokenization_spaces=False)[0]
        language, text = parse_asr_output(raw)
        best = torch.stack([step[0].topk(2).values for step in output.logits])
        return Decoded(
            prompt_ids=prompt[0].tolist(),
            token_ids=generated[0].tolist(),
            raw=raw,
            language=language,
            text=text,
            margin=float((best[:, 0] - best[:, 1]).min()),
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Aligned:
    """What the official forced aligner makes of a clip and its text.

    Attributes:
        units: What got a start and an end.
        prompt_ids: Token ids of the prompt, one ``<|audio_pad|>`` for each encoder row.
        classes: The best class at every ``<timestamp>``, two for each unit.
        second: The second-best class at each.
        margins: Distance between the logits of the two at each.
        times_ms: Start and end of every unit as the package returns them, repaired.
        windowed: Whether the encoder got the block mask.
    """

    units: list[str]
    prompt_ids: list[int]
    classes: list[int]
    second: list[int]
    margins: list[float]
    times_ms: list[int]
    windowed: bool

    def ties(self, margin: float) -> list[tuple[int, int]]:
        """Return where the two best classes are closer than ``margin``: index of the slot, second-best class."""
        return [(at, self.second[at]) for at, distance in enumerate(self.margins) if distance < margin]


class OfficialAligner:
    """The official forced aligner of one checkpoint folder."""

    def __init__(self, checkpoint: pathlib.Path) -> None:
        self.wrapper = Qwen3ForcedAligner.from_pretrained(str(checkpoint), dtype=torch.float32, device_map="cpu")
        self.thinker = self.wrapper.model.thinker.eval()

    def align(self, samples: npt.NDArray[np.float32], text: str, language: str) -> Aligned:
        """Align with the package's own ``align``, and listen to what its model answers.

        A clip over one encoder window gets the block mask, see `masked`.
        """
        heard: dict[str, torch.Tensor] = {}

        def listen(_module: Any, _args: Any, kwargs: dict[str, Any], output: Any) -> None:
            heard.update(ids=kwargs["input_ids"][0], logits=output.logits[0])

        windowed = len(samples) // FRAME_SAMPLES > window_frames(self.thinker.audio_tower)
        hook = self.thinker.register_forward_hook(listen, with_kwargs=True)
        try:
            with masked(self.thinker.audio_tower, windowed=windowed):
                (items,) = self.wrapper.align((samples, SAMPLE_RATE), text, language)
        finally:
            hook.remove()
        logits = heard["logits"][heard["ids"] == self.wrapper.timestamp_token_id]
        best = logits.topk(2)
        return Aligned(
            units=[item.text for item in items],
            prompt_ids=heard["ids"].tolist(),
            classes=logits.argmax(dim=-1).tolist(),
            second=best.indices[:, 1].tolist(),
            margins=(best.values[:, 0] - best.values[:, 1]).tolist(),
            times_ms=[round(1000 * time) for item in items for time in (item.start_time, item.end_time)],
            windowed=windowed,
        )

    def tokens(self, text: str, language: str) -> tuple[list[str], list[int]]:
        """Return the units of a text and the token ids of the official prompt for it, without audio."""
        units, prompt = self.wrapper.aligner_processor.encode_timestamp(text, language)
        return units, self.wrapper.processor.tokenizer(prompt)["input_ids"]


@contextlib.contextmanager
def masked(tower: Any, *, windowed: bool) -> Iterator[None]:
    """Within the block, give every layer of the official encoder the official block mask if ``windowed``."""

    def add_mask(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        hidden_states, cu_seqlens = args
        mask = tower._prepare_attention_mask(hidden_states, cu_seqlens)
        return args, {**kwargs, "attention_mask": mask}

    layers = tower.layers if windowed else []
    hooks = [layer.register_forward_pre_hook(add_mask, with_kwargs=True) for layer in layers]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def window_frames(tower: Any) -> int:
    """Return the mel frames of one encoder window."""
    per_chunk = tower.n_window * 2
    return int(per_chunk * (tower.n_window_infer // per_chunk))


def load_audio(path: pathlib.Path) -> npt.NDArray[np.float32]:
    """Return the clip as the official loader gives it: mono, 16 kHz, float32."""
    samples, rate = soundfile.read(path, dtype="float32")
    return np.asarray(normalize_audio_input((samples, rate)))


def split_quietly(samples: npt.NDArray[np.float32], max_seconds: float) -> list[npt.NDArray[np.float32]]:
    """Cut at quiet points with the official function, no piece being longer than ``max_seconds``.

    The official function looks for the quietest point up to 5 s on either side of its limit, so the limit it is given
    is ``max_seconds - 5``; a clip that needs no cut is left whole.
    """
    if len(samples) <= max_seconds * SAMPLE_RATE:
        return [samples]
    return [piece for piece, _ in split_audio_into_chunks(samples, SAMPLE_RATE, max_seconds - 5)]
