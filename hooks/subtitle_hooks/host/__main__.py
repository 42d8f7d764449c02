# SPDX-License-Identifier: Apache-2.0
"""Run the reference host as ``python -m subtitle_hooks.host``."""

import sys

from ._cli import main

sys.exit(main())
