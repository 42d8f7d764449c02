# SPDX-License-Identifier: Apache-2.0
"""The optimiser against all ways there are, with the cost function written out as docs/cues.md has it."""

from itertools import combinations, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qwen_asr_plugin.subtitles import Norm
from qwen_asr_plugin.subtitles.costs import CUE, END, FULL, LINE, SEAM, SHARED, SHORT, TOP_HEAVY, TORN, UNEVEN, UNREAD
from qwen_asr_plugin.subtitles.pieces import Piece
from qwen_asr_plugin.subtitles.seams import Seam
from qwen_asr_plugin.subtitles.segmentation import Optimizer, cue_end_ms

# No cue of this norm makes the next one late, which is what the optimum is defined for.
NORM = Norm(
    name="free",
    max_chars_per_line=12,
    min_duration_ms=1,
    max_duration_ms=2500,
    min_gap_ms=0,
    close_gap_ms=50,
    chars_per_second=12,
    split_pause_ms=600,
)


@st.composite
def spoken_pieces(draw):
    at, pieces, seams = 0, [], []
    for _ in range(draw(st.integers(1, 9))):
        width = draw(st.integers(1, 12))
        at += draw(st.sampled_from([0, 0, 0, 100, 250]))
        end = at + draw(st.sampled_from([50, 200, 400, 900]))
        pieces.append(
            Piece(text="x" * width, space_before=True, continues=False, start_ms=at, end_ms=end, width=float(width))
        )
        seams.append(draw(st.sampled_from(Seam)))
        at = end
    return pieces, seams


def width_of(pieces):
    return sum(piece.width for piece in pieces) + len(pieces) - 1


def line_cost(pieces, seams):
    """Cost of the best way to set a cue in one line if it fits, else in two; None if it does not fit."""
    if width_of(pieces) <= 12:
        return 0.0
    ways = []
    for at in range(1, len(pieces)):
        first, second = width_of(pieces[:at]), width_of(pieces[at:])
        if max(first, second) <= 12:
            price = SEAM[seams[at]]
            surplus = (first - second) / 12
            uneven = UNEVEN * surplus**2 + (TOP_HEAVY if surplus > 0 else 0)
            ways.append(LINE * price + (uneven if price else 0))
    return min(ways, default=None)


def cost_of(pieces, seams, cuts):
    total = 0.0
    count = len(pieces)
    for begin, end in pairwise(cuts):
        cue = pieces[begin:end]
        start, spoken = cue[0].start_ms, cue[-1].end_ms
        following = pieces[end].start_ms if end < count else None
        lines = line_cost(cue, seams[begin:end])
        if lines is None or (len(cue) > 1 and spoken - start > 2500):
            return None
        shown = cue_end_ms(NORM, start, spoken, following, width_of(cue)) - start
        total += CUE + lines + FULL * (width_of(cue) / 24) ** 2
        total += UNREAD * max(0.0, width_of(cue) / 12 - shown / 1000) + SHORT * max(0.0, 1 - shown / 2)
        stops = [at for at in range(begin + 1, end) if seams[at] is Seam.SENTENCE]
        for at in stops:
            total += SHARED * (1 + (pieces[at].start_ms - pieces[at - 1].end_ms) / 600)
        is_whole = begin == 0 or seams[begin] is Seam.SENTENCE
        if stops and not (is_whole and (end == count or seams[end] is Seam.SENTENCE)):
            total += TORN
        if end < count:
            pause = pieces[end].start_ms - spoken
            total += END * SEAM[seams[end]] * (1 - pause / 600)
    return total


@settings(deadline=None, max_examples=300)
@given(spoken_pieces())
def test_no_other_cuts_cost_less(spoken):
    pieces, seams = spoken
    optimizer = Optimizer(NORM)
    cues = [cue for piece, seam in zip(pieces, seams, strict=True) for cue in optimizer.push(piece, seam)]
    cues += optimizer.close(None)
    sizes = [sum(map(len, cue.lines)) for cue in cues]
    assert [piece for cue in cues for line in cue.lines for piece in line] == pieces
    cuts = [sum(sizes[:at]) for at in range(len(sizes) + 1)]
    ways = [
        cost
        for count in range(len(pieces))
        for inner in combinations(range(1, len(pieces)), count)
        if (cost := cost_of(pieces, seams, [0, *inner, len(pieces)])) is not None
    ]
    assert cost_of(pieces, seams, cuts) == pytest.approx(min(ways))
