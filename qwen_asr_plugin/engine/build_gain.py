# SPDX-License-Identifier: Apache-2.0
"""What a library built for this processor would gain, said before anybody waits for a compiler."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from qwen_asr_native.providers import BUILT

from .tuning import Row, Tuning

__all__ = ["BuildGain", "build_gain"]

_SETS: Final = {"avx512f": "AVX512", "avx512_vnni": "AVX512_VNNI", "avx512_bf16": "AVX512_BF16"}
"""Instruction sets by Linux's names, and as libllama's own report calls those it uses."""
_PREFILL: Final = 1.3
_GENERATION: Final = 1.05
"""ik_llama.cpp built for AVX-512 against the wheel, which has AVX2 code only: measured with the 0.6B shape on two cores
of an EPYC with AVX-512, VNNI and BF16 (docs/performance.md). Smaller models gained more."""


@dataclass(frozen=True, kw_only=True)
class BuildGain:
    """What is known of ``qwen-asr-plugin native build`` on this machine.

    Attributes:
        kind: ``measured`` (there is a built library, and it took part), ``expected`` (from measurements elsewhere),
            ``none`` (the installed libraries use what there is) or ``unknown``.
        factor: How many times as fast as the best installed package, all stages together; None for other kinds.
        prefill_factor: The same of the prefill.
        generation_factor: The same of the generation.
        unused: Instruction sets of this processor that the best installed package does not use.
        text: The same in a sentence.
    """

    kind: str
    text: str
    factor: float | None = None
    prefill_factor: float | None = None
    generation_factor: float | None = None
    unused: tuple[str, ...] = ()


def build_gain(tuning: Tuning) -> BuildGain:
    """Say what a library built here gains, as measured, or would gain, as far as is known."""
    measured = [row for row in tuning.rows if row.visits]
    built = _best([row for row in measured if row.configuration.provider == BUILT])
    package = _best([row for row in measured if row.configuration.provider != BUILT])
    if built is not None and package is not None:
        assert built.rtf is not None
        assert package.rtf is not None
        factor = package.rtf / built.rtf
        return BuildGain(
            kind="measured",
            factor=factor,
            prefill_factor=built.prefill_per_second / package.prefill_per_second,
            generation_factor=built.tokens_per_second / package.tokens_per_second,
            text=f"The library built here is {factor:.2f} times as fast as {package.configuration.provider}.",
        )
    if built is not None or package is None:
        return BuildGain(kind="unknown", text="There is no other library here to compare the built one with.")
    features = set(tuning.machine.features)
    unused = tuple(name for name in _SETS if name in features and not _uses(package.system, _SETS[name]))
    name = package.configuration.provider
    if "avx512f" in unused:
        return _expected(package, unused)
    if "avx2" in features:
        text = f"Little: {name} uses already what is known to matter of this processor's instruction sets."
        return BuildGain(kind="none", text=text, unused=unused)
    return BuildGain(kind="unknown", text="Nobody has measured that on a processor of this kind.", unused=unused)


def _expected(package: Row, unused: tuple[str, ...]) -> BuildGain:
    times = package.times
    before = times.encoder_seconds + times.prefill_seconds + times.generation_seconds
    after = times.encoder_seconds + times.prefill_seconds / _PREFILL + times.generation_seconds / _GENERATION
    factor = before / after
    return BuildGain(
        kind="expected",
        factor=factor,
        prefill_factor=_PREFILL,
        generation_factor=_GENERATION,
        unused=unused,
        text=f"About {factor:.2f} times as fast for this model: this processor has {', '.join(unused)}, which "
        f"{package.configuration.provider} does not use. An expectation, not measured here: elsewhere a library built "
        f"for AVX-512 had a prefill {_PREFILL} times as fast and generated {_GENERATION} times as fast. Building takes "
        "about 10 minutes: qwen-asr-plugin native build ik-llama-cpp-python",
    )


def _best(rows: list[Row]) -> Row | None:
    return min(rows, key=lambda row: row.rtf or 0.0, default=None)


def _uses(system: str, name: str) -> bool:
    return re.search(rf"\b{name} = 1\b", system) is not None
