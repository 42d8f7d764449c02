# SPDX-License-Identifier: Apache-2.0
"""Builds cues from words, while the words arrive."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from qwen_asr_plugin.alignment import TimedWord, needs_space_between
from subtitle_hooks import Segment, Word

from .norms import Norm
from .pieces import Piece, collapse_space, join_pieces, wrap_word
from .seams import Seam, judge_seam
from .segmentation import Optimizer, PlannedCue, cue_end_ms

__all__ = ["CueBuilder"]


class CueBuilder:
    """Turns the words of a transcript into cues that obey a norm.

    Where cues and lines end is found by dynamic programming with the cost function of `subtitles.costs`; a pause of
    `Norm.split_pause_ms` and a change of the language always end a cue. A cue begins with its first word, or as soon
    after it as the cue before has been shown for its minimum duration; it stays after its last word as long as reading
    needs. The hard rules of the norm hold for any words: without length, overlapping, out of order, of any width.

    Sentences may run across calls of `add`; how the words are spread over the calls changes nothing, apart from the
    space that is put between the texts of two calls. No character is lost, except white space where a line ends and
    control characters. A word wider than a line is cut, see `wrap_word`.

    Args:
        norm: Limits of a cue; the languages of the words choose among its variants.
    """

    def __init__(self, norm: Norm) -> None:
        self._family = norm
        self._reset()

    def _reset(self) -> None:
        self._norm = self._family
        self._language: str | None = None
        self._optimizer = Optimizer(self._norm)
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
            self._space_next |= word.text[:1].isspace()
            text = collapse_space(word.text)
            if text:
                self._last_ms = max(self._last_ms, word.start_ms)
                if language != self._language:
                    segments += self._switch(language)
                for piece in self._pieces(text, max(self._last_ms, word.end_ms), word):
                    last = self._optimizer.last
                    seam = judge_seam(last, piece, language) if last is not None else Seam.SENTENCE
                    segments += map(self._segment, self._optimizer.push(piece, seam))
            if word.text:
                self._last_text = word.text
            self._space_next |= word.text[-1:].isspace()
        return segments

    def finish(self, *, end_ms: int | None = None) -> list[Segment]:
        """Close the last sentence.

        Args:
            end_ms: Where the media ends; the last cue does not stay beyond it for reading, only for its minimum
                duration. None where unknown.

        Returns:
            The remaining cues. The builder is empty afterwards.
        """
        segments = [self._segment(cue, end_ms) for cue in self._optimizer.close(None)]
        self._reset()
        return segments

    def _switch(self, language: str | None) -> list[Segment]:
        """Begin with another language, and the norm for it."""
        segments = [self._segment(cue) for cue in self._optimizer.close(self._last_ms)]
        self._language = language
        self._norm = self._family.for_language(language)
        self._optimizer = Optimizer(self._norm, ready_ms=self._optimizer.ready_ms)
        return segments

    def _pieces(self, text: str, end_ms: int, word: TimedWord) -> Iterator[Piece]:
        """Make pieces of a word: one, or as many as it takes to fit into lines, which share its time."""
        norm = self._norm
        width = norm.text_width(text)
        room = norm.max_chars_per_line
        parts = [text] if room is None or width <= room else wrap_word(text, room, norm.width)
        begin_ms = start_ms = self._last_ms
        done = 0
        for part in parts:
            done += len(part)
            until_ms = begin_ms + (end_ms - begin_ms) * done // len(text)
            self._space_next |= part[0].isspace()
            if visible := part.strip():
                yield Piece(
                    text=visible,
                    space_before=self._space_next,
                    continues=done > len(part) and not self._space_next,
                    start_ms=start_ms,
                    end_ms=until_ms,
                    width=width if visible is text else norm.text_width(visible),
                    estimated=word.estimated,
                    repaired=word.repaired,
                )
                self._last_ms = start_ms
            self._space_next = part[-1].isspace()
            start_ms = until_ms

    def _segment(self, cue: PlannedCue, limit_ms: int | None = None) -> Segment:
        norm = self._norm
        lines = [join_pieces(line) for line in cue.lines]
        width = sum(map(norm.text_width, lines))
        end_ms = cue_end_ms(norm, cue.start_ms, cue.spoken_ms, cue.next_ms, width)
        if limit_ms is not None and cue.next_ms is None:
            end_ms = min(end_ms, max(limit_ms, cue.spoken_ms, cue.start_ms + norm.min_duration_ms))
        words = tuple(
            Word(
                start_ms=piece.start_ms,
                end_ms=piece.end_ms,
                text=piece.text,
                estimated=piece.estimated,
                repaired=piece.repaired,
            )
            for line in cue.lines
            for piece in line
        )
        text = "\n".join(lines)
        return Segment(start_ms=cue.start_ms, end_ms=end_ms, text=text, language=self._language, words=words)
