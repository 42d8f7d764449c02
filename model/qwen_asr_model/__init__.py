# SPDX-License-Identifier: Apache-2.0
"""Model bundles: open and check them, convert checkpoints into them, make random ones for tests and benchmarks."""

from .bundle import Bundle, default_bundle, describe_bundle, find_bundle, open_bundle, verify_bundle
from .convert import convert_checkpoint
from .errors import (
    BundleError,
    BundleFileDamagedError,
    BundleFileMissingError,
    BundleNotFoundError,
    CheckpointError,
    ConversionError,
    GgufDamagedError,
    ManifestError,
    OnnxDamagedError,
    PrecisionNotFoundError,
    WrongModelError,
)
from .synth import synthesize

__all__ = [
    "Bundle",
    "BundleError",
    "BundleFileDamagedError",
    "BundleFileMissingError",
    "BundleNotFoundError",
    "CheckpointError",
    "ConversionError",
    "GgufDamagedError",
    "ManifestError",
    "OnnxDamagedError",
    "PrecisionNotFoundError",
    "WrongModelError",
    "convert_checkpoint",
    "default_bundle",
    "describe_bundle",
    "find_bundle",
    "open_bundle",
    "synthesize",
    "verify_bundle",
]
