# SPDX-License-Identifier: Apache-2.0
"""One module per kind of contender. Each is a program: a job as JSON on standard input, a result as its last line."""
