# SPDX-License-Identifier: Apache-2.0
r"""The prompt Qwen3-ASR was trained with, as token ids around the audio rows.

Official template (empty context included)::

    <|im_start|>system\n{context}<|im_end|>\n<|im_start|>user\n<|audio_start|>{audio}<|audio_end|><|im_end|>\n
    <|im_start|>assistant\n[language {Name}<asr_text>]
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from qwen_asr_plugin.languages import model_name

from .output_text import ASR_TEXT_TAG

__all__ = ["Prompt", "SpecialTokens", "Vocabulary", "build_prompt"]


class Vocabulary(Protocol):
    """What is needed of a loaded model's tokenizer."""

    def token_id(self, text: str) -> int:
        """Return the one id of a special token."""

    def tokenize(self, text: str, *, parse_special: bool = False) -> list[int]:
        """Return the ids of a text."""


@dataclass(frozen=True, kw_only=True)
class SpecialTokens:
    """Ids found by name, never assumed: they differ between vocabularies."""

    im_start: int
    im_end: int
    end_of_text: int
    audio_start: int
    audio_end: int
    asr_text: int

    @classmethod
    def of(cls, vocabulary: Vocabulary) -> SpecialTokens:
        """Look all of them up; a missing one is the vocabulary's error."""
        return cls(
            im_start=vocabulary.token_id("<|im_start|>"),
            im_end=vocabulary.token_id("<|im_end|>"),
            end_of_text=vocabulary.token_id("<|endoftext|>"),
            audio_start=vocabulary.token_id("<|audio_start|>"),
            audio_end=vocabulary.token_id("<|audio_end|>"),
            asr_text=vocabulary.token_id(ASR_TEXT_TAG),
        )

    @property
    def stops(self) -> frozenset[int]:
        """Tokens that end the output."""
        return frozenset({self.im_end, self.end_of_text})


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """Token ids before and after the audio rows; whether the context had to be cut."""

    before_audio: tuple[int, ...]
    after_audio: tuple[int, ...]
    context_cut: bool = False

    def __len__(self) -> int:
        return len(self.before_audio) + len(self.after_audio)


def build_prompt(
    vocabulary: Vocabulary,
    special: SpecialTokens,
    *,
    context: str = "",
    max_context_tokens: int = 512,
    language: str | None = None,
) -> Prompt:
    """Build the prompt for one chunk.

    Args:
        vocabulary: The loaded model.
        special: Its special tokens.
        context: Names and terms that may occur. It is text: control tokens spelled in it stay text.
        max_context_tokens: Where it is cut, so that it cannot crowd out the audio; a property of the bundle.
        language: ISO code to force, None to let the model name the language itself.
    """
    heading = vocabulary.tokenize("system\n")
    system = vocabulary.tokenize("system\n" + context.replace(ASR_TEXT_TAG, " "))
    longest = len(heading) + max_context_tokens
    newline = vocabulary.tokenize("\n")
    answer = vocabulary.tokenize("assistant\n" + (f"language {model_name(language)}" if language else ""))
    return Prompt(
        before_audio=(
            special.im_start,
            *system[:longest],
            special.im_end,
            *newline,
            special.im_start,
            *vocabulary.tokenize("user\n"),
            special.audio_start,
        ),
        after_audio=(
            special.audio_end,
            special.im_end,
            *newline,
            special.im_start,
            *answer,
            *([special.asr_text] if language else []),
        ),
        context_cut=len(system) > longest,
    )
