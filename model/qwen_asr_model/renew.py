# SPDX-License-Identifier: Apache-2.0
"""Makes the bundle that comes with the package: ``python -m qwen_asr_model.renew ASR --aligner ALIGNER``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from .bundle import DEFAULT_BUNDLE, open_bundle
from .convert import convert_checkpoint
from .errors import BundleError

__all__ = ["main"]

CONTEXT_TOKENS = 32
ALIGNER_QUANT = "q8_0"


def main(arguments: Sequence[str] | None = None) -> int:
    """Convert a checkpoint into the package's own bundle; see docs/models.md for what to renew with it.

    Args:
        arguments: Command line without the program's name; the process's own if not given.

    Returns:
        Exit status: 0, or 1 where the conversion failed.
    """
    parser = argparse.ArgumentParser(prog="python -m qwen_asr_model.renew", description=__doc__)
    parser.add_argument("checkpoint", help="folder with config.json, tokenizer files and safetensors")
    parser.add_argument("--aligner", metavar="CHECKPOINT", help="folder of the forced aligner, for the same bundle")
    parser.add_argument("--out", default=DEFAULT_BUNDLE, help="write elsewhere (default: into the package)")
    chosen = parser.parse_args(arguments)
    try:
        # The bundle is shipped in the wheel, so it holds one encoder and one language model; the table in
        # model/README.md is why these.
        out = convert_checkpoint(
            chosen.checkpoint,
            chosen.out,
            name=DEFAULT_BUNDLE.name,
            precisions=("int4",),
            quants=("q5_0",),
            languages=("en",),
            # The checkpoint was trained on clips of up to 24 s and is measured on pieces of at most 20 s.
            max_chunk_seconds=20.0,
            # It was trained without any; measured: five names do no harm, forty make it lose words.
            max_context_tokens=CONTEXT_TOKENS,
            aligner=chosen.aligner,
            aligner_quants=(ALIGNER_QUANT,),
            # Trained on clips of up to 24 s like the recogniser; beyond 16 s the times get worse.
            aligner_chunk_seconds=16.0,
            licence="Apache-2.0",
            progress=_report,
        )
        bundle = open_bundle(out)
    except BundleError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{bundle.path}: {sum(entry.size for entry in bundle.files) / 1e6:.1f} MB\n")
    return 0


def _report(file: str, done: int, total: int) -> None:
    sys.stdout.write(f"[{done}/{total}] {file}\n")


if __name__ == "__main__":
    sys.exit(main())
