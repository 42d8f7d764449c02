# SPDX-License-Identifier: Apache-2.0
"""The tokenizer of a checkpoint, as a GGUF file stores it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

from ._json import read_json
from .errors import CheckpointError

__all__ = [
    "AUDIO_END",
    "AUDIO_START",
    "END_OF_TURN",
    "TIMESTAMP",
    "TokenType",
    "Vocabulary",
    "byte_alphabet",
    "read_vocabulary",
]

AUDIO_START = "<|audio_start|>"
AUDIO_END = "<|audio_end|>"
END_OF_TURN = "<|im_end|>"
TIMESTAMP = "<timestamp>"


class TokenType(IntEnum):
    """Kinds of token, numbered as in GGUF."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """A byte-level BPE vocabulary, one entry per row of the embedding table.

    Attributes:
        tokens: Spelling of every id.
        types: Kind of every id.
        merges: Merge rules, best first, each two pieces separated by one space.
        eos_id: The token that ends an answer.
        padding_id: The padding token, if the checkpoint names one.
        chat_template: The checkpoint's prompt template, if it has one.
    """

    tokens: tuple[str, ...]
    types: tuple[TokenType, ...]
    merges: tuple[str, ...]
    eos_id: int
    padding_id: int | None = None
    chat_template: str | None = None

    def find(self, token: str) -> int:
        """Return the id of a special token.

        Raises:
            CheckpointError: There is none spelled so.
        """
        if token not in self.tokens:
            raise CheckpointError(f"the tokenizer has no {token}.", hint="Is it a Qwen3-ASR checkpoint?")
        return self.tokens.index(token)

    def byte_id(self, byte: int) -> int:
        """Return the id of a single byte, which every byte-level vocabulary has.

        Raises:
            CheckpointError: This one has not.
        """
        return self.find(byte_alphabet()[byte])

    def digest(self) -> str:
        """Return a SHA-256 that two vocabularies share only if they turn every text into the same ids."""
        spelled = [
            (number, token, int(kind))
            for number, (token, kind) in enumerate(zip(self.tokens, self.types, strict=True))
            if kind != TokenType.UNUSED
        ]
        return hashlib.sha256(json.dumps([spelled, self.merges]).encode()).hexdigest()


def byte_alphabet() -> list[str]:
    """Return the character that stands for each byte 0..255 in a byte-level BPE vocabulary.

    Printable Latin-1 characters stand for themselves, the rest are moved to U+0100 and up (GPT-2's table).
    """
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    moved = iter(range(0x100, 0x200))
    return [chr(byte) if byte in printable else chr(next(moved)) for byte in range(256)]


def read_vocabulary(folder: Path, *, size: int) -> Vocabulary:
    """Read ``vocab.json``, ``merges.txt`` and ``tokenizer_config.json``, or ``tokenizer.json`` for the first two.

    Ids that no file spells are filled with ``[PAD<id>]``, which never match any text.

    Args:
        folder: The checkpoint's folder.
        size: Rows of the embedding table.

    Returns:
        The vocabulary, exactly ``size`` entries.

    Raises:
        CheckpointError: A file is missing or malformed, an id lies beyond the table, or there is no ``<|im_end|>``.
    """
    settings = _json(folder / "tokenizer_config.json")
    tokens: list[str | None] = [None] * size
    types = [TokenType.UNUSED] * size
    whole = folder / "tokenizer.json"
    if (folder / "vocab.json").is_file() or not whole.is_file():
        plain = _json(folder / "vocab.json")
        plain_file, merges = folder / "vocab.json", _merges(folder / "merges.txt")
        added_file, added = folder / "tokenizer_config.json", settings.get("added_tokens_decoder") or {}
    else:
        plain_file = added_file = whole
        plain, merges, added = _whole_tokenizer(whole)
    for spelling, token in plain.items():
        _place(tokens, types, plain_file, token, spelling, TokenType.NORMAL)
    if not isinstance(added, dict):
        raise CheckpointError("added_tokens_decoder is not a table.", path=added_file)
    for token, entry in added.items():
        try:
            number, spelling, special = int(token), entry["content"], bool(entry.get("special", False))
            control = special or (spelling.startswith("<|") and spelling.endswith("|>"))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise CheckpointError(f"malformed added token {token}.", path=added_file) from error
        kind = TokenType.CONTROL if control else TokenType.USER_DEFINED
        _place(tokens, types, added_file, number, spelling, kind)
    complete = tuple(f"[PAD{number}]" if token is None else token for number, token in enumerate(tokens))
    if END_OF_TURN not in complete:
        raise CheckpointError(f"the tokenizer has no {END_OF_TURN}.", path=folder)
    padding = settings.get("pad_token")
    padding = padding.get("content") if isinstance(padding, dict) else padding
    return Vocabulary(
        tokens=complete,
        types=tuple(types),
        merges=merges,
        eos_id=complete.index(END_OF_TURN),
        padding_id=complete.index(padding) if padding in complete else None,
        chat_template=_chat_template(folder, settings),
    )


def _place(
    tokens: list[str | None], types: list[TokenType], file: Path, number: Any, spelling: str, kind: TokenType
) -> None:
    if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < len(tokens):
        raise CheckpointError(
            f"token {spelling!r} has id {number}, the embedding table has {len(tokens)} rows.", path=file
        )
    tokens[number] = spelling
    types[number] = kind


def _whole_tokenizer(file: Path) -> tuple[dict[str, Any], tuple[str, ...], dict[str, Any]]:
    """Plain tokens, merge rules and added tokens of a ``tokenizer.json``."""
    table = _json(file)
    try:
        model = table["model"]
        rules = [" ".join(rule) if isinstance(rule, list) else rule for rule in model["merges"]]
        added = {str(entry["id"]): entry for entry in table.get("added_tokens") or []}
        plain = dict(model["vocab"].items())
    except (KeyError, TypeError, AttributeError) as error:
        raise CheckpointError("not a byte-level BPE tokenizer.", path=file) from error
    return plain, _checked_merges(rules, file), added


def _checked_merges(rules: Iterable[Any], file: Path) -> tuple[str, ...]:
    checked = tuple(rules)
    for rule in checked:
        if not isinstance(rule, str) or rule.count(" ") != 1:
            raise CheckpointError(f"malformed merge rule {rule!r}.", path=file)
    return checked


def _merges(file: Path) -> tuple[str, ...]:
    try:
        lines = file.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"cannot be read ({error}).", path=file) from error
    if lines and lines[0].startswith("#version"):
        lines = lines[1:]
    return _checked_merges((rule for rule in (line.rstrip("\r") for line in lines) if rule), file)


def _chat_template(folder: Path, settings: dict[str, Any]) -> str | None:
    plain = folder / "chat_template.jinja"
    if plain.is_file():
        return plain.read_text(encoding="utf-8", errors="replace")
    separate = folder / "chat_template.json"
    template = (_json(separate) if separate.is_file() else settings).get("chat_template")
    return template if isinstance(template, str) else None


def _json(file: Path) -> dict[str, Any]:
    value = read_json(file)
    if not isinstance(value, dict):
        raise CheckpointError("not a JSON table.", path=file)
    return value
