# SPDX-License-Identifier: Apache-2.0
"""Changes to a text that is spread over timed words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from qwen_asr_plugin.alignment import TimedWord

__all__ = ["Edit", "apply_edits"]


@dataclass(frozen=True, kw_only=True)
class Edit:
    """Characters `begin` to `end` of the words' joined text become `text`."""

    begin: int
    end: int
    text: str


def apply_edits(words: Sequence[TimedWord], edits: Iterable[Edit]) -> list[TimedWord]:
    """Change the text of words and keep their times.

    Words that one edit touches become one word, said from the first one's start to the last one's end; a word of which
    no text is left is dropped. All other words stay the objects they are.

    Args:
        words: Words in time order.
        edits: In the order of the text, not empty, not overlapping.
    """
    shaped: list[TimedWord] = []
    pending = list(edits)
    pending.reverse()
    at = 0
    position = 0
    while at < len(words):
        begin, end = position, position + len(words[at].text)
        first = at
        here: list[Edit] = []
        while pending and pending[-1].begin < end:
            here.append(pending.pop())
            while end < here[-1].end:
                at += 1
                end += len(words[at].text)
        at += 1
        position = end
        shaped += _edited(words[first:at], begin, here) if here else [words[first]]
    return shaped


def _edited(words: Sequence[TimedWord], begin: int, edits: Sequence[Edit]) -> list[TimedWord]:
    before = "".join(word.text for word in words)
    after = ""
    done = 0
    for edit in edits:
        after += before[done : edit.begin - begin] + edit.text
        done = edit.end - begin
    after += before[done:]
    if not after:
        return []
    merged = replace(
        words[0],
        text=after,
        end_ms=max(word.end_ms for word in words),
        estimated=any(word.estimated for word in words),
        repaired=any(word.repaired for word in words),
    )
    return [merged]
