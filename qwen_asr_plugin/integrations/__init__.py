# SPDX-License-Identifier: Apache-2.0
"""What makes this plugin part of other programs; each module needs the program it is named after.

They are hosts like any other: they go through `subtitle_hooks.SubtitleHost` and ask for the backend of this package.
"""
