# SPDX-License-Identifier: Apache-2.0
"""Builds cues from words, while the words arrive."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

from qwen_asr_plugin.alignment import Boundary, TimedWord, boundary_after, needs_space_between
from subtitle_hooks import Segment

from .layout import LineFill, Piece, break_lines, collapse_space, text_width, wrap_word
from .norm import Norm
from .segmentation import split_run

__all__ = ["CueBuilder"]

# A sentence without end is cut as soon as it would fill so many cues; bounds what is kept in memory.
_MAX_OPEN_CUES: Final = 4
# Cues begin at least this far apart, so that words an aligner gave no length are still shown.
_MIN_APART_MS: Final = 200


@dataclass(frozen=True, kw_only=True)
class _Draft:
    """A cue whose end still depends on the next one.

    Attributes:
        pieces: Its n pieces.
        ends: What ends after each; n values.
        start_ms: When its first word is said.
        spoken_ms: When its last word has been said.
        whole: Whether it holds whole sentences, and may share its time with the next one.
    """

    pieces: tuple[Piece, ...]
    ends: tuple[Boundary, ...]
    start_ms: int
    spoken_ms: int
    whole: bool


class CueBuilder:
    """Turns the words of a transcript into cues that obey a norm.

    A cue ends with a sentence or before a pause of `Norm.split_pause_ms`; longer sentences are cut where it hurts
    least. A sentence that would be gone before it can be read shares a cue with the next. A cue begins with its first
    word; it stays after its last one as long as reading needs, but never into the next cue. Sentences may run across
    calls of `add`; how the words are spread over the calls changes nothing, apart from the space that is put between
    the texts of two calls. No character is lost, except white space where a line ends and control characters.

    Args:
        norm: Limits of a cue.
    """

    def __init__(self, norm: Norm) -> None:
        self._norm = norm
        self._run: list[Piece] = []
        self._ends: list[Boundary] = []
        self._is_tail = False
        self._held: _Draft | None = None
        self._space_next = False
        self._last_text = ""
        self._last_ms = 0

    def add(self, words: Sequence[TimedWord], language: str | None) -> list[Segment]:
        """Take the next words of the transcript.

        Args:
            words: Words in time order, times on the media clock.
            language: Language of these words, None where unknown.

        Returns:
            Cues that no further word can change, in time order.
        """
        segments: list[Segment] = []
        for at, word in enumerate(words):
            if at == 0 and needs_space_between(self._last_text, word.text):
                self._space_next = True
            for piece in self._cut(word, language):
                segments += self._push(piece)
            if word.text:
                self._last_text = word.text
        return segments

    def finish(self, *, end_ms: int | None = None) -> list[Segment]:
        """Close the last sentence.

        Args:
            end_ms: Where the media ends; the last cue does not stay beyond it for reading. None where unknown.

        Returns:
            The remaining cues. The builder is empty afterwards.
        """
        segments = self._close_run()
        if self._held is not None:
            segments.append(self._time(self._held, next_ms=None, limit_ms=end_ms))
            self._held = None
        self._last_text = ""
        self._space_next = False
        self._last_ms = 0
        return segments

    def _cut(self, word: TimedWord, language: str | None) -> Iterator[Piece]:
        """Make pieces of a word: one, or as many as it takes to fit into lines; none of a blank word."""
        self._space_next |= word.text[:1].isspace()
        text = collapse_space(word.text)
        if text:
            begin_ms = max(word.start_ms, self._last_ms)
            length_ms = max(0, word.end_ms - begin_ms)
            parts = wrap_word(text, self._norm.max_chars_per_line)
            done = 0
            for index, part in enumerate(parts):
                start = begin_ms + length_ms * done // len(text)
                done += len(part)
                self._last_ms = begin_ms + length_ms * done // len(text)
                yield Piece(
                    text=part,
                    space_before=self._space_next,
                    continues=index > 0,
                    start_ms=start,
                    end_ms=self._last_ms,
                    language=language,
                )
                self._space_next = False
        self._space_next |= word.text[-1:].isspace()

    def _push(self, piece: Piece) -> list[Segment]:
        segments: list[Segment] = []
        if self._run:
            last = self._run[-1]
            self._ends[-1] = Boundary.NONE if piece.continues else boundary_after(last.text, piece.text, last.language)
            pause_ms = piece.start_ms - last.end_ms
            if (
                self._ends[-1] is Boundary.SENTENCE
                or pause_ms >= self._norm.split_pause_ms
                or piece.language != last.language
            ):
                segments = self._close_run()
            elif self._is_overlong():
                segments = self._release_first()
        self._run.append(piece)
        self._ends.append(boundary_after(piece.text, None, piece.language))  # judged again with the next word
        return segments

    def _is_overlong(self) -> bool:
        width = sum(piece.space_before + piece.width for piece in self._run)
        length_ms = self._run[-1].end_ms - self._run[0].start_ms
        return width > _MAX_OPEN_CUES * self._norm.capacity or length_ms > _MAX_OPEN_CUES * self._norm.max_duration_ms

    def _release_first(self) -> list[Segment]:
        """Give up waiting for the end of a sentence: settle its first cue."""
        cut = split_run(self._run, self._ends, self._norm)[1]
        segments = self._hold(self._draft(0, cut, whole=False))
        del self._run[:cut], self._ends[:cut]
        self._is_tail = True
        return segments

    def _close_run(self) -> list[Segment]:
        segments: list[Segment] = []
        if self._run:
            cuts = split_run(self._run, self._ends, self._norm)
            whole = cuts == [0, len(self._run)] and not self._is_tail
            for begin, end in pairwise(cuts):
                segments += self._hold(self._draft(begin, end, whole=whole))
            self._run.clear()
            self._ends.clear()
            self._is_tail = False
        return segments

    def _draft(self, begin: int, end: int, *, whole: bool) -> _Draft:
        return _Draft(
            pieces=tuple(self._run[begin:end]),
            ends=tuple(self._ends[begin:end]),
            start_ms=self._run[begin].start_ms,
            spoken_ms=self._run[end - 1].end_ms,
            whole=whole,
        )

    def _hold(self, draft: _Draft) -> list[Segment]:
        """Keep a cue until the next one is known; settle the one kept before, unless the two share a cue."""
        held = self._held
        self._held = draft
        if held is None:
            return []
        if self._may_join(held, draft):
            self._held = _Draft(
                pieces=held.pieces + draft.pieces,
                ends=held.ends + draft.ends,
                start_ms=held.start_ms,
                spoken_ms=draft.spoken_ms,
                whole=True,
            )
            return []
        earliest_ms = held.start_ms + _MIN_APART_MS
        if draft.start_ms < earliest_ms:
            self._held = replace(draft, start_ms=earliest_ms, spoken_ms=max(earliest_ms, draft.spoken_ms))
        return [self._time(held, next_ms=self._held.start_ms, limit_ms=None)]

    def _may_join(self, first: _Draft, second: _Draft) -> bool:
        room_ms = second.start_ms - first.start_ms - self._norm.min_gap_ms
        if not (first.whole and second.whole) or room_ms >= self._norm.min_duration_ms:
            return False
        if second.start_ms - first.spoken_ms >= self._norm.join_pause_ms:
            return False
        if second.spoken_ms - first.start_ms > self._norm.max_duration_ms:
            return False
        if first.pieces[-1].language != second.pieces[0].language:
            return False
        fill = LineFill(self._norm)
        return all(fill.add(piece) for piece in first.pieces + second.pieces)

    def _time(self, draft: _Draft, *, next_ms: int | None, limit_ms: int | None) -> Segment:
        """Choose the end of a cue: after its last word, later if reading needs it, never into the next cue."""
        norm = self._norm
        start_ms = draft.start_ms
        lines = break_lines(draft.pieces, draft.ends, norm)
        reading_ms = sum(map(text_width, lines)) * 1000 // norm.chars_per_second
        end_ms = max(
            draft.spoken_ms,
            start_ms + norm.min_duration_ms,
            min(draft.spoken_ms + norm.max_extension_ms, start_ms + reading_ms),
        )
        if limit_ms is not None:
            end_ms = min(end_ms, max(limit_ms, draft.spoken_ms))
        if next_ms is not None and next_ms - end_ms < norm.close_gap_ms:
            end_ms = next_ms - norm.min_gap_ms
            # Where there is hardly time to see the cue at all, the gap gives way.
            if end_ms - start_ms < norm.min_duration_ms // 2:
                end_ms = next_ms
        end_ms = max(start_ms + 1, min(end_ms, start_ms + norm.max_duration_ms))
        return Segment(start_ms=start_ms, end_ms=end_ms, text="\n".join(lines), language=draft.pieces[0].language)
