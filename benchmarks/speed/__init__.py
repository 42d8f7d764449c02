# SPDX-License-Identifier: Apache-2.0
"""How fast, how large, where the time goes: contenders that take turns in one run, and a report of what was found."""
