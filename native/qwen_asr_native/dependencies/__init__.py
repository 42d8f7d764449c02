# SPDX-License-Identifier: Apache-2.0
"""The libraries that a shared library needs: read from the file, and followed as the system's loader does."""

from qwen_asr_native.dependencies.common import MissingDependency
from qwen_asr_native.dependencies.finding import check_dependencies, find_missing, needed

__all__ = ["MissingDependency", "check_dependencies", "find_missing", "needed"]
