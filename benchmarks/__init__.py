# SPDX-License-Identifier: Apache-2.0
"""Measurements. ``python -m benchmarks --help`` lists what there is; no part of what users install."""
