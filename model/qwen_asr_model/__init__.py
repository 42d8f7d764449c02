# SPDX-License-Identifier: Apache-2.0
"""Model bundles: open and check them, convert checkpoints into them, make random ones for tests and benchmarks."""

from .aligner import AlignerFiles, open_aligner
from .bundle import (
    Bundle,
    default_bundle,
    describe_bundle,
    find_aligner,
    find_bundle,
    open_any,
    open_bundle,
    verify_bundle,
)
from .check import PartCheck, check_conversion
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
from .mmproj import find_pair, import_pair
from .synth import synthesize, synthesize_checkpoint
from .text_table import TextTable

__all__ = [
    "AlignerFiles",
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
    "PartCheck",
    "PrecisionNotFoundError",
    "TextTable",
    "WrongModelError",
    "check_conversion",
    "convert_checkpoint",
    "default_bundle",
    "describe_bundle",
    "find_aligner",
    "find_bundle",
    "find_pair",
    "import_pair",
    "open_aligner",
    "open_any",
    "open_bundle",
    "synthesize",
    "synthesize_checkpoint",
    "verify_bundle",
]
